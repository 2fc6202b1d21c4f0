//! `redhold doctor` as a command: on this machine as it is, and on machines that lack something.

use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;
use test_support::data;
use test_support::program::said;
use test_support::skip::skipped;

/// An account without any rights.
const USER: u32 = 5000;

fn doctor(args: &[&str]) -> Command {
    let mut command = Command::new(data::binary());
    command
        .arg("doctor")
        .args(args)
        .env("HOME", "/tmp")
        .current_dir("/");
    command
}

/// Every feature has all that a program reads, and what is lacking says what that costs.
fn check(report: &Value) {
    let features = report["features"].as_array().expect("features");
    assert!(features.len() > 12, "{report}");
    for feature in features {
        for field in ["subject", "name", "state", "detail"] {
            assert!(feature[field].is_string(), "{field} of {feature}");
        }
        assert_eq!(
            feature["state"] == "offered",
            feature["costs"].is_null(),
            "what is lost: {feature}"
        );
    }
}

fn json(mut command: Command) -> (Option<i32>, Value) {
    let output = command.output().expect("redhold doctor");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    check(&report);
    (output.status.code(), report)
}

fn feature<'report>(report: &'report Value, name: &str) -> &'report Value {
    let features = report["features"].as_array().expect("features");
    let found = features.iter().find(|feature| feature["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn it_tells_what_this_machine_offers_to_root_and_to_others() {
    let root = nix::unistd::geteuid().is_root();
    for user in [false, true] {
        if user && !root {
            continue;
        }
        let start = |args: &[&str]| {
            let mut command = doctor(args);
            if user {
                command.uid(USER).gid(USER);
            }
            command
        };
        let (code, report) = json(start(&["--json"]));
        assert_eq!(code, Some(0), "{report}");
        assert_eq!(report["instances"]["possible"], true);
        assert_eq!(report["instances"]["isolation"], "namespaces");
        let translated = report["features"]
            .as_array()
            .is_some_and(|all| all.iter().any(|feature| feature["name"] == "translated-owners"));
        assert_eq!(translated, root && !user, "only root translates owners");

        let output = start(&[]).env("NO_COLOR", "1").output().expect("redhold doctor");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        for word in ["Walls:", "Limits:", "Instances run here in namespaces"] {
            assert!(text.contains(word), "no {word} in {text}");
        }
        assert!(!text.contains('\x1b'), "{text}");
    }
}

#[test]
fn a_machine_without_user_namespaces_has_the_lesser_mode() {
    // A user namespace of the test's own, in which no further one may be made.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(data::binary())
        .args(["doctor", "--json"])
        .env("HOME", "/tmp")
        .current_dir("/");
    let able = Command::new("unshare").args(["--user", "true"]).status();
    if !able.is_ok_and(|status| status.success()) {
        return skipped(
            "a_machine_without_user_namespaces_has_the_lesser_mode",
            "unshare(1) and a right to user namespaces",
        );
    }
    let (code, report) = json(command);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["instances"]["isolation"], "landlock");
    let lacking = feature(&report, "user-namespaces");
    assert_eq!(lacking["state"], "missing");
    assert_eq!(lacking["detail"], "switched off: user.max_user_namespaces is 0");
    let mend = lacking["mend"].as_str().expect("a command");
    assert!(mend.contains("user.max_user_namespaces = 15000"), "{mend}");
}

#[test]
fn a_machine_on_which_nothing_runs_is_told_so() {
    let (code, report) = json(doctor(&["--json", "--data-dir", "/proc/redhold"]));
    assert_eq!(code, Some(3), "{report}");
    assert_eq!(report["instances"]["possible"], false);
    assert_eq!(report["instances"]["obstacles"], serde_json::json!(["disk"]));
    let output = doctor(&["--data-dir", "/proc/redhold"])
        .output()
        .expect("redhold doctor");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(
        text.contains("error: instances cannot run on this machine: it lacks disk"),
        "{text}"
    );
}

#[test]
fn every_command_that_mends_is_one_that_a_shell_reads() {
    let (_, report) = json(doctor(&["--json"]));
    for feature in report["features"].as_array().expect("features") {
        let Some(mend) = feature["mend"].as_str() else {
            continue;
        };
        let read = Command::new("bash").args(["-n", "-c", mend]).output();
        let read = read.expect("bash");
        assert!(read.status.success(), "{mend}: {}", said(&read));
    }
}
