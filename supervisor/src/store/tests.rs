//! The store on real files: what survives, what is mended, what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::migrate::{Known, Step, migrate};
use super::table::{Record, Table};
use super::{Batch, Finding, Store, StoreError, import};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pump {
    litres: u32,
}

impl Record for Pump {
    const TABLE: &'static str = "pumps";
    const FORMAT: u32 = 2;
}

pub(super) fn value(number: u64) -> Box<RawValue> {
    RawValue::from_string(format!(r#"{{"v":1,"r":{number}}}"#)).expect("JSON")
}

pub(super) fn open(folder: &Path) -> (Store, Vec<Finding>) {
    Store::open(folder).expect("a store")
}

/// A closed store with `count` records, each in a change, and a group, of its own.
pub(super) fn filled(count: u64) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("store");
    let (store, _) = open(&folder);
    for number in 1..=count {
        let batch = Batch::default().put(format!("t/{number:06}"), value(number));
        assert_eq!(store.commit_now(batch).expect("a commit"), number);
    }
    (place, folder)
}

pub(super) fn intact(store: &Store, count: u64) {
    let found = store.scan("t/").expect("a scan");
    assert_eq!(found.len() as u64, count);
    for (number, (key, entry)) in (1..).zip(found) {
        assert_eq!(key, format!("t/{number:06}"));
        assert_eq!(entry.revision, number);
        assert_eq!(entry.value.get(), value(number).get());
    }
}

pub(super) fn journal_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder.join("journal-v1"))
        .expect("a journal")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

pub(super) fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("the damage");
}

#[test]
fn a_page_stays_in_its_part_and_ends_after_its_limit() {
    let (_place, folder) = filled(5);
    let (store, _) = open(&folder);
    let neighbours = Batch::default()
        .put("s/9".to_owned(), value(8))
        .put("t0/1".to_owned(), value(9));
    store.commit_now(neighbours).expect("a commit");
    let page = |after: &str, limit| {
        let page = store.after("t/", after, limit).expect("a page").into_iter();
        page.map(|(key, _)| key).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(page("", 2), "t/000001 t/000002");
    assert_eq!(page("t/000002", 2), "t/000003 t/000004");
    assert_eq!(page("t/0000025", 1), "t/000003", "one that is not there");
    assert_eq!(page("t/000004", 9), "t/000005", "nothing of a neighbour");
    assert_eq!(page("t/000005", 9), "");
    assert_eq!(page("z", 9), "");
}

#[test]
fn one_door_for_one_process() {
    let (_place, folder) = filled(3);
    let (store, findings) = open(&folder);
    assert_eq!(findings, []);
    intact(&store, 3);
    assert!(matches!(Store::open(&folder), Err(StoreError::Locked(_))));
    drop(store);
    intact(&open(&folder).0, 3);
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let (_place, folder) = filled(2);
    let (store, _) = open(&folder);
    let mut watch = store.watch();
    let stale = Batch::default()
        .when("t/000001", 2)
        .put("t/000001", value(9))
        .put("t/000009", value(9));
    assert!(matches!(
        store.commit_now(stale),
        Err(StoreError::Conflict { now: 1, .. })
    ));
    intact(&store, 2);
    let right = Batch::default()
        .when("t/000001", 1)
        .when("t/000003", 0)
        .put("t/000003", value(3));
    assert_eq!(store.commit_now(right).expect("a commit"), 3);
    intact(&store, 3);
    let seen = watch.try_recv().expect("a change");
    assert_eq!((seen.sequence, seen.changes.len()), (3, 1));
    store
        .commit_now(Batch::default().remove("t/000003").remove("t/unknown"))
        .expect("a commit");
    drop(store);
    intact(&open(&folder).0, 2);
}

#[tokio::test]
async fn checkpoints_let_old_segments_go() {
    let (_place, folder) = tokio::task::spawn_blocking(|| filled(10)).await.expect("filled");
    let (store, _) = open(&folder);
    for round in 1..=3_u64 {
        assert_eq!(store.checkpoint().await.expect("a checkpoint"), 9 + round);
        store
            .commit(Batch::default().put(format!("t/{:06}", 10 + round), value(10 + round)))
            .await
            .expect("a commit");
    }
    intact(&store, 13);
    drop(store);
    let names: Vec<String> = journal_files(&folder)
        .iter()
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    let number = |kind: &str, at: u64| format!("{kind}-{at:016x}");
    assert_eq!(
        names,
        [number("c", 11), number("c", 12), number("j", 12), number("j", 13)]
    );
    // The newest checkpoint is damaged: the one before it and the journal have everything.
    fs::remove_dir_all(folder.join("index-v1")).expect("removed");
    flip(&folder.join("journal-v1").join(number("c", 12)), 200);
    let (store, findings) = open(&folder);
    intact(&store, 13);
    assert!(
        findings
            .iter()
            .any(|finding| finding.what.contains("checkpoint is damaged"))
    );
}

#[tokio::test]
async fn an_export_is_everything() {
    let (_place, folder) = tokio::task::spawn_blocking(|| filled(1200))
        .await
        .expect("filled");
    let (store, _) = open(&folder);
    let mut text = Vec::new();
    assert_eq!(store.export(&mut text).await.expect("an export"), 1200);

    let other = tempfile::tempdir().expect("a folder");
    let (copy, _) = open(&other.path().join("store"));
    assert_eq!(import(&copy, &mut &text[..]).await.expect("an import"), 1200);
    let plain = |store: &Store| -> Vec<(String, String)> {
        let all = store.scan("").expect("a scan").into_iter();
        all.map(|(key, entry)| (key, entry.value.get().to_owned()))
            .collect()
    };
    assert_eq!(plain(&copy), plain(&store));
    import(&copy, &mut &text[..])
        .await
        .expect_err("not empty any more");

    let third = tempfile::tempdir().expect("a folder");
    let (copy, _) = open(&third.path().join("store"));
    let cut = &text[..text.len() - 200];
    import(&copy, &mut &cut[..]).await.expect_err("cut short");
}

#[tokio::test]
async fn older_formats_are_brought_up_and_newer_ones_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let (store, _) = open(&place.path().join("store"));
    let raw = |value: Value| RawValue::from_string(value.to_string()).expect("JSON");
    store
        .commit(Batch::default().put("pumps/old", raw(json!({"v": 1, "r": {"gallons": 10}}))))
        .await
        .expect("a commit");
    let known = [Known {
        table: Pump::TABLE,
        format: Pump::FORMAT,
    }];
    let steps = [Step {
        table: "pumps",
        from: 1,
        run: |record| {
            let gallons = record["gallons"].as_u64().ok_or("no gallons")?;
            Ok(json!({"litres": gallons * 38 / 10}))
        },
    }];
    assert!(migrate(&store, &known, &[]).await.is_err(), "no step");
    assert_eq!(migrate(&store, &known, &steps).await.expect("migrated"), 1);
    assert_eq!(migrate(&store, &known, &steps).await.expect("nothing to do"), 0);
    let pumps = Table::<Pump>::of(&store);
    let pump = pumps.get("old").expect("readable").expect("there");
    assert_eq!(pump.record, Pump { litres: 38 });
    let put = Table::<Pump>::put("old", &Pump { litres: 1 }, pump.revision).expect("a batch");
    store.commit(put.clone()).await.expect("a commit");
    assert!(matches!(
        store.commit(put).await,
        Err(StoreError::Conflict { .. })
    ));

    store
        .commit(Batch::default().put("pumps/new", raw(json!({"v": 3, "r": {}}))))
        .await
        .expect("a commit");
    let refused = migrate(&store, &known, &steps).await;
    assert!(matches!(
        refused,
        Err(StoreError::Newer {
            found: 3,
            known: 2,
            ..
        })
    ));
}
