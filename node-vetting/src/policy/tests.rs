//! Policies as people write them, and verdicts by them.

use npm::{Integrity, Version};

use super::*;
use crate::capability::{Capability, Kind};
use crate::report::{Facts, Reason, Report, Tools, Tried, Use};

const DAY: i64 = 86_400;
const NOW: i64 = 20_000 * DAY;

fn integrity() -> Integrity {
    Integrity::from_shasum(&"0".repeat(40)).expect("it is one")
}

fn report(reasons: Vec<Reason>, uses: &[(Kind, &str)]) -> Report {
    Report {
        format: 1,
        facts: Facts {
            package: "a-node".parse().expect("it is a name"),
            version: Version::parse("1.0.0").expect("it is a version"),
            integrity: integrity(),
            closure: String::new(),
            packages: Vec::new(),
            gaps: Vec::new(),
            unpacked: 0,
            published: Some(NOW - 100 * DAY),
            description: String::new(),
            licence: String::new(),
            node_types: Vec::new(),
            uses: uses
                .iter()
                .map(|(kind, scope)| Use {
                    capability: Capability::new(*kind, *scope),
                    package: "dep@2.0.0".to_owned(),
                    site: None,
                    said: false,
                    seen: true,
                })
                .collect(),
            runs: Vec::new(),
            tried: Tried::default(),
            coverage: None,
            tools: Tools::default(),
        },
        reasons,
    }
}

fn policy(text: &str) -> Policy {
    Policy::parse("policy.toml", &format!("version = 1\n{text}")).expect("it is a policy")
}

fn waiver(rule: &str, pinned: bool) -> Waiver {
    Waiver {
        package: "a-node".parse().expect("it is a name"),
        version: Version::parse("1.0.0").expect("it is a version"),
        integrity: pinned.then(integrity),
        rules: vec![rule.to_owned()],
        who: "ann".to_owned(),
        why: "looked at it".to_owned(),
        until: Day::of(NOW),
    }
}

fn verdict(report: &Report, policies: &[(&str, &Policy)], waivers: &[(&str, &Waiver)]) -> Verdict {
    let scene = Scene {
        now: NOW,
        policies,
        waivers,
    };
    decide(report, &scene).verdict
}

#[test]
fn without_reasons_and_with_granted_uses_it_is_trusted() {
    let host = Policy::default();
    let quiet = report(
        vec![],
        &[(Kind::NetConnect, "configured"), (Kind::EnvRead, "NODE_ENV")],
    );
    assert_eq!(verdict(&quiet, &[("host", &host)], &[]), Verdict::Trusted);
    let loud = report(vec![], &[(Kind::ProcSpawn, "ping")]);
    assert_eq!(verdict(&loud, &[("host", &host)], &[]), Verdict::Review);
    let strict = policy("default = \"refused\"");
    assert_eq!(verdict(&loud, &[("host", &strict)], &[]), Verdict::Refused);
}

#[test]
fn a_grant_counts_for_its_packages_until_its_day() {
    let spawns = report(vec![], &[(Kind::ProcSpawn, "ping")]);
    let grant = |to: &str, day: i64| {
        policy(&format!(
            "[[grants]]\nto = [\"{to}\"]\nallow = [\"proc.spawn{{ping}}\"]\nreason = \"x\"\nexpires = {}",
            Day::of(NOW + day * DAY)
        ))
    };
    for (to, day, expected) in [
        ("a-node", 0, Verdict::Trusted),
        ("dep", 0, Verdict::Trusted),
        ("a-node", -1, Verdict::Review),
        ("b-node", 0, Verdict::Review),
    ] {
        assert_eq!(
            verdict(&spawns, &[("host", &grant(to, day))], &[]),
            expected,
            "{to} {day}"
        );
    }
    let plain = Policy::default();
    let team = grant("a-node", 0);
    let both = [("host", &plain), ("team", &team)];
    assert_eq!(verdict(&spawns, &both, &[]), Verdict::Trusted);
    let alone = policy("delegate = false");
    assert_eq!(
        verdict(&spawns, &[("host", &alone), ("team", &team)], &[]),
        Verdict::Review
    );
}

#[test]
fn narrower_policies_are_only_ever_stricter() {
    let open = report(vec![Reason::about("admin.open", "a-node@1.0.0")], &[]);
    let plain = Policy::default();
    let off = policy("[rules]\n\"admin.open\" = \"off\"");
    let hard = policy("[rules]\n\"admin.open\" = \"refused\"");
    assert_eq!(verdict(&open, &[("host", &plain)], &[]), Verdict::Review);
    assert_eq!(verdict(&open, &[("host", &off)], &[]), Verdict::Trusted);
    assert_eq!(
        verdict(&open, &[("host", &plain), ("team", &off)], &[]),
        Verdict::Review
    );
    assert_eq!(
        verdict(&open, &[("host", &off), ("team", &hard)], &[]),
        Verdict::Refused
    );
}

#[test]
fn a_waiver_needs_its_bytes_for_what_is_always_refused() {
    let thief = report(vec![Reason::about("code.remote", "a-node@1.0.0")], &[]);
    let host = Policy::default();
    let levels = [("host", &host), ("team", &host)];
    let loose = waiver("code.remote", false);
    let pinned = waiver("code.remote", true);
    assert_eq!(verdict(&thief, &levels, &[("host", &loose)]), Verdict::Refused);
    assert_eq!(verdict(&thief, &levels, &[("team", &pinned)]), Verdict::Refused);
    assert_eq!(verdict(&thief, &levels, &[("host", &pinned)]), Verdict::Trusted);
    let late = Waiver {
        until: Day::of(NOW - DAY),
        ..pinned
    };
    assert_eq!(verdict(&thief, &levels, &[("host", &late)]), Verdict::Refused);
}

#[test]
fn a_waiver_can_name_one_capability() {
    let spawns = report(vec![], &[(Kind::ProcSpawn, "ping"), (Kind::ProcSpawn, "sh")]);
    let host = Policy::default();
    let one = waiver("grant{proc.spawn{ping}}", false);
    let scene = Scene {
        now: NOW,
        policies: &[("host", &host)],
        waivers: &[("host", &one)],
    };
    let decision = decide(&spawns, &scene);
    assert_eq!(decision.verdict, Verdict::Review);
    let counting = decision
        .reasons
        .iter()
        .filter(|judged| judged.counts_as > Verdict::Trusted);
    assert_eq!(counting.count(), 1);
}

#[test]
fn young_versions_wait() {
    let mut young = report(vec![], &[]);
    young.facts.published = Some(NOW - DAY);
    let host = Policy::default();
    assert_eq!(verdict(&young, &[("host", &host)], &[]), Verdict::Review);
    let own = policy("[age]\nexempt = [\"a-*\"]");
    assert_eq!(verdict(&young, &[("host", &own)], &[]), Verdict::Trusted);
}

#[test]
fn every_mistake_is_told_at_once() {
    let text = r#"
        version = 2
        default = "trusted"
        [rules]
        "no.such" = "off"
        [[grants]]
        to = ["x"]
        allow = ["net.conect", "net.dns{x"]
        reason = " "
        [scripts]
        approved = [{ package = "x", integrity = "sha512-x", command = "" }]
        [closure]
        sources = ["ftp"]
        [mirror]
        "a b" = "md5"
    "#;
    let mistakes = Policy::parse("p.toml", text).expect_err("it is full of mistakes");
    let keys: Vec<_> = mistakes.all.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "version",
            "default",
            "closure.sources",
            "grants[0].reason",
            "grants[0].allow",
            "grants[0].allow",
            "scripts.approved[0].package",
            "rules",
            "mirror.\"a b\"",
        ]
    );
    let unknown = Policy::parse("p.toml", "version = 1\nagee = 1").expect_err("no such key");
    assert!(unknown.to_string().contains("agee"), "{unknown}");
}
