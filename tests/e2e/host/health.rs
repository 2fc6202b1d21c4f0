//! Crashes, hangs and full memory are told apart, explained, and end in a state in which a person can act.

use serde_json::json;
use test_support::host::Host;

use super::{endpoint, hello};

#[test]
fn a_crash_loop_ends_in_safe_mode_and_a_deploy_leaves_it() {
    let host = Host::start();
    // Dies a moment after its flows run.
    let bad = json!([
        { "id": "tab", "type": "tab", "label": "Tab" },
        { "id": "in", "type": "inject", "z": "tab", "once": true, "onceDelay": "0.1", "wires": [["f"]] },
        { "id": "f", "type": "function", "z": "tab", "wires": [],
          "libs": [{ "var": "process", "module": "process" }],
          "func": "process.nextTick(() => { throw new Error('the pump is dry') })" },
    ]);
    let new = json!({ "name": "dry", "flows": bad, "settings": { "restart": { "longestWaitMs": 1000, "crashes": 3 } } });
    host.ask("POST", "/instances", &new).expect("created");
    let view = host.until("dry", "safe mode", |view| {
        view["observed"]["safeMode"] == true && view["observed"]["state"] == "running"
    });
    assert_eq!(view["observed"]["health"]["flows"], false);
    let events = host.events("dry");
    assert_eq!(
        events.iter().filter(|event| event.starts_with("crashed")).count(),
        3,
        "{events:?}"
    );
    let page = host
        .ask("GET", "/instances/dry/events", &json!(null))
        .expect("events");
    let safe = page["events"]
        .as_array()
        .expect("events")
        .iter()
        .find(|event| event["kind"] == "safe-mode")
        .expect("an event");
    assert!(
        safe["detail"]["lastLines"]
            .to_string()
            .contains("the pump is dry"),
        "{safe}"
    );

    // It survives the supervisor, and a deploy leaves it.
    host.deploy("dry", &hello());
    let view = host.until("dry", "normal again", |view| {
        view["observed"]["safeMode"] == false && view["observed"]["health"]["flows"] == true
    });
    assert_eq!(view["observed"]["crashes"], 0);
    assert_eq!(host.get("dry", "/run").expect("an answer").status, 200);
    host.wait_event("dry", "deployed");
    host.act("dry", "restart");
    host.until("dry", "running as before", |view| {
        view["observed"]["state"] == "running" && view["observed"]["safeMode"] == false
    });
}

#[test]
fn a_hang_is_found_told_and_ended() {
    let host = Host::start();
    let settings = json!({
        "functionTimeoutS": 0,
        "health": { "blockedAfterMs": 5000, "hangAfterMs": 7000 },
    });
    let id = host.create("stuck", &endpoint("for (;;) {}"), &settings);
    let before = host.record(&id).expect("a record");
    let host = &host;
    std::thread::scope(|scope| {
        scope.spawn(|| host.get("stuck", "/run"));
        host.wait_event("stuck", "blocked: its event loop has stood still");
        let said = host.wait_event("stuck", "hung");
        assert!(said.contains("event loop stood still for 7"), "{said}");
    });
    host.until("stuck", "started again", |view| {
        view["observed"]["state"] == "running" && view["observed"]["health"]["turning"] == true
    });
    assert_ne!(host.record(&id).expect("a record")["init"], before["init"]);
    assert_eq!(host.view("stuck")["observed"]["crashes"], 1);
}

#[test]
fn an_endless_loop_in_a_function_is_broken_off_and_nothing_restarts() {
    let host = Host::start();
    let id = host.create(
        "loop",
        &endpoint("for (;;) {}"),
        &json!({ "functionTimeoutS": 1 }),
    );
    let before = host.record(&id).expect("a record");
    let host = &host;
    std::thread::scope(|scope| {
        scope.spawn(|| host.get("loop", "/run"));
        test_support::eventually::eventually("the log tells it", test_support::host::SOON, || {
            let page = host.ask("GET", "/instances/loop/logs?level=error", &json!(null))?;
            if page.to_string().contains("timed out") {
                Ok(())
            } else {
                Err(page.to_string())
            }
        });
        // The request that hit it gets no answer, by Node-RED's design; a restart ends it.
        assert_eq!(host.record(&id).expect("a record")["init"], before["init"]);
        host.act("loop", "stop");
    });
}

#[test]
fn out_of_memory_names_the_limit_and_the_peak() {
    let host = Host::start();
    let code = "const kept = []; for (;;) kept.push(Buffer.alloc(8 << 20, 1))";
    host.create("hog", &endpoint(code), &json!({ "limits": { "memoryMib": 150 } }));
    let host = &host;
    std::thread::scope(|scope| {
        scope.spawn(|| host.get("hog", "/run"));
        let said = host.wait_event("hog", "out-of-memory");
        assert!(said.contains("150 MiB"), "{said}");
    });
    host.wait("hog", "running");
}

#[test]
fn what_cannot_start_says_why_and_stays_down() {
    let host = Host::start();
    let new = json!({ "name": "none", "start": false, "settings": { "restart": { "crashes": 2, "safeCrashes": 1 } } });
    let view = host.ask("POST", "/instances", &new).expect("created");
    // Somebody put a file where its folder belongs.
    let run = host
        .data()
        .join("instances")
        .join(view["id"].as_str().expect("an id"))
        .join("run");
    std::fs::remove_dir_all(&run).expect("removed");
    std::fs::write(&run, "").expect("a file");
    host.act("none", "start");
    let view = host.wait("none", "down");
    assert!(
        view["observed"]["reason"]
            .as_str()
            .expect("a reason")
            .contains("could not be started"),
        "{view}"
    );
    std::fs::remove_file(&run).expect("removed");
    host.act("none", "start");
    host.wait("none", "running");
}
