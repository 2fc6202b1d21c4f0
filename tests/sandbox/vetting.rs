//! The vetting worker's walls: what is left to it, as root and without, and that it does its work behind them.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use test_support::data::binary;

use crate::support::USER;

/// Runs something with the binary as the caller and, when that is root, as an ordinary user.
fn as_everybody(check: impl Fn(Command)) {
    check(Command::new(binary()));
    if nix::unistd::geteuid().is_root() {
        let mut ordinary = Command::new(binary());
        ordinary.uid(USER).gid(USER);
        check(ordinary);
    }
}

#[test]
fn nothing_but_memory_and_threads_is_left() {
    as_everybody(|mut command| {
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
