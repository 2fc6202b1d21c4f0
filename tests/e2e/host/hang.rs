//! A loop that stands still is found also by a supervisor that was not there when it began, and when the kernel shows
//! nothing unusual.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use test_support::eventually::let_pass;
use test_support::host::Host;

use super::{endpoint, hello};

const LOOP: &str = "const wait = () => { for (;;) {} };\nwait()";
const HELD: &str = "held by function node \"work\" (f), line 1";

/// Node.js itself: the first process inside has started nothing before it.
fn node(record: &Value) -> Pid {
    let init = &record["init"]["pid"];
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).expect("children");
    let first = children.split_whitespace().next().expect("a child");
    Pid::from_raw(first.parse().expect("a number"))
}

#[test]
fn one_that_is_blocked_when_it_is_adopted_is_told_with_its_stack_and_ended() {
    let mut host = Host::start();
    let settings =
        json!({ "functionTimeoutS": 0, "health": { "blockedAfterMs": 5000, "hangAfterMs": 30_000 } });
    let asked = host.create("asked", &endpoint(LOOP), &settings);
    // Blocks by itself, when nobody is there.
    let mut flows = endpoint(LOOP);
    let start = json!({ "id": "in", "type": "inject", "z": "tab", "once": true, "onceDelay": "12", "wires": [["f"]] });
    flows.as_array_mut().expect("nodes").push(start);
    let alone = host.create("alone", &flows, &settings);
    let before = [&asked, &alone].map(|id| host.record(id).expect("a record"));
    std::thread::scope(|scope| {
        let blocking = scope.spawn(|| host.get("asked", "/run"));
        let said = host.wait_event("asked", "blocked");
        assert!(said.contains(HELD), "{said}");
        kill(
            Pid::from_raw(i32::try_from(host.pid().expect("it runs")).expect("a pid")),
            Signal::SIGKILL,
        )
        .expect("killed");
        // The front is gone, and the request with it.
        drop(blocking.join());
    });
    host.ends();
    let_pass(Duration::from_secs(12));
    host.run();
    for name in ["asked", "alone"] {
        host.wait_event(name, "adopted");
        let said = host.wait_event(name, "hung");
        assert!(said.contains(HELD), "{name}: {said}");
    }
    // Each supervisor tells what it knows: how long it stood still before this one came is part of that.
    let told: Vec<String> = host
        .events("alone")
        .into_iter()
        .filter(|event| event.starts_with("blocked"))
        .collect();
    assert!(told.len() == 1 && told[0].contains(HELD), "{told:?}");
    let again = host
        .events("asked")
        .into_iter()
        .filter(|event| event.starts_with("blocked"));
    assert!(
        again.clone().count() == 2 && again.clone().all(|event| event.contains(HELD)),
        "{:?}",
        again.collect::<Vec<_>>()
    );
    for (id, before) in [&asked, &alone].into_iter().zip(&before) {
        let name = if *id == asked { "asked" } else { "alone" };
        host.until(name, "started again", |view| {
            view["observed"]["state"] == "running" && view["observed"]["restarts"] == 1
        });
        assert_ne!(host.record(id).expect("a record")["init"], before["init"]);
    }
}

#[test]
fn a_process_that_was_stopped_counts_as_hung() {
    let host = Host::start();
    let settings = json!({ "health": { "blockedAfterMs": 5000, "hangAfterMs": 9000 } });
    let id = host.create("stopped", &hello(), &settings);
    // It stands in the very call in which an idle loop waits.
    kill(node(&host.record(&id).expect("a record")), Signal::SIGSTOP).expect("stopped");
    host.wait_event("stopped", "hung");
    host.until("stopped", "started again", |view| {
        view["observed"]["restarts"] == 1
    });
}
