//! People are told of trouble once, by mail and by webhook, also when the host or the way to them was down meanwhile.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};
use test_support::receiver::Receiver;
use test_support::skip::skipped;

use super::{endpoint, hello};

/// A configuration file with this table.
fn configured(table: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("redhold.toml");
    std::fs::write(&file, table).expect("a configuration");
    (folder, file)
}

/// Prints a secret and dies a moment after its flows run.
fn dying() -> Value {
    json!([
        { "id": "tab", "type": "tab", "label": "Tab" },
        { "id": "in", "type": "inject", "z": "tab", "once": true, "onceDelay": "0.1", "wires": [["f"]] },
        { "id": "f", "type": "function", "z": "tab", "wires": [],
          "libs": [{ "var": "process", "module": "process" }],
          "func": "process.nextTick(() => { throw new Error('login failed with ' + env.get('PASSWORD')) })" },
    ])
}

fn alerts(host: &Host) -> Vec<Value> {
    let page = host.ask("GET", "/alerts", &Value::Null).expect("alerts");
    page["alerts"].as_array().expect("alerts").clone()
}

/// Kind and topic of each alert.
fn told(host: &Host) -> Vec<String> {
    let one = |alert: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{} {}", text(&alert["kind"]), text(&alert["topics"][0]))
    };
    alerts(host).iter().map(one).collect()
}

#[test]
fn a_crash_loop_is_told_once_and_so_is_its_end() {
    let Some(mut receiver) = Receiver::prepared() else {
        return skipped(
            "host::alerts::a_crash_loop_is_told_once_and_so_is_its_end",
            "aiosmtpd",
        );
    };
    receiver.run();
    let (_folder, file) = configured(&receiver.table(&["ops@example.org", "webhook:chat"]));
    let host = Host::with(&["--tls", "off", "--config", &file.to_string_lossy()]);
    // Whoever has just set it up tries it.
    let tried = host.does(&["alerts", "test"]);
    assert!(
        tried.contains("ops@example.org  sent") && tried.contains("webhook:chat  sent"),
        "{tried}"
    );
    assert!(receiver.mails()[0].contains("Subject: [Redhold] a test from localhost"));

    let settings = json!({
        "restart": { "longestWaitMs": 1000, "crashes": 3 },
        "alerts": { "recoveredAfterS": 10 },
        "env": { "PASSWORD": { "hidden": true, "value": "hunter2secret" } },
    });
    let new = json!({ "name": "dry", "flows": dying(), "settings": settings });
    host.ask("POST", "/instances", &new).expect("created");
    host.until("dry", "safe mode", |view| {
        view["observed"]["safeMode"] == true && view["observed"]["state"] == "running"
    });
    let mails = eventually("two mails more", SOON, || {
        let mails = receiver.mails();
        if mails.len() >= 3 { Ok(mails) } else { Err(mails) }
    });
    let crash = mails
        .iter()
        .find(|mail| mail.contains("Subject: [Redhold] dry crashed"))
        .expect("a mail");
    for part in [
        "To: ops@example.org",
        "From: Redhold <redhold@host.example>",
        "Auto-Submitted: auto-generated",
        "What:     Node-RED ended with exit code",
        "Since:    2",
        "login failed with (hidden)",
        "redhold logs dry",
    ] {
        assert!(crash.contains(part), "{part} in {crash}");
    }
    assert!(!mails.concat().contains("hunter2secret"));
    assert_eq!(
        told(&host),
        ["test ", "trouble crash", "trouble safe-mode"],
        "three crashes, one alert"
    );

    // A deploy mends it; that is told when it has held for a while.
    host.deploy("dry", &hello());
    eventually("the end of it is told", SOON * 2, || {
        let mails = receiver.mails();
        let over = mails
            .iter()
            .any(|mail| mail.contains("Subject: [Redhold] dry runs again"));
        over.then_some(()).ok_or_else(|| mails.concat())
    });
    assert_eq!(told(&host).len(), 4);
    let documents = eventually("the webhook too", SOON, || {
        let documents = receiver.documents();
        if documents.len() == 4 {
            Ok(documents)
        } else {
            Err(documents)
        }
    });
    let last = documents.last().expect("a document");
    assert_eq!(last["type"], "alert.recovery");
    assert_eq!(
        (&last["data"]["name"], &last["data"]["host"]),
        (&json!("dry"), &json!("localhost"))
    );
    let listed = host.does(&["alerts", "list", "--instance", "dry"]);
    assert!(
        listed.contains("dry runs again") && listed.contains("ops@example.org, webhook:chat"),
        "{listed}"
    );
}

#[test]
fn what_was_decided_arrives_although_the_host_was_killed() {
    let Some(mut receiver) = Receiver::prepared() else {
        return skipped(
            "host::alerts::what_was_decided_arrives_although_the_host_was_killed",
            "aiosmtpd",
        );
    };
    let (_folder, file) = configured(&receiver.table(&["ops@example.org", "webhook:chat"]));
    let mut host = Host::with(&["--tls", "off", "--config", &file.to_string_lossy()]);
    let code = "process.nextTick(() => { throw new Error('the end') }); return msg";
    let mut flows = endpoint(code);
    for node in flows.as_array_mut().expect("nodes") {
        if node["id"] == "f" {
            node["libs"] = json!([{ "var": "process", "module": "process" }]);
        }
    }
    host.create("one", &flows, &json!({}));
    let id = host.create("two", &flows, &json!({ "restart": { "enabled": false } }));
    // Nobody is there to take it.
    let _ = host.get("one", "/run");
    eventually("it is tried", SOON, || {
        let all = alerts(&host);
        let tried =
            |delivery: &Value| delivery["attempts"].as_u64() >= Some(1) && delivery["state"] == "waiting";
        let deliveries = all
            .first()
            .map(|alert| alert["deliveries"].clone())
            .unwrap_or_default();
        let all_tried = deliveries
            .as_array()
            .is_some_and(|all| all.len() == 2 && all.iter().all(tried));
        all_tried.then_some(()).ok_or(all)
    });
    host.kill();
    // One that ends while no supervisor is there is told by the next.
    let init = host.record(&id).expect("a record")["init"]["pid"]
        .as_i64()
        .expect("a process");
    let init = nix::unistd::Pid::from_raw(i32::try_from(init).expect("a process"));
    nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL).expect("killed");
    receiver.run();
    host.run();
    for (name, what) in [("one", "one crashed"), ("two", "two crashed")] {
        eventually(&format!("the mail of {name}"), SOON * 3, || {
            let mails = receiver.mails();
            let came = mails
                .iter()
                .filter(|mail| mail.contains(&format!("[Redhold] {what}")))
                .count();
            (came == 1)
                .then_some(())
                .ok_or_else(|| format!("{came}: {mails:?} {:?}", alerts(&host)))
        });
    }

    // Who refuses for good is not asked again, who is busy is; and each is told by name.
    receiver.answers(Some(503));
    let change = json!({ "settings": { "alerts": { "recipients":
        ["nobody@example.org", "busy@example.org", "webhook:chat"] } } });
    host.ask("PATCH", "/instances/one", &change).expect("changed");
    let failed = host.cli(&["alerts", "test"]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    for part in [
        "nobody@example.org: ",
        "550",
        "busy@example.org: ",
        "webhook:chat: it answered 503",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("correct horse"), "{said}");
    receiver.answers(None);
    let unknown = json!({ "settings": { "alerts": { "recipients": ["ops"] } } });
    let refused = host
        .ask("PATCH", "/instances/one", &unknown)
        .expect_err("a refusal");
    assert!(refused.contains("alerts.recipients[0]"), "{refused}");
}

#[test]
fn much_use_of_a_limit_is_told() {
    let host = Host::start();
    let busy = json!([
        { "id": "tab", "type": "tab", "label": "Tab" },
        { "id": "in", "type": "inject", "z": "tab", "once": true, "repeat": "0.5", "wires": [["f"]] },
        { "id": "f", "type": "function", "z": "tab", "wires": [],
          "func": "const end = Date.now() + 400; while (Date.now() < end) {}" },
    ]);
    let settings = json!({
        "limits": { "cpuPercent": 20, "memoryMib": 256 },
        "alerts": { "loadForS": 10, "memoryPercent": 10 },
    });
    host.create("busy", &busy, &settings);
    let cpu = host.wait_event("busy", "cpu: uses");
    assert!(
        cpu.contains("processor limit of 20 % of a core, on average over 10 seconds"),
        "{cpu}"
    );
    host.wait_event("busy", "memory: uses");
    let all = eventually("both are told", SOON, || {
        let told = told(&host);
        if told.len() == 2 { Ok(told) } else { Err(told) }
    });
    assert!(all.contains(&"trouble cpu".to_owned()) && all.contains(&"trouble memory".to_owned()));
    // There is nobody to tell, and whoever asks is told so.
    assert_eq!(alerts(&host)[0]["deliveries"], json!([]));
    assert_eq!(host.cli(&["alerts", "test"]).status.code(), Some(4));
}
