//! One sandboxed program per test: a spec with every wall up, real Node.js inside, and its end.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use runtime::error::StartError;
use runtime::process::{Descriptors, Running, spawn};
use runtime::record::{ExitRecord, ProcessRef};
use runtime::spec::{Access, InstanceSpec, Isolation, Limits, LogSpec, Mount, Network, Owner, Program};
use runtime::units::{Bytes, Pids};

/// Host user of sandboxed programs when the tests run as root.
pub(crate) const USER: u32 = 5000;

/// A spec and the folder it lives in; whatever still runs is killed when this goes.
pub(crate) struct Cell {
    folder: tempfile::TempDir,
    pub(crate) spec: InstanceSpec,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) output: String,
    pub(crate) errors: String,
    pub(crate) exit: ExitRecord,
}

impl Cell {
    /// A cell that runs `program` (JavaScript, CommonJS) with all walls up and no network.
    pub(crate) fn new(program: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::Builder::new()
            .prefix("redhold-test-")
            .tempdir()
            .unwrap();
        let root = nix::unistd::geteuid().is_root();
        for name in ["run", "data", "code"] {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            let mode = if name == "code" { 0o755 } else { 0o700 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            if root && name == "data" {
                chown(&path, Some(USER), Some(USER)).unwrap();
            }
        }
        let code = folder.path().join("code/program.cjs");
        fs::write(&code, program).unwrap();
        fs::set_permissions(&code, fs::Permissions::from_mode(0o644)).unwrap();
        let node = node();
        let spec = InstanceSpec {
            id: format!("t-{}-{number}", std::process::id()).parse().unwrap(),
            run_dir: folder.path().join("run"),
            log: LogSpec {
                file: folder.path().join("log"),
                max_size: Bytes::mib(1),
                keep: 2,
            },
            program: Program {
                path: "/node/bin/node".into(),
                args: vec!["/code/program.cjs".into()],
                env: vec![
                    ("HOME".into(), "/data".into()),
                    ("PATH".into(), "/node/bin".into()),
                ],
                directory: "/data".into(),
            },
            input: None,
            mounts: vec![
                mount(node, "/node", Access::ReadOnly),
                mount(&folder.path().join("code"), "/code", Access::ReadOnly),
                mount(&folder.path().join("data"), "/data", Access::ReadWrite),
            ],
            holds: Vec::new(),
            links: Vec::new(),
            tmp_size: Bytes::mib(16),
            hostname: "cell".into(),
            isolation: Isolation::Namespaces,
            owner: if root {
                Owner::Own { uid: USER, gid: USER }
            } else {
                Owner::Caller
            },
            network: Network::Loopback,
            limits: Limits {
                pids: Some(Pids(128)),
                ..Limits::default()
            },
            watch: None,
            control_group: None,
            stop_grace_ms: 5000,
        };
        Self { folder, spec }
    }

    /// Runs `program` (Perl, for system calls that Node.js has no words for) with the host's `/usr` in view.
    pub(crate) fn perl(program: &str) -> Self {
        let mut cell = Self::new("");
        fs::write(cell.path().join("code/program.pl"), program).unwrap();
        cell.spec
            .mounts
            .push(mount(Path::new("/usr"), "/usr", Access::ReadOnly));
        for name in ["bin", "lib", "lib64"] {
            let path = PathBuf::from("/").join(name);
            if path.is_symlink() {
                cell.spec.links.push((path, format!("usr/{name}")));
            } else if path.is_dir() {
                cell.spec
                    .mounts
                    .push(mount(&path, path.to_str().unwrap(), Access::ReadOnly));
            }
        }
        cell.spec.program.path = "/usr/bin/perl".into();
        cell.spec.program.args = vec!["/code/program.pl".into()];
        cell
    }

    /// The lesser mode: no namespaces, so every path inside is the host's own.
    pub(crate) fn without_namespaces(&mut self) {
        self.spec.isolation = Isolation::Landlock;
        self.spec.network = Network::Host;
        for mount in &mut self.spec.mounts {
            mount.target = mount.source.clone();
        }
        self.spec.program.path = node().join("bin/node");
        self.spec.program.args = vec![
            self.path()
                .join("code/program.cjs")
                .to_string_lossy()
                .into_owned(),
        ];
        self.spec.program.directory = self.data();
    }

    /// Where the program's files are on the host.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where everything of this cell is on the host.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Result<Running, StartError> {
        spawn(test_support::redhold!(), &self.spec, Descriptors::default())
    }

    /// Starts it and waits for its end.
    pub(crate) fn run(&self) -> Outcome {
        let running = self.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
        self.end(&running)
    }

    /// Waits for the end of what was started.
    pub(crate) fn end(&self, running: &Running) -> Outcome {
        let exit = running.wait().unwrap_or_else(|error| panic!("{}", chain(&error)));
        let text = |marks: [&str; 2]| {
            let mut text = String::new();
            for line in self.log().lines() {
                let mut fields = line.splitn(3, ' ').skip(1);
                if marks.contains(&fields.next().unwrap_or_default()) {
                    text.push_str(fields.next().unwrap_or_default());
                    text.push('\n');
                }
            }
            text
        };
        Outcome {
            output: text(["o", "O"]),
            errors: text(["e", "E"]),
            exit,
        }
    }

    /// The newest log file as it is.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.spec.log.file).unwrap_or_default()
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        match runtime::process::adopt(&self.spec.run_dir) {
            Ok(runtime::process::Adopted::Alive(running)) => {
                let _ = running.kill();
                let _ = running.wait();
            }
            Ok(runtime::process::Adopted::Lost(lost)) => {
                let _ = lost.clean_up();
            }
            _ => {}
        }
    }
}

impl Outcome {
    /// The output of a program that ended well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.exit.code, Some(0), "{self:#?}");
        self.output
    }
}

pub(crate) fn mount(source: &Path, target: &str, access: Access) -> Mount {
    Mount {
        source: source.to_owned(),
        target: target.into(),
        access,
        optional: false,
    }
}

/// Whether the process is still there; a zombie is not.
pub(crate) fn process_is(wanted: &ProcessRef) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", wanted.pid)) else {
        return false;
    };
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = rest.split(' ').collect();
    fields[0] != "Z" && fields[19] == wanted.start_ticks.to_string()
}

/// Processes in the control groups of an instance, and keepers that hold something of its folder open.
pub(crate) fn ours(id: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().map(Result::unwrap) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let groups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        if groups.contains(&format!("/redhold/{id}\n")) {
            found.push(pid);
        }
    }
    found
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Runs the test as the user that it was started by, and when that is root a second time as an ordinary user: the
/// walls must stand without root too, by the same code.
pub(crate) fn everywhere<Body: Fn()>(body: Body) {
    body();
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let test = std::any::type_name::<Body>()
        .trim_start_matches("sandbox::")
        .trim_end_matches("::{{closure}}");
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(NODE, node())
        .env("HOME", "/tmp")
        .current_dir("/")
        .uid(USER)
        .gid(USER)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{test} without root:\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Tells the run without root where Node.js is: it may not take the lock of the store.
const NODE: &str = "REDHOLD_TEST_NODE";

/// The folder that holds `bin/node` of the real stack.
pub(crate) fn node() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        if let Some(given) = std::env::var_os(NODE) {
            return given.into();
        }
        let bucket = test_support::data::shared().join("node-v1");
        fs::read_dir(&bucket)
            .expect("the store has a bucket of Node.js")
            .map(|entry| entry.unwrap().path())
            .find(|path| path.join("bin/node").is_file())
            .expect("the store has a Node.js")
    })
}
