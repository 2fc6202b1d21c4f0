//! Crashes, hangs and full memory are told apart, explained, and end in a state in which a person can act.

use std::fs;
use std::net::TcpStream;

use serde_json::{Value, json};
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

/// The first event of a kind.
fn event(host: &Host, name: &str, kind: &str) -> Value {
    let page = host.ask("GET", &format!("/instances/{name}/events"), &json!(null));
    let mut events = page.expect("events")["events"].take();
    let mut events = events.as_array_mut().expect("events").iter_mut();
    events
        .find(|event| event["kind"] == kind)
        .expect("an event")
        .take()
}

#[test]
fn a_hang_is_found_told_and_ended() {
    let host = Host::start();
    for (mode, name) in [("none", "apart"), ("host", "shared")] {
        let settings = json!({
            "functionTimeoutS": 0,
            "network": { "mode": mode },
            "health": { "blockedAfterMs": 5000, "hangAfterMs": 12000 },
        });
        let code = "const wait = () => { for (;;) {} };\nwait()";
        let id = host.create(name, &endpoint(code), &settings);
        let before = host.record(&id).expect("a record");
        let host = &host;
        std::thread::scope(|scope| {
            scope.spawn(|| host.get(name, "/run"));
            let said = host.wait_event(name, "blocked: its event loop has stood still");
            assert!(
                said.contains("held by function node \"work\" (f), line 1"),
                "{said}"
            );
            nobody_can_debug(&before);
            let said = host.wait_event(name, "hung");
            assert!(said.contains("event loop stood still for 12"), "{said}");
            assert!(
                said.contains("held by function node \"work\" (f), line 1"),
                "{said}"
            );
        });
        let stack = event(host, name, "blocked")["detail"]["stack"].take();
        assert!(
            stack[0]
                .as_str()
                .is_some_and(|frame| frame.starts_with("wait (Function node:f [work]:2:")),
            "{stack}"
        );
        assert_eq!(event(host, name, "hung")["detail"]["stack"], stack);
        host.until(name, "started again", |view| {
            view["observed"]["state"] == "running" && view["observed"]["health"]["turning"] == true
        });
        assert_ne!(host.record(&id).expect("a record")["init"], before["init"]);
        assert_eq!(host.view(name)["observed"]["crashes"], 1);
    }
}

/// What Node.js opened to be interrupted is there, and no connection reaches it.
fn nobody_can_debug(record: &Value) {
    let init = &record["init"]["pid"];
    // As its own network sees it; the first process has the same.
    let sockets = fs::read_to_string(format!("/proc/{init}/net/tcp")).expect("sockets");
    let listening = sockets.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?;
        (fields.nth(1)? == "0A").then_some(local)
    });
    let (open, closed): (Vec<&str>, Vec<&str>) = listening.partition(|local| !local.starts_with("FFFFFFFF:"));
    assert!(!open.iter().any(|local| local.ends_with(":240D")), "{sockets}");
    assert!(!closed.is_empty(), "{sockets}");
    for local in closed {
        let port = u16::from_str_radix(&local["FFFFFFFF:".len()..], 16).expect("a port");
        for address in ["127.0.0.1", "255.255.255.255", "0.0.0.0"] {
            let reached = TcpStream::connect((address, port));
            assert!(reached.is_err(), "{address}:{port} answers");
        }
    }
}

#[test]
fn a_loop_that_waits_in_one_call_is_told_too() {
    let host = Host::start();
    let settings = json!({ "functionTimeoutS": 0, "health": { "blockedAfterMs": 5000, "hangAfterMs": 0 } });
    let lock = "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)";
    let expression = "/^(a+)+$/.test('a'.repeat(99) + 'b')";
    let child = "child.spawnSync(process.execPath, ['-e', \
        `setInterval(() => require('fs').existsSync('go') && process.exit(), 100)`]); return msg";
    for (name, code) in [("lock", lock), ("expression", expression), ("child", child)] {
        let mut flows = endpoint(code);
        flows[2]["libs"] = json!([
            { "var": "process", "module": "process" },
            { "var": "child", "module": "child_process" },
        ]);
        let id = host.create(name, &flows, &settings);
        let host = &host;
        std::thread::scope(|scope| {
            scope.spawn(|| host.get(name, "/run"));
            let said = host.wait_event(name, "blocked: its event loop has stood still");
            if name == "child" {
                assert!(
                    said.contains("which is not known, because it did not answer"),
                    "{said}"
                );
                // What could not be said while the operating system held it is said when it no longer does.
                let data = host.data().join("instances").join(&id).join("data");
                fs::write(data.join("go"), "").expect("a file");
                host.wait_event(name, "unblocked");
                let stack = event(host, name, "unblocked")["detail"]["stack"].take();
                assert!(stack.to_string().contains("10-function.js"), "{stack}");
                // Asked and closed again: it serves as before.
                assert_eq!(host.get(name, "/run").expect("an answer").status, 200);
            } else {
                assert!(
                    said.contains("held by function node \"work\" (f), line 1"),
                    "{said}"
                );
                host.act(name, "kill");
            }
        });
    }
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
fn a_memory_limit_below_the_use_is_refused_and_ends_nothing() {
    let host = Host::start();
    let code = "global.set('kept', Buffer.alloc(150 << 20, 1)); msg.payload = 'kept'; return msg";
    let id = host.create(
        "full",
        &endpoint(code),
        &json!({ "limits": { "memoryMib": 400 } }),
    );
    let before = host.record(&id).expect("a record");
    assert_eq!(host.get("full", "/run").expect("an answer").text(), "kept");
    let memory = |limit: u64| {
        let change = json!({ "settings": { "limits": { "memoryMib": limit } } });
        host.ask("PATCH", "/instances/full", &change)
    };
    let refusal = memory(100).expect_err("it holds more");
    for part in [
        "409",
        "`full` holds 1",
        "more than 100 MiB",
        "redhold instance stop full",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert_eq!(host.view("full")["settings"]["limits"]["memoryMib"], 400);
    let view = memory(350).expect("there is room");
    assert_eq!(view["settings"]["limits"]["memoryMib"], 350);
    assert_eq!(host.record(&id).expect("a record")["init"], before["init"]);
    // As the refusal says.
    host.act("full", "stop");
    host.wait("full", "stopped");
    memory(100).expect("nothing runs");
    host.act("full", "start");
    host.wait("full", "running");
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
    fs::remove_dir_all(&run).expect("removed");
    fs::write(&run, "").expect("a file");
    host.act("none", "start");
    let view = host.wait("none", "down");
    assert!(
        view["observed"]["reason"]
            .as_str()
            .expect("a reason")
            .contains("could not be started"),
        "{view}"
    );
    fs::remove_file(&run).expect("removed");
    host.act("none", "start");
    host.wait("none", "running");
}
