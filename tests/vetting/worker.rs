//! Workers that are none: each is an error in time, and no process stays behind.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use node_vetting::analysis::{Doing, Findings, Means};
use node_vetting::exercise::{Observations, Profile};
use node_vetting::policy::{Policy, Scene, decide};
use node_vetting::report::{Tools, Verdict};
use node_vetting::resolve::Resolved;
use node_vetting::vet;
use node_vetting::worker::{Client, WireError, WorkerError};

use crate::support::closure;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn error(worker: Command, patience: Duration) -> WorkerError {
    // Larger than any pipe, so that a worker that does not read would block its parent.
    let large = "x".repeat(1 << 20);
    let closure = closure(&[("t", &[("index.js", large.as_str())])]);
    Client { patience }
        .exercise(worker, &closure, &Profile::default())
        .expect_err("it is no worker")
}

const LONG: Duration = Duration::from_secs(100);

#[test]
fn one_that_hangs_is_ended() {
    for script in [
        "exec sleep 1000",
        "cat > /dev/null; exec sleep 1000",
        "exec 3>&1; exec cat /dev/zero >&2",
    ] {
        let start = Instant::now();
        let error = error(shell(script), Duration::from_millis(400));
        assert!(matches!(error, WorkerError::Hung(_)), "{script}: {error}");
        assert!(start.elapsed() < Duration::from_secs(50), "{script}");
    }
}

#[test]
fn one_that_dies_is_told_with_its_last_words() {
    let error = error(shell("echo no luck >&2; kill -SEGV $$"), LONG);
    let WorkerError::Died { said, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(said, "no luck\n");
    assert!(
        error.to_string().contains("SIGSEGV") && error.to_string().ends_with("no luck"),
        "{error}"
    );
}

#[test]
fn a_package_that_brings_its_reader_down_is_refused() {
    let closure = closure(&[("t", &[("index.js", "1")])]);
    let resolved = Resolved {
        closure,
        listings: BTreeMap::new(),
    };
    let report = |script: &str| {
        let died = Client { patience: LONG }
            .read(
                || Ok(shell(script)),
                &resolved.closure,
                &resolved.listings,
                Means::default(),
            )
            .expect_err("it is no worker");
        let broke = vet::broke(&resolved.closure, Doing::Reading, died)?;
        let findings = Findings {
            findings: vec![broke],
            ..Findings::default()
        };
        Ok(vet::report(
            &resolved,
            &findings,
            &Observations::default(),
            Tools::default(),
        ))
    };
    let refused: Result<_, WorkerError> = report("cat > /dev/null; kill -SEGV $$");
    let refused = refused.expect("a report");
    let scene = Scene {
        now: 0,
        policies: &[("host", &Policy::default())],
        waivers: &[],
    };
    assert_eq!(decide(&refused, &scene).verdict, Verdict::Refused);
    let reason = refused.reasons.first().expect("a reason");
    assert_eq!(reason.rule, "resource.flood");
    assert!(
        reason.says.contains("cannot be read to the end"),
        "{}",
        reason.says
    );
    // Somebody else's doing gives no verdict.
    assert!(report("cat > /dev/null; kill -KILL $$").is_err());
    assert!(report("echo no room >&2; exit 1").is_err());
}

#[test]
fn nonsense_and_floods_are_refused() {
    for script in [
        "printf 'hello, this is no answer'",
        "exec yes",
        "printf '\\004\\000\\000\\000null'",
    ] {
        let error = error(shell(script), LONG);
        assert!(
            matches!(
                error,
                WorkerError::Died {
                    source: WireError::TooLong { .. } | WireError::Malformed { .. },
                    ..
                }
            ),
            "{script}: {error}"
        );
    }
}

#[test]
fn one_that_says_much_does_not_block() {
    let error = error(shell("head -c 9000000 /dev/zero >&2; exit 3"), LONG);
    assert!(matches!(error, WorkerError::Died { .. }), "{error}");
}

#[test]
fn one_that_is_not_there_is_told() {
    let error = error(Command::new("/nowhere/redhold"), LONG);
    assert!(matches!(error, WorkerError::Start(_)), "{error}");
}
