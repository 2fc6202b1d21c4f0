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
    let team = grant("a-node", 0);
    for (delegate, expected) in [
        ("false", Verdict::Review),
        ("[\"other\"]", Verdict::Review),
        ("[\"acme/*\"]", Verdict::Trusted),
        ("true", Verdict::Trusted),
    ] {
        let host = policy(&format!("delegate = {delegate}"));
        let both = [("host", &host), ("acme/line-3", &team)];
        assert_eq!(verdict(&spawns, &both, &[]), expected, "{delegate}");
    }
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

fn narrower(text: &str) -> Policy {
    Policy::parse_narrower("acme.toml", &format!("version = 1\n{text}")).expect("it is a policy")
}

#[test]
fn what_a_narrower_policy_does_not_say_is_the_wider_ones() {
    let mut week_old = report(vec![], &[]);
    week_old.facts.published = Some(NOW - 7 * DAY);
    let host = policy("[age]\nmin_days = 5");
    let free = policy("delegate = [\"acme\"]\n[age]\nmin_days = 30");
    let [silent, strict, lax] = ["", "[age]\nmin_days = 9", "[age]\nmin_days = 2"].map(narrower);
    for (host, acme, expected) in [
        (&host, &silent, Verdict::Trusted),
        (&host, &strict, Verdict::Review),
        (&host, &lax, Verdict::Trusted),
        (&free, &silent, Verdict::Review),
        (&free, &lax, Verdict::Trusted),
    ] {
        let both = [("host", host), ("acme", acme)];
        assert_eq!(verdict(&week_old, &both, &[]), expected);
        // Whoever stands below one that may relax may not do so itself.
        let three = [("host", host), ("acme", acme), ("acme/line-3", &lax)];
        assert_eq!(verdict(&week_old, &three, &[]), expected);
    }
    let careful = narrower("default = \"refused\"");
    let spawns = report(vec![], &[(Kind::ProcSpawn, "ping")]);
    let both = [("host", &host), ("acme", &careful)];
    assert_eq!(verdict(&spawns, &both, &[]), Verdict::Refused);
}

#[test]
fn an_effective_policy_says_where_each_value_comes_from_and_what_does_not_hold() {
    let host = policy("gate = \"warn\"\n[age]\nmin_days = 5\n[rules]\n\"admin.open\" = \"off\"");
    let acme = narrower(
        "gate = \"enforce\"\n[age]\nmin_days = 2\n[closure]\nmax_packages = 10\n\
         [[grants]]\nto = [\"x\"]\nallow = [\"proc.spawn\"]\nreason = \"y\"\n[rules]\n\"admin.open\" = \"refused\"",
    );
    let levels = [("host", &host), ("acme", &acme)];
    let effective = Layers::of(&levels).effective(Gate::Enforce);
    let from = |key: &str| {
        let found = effective.settings.iter().find(|setting| setting.key == key);
        let found = found.unwrap_or_else(|| panic!("no {key}"));
        format!("{} from {}", found.value, found.from)
    };
    assert_eq!(from("gate"), "\"enforce\" from acme");
    assert_eq!(from("age.min_days"), "5 from host");
    assert_eq!(from("closure.max_packages"), "10 from acme");
    assert_eq!(from("closure.max_unpacked_mb"), "512 from built-in");
    assert_eq!(from("rules.\"admin.open\""), "\"refused\" from acme");
    let ignored: Vec<_> = effective.ignored.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(ignored, ["age.min_days", "grants[0]"]);
    let granted = effective.settings.iter().filter(|one| one.key == "grants");
    assert!(granted.into_iter().all(|one| one.from == "built-in"));
    assert_eq!(Layers::of(&levels).gate(Gate::Off), Gate::Enforce);
    assert_eq!(Layers::of(&levels[..1]).gate(Gate::Off), Gate::Warn);
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
            "rules.\"no.such\"",
            "mirror.\"a b\"",
        ]
    );
    let lines: Vec<_> = mistakes.all.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [2, 3, 13, 9, 8, 8, 11, 5, 15].map(Some));
    assert!(
        mistakes.to_string().contains("\n  line 3: default: "),
        "{mistakes}"
    );
    let unknown = Policy::parse("p.toml", "version = 1\nagee = 1").expect_err("no such key");
    assert!(unknown.to_string().contains("agee"), "{unknown}");
}
