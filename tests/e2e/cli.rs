//! The command line itself: help, exit codes, and every way in which `redhold dev` can be refused.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use test_support::data;
use test_support::dev::Start;

fn redhold(args: &[&str]) -> Output {
    Command::new(data::binary())
        .args(args)
        // Help is wrapped at the width of the terminal.
        .env("COLUMNS", "100")
        .output()
        .expect("redhold")
}

fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("redhold-test-")
        .tempdir()
        .expect("a folder")
}

/// The output of `args` is what the fixture holds; `REDHOLD_TEST_UPDATE=1` writes it anew.
fn check_fixture(name: &str, args: &[&str]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(name);
    let output = redhold(args);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if std::env::var_os("REDHOLD_TEST_UPDATE").is_some() {
        fs::write(&file, &said).expect("the fixture");
    }
    let expected = fs::read_to_string(&file).expect("the fixture");
    assert_eq!(said, expected, "{args:?}; REDHOLD_TEST_UPDATE=1 accepts it");
}

/// `redhold dev` refuses with this exit code and all of these words.
fn check_refused(start: Start, code: i32, words: &[&str]) {
    let (got, said) = start.fails();
    assert_eq!(got, code, "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in:\n{said}");
    }
    let errors = said.lines().filter(|line| line.starts_with("error:")).count();
    assert_eq!(errors, 1, "one message, not {errors}:\n{said}");
    assert!(said.contains("hint:"), "nothing to do about it:\n{said}");
}

#[test]
fn help_says_what_there_is() {
    check_fixture("help.txt", &["--help"]);
    check_fixture("help-dev.txt", &["dev", "--help"]);
}

#[test]
fn wrong_use_ends_with_2() {
    for args in [
        &["no-such-command"][..],
        &["dev", "--port", "many"],
        &["dev", "--memory", "lots"],
        &["dev", "--log-level", "loud"],
        &[],
    ] {
        let output = redhold(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
    assert!(String::from_utf8_lossy(&redhold(&["--version"]).stdout).starts_with("redhold "));
}

#[test]
fn a_failure_is_a_document_for_a_program() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_string_lossy();
    let output = redhold(&["dev", &path, "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["error"]["code"], "usage");
    assert!(document["error"]["hint"].is_string(), "{document}");
}

#[test]
fn folders_that_cannot_be_projects() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    check_refused(Start::on(file.path()), 2, &["is a file, not a project folder"]);
    check_refused(Start::on(Path::new("/")), 2, &["it is the whole machine"]);
    let home = folder();
    check_refused(
        Start::on(home.path()).env("HOME", home.path()),
        2,
        &["your home directory"],
    );
    check_refused(Start::on(&data::shared().join("x")), 2, &["Redhold's own data"]);
    check_refused(
        Start::on(Path::new("/proc/nowhere")),
        1,
        &["cannot make /proc/nowhere"],
    );
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let broken = folder();
    fs::write(broken.path().join("flows.json"), "[\n{]").expect("a file");
    check_refused(
        Start::on(broken.path()),
        2,
        &[
            "flows.json is not valid JSON",
            "line 2 column 2",
            "nothing was changed",
        ],
    );
    let backup = broken.path().join(".flows.json.backup");
    fs::write(&backup, "[]").expect("a file");
    check_refused(
        Start::on(broken.path()),
        2,
        &["last good copy", ".flows.json.backup"],
    );
    assert_eq!(
        fs::read_to_string(broken.path().join("flows.json")).expect("a file"),
        "[\n{]"
    );

    let wrong = folder();
    fs::write(wrong.path().join("package.json"), "[]").expect("a file");
    check_refused(
        Start::on(wrong.path()),
        2,
        &["package.json is JSON, but not what Node-RED keeps"],
    );

    let two = folder();
    for name in ["flows_a.json", "flows_b.json", "flows_a_cred.json"] {
        fs::write(two.path().join(name), "[]").expect("a file");
    }
    check_refused(
        Start::on(two.path()),
        2,
        &["several flow files: flows_a.json, flows_b.json"],
    );

    let odd = folder();
    fs::write(odd.path().join("redhold.json"), "{\"settings\":{\"uiPort\":1}}").expect("a file");
    check_refused(Start::on(odd.path()), 2, &["redhold.json cannot set uiPort"]);
}

#[test]
fn options_that_make_no_sense() {
    let project = folder();
    let on = || Start::on(project.path());
    check_refused(
        on().args(&["--stack", "9"]),
        2,
        &["there is no stack `9`", "node-red-5"],
    );
    check_refused(on().args(&["--memory", "20M"]), 2, &["too small", "--memory"]);
    check_refused(
        on().args(&["--env-file", "/nowhere/env"]),
        1,
        &["cannot read the env file"],
    );
    let env = project.path().with_extension("env");
    fs::write(&env, "GOOD=1\nthe secret hunter2\n").expect("a file");
    let env_arg = env.to_string_lossy().into_owned();
    let (code, said) = on().args(&["--env-file", &env_arg]).fails();
    assert!(
        code == 2 && said.contains("line 2") && !said.contains("hunter2"),
        "{said}"
    );
    fs::write(&env, "NODE_OPTIONS=--inspect\n").expect("a file");
    check_refused(
        on().args(&["--env-file", &env_arg]),
        2,
        &["NODE_OPTIONS cannot be set"],
    );
    fs::remove_file(env).expect("a file");
    // None of them has begun anything.
    assert!(fs::read_dir(project.path()).expect("the folder").next().is_none());
}

#[test]
fn a_busy_port_names_who_has_it() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let project = folder();
    let me = format!("(process {})", std::process::id());
    check_refused(
        Start::on(project.path()).port(port),
        4,
        &["is in use by", &me, "--port"],
    );
}

#[test]
fn a_machine_without_a_home_names_the_way_out() {
    let project = folder();
    let output = Command::new(data::binary())
        .arg("dev")
        .arg(project.path())
        .env_remove("HOME")
        .env_remove("XDG_DATA_HOME")
        .env_remove("REDHOLD_DATA_DIR")
        .output()
        .expect("redhold");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--data-dir"), "{said}");
}

/// Runs `redhold dev` on `folder` in a mount namespace of its own, after `setup`.
fn in_own_mounts(setup: &str, folder: &Path) -> Option<(i32, String)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let script = format!("{setup} && exec \"$0\" dev \"$1\" --no-open --port 0 --data-dir \"$2\"",);
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(data::binary())
        .args([folder, data::shared()])
        .output()
        .expect("unshare");
    Some((
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

#[test]
fn a_full_disk_and_a_read_only_one() {
    let project = folder();
    let full = in_own_mounts("mount -t tmpfs -o size=4m none \"$1\"", project.path());
    let read_only = in_own_mounts("mount -t tmpfs -o ro none \"$1\"", project.path());
    let (Some((full, said_full)), Some((read_only, said_read_only))) = (full, read_only) else {
        // Without root a folder without the right to write shows the second.
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(project.path(), fs::Permissions::from_mode(0o555)).expect("its mode");
        return check_refused(Start::on(project.path()), 1, &["cannot write to"]);
    };
    assert!(
        full == 3 && said_full.contains("is full") && said_full.contains("hint:"),
        "{said_full}"
    );
    assert!(
        read_only == 3 && said_read_only.contains("cannot write to") && said_read_only.contains("read-only"),
        "{said_read_only}"
    );
}

#[test]
fn a_source_tree_is_not_filled_with_flows() {
    let home = folder();
    let clone = home.path().join("clone");
    fs::create_dir_all(clone.join("src")).expect("a folder");
    fs::write(clone.join("README.md"), "").expect("a file");
    let mut dev = Command::new(data::binary())
        .args(["dev", "--no-open", "--port", "0", "--json", "--data-dir"])
        .arg(data::shared())
        .env("HOME", home.path())
        .current_dir(&clone)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("redhold");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(dev.stdout.take().expect("its output")));
    let ready = lines
        .map_while(Result::ok)
        .find(|line| line.contains("\"ready\""))
        .expect("it is ready");
    let pid = i32::try_from(dev.id()).expect("a pid");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT)
        .expect("Ctrl-C");
    dev.wait().expect("its end");
    let ready: Value = serde_json::from_str(&ready).expect("JSON");
    let chosen = home
        .path()
        .join("redhold-project")
        .canonicalize()
        .expect("the project");
    assert_eq!(ready["folder"], chosen.to_string_lossy().as_ref());
    assert_eq!(fs::read_dir(&clone).expect("the clone").count(), 2);
}
