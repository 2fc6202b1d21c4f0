//! Keepers and Node-REDs that are killed under load, and an instance that makes its own removal hard.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use test_support::bench::processes;
use test_support::client;
use test_support::eventually::{eventually, let_pass};
use test_support::host::{Host, SOON};

use super::{Ends, endpoint};

/// How often something is killed: keeper, init and Node.js in turn.
const KILLS: usize = 9;

/// Answers with a word that each start of its process draws anew.
fn token() -> Value {
    let mut flows = endpoint(
        "if (!context.get('token')) { context.set('token', process.pid + '-' + Date.now()); } \
         msg.payload = context.get('token'); return msg",
    );
    flows[2]["libs"] = json!([{ "var": "process", "module": "process" }]);
    flows
}

fn pid(record: &Value, name: &str) -> i32 {
    i32::try_from(record[name]["pid"].as_i64().expect("a number")).expect("a process")
}

fn ask(port: u16, name: &str) -> Option<String> {
    let url = format!("http://127.0.0.1:{port}/run");
    let host = format!("{name}.localhost");
    let answer = client::request("GET", &url, &[("host", host.as_str())], Vec::new()).ok()?;
    (answer.status == 200).then(|| answer.text())
}

#[test]
fn killed_under_load_an_instance_comes_back_once_and_its_neighbour_does_not_notice() {
    let host = Host::start();
    let often = json!({ "restart": { "crashes": 1000, "longestWaitMs": 1000 } });
    let struck = host.create("struck", &token(), &often);
    let calm = host.create("calm", &token(), &json!({}));
    let calm_before = host.record(&calm).expect("a record");
    let (over, disturbed, port) = (AtomicBool::new(false), AtomicU64::new(0), host.port());
    // Every word in the order in which it first answered, and whether an earlier one answered again.
    let seen: Mutex<Vec<String>> = Mutex::default();
    let again = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let before = seen.lock().expect("the words").len();
                    let Some(word) = ask(port, "struck") else {
                        let_pass(Duration::from_millis(5));
                        continue;
                    };
                    let mut seen = seen.lock().expect("the words");
                    match seen.iter().position(|earlier| *earlier == word) {
                        None => seen.push(word),
                        // One that was asked when a newer one was known already must be the newest.
                        Some(at) if at + 1 < before => drop(again.fetch_add(1, Ordering::Relaxed)),
                        Some(_) => {}
                    }
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if ask(port, "calm").is_none() {
                    disturbed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let ended = Ends(&over);
        let mut gone = HashSet::new();
        for number in 0..KILLS {
            let record = host.record(&struck).expect("a record");
            let init = pid(&record, "init");
            let all = processes::tree(init);
            let target = match number % 3 {
                0 => pid(&record, "keeper"),
                1 => init,
                _ => *all.last().expect("Node.js"),
            };
            let known = seen.lock().expect("the words").len();
            kill(Pid::from_raw(target), Signal::SIGKILL).expect("killed");
            gone.extend(all);
            eventually("another one answers", SOON * 2, || {
                let now = seen.lock().expect("the words").len();
                if now > known {
                    Ok(())
                } else {
                    Err(host.events("struck").join("\n"))
                }
            });
            host.until("struck", "it runs anew", |view| {
                let now = host.record(&struck).map(|record| pid(&record, "init"));
                view["observed"]["state"] == "running" && now.is_some_and(|now| now != init)
            });
        }
        drop(ended);
        let alive: Vec<i32> = gone
            .into_iter()
            .filter(|pid| {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                !stat.is_empty() && !stat.contains(") Z ")
            })
            .collect();
        assert!(
            alive.is_empty(),
            "of those that were killed these live: {alive:?}"
        );
    });
    assert_eq!(
        again.load(Ordering::Relaxed),
        0,
        "an earlier process answered again"
    );
    assert_eq!(
        disturbed.load(Ordering::Relaxed),
        0,
        "the neighbour failed to answer"
    );
    let calm_after = host.record(&calm).expect("a record");
    assert_eq!(calm_after["init"], calm_before["init"]);
    let crashes = host
        .events("struck")
        .iter()
        .filter(|event| event.starts_with("crashed"))
        .count();
    assert_eq!(crashes, KILLS, "{:?}", host.events("struck"));
}

#[test]
fn an_instance_that_nested_folders_without_end_is_removed() {
    let host = Host::start();
    // Named from where it is, no path is ever too long for the kernel.
    let mut flows = endpoint(
        "if (!context.get('begun')) { context.set('begun', true); process.chdir('/files'); } \
         const hundred = Array(100).fill('d').join('/'); \
         for (let n = 0; n < 10; n++) { fs.mkdirSync(hundred, { recursive: true }); process.chdir(hundred); } \
         msg.payload = 'nested'; return msg",
    );
    flows[2]["libs"] = json!([{ "var": "fs", "module": "fs" }, { "var": "process", "module": "process" }]);
    let id = host.create(
        "deep",
        &flows,
        &json!({ "limits": { "diskMib": 0 }, "functionTimeoutS": 0 }),
    );
    // A thousand each time: all at once, it would be taken for hung on a slow disk.
    for _ in 0..10 {
        assert_eq!(host.get("deep", "/run").expect("an answer").text(), "nested");
    }
    host.ask("DELETE", "/instances/deep?now=true", &Value::Null)
        .expect("deleted");
    let folders = host.data().join("instances");
    eventually("everything of it is gone", SOON * 2, || {
        let left: Vec<_> = std::fs::read_dir(&folders)
            .expect("the instances")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name.to_string_lossy().contains(&id))
            .collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    assert!(!host.said().contains("could not be removed"), "{}", host.said());
}
