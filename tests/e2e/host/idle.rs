//! Watching an instance that does nothing costs it nothing, and one that works says what it does.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_support::eventually::{eventually, let_pass};
use test_support::host::{Host, SOON};

use super::{endpoint, hello};

/// How often the main thread went to sleep so far: each time something had woken it.
fn sleeps(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{pid}/status")).expect("its status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("a count")
}

#[test]
fn nothing_wakes_an_idle_instance_to_see_that_it_is_well() {
    let host = Host::start();
    // The host looks often whether it serves.
    let settings = json!({ "health": { "probeEveryMs": 2000 } });
    let id = host.create("idle", &hello(), &settings);
    assert_eq!(host.get("idle", "/run").expect("an answer").status, 200);
    let record = host.record(&id).expect("a record");
    let init = &record["init"]["pid"];
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).expect("children");
    let pid = children.split_whitespace().next().expect("Node.js");
    // What its start left behind is reported and collected first.
    eventually("it sleeps through 20 seconds", SOON * 4, || {
        let before = sleeps(pid);
        let_pass(Duration::from_secs(20));
        match sleeps(pid) - before {
            0..=4 => Ok(()),
            woken => Err(woken),
        }
    });
    let health = host.view("idle")["observed"]["health"].clone();
    assert_eq!(
        health,
        json!({ "alive": true, "turning": true, "serving": true, "flows": true })
    );
    // And it is known to turn by the keeper's own look, a moment ago.
    let silent = host
        .events("idle")
        .into_iter()
        .find(|event| event.starts_with("blocked"));
    assert_eq!(silent, None);
}

#[test]
fn messages_are_counted_and_delays_are_noticed() {
    let host = Host::start();
    let code = "const until = Date.now() + 1500; while (msg.payload.hold && Date.now() < until); return msg";
    host.create("pump", &endpoint(code), &json!({}));
    for _ in 0..20 {
        assert_eq!(host.get("pump", "/run").expect("an answer").status, 200);
    }
    let stats = || host.ask("GET", "/instances/pump/stats", &Value::Null);
    // Each request is a message for the function node and one for the response.
    eventually("messages", SOON, || {
        let figures = stats()?["figures"].take();
        (figures["messages"] == 40)
            .then_some(())
            .ok_or_else(|| figures.to_string())
    });
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(host.get("pump", "/run?hold=1").expect("an answer").status, 200);
    }
    let figures = eventually("a delay", SOON, || {
        let figures = stats()?["figures"].take();
        let late = figures["delayMs"].as_u64().is_some_and(|delay| delay >= 300);
        (late && figures["messages"] == 46)
            .then_some(figures.clone())
            .ok_or_else(|| figures.to_string())
    });
    assert!(
        figures["delayMs"]
            .as_u64()
            .is_some_and(|delay| u128::from(delay) <= begun.elapsed().as_millis()),
        "{figures}"
    );
    assert!(
        figures["messagesPerSecond"].is_number() && figures["heapBytes"].is_u64(),
        "{figures}"
    );
    let shown = host.does(&["top"]);
    assert!(shown.contains("MSG/S") && shown.contains(" ms"), "{shown}");
}
