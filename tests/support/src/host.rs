//! A running `redhold serve` on a data directory of its own, and its instances.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{self, Answer, free_port};
use crate::data;
use crate::eventually::eventually;
use crate::world;

/// Buckets of the shared data directory that a host may share: what is in them never changes.
const SHARED: [&str; 5] = ["blobs-v1", "cache-v1", "node-v1", "stacks-v1", "tmp-v1"];

/// For what should happen at once, on a machine that has much else to do.
pub const SOON: Duration = Duration::from_secs(30);

/// A host. Dropping it ends it and everything that it started.
#[derive(Debug)]
pub struct Host {
    folder: TempDir,
    child: Option<Child>,
    /// The process that has taken over from the child.
    successor: Option<Pid>,
    port: u16,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Host {
    /// A host without TLS, started.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&["--tls", "off"])
    }

    /// A host with these options beside its address in clear.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn with(args: &[&str]) -> Self {
        let mut host = Self::prepared(args);
        host.run();
        host
    }

    /// The same, not started yet.
    ///
    /// # Panics
    /// When its folder cannot be made.
    #[must_use]
    pub fn prepared(args: &[&str]) -> Self {
        Self::prepared_in(&std::env::temp_dir(), args)
    }

    /// The same, with its data directory in this folder.
    ///
    /// # Panics
    /// When its folder cannot be made.
    #[must_use]
    pub fn prepared_in(place: &Path, args: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("rh-")
            .tempdir_in(place)
            .expect("a folder");
        for bucket in SHARED {
            let shared = data::shared().join(bucket);
            fs::create_dir_all(&shared).expect("a bucket");
            symlink(shared, folder.path().join(bucket)).expect("a link");
        }
        data::lend_engine(folder.path());
        Self {
            folder,
            child: None,
            successor: None,
            port: free_port(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: match world::is_inside() {
                true => Vec::new(),
                // The machine's own network stays as it is.
                false => vec![("REDHOLD_NETWORK".to_owned(), "host".to_owned())],
            },
        }
    }

    /// Sets a variable for its next start.
    pub fn env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Gives it a policy for what its instances may install: keys besides the version.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn policy(&self, keys: &str) {
        let file = self.data().join("vetting/policy.toml");
        fs::write(file, format!("version = 1\n{keys}\n")).expect("a policy");
    }

    /// Gives one that is not started another port in clear, and other options.
    pub fn configure(&mut self, port: u16, args: &[&str]) {
        self.port = port;
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
    }

    /// Starts it, or starts it again.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn run(&mut self) {
        self.run_as(&data::binary());
    }

    /// Starts this program as it.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn run_as(&mut self, program: &Path) {
        self.spawn_as(program);
        eventually("the host answers", SOON, || {
            if let Some(child) = &mut self.child
                && let Ok(Some(status)) = child.try_wait()
            {
                panic!("the host ended with {status}:\n{}", self.said());
            }
            self.ask("GET", "/host", &Value::Null)
        });
    }

    /// Starts it and does not wait.
    ///
    /// # Panics
    /// When it cannot be executed.
    pub fn spawn(&mut self) {
        self.spawn_as(&data::binary());
    }

    fn spawn_as(&mut self, program: &Path) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("said"))
            .expect("a log");
        let child = Command::new(program)
            .args(["serve", "--http", &format!("127.0.0.1:{}", self.port)])
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .arg("--data-dir")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("redhold serve");
        self.child = Some(child);
        self.successor = None;
    }

    /// Waits for its end; its exit code and everything that it said.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ends(&mut self) -> (Option<i32>, String) {
        let mut child = self.child.take().expect("a child");
        let status = eventually("the host ends", SOON, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(other),
        });
        (status.code(), self.said())
    }

    /// Kills it, by SIGKILL.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("collected");
    }

    /// Ends it gently.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        self.ends();
    }

    /// Sends it a signal; after an upgrade, to the newest one.
    pub fn signal(&self, signal: Signal) {
        let child = self
            .child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok());
        if let Some(pid) = self.successor.or_else(|| child.map(Pid::from_raw)) {
            let _ = kill(pid, signal);
        }
    }

    /// Notes that another process has taken over: signals, and the end, are for that one from now on.
    pub fn follow(&mut self, pid: i32) {
        self.successor = Some(Pid::from_raw(pid));
    }

    /// Upgrades it to a program.
    ///
    /// # Errors
    /// What the command says.
    ///
    /// # Panics
    /// When the command cannot be executed.
    pub fn upgrade(&mut self, binary: &Path) -> Result<Value, String> {
        let output = self.cli(&[
            OsStr::new("upgrade"),
            OsStr::new("--json"),
            OsStr::new("--binary"),
            binary.as_os_str(),
        ]);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let upgraded: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let pid = upgraded["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        self.follow(pid.expect("a process"));
        Ok(upgraded)
    }

    /// Whether the process that was started first has ended.
    ///
    /// # Panics
    /// When it cannot be asked for.
    pub fn first_has_ended(&mut self) -> bool {
        let child = self.child.as_mut().expect("a child");
        child.try_wait().expect("a child").is_some()
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Everything that it said.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// Its port in clear.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Asks its interface; the whole answer.
    ///
    /// # Errors
    /// When there is no answer, in words.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Answer, String> {
        let socket = self.data().join("run/api.sock");
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        client::unix(&socket, method, &format!("/api/v1{path}"), headers, body)
    }

    /// Asks its interface.
    ///
    /// # Errors
    /// When there is no answer, or a refusal, in words.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let answer = self.request(method, path, &[], body)?;
        if (200..300).contains(&answer.status) {
            Ok(answer.json())
        } else {
            Err(format!("{}: {}", answer.status, answer.text()))
        }
    }

    /// Runs its command line.
    ///
    /// # Panics
    /// When it cannot be executed.
    pub fn cli(&self, args: &[impl AsRef<OsStr>]) -> Output {
        Command::new(data::binary())
            .args(args)
            .arg("--data-dir")
            .arg(self.data())
            .stdin(Stdio::null())
            .output()
            .expect("redhold")
    }

    /// Runs its command line, which must succeed; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn does(&self, args: &[impl AsRef<OsStr>]) -> String {
        let output = self.cli(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Creates an instance with these flows and settings, and waits until its flows run.
    ///
    /// # Panics
    /// When it does not come to that.
    pub fn create(&self, name: &str, flows: &Value, settings: &Value) -> String {
        let new = json!({ "name": name, "flows": flows, "settings": settings });
        let view = self.ask("POST", "/instances", &new).expect("created");
        self.wait(name, "running");
        view["id"].as_str().expect("an id").to_owned()
    }

    /// Does something to an instance.
    ///
    /// # Panics
    /// When it is refused.
    pub fn act(&self, name: &str, action: &str) -> Value {
        self.ask(
            "POST",
            &format!("/instances/{name}/actions/{action}"),
            &Value::Null,
        )
        .expect("done")
    }

    /// One instance.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn view(&self, name: &str) -> Value {
        self.ask("GET", &format!("/instances/{name}"), &Value::Null)
            .expect("an instance")
    }

    /// Waits until an instance is in a state; how it is then.
    ///
    /// # Panics
    /// With its events, when it does not come to that.
    pub fn wait(&self, name: &str, state: &str) -> Value {
        self.until(name, &format!("{name} is {state}"), |view| {
            view["observed"]["state"] == state
        })
    }

    /// Waits until an instance is as wanted; how it is then.
    ///
    /// # Panics
    /// With its events, when it does not come to that.
    pub fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, SOON * 2, || {
            let view = self.ask("GET", &format!("/instances/{name}"), &Value::Null)?;
            if wanted(&view) {
                return Ok(view);
            }
            Err(format!("{view}\n{}", self.events(name).join("\n")))
        })
    }

    /// The events of an instance, as `kind: text`.
    #[must_use]
    pub fn events(&self, name: &str) -> Vec<String> {
        let page = self.ask(
            "GET",
            &format!("/instances/{name}/events?limit=1000"),
            &Value::Null,
        );
        let events = page.map(|page| page["events"].as_array().cloned().unwrap_or_default());
        let line = |event: &Value| {
            format!(
                "{}: {}",
                event["kind"].as_str().unwrap_or_default(),
                event["text"].as_str().unwrap_or_default()
            )
        };
        events.unwrap_or_default().iter().map(line).collect()
    }

    /// Waits for an event that begins like this.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_event(&self, name: &str, begins: &str) -> String {
        eventually(&format!("the event `{begins}`"), SOON * 2, || {
            let events = self.events(name);
            events
                .iter()
                .find(|event| event.starts_with(begins))
                .cloned()
                .ok_or_else(|| events.join("\n"))
        })
    }

    /// A request through the front to an instance.
    ///
    /// # Errors
    /// When there is no answer, in words.
    pub fn get(&self, name: &str, path: &str) -> Result<Answer, String> {
        self.call(name, "GET", path, &[], Vec::new())
    }

    /// Any request through the front to an instance.
    ///
    /// # Errors
    /// When there is no answer, in words.
    pub fn call(
        &self,
        name: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let host = format!("{name}.localhost:{}", self.port);
        let mut all = vec![("host", host.as_str())];
        all.extend(headers);
        client::request(
            method,
            &format!("http://127.0.0.1:{}{path}", self.port),
            &all,
            body,
        )
    }

    /// `Authorization` of its administrator.
    ///
    /// # Panics
    /// When it has no token.
    #[must_use]
    pub fn token(&self) -> String {
        let token = fs::read_to_string(self.data().join("keys/admin-token")).expect("a token");
        format!("Bearer {}", token.trim())
    }

    /// Deploys flows to an instance, as its operator.
    ///
    /// # Panics
    /// When they are refused.
    pub fn deploy(&self, name: &str, flows: &Value) {
        let token = self.token();
        let headers = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
        ];
        let answer = self.call(name, "POST", "/flows", &headers, flows.to_string().into_bytes());
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// The run record of an instance: which processes it has.
    #[must_use]
    pub fn record(&self, id: &str) -> Option<Value> {
        let path = self.data().join("instances").join(id).join("run/run.json");
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    fn instances(&self) -> Vec<PathBuf> {
        fs::read_dir(self.data().join("instances"))
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What failed is often said here, and nowhere else.
            let _ = writeln!(std::io::stderr(), "the host said:\n{}", self.said());
        }
        if self.child.is_some() {
            self.signal(Signal::SIGTERM);
            let mut child = self.child.take();
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                eventually("the host ends", SOON, || {
                    let child = child.as_mut().expect("a child");
                    matches!(child.try_wait(), Ok(Some(_)))
                        .then_some(())
                        .ok_or("it runs")
                });
            }));
            if ended.is_err()
                && let Some(child) = &mut child
            {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if let Some(successor) = self.successor {
            let ended = std::panic::catch_unwind(|| {
                eventually("the newest supervisor ends", SOON, || {
                    let stat = fs::read_to_string(format!("/proc/{successor}/stat")).unwrap_or_default();
                    // Who collects it is not ours to say.
                    let dead = stat.is_empty() || stat.contains(") Z ");
                    dead.then_some(()).ok_or(stat)
                });
            });
            if ended.is_err() {
                let _ = kill(successor, Signal::SIGKILL);
            }
        }
        // Its instances outlive it, as they should; the test's must not.
        for instance in self.instances() {
            let record = fs::read(instance.join("run/run.json")).ok();
            let record: Option<Value> = record.and_then(|text| serde_json::from_slice(&text).ok());
            let init = record.and_then(|record| i32::try_from(record["init"]["pid"].as_i64()?).ok());
            if let Some(init) = init {
                let _ = kill(Pid::from_raw(init), Signal::SIGKILL);
            }
            // Its disk is the host's mount and would stay.
            for disk in ["disk", "disk.new"] {
                let _ = umount2(&instance.join(disk), MntFlags::MNT_DETACH);
            }
        }
    }
}
