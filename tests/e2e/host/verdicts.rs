//! What is installed is judged again: when policies, waivers, engine or known flaws change, it is told once, and nothing is
//! removed or stopped. Real npm, real Node-RED, the real engine; a registry of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use test_support::eventually::{eventually, let_pass};
use test_support::host::{Host, SOON};
use test_support::registry::Registry;

use super::hello;
use super::packages::{install, meter, settings};

/// A policy by which every package brings too much.
const STRICT: &str = "[closure]\nmax_packages = 0";

/// How often the host is killed in the middle.
const KILLS: u64 = 12;

/// A host with one instance that has installed the meter.
fn metered(registry: &Registry) -> Host {
    registry.publish(&meter("1.0.0"));
    let host = Host::start();
    host.create("pump", &hello(), &settings(registry, &json!({})));
    install(&host, "pump", "node-red-meter").expect("installed");
    eventually("its verdict is remembered", SOON, || {
        let one = package(&host);
        (one["verdict"] == "trusted" && one["due"] == false)
            .then_some(())
            .ok_or(one)
    });
    // The host remembers it at its next look, every five seconds, and says nothing of what has not changed.
    let_pass(Duration::from_secs(11));
    host
}

/// The only package of the instance, as it is judged at present.
fn package(host: &Host) -> Value {
    let all = host
        .ask("GET", "/instances/pump/packages", &Value::Null)
        .expect("packages");
    all[0].clone()
}

/// Kinds of the events about verdicts, in order.
fn turns(host: &Host) -> Vec<String> {
    let events = host.events("pump").into_iter();
    let kinds = events.filter_map(|event| Some(event.split_once(": ")?.0.to_owned()));
    kinds.filter(|kind| kind.starts_with("verdict-")).collect()
}

/// Waits for so many events about verdicts; the text of the last.
fn turned(host: &Host, count: usize) -> String {
    eventually("another event about verdicts", SOON * 2, || {
        let events = host.events("pump");
        let all: Vec<_> = events
            .iter()
            .filter(|event| event.starts_with("verdict-"))
            .collect();
        if all.len() == count {
            Ok(all[count - 1].clone())
        } else {
            Err(events.join("\n"))
        }
    })
}

/// Entries of the audit log with this action.
fn entries(host: &Host, action: &str) -> Vec<Value> {
    let page = host
        .ask("GET", "/audit?limit=1000", &Value::Null)
        .expect("the log");
    let all = page["entries"].as_array().expect("entries").iter();
    all.filter(|entry| entry["action"] == action).cloned().collect()
}

fn alerts(host: &Host) -> Vec<Value> {
    let page = host.ask("GET", "/alerts", &Value::Null).expect("alerts");
    page["alerts"].as_array().expect("alerts").clone()
}

/// How often something was run in the engine.
fn runs(host: &Host) -> usize {
    host.said().matches("vetting a package").count()
}

/// The first process of the instance.
fn process(host: &Host) -> Value {
    let id = host.view("pump")["id"].clone();
    let record = host.record(id.as_str().expect("an id")).expect("a record");
    record["init"]["pid"].clone()
}

#[test]
fn a_changed_policy_and_a_new_flaw_are_told_and_cost_no_run() {
    let registry = Registry::start();
    let mut host = metered(&registry);
    assert_eq!((runs(&host), turns(&host)), (1, vec![]));
    let before = process(&host);

    host.policy(STRICT);
    let fell = turned(&host, 1);
    for part in [
        "node-red-meter@1.0.0 is refused",
        "it was trusted",
        "closure.too-much",
        "Nothing was removed",
    ] {
        assert!(fell.contains(part), "{fell}");
    }
    let one = package(&host);
    assert_eq!(
        (&one["verdict"], &one["passes"]),
        (&json!("refused"), &json!(false)),
        "{one}"
    );
    assert_eq!(one["reason"]["rule"], "closure.too-much", "{one}");
    let shown = host.does(&["instance", "packages", "pump"]);
    assert!(
        shown.contains("refused, does not pass")
            && shown.contains("node-red-meter@1.0.0: It brings 1 packages"),
        "{shown}"
    );
    let entry = entries(&host, "package.verdict").pop().expect("an entry");
    assert_eq!(entry["before"]["node-red-meter@1.0.0"], "trusted", "{entry}");
    assert_eq!(
        entry["after"]["node-red-meter@1.0.0"]["verdict"], "refused",
        "{entry}"
    );
    let told = eventually("an alert", SOON, || alerts(&host).pop().ok_or("none"));
    assert_eq!(
        (&told["kind"], &told["topics"]),
        (&json!("trouble"), &json!(["packages"])),
        "{told}"
    );
    assert!(
        told["text"]
            .as_str()
            .is_some_and(|text| text.contains("redhold instance packages pump")),
        "{told}"
    );
    assert_eq!(entries(&host, "policy.change").len(), 1);

    // What changed while nobody was there is told by the next; what was told is not told again.
    host.kill();
    host.policy("");
    host.run();
    let rose = turned(&host, 2);
    assert!(
        rose.contains("node-red-meter@1.0.0 is trusted (it was refused)"),
        "{rose}"
    );
    eventually("its end", SOON, || {
        let all = alerts(&host);
        (all.len() == 2 && all[1]["kind"] == "recovery")
            .then_some(())
            .ok_or(all)
    });

    // A flaw of it becomes known, and is taken back.
    let feed = host.data().join("vetting/advisories");
    fs::create_dir(&feed).expect("a folder");
    let flaw = json!({ "id": "X-1", "summary": "opens every valve", "database_specific": { "severity": "CRITICAL" },
        "affected": [{ "package": { "ecosystem": "npm", "name": "node-red-meter" },
            "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0" }] }] }] });
    fs::write(feed.join("x.json"), flaw.to_string()).expect("an entry");
    let fell = turned(&host, 3);
    for part in [
        "advisory.known",
        "X-1 (critical): opens every valve",
        "what is known of its flaws has changed",
    ] {
        assert!(fell.contains(part), "{fell}");
    }
    fs::remove_file(feed.join("x.json")).expect("removed");
    let rose = turned(&host, 4);
    assert!(
        rose.starts_with("verdict-rose: node-red-meter@1.0.0 is trusted"),
        "{rose}"
    );
    assert_eq!(
        turns(&host),
        ["verdict-fell", "verdict-rose", "verdict-fell", "verdict-rose"]
    );

    // All of that without a run, and without touching Node-RED.
    assert_eq!(runs(&host), 1, "{}", host.said());
    assert_eq!(process(&host), before);
    host.wait("pump", "running");
}

#[test]
fn what_falls_and_rises_is_told_once_however_often_the_host_is_killed() {
    let registry = Registry::start();
    let mut host = metered(&registry);
    for number in 0..KILLS {
        host.kill();
        host.policy(if number % 2 == 0 { STRICT } else { "" });
        host.run();
        // From before the first look until well after it.
        let_pass(Duration::from_millis(number * 40));
    }
    host.policy(STRICT);
    eventually("it is refused", SOON, || {
        let all = turns(&host);
        let fell = all.last().is_some_and(|kind| kind == "verdict-fell");
        fell.then_some(()).ok_or(all)
    });
    let all = turns(&host);
    let alternate = all.iter().zip(["verdict-fell", "verdict-rose"].iter().cycle());
    assert!(
        alternate.clone().all(|(kind, expected)| kind == expected),
        "{all:?}"
    );
    assert_eq!(entries(&host, "package.verdict").len(), all.len());
    eventually("an alert of each", SOON, || {
        let alerts = alerts(&host);
        (alerts.len() == all.len()).then_some(()).ok_or(alerts)
    });
}

/// The only report that is kept.
fn kept(host: &Host) -> PathBuf {
    let folder = host.data().join("vetting/reports-v1/node-red-meter");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("reports")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files.pop().expect("a report")
}

fn engine(file: &Path) -> Value {
    let report: Value = serde_json::from_slice(&fs::read(file).expect("a report")).expect("JSON");
    report["tools"]["engine"].clone()
}

#[test]
fn another_engine_looks_at_what_is_installed_without_a_registry() {
    let registry = Registry::start();
    let mut host = metered(&registry);
    host.kill();
    // As one of before would have left it.
    let file = kept(&host);
    let mut report: Value = serde_json::from_slice(&fs::read(&file).expect("a report")).expect("JSON");
    let present = report["tools"]["engine"].clone();
    report["tools"]["engine"] = json!("0".repeat(64));
    fs::write(&file, report.to_string()).expect("a report");
    registry.hang_up();
    host.run();
    eventually("it is looked at again", SOON * 2, || {
        let one = package(&host);
        (one["due"] == false).then_some(()).ok_or(one)
    });
    assert_eq!(engine(&kept(&host)), present);
    assert_eq!(package(&host)["verdict"], "trusted");
    assert_eq!(
        (runs(&host), turns(&host)),
        (2, vec![]),
        "once, and nothing changed by it"
    );
}

#[test]
fn waivers_are_noted_with_who_made_them_and_judge_what_is_installed() {
    let registry = Registry::start();
    let mut host = metered(&registry);
    host.policy(STRICT);
    turned(&host, 1);
    let integrity = meter("1.0.0").integrity();
    let wish = json!({ "package": "node-red-meter", "version": "1.0.0", "integrity": integrity,
        "rules": ["closure.too-much"], "why": "it is small", "until": "2999-12-31" });
    let made = host
        .request("POST", "/vetting/waivers", &[], &wish)
        .expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    let rose = turned(&host, 2);
    assert!(
        rose.contains("is trusted") && rose.contains("the policy or its waivers were changed"),
        "{rose}"
    );
    let entry = entries(&host, "waiver.add").pop().expect("an entry");
    assert_eq!(
        (&entry["by"]["kind"], &entry["object"]),
        (&json!("local"), &json!("node-red-meter@1.0.0")),
        "{entry}"
    );
    assert_eq!(entry["after"]["why"], "it is small", "{entry}");

    // The command line asks the host, and says what it says; a list that somebody else changed is not changed.
    let listed = host.does(&["waiver", "list"]);
    assert!(
        listed.contains("closure.too-much") && listed.contains("2999-12-31"),
        "{listed}"
    );
    let stale = [("if-match", "\"0\"")];
    let refused = host.request(
        "DELETE",
        "/vetting/waivers/node-red-meter@1.0.0",
        &stale,
        &Value::Null,
    );
    assert_eq!(refused.expect("an answer").status, 409);
    let bad = json!({ "package": "node-red-meter", "version": "1.0.0", "rules": ["no.rule"], "why": "x", "until": "2999-12-31" });
    let refused = host.ask("POST", "/vetting/waivers", &bad).expect_err("a refusal");
    assert!(refused.contains("no.rule"), "{refused}");
    assert_eq!(
        host.does(&["waiver", "remove", "node-red-meter@1.0.0"]).trim(),
        "1 taken back: node-red-meter@1.0.0 is judged by the policy again"
    );
    turned(&host, 3);
    let removed = entries(&host, "waiver.remove");
    assert_eq!(
        (removed.len(), &removed[0]["by"]["kind"]),
        (1, &json!("local")),
        "{removed:?}"
    );

    // Without a host the file is changed, and the next host notes it. One that has ended counts no more, and is told.
    host.kill();
    let over = json!([{ "package": "node-red-meter", "version": "1.0.0", "rules": ["closure.too-much"], "who": "kim", "why": "y",
        "until": "2020-01-01" }]);
    fs::write(host.data().join("vetting/waivers.json"), over.to_string()).expect("waivers");
    host.run();
    eventually("its end is noted", SOON, || {
        let all = [entries(&host, "waiver.add"), entries(&host, "waiver.end")];
        (all[0].len() == 2 && all[1].len() == 1).then_some(()).ok_or(all)
    });
    assert_eq!(entries(&host, "waiver.add")[1]["by"]["kind"], "file");
    assert_eq!(turns(&host).len(), 3, "it has changed nothing");
}

#[test]
fn a_team_is_stricter_than_its_host_and_less_strict_only_by_name() {
    let registry = Registry::start();
    registry.publish(&meter("1.0.0"));
    let host = Host::start();
    let layer = |name: &str, text: &str| {
        let file = host.data().join("vetting/organizations").join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, format!("version = 1\n{text}\n")).expect("a policy");
    };
    layer("acme.toml", STRICT);
    layer("acme/line-3.toml", "[closure]\nmax_packages = 10");
    let new = |name: &str, team: &str| {
        let new = json!({ "name": name, "team": team, "flows": hello(), "settings": settings(&registry, &json!({})) });
        host.ask("POST", "/instances", &new).expect("created");
        host.wait(name, "running");
    };
    host.create("own", &hello(), &settings(&registry, &json!({})));
    new("strict", "acme/line-3");
    install(&host, "own", "node-red-meter").expect("installed");
    let refused = install(&host, "strict", "node-red-meter").expect_err("a refusal");
    assert!(refused.contains("closure.too-much"), "{refused}");

    let checked = host.cli(&["policy", "check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(2), "{said}");
    for part in ["acme/line-3.toml", "line 3: closure.max_packages", "delegate"] {
        assert!(said.contains(part), "{said}");
    }
    let shown = host.does(&["policy", "effective", "--team", "acme/line-3"]);
    assert!(
        shown.contains("acme  ") && shown.contains("closure.max_packages = 0"),
        "{shown}"
    );
    assert!(
        shown.contains("does not hold: closure.max_packages of acme/line-3"),
        "{shown}"
    );

    host.policy("delegate = [\"acme/line-3\"]");
    install(&host, "strict", "node-red-meter").expect("installed");
    let levels = host.does(&["policy", "check"]);
    assert!(
        levels.contains("acme/line-3 ") && levels.contains("policy.toml"),
        "{levels}"
    );
    let bad = json!({ "team": "../x" });
    let refused = host.ask("PATCH", "/instances/own", &bad).expect_err("a refusal");
    assert!(refused.contains("names no team"), "{refused}");
}

#[test]
fn a_report_of_the_command_line_is_kept_and_used() {
    let registry = Registry::start();
    registry.publish(&meter("1.0.0"));
    let mut host = Host::prepared(&["--tls", "off"]);
    for (name, value) in [("registry", registry.url()), ("noproxy", "127.0.0.1".to_owned())] {
        host.env(&format!("npm_config_{name}"), &value);
    }
    host.run();
    let vet = |more: &[&str]| {
        let mut command = std::process::Command::new(test_support::data::binary());
        command
            .args(["vet", "node-red-meter", "--json"])
            .args(more)
            .arg("--data-dir")
            .arg(host.data());
        command
            .env("npm_config_registry", registry.url())
            .env("npm_config_noproxy", "127.0.0.1");
        let output = command.output().expect("redhold vet");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        all[0]["report"].clone()
    };
    let first = vet(&[]);
    let written = fs::metadata(kept(&host))
        .and_then(|meta| meta.modified())
        .expect("a time");
    assert_eq!(vet(&[]), first);
    let again = fs::metadata(kept(&host))
        .and_then(|meta| meta.modified())
        .expect("a time");
    assert_eq!(again, written, "it was used, not made again");
    assert_eq!(vet(&["--fresh"]), first, "the same bytes, the same report");
    let fresh = fs::metadata(kept(&host))
        .and_then(|meta| meta.modified())
        .expect("a time");
    assert!(fresh > written);
    // An installation needs no run of its own.
    host.create("pump", &hello(), &settings(&registry, &json!({})));
    install(&host, "pump", "node-red-meter").expect("installed");
    assert_eq!(runs(&host), 0, "{}", host.said());
    let catalogue = host.ask("GET", "/catalogue", &Value::Null).expect("a catalogue");
    assert_eq!(catalogue["modules"][0]["id"], "node-red-meter", "{catalogue}");
    let condition = host.does(&["doctor"]);
    assert!(
        condition.contains("1 are kept, on 1 packages") && condition.contains("it is here"),
        "{condition}"
    );
}
