//! Nothing that happens to the supervisor happens to the instances.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use test_support::eventually::{eventually, let_pass};
use test_support::host::{Host, SOON};

use super::{endpoint, hello};

/// How often the supervisor is killed.
const KILLS: u32 = 100;

fn pid(record: &Value, name: &str) -> Pid {
    Pid::from_raw(i32::try_from(record[name]["pid"].as_i64().expect("a number")).expect("a process"))
}

/// The state of a process by `proc(5)`; a dead one that nobody has collected is `Z`.
fn state(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn killed_a_hundred_times_under_load_it_loses_nothing() {
    let mut host = Host::start();
    // Ten lines per second with a number, and an answer that says which process gives it.
    let mut flows = endpoint("msg.payload = String(process.pid); return msg");
    flows[2]["libs"] = json!([{ "var": "process", "module": "process" }]);
    let nodes = flows.as_array_mut().expect("nodes");
    nodes.push(json!({ "id": "tick", "type": "inject", "z": "tab", "repeat": "0.1", "once": true, "wires": [["say"]] }));
    nodes.push(json!({ "id": "say", "type": "function", "z": "tab", "wires": [],
        "func": "const n = (context.get('n') || 0) + 1; context.set('n', n); node.warn('line ' + n)" }));
    let id = host.create("pump", &flows, &json!({}));
    let before = host.record(&id).expect("a run record");

    let acknowledged = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let dir = host.data().to_owned();
    let (port, served) = (host.port(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Writes one number after the other; what was acknowledged is remembered.
            let socket = dir.join("run/api.sock");
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                let change = json!({ "settings": { "env": { "N": number.to_string() } } });
                let answer = test_support::client::unix(
                    &socket,
                    "PATCH",
                    "/api/v1/instances/pump",
                    &[],
                    change.to_string().into_bytes(),
                );
                match answer {
                    Ok(answer) if answer.status == 200 => acknowledged.store(number, Ordering::SeqCst),
                    // Nobody there, or gone before it answered: then it may have been written, or not.
                    _ => let_pass(Duration::from_millis(2)),
                }
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let answer = test_support::client::request(
                    "GET",
                    &format!("http://127.0.0.1:{port}/run"),
                    &[("host", "pump.localhost")],
                    Vec::new(),
                );
                match answer {
                    Ok(answer) if answer.status == 200 => drop(served.fetch_add(1, Ordering::Relaxed)),
                    _ => let_pass(Duration::from_millis(5)),
                }
            }
        });
        for round in 0..KILLS {
            // Moments that no pattern of the host's own can follow.
            let_pass(Duration::from_millis(20 + u64::from(round * 7919 % 131)));
            host.kill();
            let safe = acknowledged.load(Ordering::SeqCst);
            host.run();
            let now = host.view("pump")["settings"]["env"]["N"].clone();
            let now: u64 = now.as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
            assert!(
                now >= safe,
                "round {round}: {safe} was acknowledged, {now} is there"
            );
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(
        acknowledged.load(Ordering::SeqCst) > u64::from(KILLS),
        "there was a load"
    );
    assert!(
        served.load(Ordering::Relaxed) > u64::from(KILLS),
        "requests were served in between"
    );
    let after = host.record(&id).expect("a run record");
    assert_eq!(after["init"], before["init"], "the instance is the same process");
    assert_eq!(after["keeper"], before["keeper"]);

    // Every line is there, in order, without a gap.
    let mut numbers = Vec::new();
    let mut cursor = String::new();
    for file in ["node-red.log.1", "node-red.log"] {
        let path = host.data().join("instances").join(&id).join("logs").join(file);
        cursor.push_str(&std::fs::read_to_string(path).unwrap_or_default());
    }
    for line in cursor.lines() {
        if let Some((_, rest)) = line.split_once("\"msg\":\"line ") {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            numbers.push(digits.parse::<u64>().expect("a number"));
        }
    }
    assert!(numbers.len() > 50, "{numbers:?}");
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "a line is missing"
    );
}

#[test]
fn what_happened_meanwhile_is_known_and_dealt_with() {
    let mut host = Host::start();
    let crashed = host.create("crashed", &hello(), &json!({}));
    let lost = host.create("lost", &hello(), &json!({}));
    let frozen = host.create("frozen", &hello(), &json!({}));
    let gone = host.create("gone", &hello(), &json!({}));
    host.act("frozen", "suspend");
    host.wait("frozen", "suspended");
    let records = [&crashed, &lost, &frozen, &gone].map(|id| host.record(id).expect("a record"));
    host.kill();

    // One crashes, one loses its keeper, one keeper and its instance go at once.
    kill(pid(&records[0], "init"), Signal::SIGKILL).expect("killed");
    kill(pid(&records[1], "keeper"), Signal::SIGKILL).expect("killed");
    kill(pid(&records[3], "keeper"), Signal::SIGKILL).expect("killed");
    kill(pid(&records[3], "init"), Signal::SIGKILL).expect("killed");
    let exit = host.data().join("instances").join(&crashed).join("run/exit.json");
    eventually("the end is recorded", SOON, || {
        if exit.exists() { Ok(()) } else { Err("no record") }
    });

    host.run();
    for name in ["crashed", "lost", "gone"] {
        host.wait(name, "running");
        let answer = host.get(name, "/run").expect("an answer");
        assert_eq!(answer.status, 200, "{name}");
    }
    assert!(host.wait_event("crashed", "crashed").contains("SIGKILL"));
    // Neither runs twice.
    for (name, id, before) in [("lost", &lost, &records[1]), ("gone", &gone, &records[3])] {
        let now = host.record(id).expect("a record");
        assert_ne!(now["init"], before["init"], "{name}");
        eventually(&format!("{name}: the old one is gone"), SOON, || {
            match state(pid(before, "init")) {
                None | Some('Z') => Ok(()),
                state => Err(state),
            }
        });
    }
    assert_eq!(host.view("frozen")["observed"]["state"], "suspended");
    assert_eq!(
        host.record(&frozen).expect("a record")["init"],
        records[2]["init"]
    );
    host.act("frozen", "resume");
    host.wait("frozen", "running");

    // A keeper that is killed while the supervisor looks on.
    let record = host.record(&crashed).expect("a record");
    kill(pid(&record, "keeper"), Signal::SIGKILL).expect("killed");
    host.wait_event("crashed", "crashed: was lost");
    host.wait("crashed", "running");
    assert_ne!(host.record(&crashed).expect("a record")["init"], record["init"]);
}

#[test]
fn a_store_that_lost_something_says_so_and_is_left_alone() {
    let mut host = Host::start();
    for number in 0..20 {
        let new = json!({ "name": format!("i{number}"), "start": false });
        host.ask("POST", "/instances", &new).expect("created");
    }
    host.stop();
    let journal = host.data().join("store/journal-v1");
    let segment = std::fs::read_dir(&journal)
        .expect("a journal")
        .map(|entry| entry.expect("an entry").path())
        .max()
        .expect("a segment");
    let whole = std::fs::read(&segment).expect("a segment");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&segment, &damaged).expect("damage");

    // The index has everything: the host mends itself and says so.
    host.run();
    assert_eq!(
        host.ask("GET", "/instances", &Value::Null)
            .expect("a list")
            .as_array()
            .map(Vec::len),
        Some(20)
    );
    assert!(host.said().contains("the index had them"), "{}", host.said());
    host.stop();

    // Without the index it refuses, names the file, and changes nothing.
    let segment = std::fs::read_dir(&journal)
        .expect("a journal")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("c-"))
        })
        .expect("a checkpoint");
    let mut damaged = std::fs::read(&segment).expect("a checkpoint");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&segment, &damaged).expect("damage");
    std::fs::remove_dir_all(host.data().join("store/index-v1")).expect("removed");
    host.spawn();
    let (code, said) = host.ends();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("is damaged at byte") && said.contains("redhold restore"),
        "{said}"
    );
}
