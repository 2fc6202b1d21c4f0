//! The power goes while changes are written: whatever was acknowledged is there when it comes back.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::time::Duration;

use serde_json::Value;
use test_support::eventually::let_pass;
use test_support::guest::{Kernel, disk};

use super::{DISK, Inside, MEMORY, STARTS, round, script};

const TEST: &str = "power::what_was_acknowledged_survives_every_power_cut";

/// Cuts of one run; more by `REDHOLD_TEST_CUTS`.
const CUTS: u32 = 5;

/// Longest time under load before a cut, in milliseconds.
const LOAD: u64 = 3000;

/// On the guest's console.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("the console");
}

/// The half that is run by the guest.
fn inside(round: u32) {
    let notes = format!("{DISK}/unsynced");
    let lines = std::fs::read_to_string(&notes).map_or(0, |text| text.lines().count());
    // The harness has begun a line of its own.
    say(&format!("\nUNSYNCED {lines}"));
    let host = Inside::start();
    let all = host.ask("GET", "/instances", &Value::Null).expect("a list");
    for view in all.as_array().expect("a list") {
        let id = view["id"].as_str().expect("an id");
        let flows = Inside::data().join("instances").join(id).join("data/flows.json");
        let flows: Option<Value> = std::fs::read(flows)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        let name = view["name"].as_str().expect("a name");
        let whole = flows.is_some_and(|flows| flows[0]["id"] == name);
        say(&format!("HAVE {name} {} {whole}", Inside::number(view)));
    }
    say("READY");
    // The control: what nobody asked to be on the disk goes with the power, or the cut is none.
    let mut unsynced = OpenOptions::new()
        .create(true)
        .append(true)
        .open(notes)
        .expect("a file");
    let mut name = String::new();
    for number in 1.. {
        if number % 6 == 1 {
            name = format!("r{round}n{number}");
            host.create(&name).expect("created");
            say(&format!("ACK {name} 0"));
        } else {
            host.set(&name, number).expect("changed");
            say(&format!("ACK {name} {number}"));
        }
        writeln!(unsynced, "{number}").expect("a line");
    }
}

#[test]
fn what_was_acknowledged_survives_every_power_cut() {
    if let Some(round) = round() {
        return inside(round);
    }
    let Some(kernel) = Kernel::find(TEST) else {
        return;
    };
    let cuts = std::env::var("REDHOLD_TEST_CUTS")
        .ok()
        .and_then(|cuts| cuts.parse().ok())
        .unwrap_or(CUTS);
    let disk = disk(256);
    let mut promised: HashMap<String, u64> = HashMap::new();
    let (mut acknowledged, mut unsynced, mut lost) = (0, 0, 0);
    for round in 0..=cuts {
        let machine = kernel.boot(&script("/dev/ubda", TEST, round), MEMORY, &[disk.path()]);
        machine.until("READY", STARTS);
        let found = machine.said();
        for (name, least) in &promised {
            let line = words(&found, "HAVE").find(|words| words[0] == *name);
            let line = line.unwrap_or_else(|| panic!("round {round}: `{name}` is lost:\n{found}"));
            let number: u64 = line[1].parse().expect("a number");
            assert!(number >= *least, "round {round}: `{name}` had {least}:\n{found}");
            assert_eq!(
                line[2], "true",
                "round {round}: the flows of `{name}` are lost:\n{found}"
            );
        }
        let survived: u64 = words(&found, "UNSYNCED").next().expect("a count")[0]
            .parse()
            .expect("a count");
        lost += unsynced - survived;
        unsynced = survived;
        if round == cuts {
            break;
        }
        let moment = RandomState::new().hash_one(round) % LOAD;
        let_pass(Duration::from_millis(200 + moment));
        let said = machine.cut();
        // What is said after the cut began is said by nobody; what the console lost was not seen as acknowledged.
        for words in words(&said, "ACK") {
            let number: u64 = words[1].parse().expect("a number");
            let last = promised.entry(words[0].to_owned()).or_default();
            *last = number.max(*last);
            acknowledged += 1;
            unsynced += 1;
        }
    }
    assert!(acknowledged > u64::from(cuts), "there was a load: {acknowledged}");
    assert!(
        lost > 0,
        "the cuts were none: nothing that was not synced is lost"
    );
}

/// The words of each line that begins like this.
fn words<'a>(said: &'a str, begins: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let whole = said
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'));
    whole
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(move |words| words[0] == begins)
        .map(|mut words| words.split_off(1))
}
