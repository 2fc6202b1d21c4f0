//! The clock jumps: by years, in both directions.

use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use test_support::guest::{Kernel, disk};

use super::{Inside, MEMORY, round, script};

const TEST: &str = "clock::a_clock_that_jumps_erases_nothing_and_keeps_the_order";

const DAY: u64 = 24 * 3600 * 1000;

fn set_clock(to: &str) {
    let set = Command::new("date")
        .args(["--utc", "--set", to])
        .output()
        .expect("date");
    assert!(set.status.success(), "{set:?}");
}

fn now_ms() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    u64::try_from(since.as_millis()).expect("a time")
}

fn last_of(answer: &Value, list: &str, field: &str) -> String {
    let last = answer[list]
        .as_array()
        .and_then(|all| all.last())
        .expect("an entry");
    last[field].as_str().expect("a text").to_owned()
}

/// The half that is run by the guest.
fn inside() {
    set_clock("2026-06-01 12:00:00");
    let host = Inside::start();
    for name in ["back", "gone"] {
        host.create(name).expect("created");
        host.ask("DELETE", &format!("/instances/{name}"), &Value::Null)
            .expect("deleted");
    }
    let shown = |host: &Inside| {
        let view = host
            .ask("GET", "/instances/back", &Value::Null)
            .expect("it is there");
        view["deleteAtMs"].as_u64().expect("a time")
    };
    assert!(shown(&host).abs_diff(now_ms() + DAY) < 60_000);

    // A dead battery, then a time server: nothing goes before its time, also not when a host starts into it.
    for year in ["2046", "1999"] {
        set_clock(&format!("{year}-06-01 12:00:00"));
        assert!(shown(&host).abs_diff(now_ms() + DAY) < 120_000, "in {year}");
    }
    host.kill();
    set_clock("2046-06-01 12:00:00");
    let host = Inside::start();
    assert!(shown(&host).abs_diff(now_ms() + DAY) < 300_000);
    host.ask("POST", "/instances/back/actions/undelete", &Value::Null)
        .expect("brought back");

    // Set back, what happens is still after what happened.
    set_clock("2001-01-01 00:00:00");
    host.set("back", 7).expect("changed");
    let events = host
        .ask("GET", "/instances/back/events?limit=1000", &Value::Null)
        .expect("events");
    assert_eq!(last_of(&events, "events", "kind"), "changed");
    let audit = host
        .ask("GET", "/audit?limit=1000", &Value::Null)
        .expect("the audit log");
    assert_eq!(last_of(&audit, "entries", "action"), "instance.change");
    let next = host.ask("GET", "/audit?limit=1", &Value::Null).expect("a page")["next"].clone();
    let next = next.as_str().expect("more pages").to_owned();
    let rest = host
        .ask("GET", &format!("/audit?limit=1000&after={next}"), &Value::Null)
        .expect("the rest");
    let count = |answer: &Value| answer["entries"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&rest) + 1, count(&audit));

    // What is asked for at once is done at once, whatever the clock says.
    host.ask("DELETE", "/instances/gone?now=true", &Value::Null)
        .expect("deleted");
    test_support::eventually::eventually("it is gone", Duration::from_secs(60), || {
        match host.request("GET", "/instances/gone", &Value::Null)?.status {
            404 => Ok(()),
            status => Err(status.to_string()),
        }
    });
    host.kill();
}

#[test]
fn a_clock_that_jumps_erases_nothing_and_keeps_the_order() {
    if round().is_some() {
        return inside();
    }
    let Some(kernel) = Kernel::find(TEST) else {
        return;
    };
    let disk = disk(128);
    let machine = kernel.boot(&script("/dev/ubda", TEST, 1), MEMORY, &[disk.path()]);
    let said = machine.ends(Duration::from_secs(240));
    assert!(said.contains("RESULT 0") && said.contains("1 passed"), "{said}");
}
