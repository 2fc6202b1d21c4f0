//! Migrations that are killed: by SIGKILL, wherever they are.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::migrate::{Known, Step, migrate};
use super::{Batch, Store};

/// Where the store is that the child brings up.
const FOLDER: &str = "REDHOLD_TEST_MIGRATION";

/// Records of each table, each so long that a table takes several changes.
const RECORDS: u64 = 100;
const LENGTH: usize = 8000;

const TABLES: [&str; 2] = ["motors", "pumps"];

fn known() -> [Known; 2] {
    TABLES.map(|table| Known { table, format: 3 })
}

fn steps() -> Vec<Step> {
    let step = |table, from, run| Step { table, from, run };
    let second: fn(Value) -> Result<Value, String> = |mut record| {
        // Whoever kills this counts along; slow enough that the signal comes in between.
        writeln!(std::io::stdout(), "one more").map_err(|error| error.to_string())?;
        std::thread::park_timeout(Duration::from_millis(1));
        record["second"] = json!(record["number"].as_u64().ok_or("no number")? * 2);
        Ok(record)
    };
    let third: fn(Value) -> Result<Value, String> = |mut record| {
        record["third"] = json!(record["second"].as_u64().ok_or("no second")? + 1);
        Ok(record)
    };
    TABLES
        .iter()
        .flat_map(|table| [step(*table, 1, second), step(*table, 2, third)])
        .collect()
}

fn filled(folder: &Path) {
    let (store, _) = Store::open(folder).expect("a store");
    for table in TABLES {
        for number in 0..RECORDS {
            let record = json!({ "v": 1, "r": { "number": number, "text": "x".repeat(LENGTH) } });
            let value = RawValue::from_string(record.to_string()).expect("JSON");
            let batch = Batch::default().put(format!("{table}/{number:04}"), value);
            store.commit_now(batch).expect("a commit");
        }
    }
}

/// How many records have the newest format; each must be whole, in the one or the other.
fn raised(store: &Store) -> u64 {
    let mut raised = 0;
    for table in TABLES {
        let all = store.scan(&format!("{table}/")).expect("a scan");
        assert_eq!(all.len() as u64, RECORDS);
        for (number, (_, entry)) in (0..).zip(all) {
            let stored: Value = serde_json::from_str(entry.value.get()).expect("JSON");
            assert_eq!(stored["r"]["number"], number);
            match stored["v"].as_u64() {
                Some(1) => assert!(stored["r"]["second"].is_null()),
                Some(3) => {
                    assert_eq!(stored["r"]["third"], number * 2 + 1);
                    raised += 1;
                }
                other => panic!("a record has format {other:?}"),
            }
        }
    }
    raised
}

/// What is killed.
fn bring_up(folder: &Path) {
    let (store, _) = Store::open(folder).expect("a store");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a loop");
    runtime
        .block_on(migrate(&store, &known(), &steps()))
        .expect("migrated");
}

#[test]
fn a_migration_that_is_killed_goes_on_where_it_was() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return bring_up(Path::new(&folder));
    }
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("store");
    filled(&folder);
    let (mut halves, mut before) = (0, 0);
    // Past one or two strokes each time, and in the middle of the next one; the last is left alone.
    for after in [1, 30, 40, 35, 70, 5, 66, 45, 50, usize::MAX] {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "store::killed::a_migration_that_is_killed_goes_on_where_it_was",
                "--nocapture",
            ])
            .env(FOLDER, &folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let seen = lines
            .map_while(Result::ok)
            .filter(|line| line.ends_with("one more"))
            .take(after)
            .count();
        if seen == after {
            child.kill().expect("killed");
        }
        child.wait().expect("collected");
        let (store, _) = Store::open(&folder).expect("a store that opens");
        let now = raised(&store);
        assert!(now >= before, "{before} records were raised, and now {now}");
        before = now;
        halves += u32::from(now > 0 && now < RECORDS * 2);
    }
    assert_eq!(before, RECORDS * 2, "it got to its end");
    assert!(halves > 2, "it was killed in its middle");
}
