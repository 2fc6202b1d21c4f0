//! The system call policy: each rule against the kernel, and no rule that says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use runtime::sandbox::seccomp::denied;

use crate::support::{Cell, everywhere};

/// Prints what each call answers as `number errno`, one line per call: `(number, arguments)`.
fn script(calls: &[(u32, [i64; 3])]) -> String {
    let mut text = String::from("$| = 1; my ($r, $e);\n");
    for (number, [a, b, c]) in calls {
        // Unsigned in Perl, or a large number would become a float. The remaining arguments point nowhere.
        let (a, b, c) = (a.cast_unsigned(), b.cast_unsigned(), c.cast_unsigned());
        writeln!(
            text,
            "$! = 0; $r = syscall({number}, {a}, {b}, {c}, -1, -1, -1); $e = $! + 0; print \"{number} \", ($r == -1 ? $e : 0), \"\\n\";"
        )
        .unwrap();
    }
    text
}

fn answers(output: &str) -> Vec<(u32, i32)> {
    output
        .lines()
        .map(|line| {
            let (number, errno) = line.split_once(' ').expect("number and errno");
            (number.parse().unwrap(), errno.parse().unwrap())
        })
        .collect()
}

#[test]
fn every_rule_without_conditions_answers_as_written() {
    everywhere(|| {
        let rules: Vec<_> = denied().iter().filter(|rule| rule.always).collect();
        let calls: Vec<_> = rules.iter().map(|rule| (rule.number, [-1, -1, -1])).collect();
        let output = Cell::perl(&script(&calls)).run().ok();
        let answers = answers(&output);
        assert_eq!(answers.len(), rules.len());
        for (rule, (number, errno)) in rules.iter().zip(answers) {
            assert_eq!((rule.number, rule.errno), (number, errno), "{}", rule.syscall);
        }
    });
}

#[test]
fn the_filter_and_not_the_kernel_gives_these_answers() {
    // The same calls by the same user without a filter, but for those that would end or stop the caller's session.
    // Where the kernel itself answers EPERM to everybody without privileges, the rule is the second wall behind that.
    let calls: Vec<_> = denied()
        .iter()
        .filter(|rule| rule.always && rule.syscall != "vhangup")
        .map(|rule| (rule.number, [-1, -1, -1]))
        .collect();
    let mut perl = Command::new("perl");
    if nix::unistd::geteuid().is_root() {
        use std::os::unix::process::CommandExt;
        perl.uid(crate::support::USER).gid(crate::support::USER);
    }
    let output = perl.args(["-e", &script(&calls)]).output().unwrap();
    let open: BTreeMap<u32, i32> = answers(&String::from_utf8(output.stdout).unwrap())
        .into_iter()
        .collect();
    let differs = denied()
        .iter()
        .filter(|rule| open.get(&rule.number).is_some_and(|errno| *errno != rule.errno))
        .map(|rule| rule.syscall)
        .collect::<BTreeSet<_>>();
    for syscall in [
        "clone3",
        "io_uring_setup",
        "unshare",
        "setns",
        "ptrace",
        "keyctl",
        "add_key",
        "process_vm_readv",
        "name_to_handle_at",
        "mbind",
    ] {
        assert!(
            differs.contains(syscall),
            "{syscall} is denied to everybody anyway: {differs:?}"
        );
    }
}

/// Rules behind which even somebody with all capabilities over namespaces of his own is refused, on this kernel or on
/// one of other settings: there the rule is the second wall.
const REFUSED_ANYWAY: [&str; 13] = [
    "acct",
    "bpf",
    "fanotify_init",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "perf_event_open",
    "reboot",
    "swapoff",
    "swapon",
    "syslog",
    "userfaultfd",
    "vhangup",
];

/// A call for every rule, and for every alternative of its conditions: the prober's form, and what must come of it.
fn every_case() -> Vec<(String, &'static str)> {
    let text = include_str!("../../runtime/policies/node.json");
    let policy: serde_json::Value = serde_json::from_str(text).unwrap();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let mut cases = Vec::new();
    for rule in list(&policy["rules"]) {
        if rule["only_on"]
            .as_str()
            .is_some_and(|only| only != std::env::consts::ARCH)
        {
            continue;
        }
        let answer = if rule["answer"] == "ENOSYS" {
            "ENOSYS"
        } else {
            "EPERM"
        };
        for syscall in list(&rule["calls"]) {
            let name = syscall.as_str().unwrap();
            if rule.get("when").is_none() {
                cases.push((name.to_owned(), answer));
            }
            for case in list(&rule["when"]) {
                cases.push((format!("{name}={}", arguments(&list(&case))), answer));
            }
        }
    }
    cases
}

/// Arguments that meet all conditions; the others are the prober's own.
fn arguments(conditions: &[serde_json::Value]) -> String {
    let mut chosen = [const { String::new() }; 6];
    for position in 0..6_u64 {
        let here = || {
            conditions
                .iter()
                .filter(move |condition| condition["argument"] == position)
        };
        let excluded = |value: u64| here().any(|condition| condition["is_not"] == value);
        if let Some(value) = here().find_map(|condition| condition["is"].as_u64()) {
            chosen[usize::try_from(position).unwrap()] = value.to_string();
        } else if here().count() > 0 {
            let value = (3..).find(|value| !excluded(*value)).unwrap();
            chosen[usize::try_from(position).unwrap()] = value.to_string();
        }
    }
    chosen.join(",").trim_end_matches(',').to_owned()
}

#[test]
fn every_case_of_every_rule_answers_before_the_kernel() {
    everywhere(|| {
        let cases = every_case();
        let calls: Vec<&str> = cases.iter().map(|(call, _)| call.as_str()).collect();
        let inside = crate::attempts::answers(&crate::attempts::probing(&calls).run().ok());
        // The same calls without a filter, by an ordinary user who has all capabilities over namespaces of his own:
        // what this policy keeps from a program that has won them.
        let mut capable = Command::new(crate::attempts::prober());
        if nix::unistd::geteuid().is_root() {
            use std::os::unix::process::CommandExt;
            capable.uid(crate::support::USER).gid(crate::support::USER);
        }
        let output = capable.arg("-c").args(&calls).current_dir("/").output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let open = crate::attempts::answers(&String::from_utf8(output.stdout).unwrap());
        let mut wrong = Vec::new();
        for (call, answer) in &cases {
            let (here, there) = (&inside[call], &open[call]);
            let name = call.split('=').next().unwrap();
            // "unknown": the rule has no probe.
            if here != answer || there == "unknown" || (there == answer && !REFUSED_ANYWAY.contains(&name)) {
                wrong.push(format!("{call}: {here} inside, {there} outside"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn no_rule_is_written_twice_or_for_nothing() {
    let always: Vec<&str> = denied()
        .iter()
        .filter(|rule| rule.always)
        .map(|rule| rule.syscall)
        .collect();
    let distinct: BTreeSet<&&str> = always.iter().collect();
    assert_eq!(always.len(), distinct.len(), "a call is denied twice");
    for rule in denied().iter().filter(|rule| !rule.always) {
        assert!(
            !always.contains(&rule.syscall),
            "the conditions on {} say nothing: it is always denied",
            rule.syscall
        );
    }
    let text = include_str!("../../runtime/policies/node.json");
    let policy: serde_json::Value = serde_json::from_str(text).unwrap();
    for rule in policy["rules"].as_array().unwrap() {
        let reason = rule["reason"].as_str().unwrap_or_default();
        assert!(reason.len() > 20, "{rule} gives no reason");
    }
}

#[test]
fn conditions_deny_what_they_name_and_no_more() {
    everywhere(|| {
        let number = |name: &str| {
            let rule = denied().iter().find(|rule| rule.syscall == name);
            rule.unwrap_or_else(|| panic!("no rule on {name}")).number
        };
        let (socket, ioctl, clone) = (number("socket"), number("ioctl"), number("clone"));
        const EPERM: i32 = 1;
        const ENOTTY: i32 = 25;
        const EINVAL: i32 = 22;
        const EPROTONOSUPPORT: i32 = 93;
        let mut expected = Vec::new();
        for family in 0..46 {
            let errno = match family {
                1 | 2 | 10 | 16 => 0,
                _ => EPERM,
            };
            // SOCK_DGRAM; netlink takes it too.
            expected.push((socket, [family, 2, 0], errno));
        }
        // Protocols of netlink: audit, packet filter, crypto, generic. Raw sockets need a capability.
        for protocol in [9, 12, 21, 16] {
            expected.push((socket, [16, 2, protocol], EPERM));
        }
        expected.push((socket, [2, 3, 1], EPERM));
        // Protocols and types that would load modules: SCTP, DCCP, MPTCP, UDP-Lite, L2TP, and the old packet sockets.
        for family in [2, 10] {
            for (kind, protocol) in [(1, 132), (6, 33), (1, 262), (2, 136), (2, 115), (5, 0), (6, 0)] {
                expected.push((socket, [family, kind, protocol], EPERM));
            }
        }
        expected.push((socket, [2, 10, 0], EPERM));
        // TCP as UDP: let through, refused by the kernel.
        expected.push((socket, [2, 2, 6], EPROTONOSUPPORT));
        // The upper half of the register is not part of the family.
        expected.push((socket, [(1 << 32) | 17, 2, 0], EPERM));
        for request in [
            0x5412,
            0x541c,
            0x401c_5820,
            0x4008_6602,
            0x4004_6602,
            (1 << 32) | 0x5412,
        ] {
            expected.push((ioctl, [0, request, 0], EPERM));
        }
        // TCGETS on /dev/null.
        expected.push((ioctl, [0, 0x5401, 0], ENOTTY));
        for flag in [
            0x80,
            0x2_0000,
            0x200_0000,
            0x400_0000,
            0x800_0000,
            0x1000_0000,
            0x2000_0000,
            0x4000_0000,
        ] {
            expected.push((clone, [flag, 0, 0], EPERM));
        }
        // CLONE_THREAD without CLONE_SIGHAND: the kernel's own refusal.
        expected.push((clone, [0x1_0000, 0, 0], EINVAL));
        let calls: Vec<_> = expected
            .iter()
            .map(|(number, arguments, _)| (*number, *arguments))
            .collect();
        let output = Cell::perl(&script(&calls)).run().ok();
        for ((number, arguments, errno), answer) in expected.iter().zip(answers(&output)) {
            assert_eq!((*number, *errno), answer, "{number} {arguments:x?}");
        }
    });
}

#[test]
fn calls_of_a_newer_kernel_do_not_exist() {
    const ENOSYS: i32 = 38;
    let calls: Vec<_> = (463..480).map(|number| (number, [-1, -1, -1])).collect();
    for (number, errno) in answers(&Cell::perl(&script(&calls)).run().ok()) {
        assert_eq!(errno, ENOSYS, "{number}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn other_system_call_interfaces_end_the_process() {
    const SIGSYS: i32 = 31;
    // getpid by its x32 number.
    let outcome = Cell::perl("syscall(0x40000000 + 39); print 'alive';").run();
    assert_eq!(
        (outcome.exit.signal, outcome.output.as_str()),
        (Some(SIGSYS), ""),
        "{outcome:?}"
    );
}
