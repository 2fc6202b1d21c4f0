//! Stacks, driven from outside against a registry of our own. And once for real.

mod network;
mod refused;
mod upkeep;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use test_support::package::{self, Package, Packed};
use test_support::redhold;
use test_support::registry::Registry;

/// A registry, packages, and a place to fetch them to.
struct World {
    registry: Registry,
    dir: TempDir,
    node: Packed,
    packages: Vec<Packed>,
}

impl World {
    /// A registry with a small stack: Node-RED, a helper with files of several kinds, something larger.
    fn new() -> Self {
        Self::with(Registry::start())
    }

    fn with(registry: Registry) -> Self {
        let red = Package::new("node-red", "5.0.0").file("red.js", b"// red");
        let helper = Package::new("@team/helper", "1.2.3").file("deep/er/x.js", b"x");
        let world = Self {
            registry,
            dir: tempfile::tempdir().unwrap(),
            node: Package::node("x64", "24.0.0").pack(),
            packages: vec![
                red.noise("lib/a.js", 5000).pack(),
                helper.file("empty", b"").pack(),
                Package::new("large", "2.0.0").noise("blob", 200_000).pack(),
            ],
        };
        for package in world.packages.iter().chain([&world.node]) {
            world.registry.publish(package);
        }
        fs::create_dir(world.home()).unwrap();
        world.npmrc(&format!("registry={}\n", world.registry.url()));
        world.write_lock();
        world
    }

    fn large(&self) -> &Packed {
        &self.packages[2]
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn lock(&self) -> PathBuf {
        self.dir.path().join("lock.json")
    }

    fn npmrc(&self, text: &str) {
        fs::write(self.home().join(".npmrc"), text).unwrap();
    }

    fn write_lock(&self) {
        fs::write(self.lock(), package::lock("tiny", &self.node, &self.packages)).unwrap();
    }

    /// Another package of the stack.
    fn add(&mut self, package: Packed) {
        self.packages.push(package);
        self.write_lock();
    }

    /// The command in an environment of its own: nothing of the machine's configuration, no Node.js on PATH.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(redhold!());
        command
            .args(args)
            .arg("--data-dir")
            .arg(self.data())
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn fetch_command(&self) -> Command {
        self.command(&["stack", "fetch", "--lock", self.lock().to_str().unwrap()])
    }

    fn fetch(&self) -> Output {
        self.fetch_command().output().unwrap()
    }

    fn spawn_fetch(&self) -> Child {
        self.fetch_command().spawn().unwrap()
    }

    /// Fetches, which must succeed.
    fn fetched(&self) -> Output {
        let output = self.fetch();
        assert!(output.status.success(), "{}", text(&output));
        output
    }

    /// Every file below the data directory.
    fn files(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.data()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if entry.file_type().unwrap().is_dir() {
                    open.push(path);
                } else {
                    found.insert(path.strip_prefix(self.data()).unwrap().display().to_string());
                }
            }
        }
        found
    }

    /// Every file but those of Node.js: its executable is a thing of its own, whole and verified, whatever becomes
    /// of the stack that it was fetched for.
    fn remains(&self) -> Vec<String> {
        let files = self.files().into_iter();
        files.filter(|path| !path.starts_with("node-v1/")).collect()
    }

    fn stack_dir(&self) -> PathBuf {
        only(&self.data().join("stacks-v1"))
    }

    fn node_file(&self) -> PathBuf {
        only(&self.data().join("node-v1")).join("bin/node")
    }

    /// The stack is whole, and nothing lies around.
    fn assert_whole(&self) {
        let said = self.run(&["stack", "verify", "tiny"]);
        assert!(said.status.success(), "{}", text(&said));
        for bucket in ["tmp-v1", "blobs-v1"] {
            let left: Vec<_> = fs::read_dir(self.data().join(bucket)).unwrap().collect();
            assert!(left.is_empty(), "{left:?}");
        }
        let modules = self.stack_dir().join("node_modules");
        assert_eq!(fs::read(modules.join("node-red/red.js")).unwrap(), b"// red");
        assert_eq!(fs::read(modules.join("@team/helper/deep/er/x.js")).unwrap(), b"x");
        let version = Command::new(self.node_file()).output().unwrap();
        assert_eq!(text(&version).trim(), "v24.0.0");
    }
}

fn only(dir: &Path) -> PathBuf {
    let entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

/// What a command said on both streams.
fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn assert_said(output: &Output, parts: &[&str]) {
    let said = text(output);
    for part in parts {
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
}

#[test]
fn a_stack_is_fetched_once_and_opened_without_a_network() {
    let world = World::new();
    let first = world.fetched();
    assert_said(
        &first,
        &[
            "fetching tiny: 4 packages",
            "fetched tiny",
            "tiny is ready: Node-RED 5.0.0",
        ],
    );
    assert_eq!(world.registry.requests().len(), 4);
    world.assert_whole();
    let headers = world.files().into_iter().any(|path| path.contains("node.h"));
    assert!(!headers, "only the executable of Node.js is unpacked");

    world.registry.forget();
    world.npmrc("registry=http://127.0.0.1:9/\n");
    let second = world.fetched();
    assert!(world.registry.requests().is_empty());
    assert!(!text(&second).contains("fetch"), "{}", text(&second));

    let listed = world.run(&["stack", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let field = |stack: &Value, name: &str| stack[name].as_str().unwrap().to_owned();
    let states = listed.as_array().unwrap().iter();
    let states: Vec<_> = states
        .map(|stack| (field(stack, "name"), field(stack, "state")))
        .collect();
    let expected = [
        ("node-red-5", "absent"),
        ("node-red-4.1", "absent"),
        ("tiny", "ready"),
    ];
    assert_eq!(
        states,
        expected.map(|(name, state)| (name.to_owned(), state.to_owned()))
    );
}

#[test]
fn unknown_stacks_are_answered_with_the_known_ones() {
    let world = World::new();
    let said = world.run(&["stack", "fetch", "3.1"]);
    assert_eq!(said.status.code(), Some(2));
    assert_said(&said, &["there is no stack `3.1`", "node-red-5, node-red-4.1"]);
    let said = world.run(&["stack", "verify", "5"]);
    assert_said(
        &said,
        &["stack node-red-5 is not here", "redhold stack fetch node-red-5"],
    );
}

/// The real thing: the default stack from the registry that this machine is configured for, in an empty store.
#[test]
fn the_default_stack_is_real() {
    let data = tempfile::tempdir().unwrap();
    let redhold = |args: &[&str]| {
        let mut command = Command::new(redhold!());
        command.args(args).arg("--data-dir").arg(data.path());
        command.env("PATH", "/nonexistent").output().unwrap()
    };
    let said = redhold(&["stack", "fetch", "--json"]);
    assert!(said.status.success(), "{}", text(&said));
    let fetched: Value = serde_json::from_slice(&said.stdout).unwrap();
    let field = |name: &str| fetched[0][name].as_str().unwrap().to_owned();
    let run = |script: &str, option: &str| {
        let mut command = Command::new(field("executable"));
        command
            .arg(Path::new(&field("path")).join("node_modules").join(script))
            .arg(option);
        command.env_clear().env("HOME", data.path()).output().unwrap()
    };
    let red = run("node-red/red.js", "--help");
    assert_said(&red, &[&format!("Node-RED v{}", field("node_red"))]);
    let npm = run("npm/bin/npm-cli.js", "--version");
    assert_eq!(text(&npm).trim(), field("npm"));
    let said = redhold(&["stack", "verify"]);
    assert!(said.status.success(), "{}", text(&said));

    // One for another machine, to be carried there: offered as well, and no prey of a plain prune.
    let other = if cfg!(target_arch = "x86_64") {
        "arm64"
    } else {
        "x64"
    };
    let said = redhold(&["stack", "fetch", "--arch", other]);
    assert!(said.status.success(), "{}", text(&said));
    let said = redhold(&["stack", "list"]);
    let listed = text(&said);
    let line = listed
        .lines()
        .find(|line| line.contains(&format!("node-red-5 ({other})")));
    assert!(line.is_some_and(|line| line.ends_with("ready")), "{listed}");
    assert_said(&redhold(&["stack", "prune"]), &["nothing to remove"]);
    assert_said(&redhold(&["stack", "verify"]), &["is as it was unpacked"]);
}
