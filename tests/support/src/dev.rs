//! A running `redhold dev`, as a person at a terminal has it.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::free_port;
use crate::data;
use crate::eventually::eventually;

/// How long a start may take, a fetch of modules included.
pub const START: Duration = Duration::from_secs(90);

/// What to start.
#[derive(Debug)]
pub struct Start {
    folder: PathBuf,
    data: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    port: u16,
    uid: Option<u32>,
}

/// A started one. Dropping it ends it, and what it left behind, by process number.
#[derive(Debug)]
pub struct Dev {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    data: PathBuf,
    port: u16,
}

impl Start {
    /// On a project folder, with the tests' shared data directory and a free port.
    #[must_use]
    pub fn on(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            data: data::shared().to_path_buf(),
            args: Vec::new(),
            env: Vec::new(),
            port: free_port(),
            uid: None,
        }
    }

    /// With a data directory of its own.
    #[must_use]
    pub fn data(mut self, dir: &Path) -> Self {
        dir.clone_into(&mut self.data);
        self
    }

    /// With further arguments.
    #[must_use]
    pub fn args(mut self, args: &[impl AsRef<OsStr>]) -> Self {
        self.args.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// As another user, of this uid and gid; only root can.
    #[must_use]
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// On this port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// With a variable in the environment of `redhold` itself.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// The command line, ready to run.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(data::binary());
        command
            .arg("dev")
            .arg(&self.folder)
            .arg("--data-dir")
            .arg(&self.data)
            .args(["--no-open", "--port", &self.port.to_string()])
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// Starts it, in a process group of its own, and gives it back at once.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(self) -> Dev {
        let mut command = self.command();
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().expect("redhold dev");
        let said = Arc::new(Mutex::new(Vec::new()));
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("its output"));
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("its messages"));
        let readers = [out, err].map(|stream| listen(stream, said.clone()));
        Dev {
            child,
            said,
            readers: readers.into(),
            data: self.data,
            port: self.port,
        }
    }

    /// Starts it and waits until it says that its flows run.
    ///
    /// # Panics
    /// With everything it said, when it does not.
    #[must_use]
    pub fn ready(self) -> Dev {
        let mut dev = self.spawn();
        dev.wait_ready();
        dev
    }

    /// Runs it to its end, for starts that are to fail: exit code and everything it said.
    ///
    /// # Panics
    /// When it does not end by itself.
    #[must_use]
    pub fn fails(self) -> (i32, String) {
        let mut dev = self.spawn();
        let status = dev.wait(START);
        (status.code().unwrap_or(-1), dev.said())
    }
}

impl Dev {
    /// Waits for the line with the address.
    ///
    /// # Panics
    /// With everything it said, when it ends or says nothing of the kind.
    pub fn wait_ready(&mut self) {
        let address = self.url("");
        eventually("redhold dev is ready", START, || {
            let said = self.said();
            if said.contains(&address) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("redhold dev ended with {status}:\n{}", self.said());
            }
            Err(said)
        });
    }

    /// A URL on it; `path` without its first slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}/{path}", self.port)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// Everything it said so far, on both streams.
    #[must_use]
    pub fn said(&self) -> String {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n")
    }

    /// Waits until it has said `text`.
    ///
    /// # Panics
    /// With everything it said, when it does not.
    pub fn wait_said(&self, text: &str, patience: Duration) {
        eventually(&format!("redhold dev says {text:?}"), patience, || {
            let said = self.said();
            if said.contains(text) { Ok(()) } else { Err(said) }
        });
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// With everything it said, when it does not end in time.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let said = self.said.clone();
        let child = &mut self.child;
        let status = eventually("redhold dev ends", patience, || {
            match child.try_wait().expect("its status") {
                Some(status) => Ok(status),
                None => Err(said.lock().unwrap_or_else(PoisonError::into_inner).join("\n")),
            }
        });
        // The readers end with the last holder of the streams, so nothing it said is missed.
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        status
    }

    /// Ctrl-C and the end of it.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGINT);
        let status = self.wait(Duration::from_secs(30));
        (status, self.said())
    }

    /// The instances that its data directory has records of: the keeper's and init's process numbers.
    #[must_use]
    pub fn left_behind(&self) -> Vec<(i32, i32)> {
        run_records(&self.data)
            .into_iter()
            .filter_map(|(_, record)| {
                let pid = |name: &str| i32::try_from(record[name]["pid"].as_i64()?).ok();
                Some((pid("keeper")?, pid("init")?))
            })
            .collect()
    }
}

impl Dev {
    /// The run directory of its instance, as soon as there is one.
    #[must_use]
    pub fn run_dir(&self) -> Option<PathBuf> {
        let projects = std::fs::read_dir(self.data.join("dev-v1")).ok()?;
        projects.flatten().find_map(|project| {
            let announced = read(&project.path().join("dev.json"))?;
            let ours = announced["pid"].as_i64() == Some(self.pid().into());
            ours.then(|| project.path().join("run"))
        })
    }

    /// The process number of its instance's keeper, as soon as there is one.
    #[must_use]
    pub fn keeper(&self) -> Option<i32> {
        let record = read(&self.run_dir()?.join("run.json"))?;
        i32::try_from(record["keeper"]["pid"].as_i64()?).ok()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::SIGTERM);
            let child = &mut self.child;
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                eventually("redhold dev ends", Duration::from_secs(20), || {
                    match child.try_wait() {
                        Ok(None) => Err("it runs"),
                        _ => Ok(()),
                    }
                });
            }));
            if ended.is_err() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
    }
}

/// Every run record of `redhold dev` in a data directory.
#[must_use]
pub fn run_records(data: &Path) -> Vec<(PathBuf, serde_json::Value)> {
    let Ok(projects) = std::fs::read_dir(data.join("dev-v1")) else {
        return Vec::new();
    };
    projects
        .flatten()
        .filter_map(|project| {
            let path = project.path().join("run/run.json");
            let record = read(&path)?;
            Some((path, record))
        })
        .collect()
}

fn read(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn listen(stream: Box<dyn Read + Send>, said: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    })
}
