//! The store on real files: what survives, what is mended, what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::batch::{Digest, Line};
use super::journal::frame;
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

fn value(number: u64) -> Box<RawValue> {
    RawValue::from_string(format!(r#"{{"v":1,"r":{number}}}"#)).expect("JSON")
}

fn open(folder: &Path) -> (Store, Vec<Finding>) {
    Store::open(folder).expect("a store")
}

/// A closed store with `count` records, each in a change, and a group, of its own.
fn filled(count: u64) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("store");
    let (store, _) = open(&folder);
    for number in 1..=count {
        let batch = Batch::default().put(format!("t/{number:06}"), value(number));
        assert_eq!(store.commit_now(batch).expect("a commit"), number);
    }
    (place, folder)
}

fn intact(store: &Store, count: u64) {
    let found = store.scan("t/").expect("a scan");
    assert_eq!(found.len() as u64, count);
    for (number, (key, entry)) in (1..).zip(found) {
        assert_eq!(key, format!("t/{number:06}"));
        assert_eq!(entry.revision, number);
        assert_eq!(entry.value.get(), value(number).get());
    }
}

fn journal_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder.join("journal-v1"))
        .expect("a journal")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

fn flip(path: &Path, at: usize) {
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

#[test]
fn an_index_that_is_damaged_or_gone_is_made_again() {
    for damage in ["gone", "flipped", "opening"] {
        let (_place, folder) = filled(40);
        let index = folder.join("index-v1");
        match damage {
            "gone" => fs::remove_dir_all(&index).expect("removed"),
            "flipped" => {
                let file = index.join("db");
                for at in (64..fs::metadata(&file).expect("a file").len() as usize).step_by(97) {
                    flip(&file, at);
                }
            }
            // An opening that took the whole process with it.
            _ => fs::write(folder.join("index-v1.opening"), []).expect("a marker"),
        }
        let (store, findings) = open(&folder);
        intact(&store, 40);
        assert_eq!(findings.len(), 1, "{damage}: {findings:?}");
        assert!(findings[0].what.contains("made again"), "{findings:?}");
        drop(store);
        assert_eq!(open(&folder).1, []);
    }
}

/// sled refuses everything after one failed write, at any moment and to whoever asks next.
#[test]
fn an_index_that_fails_while_it_is_used_costs_nothing() {
    const CHANGES: u64 = 300;
    let (_place, folder) = filled(20);
    let (store, _) = open(&folder);
    let write = || {
        for number in 21..=CHANGES {
            let batch = Batch::default().put(format!("t/{number:06}"), value(number));
            assert_eq!(store.commit_now(batch).expect("a commit"), number);
        }
    };
    let read = || {
        let mut seen = 20;
        while seen < CHANGES {
            let found = store.scan("t/").expect("a scan").len() as u64;
            assert!(found >= seen, "{found} after {seen}");
            if seen < CHANGES / 2 && found >= CHANGES / 2 {
                let error = StoreError::Index("a test".to_owned());
                store.index.stand_in(error).expect("memory");
            }
            seen = found;
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(write);
        scope.spawn(read);
        scope.spawn(read);
    });
    intact(&store, CHANGES);
    drop(store);
    let (store, _) = open(&folder);
    intact(&store, CHANGES);
}

#[test]
fn memory_stands_in_with_what_was_acknowledged_and_no_more() {
    let (_place, folder) = filled(5);
    let (store, _) = open(&folder);
    // A write that failed may have left whole lines: here those of a store that went on further.
    let (_other, further) = filled(7);
    let journal = journal_files(&folder).pop().expect("a segment");
    fs::copy(journal_files(&further).pop().expect("a segment"), &journal).expect("more lines");
    let error = StoreError::Index("a test".to_owned());
    store.index.stand_in(error).expect("memory");
    intact(&store, 5);
}

#[test]
fn what_was_never_acknowledged_is_cut_off_and_kept() {
    let (_place, folder) = filled(5);
    let journal = journal_files(&folder).pop().expect("a segment");
    let mut bytes = fs::read(&journal).expect("a segment");
    bytes.extend_from_slice(b"0000000000000006 12345678 000000ff {\"half\":");
    fs::write(&journal, bytes).expect("a torn write");
    let (store, findings) = open(&folder);
    intact(&store, 5);
    assert!(findings[0].what.contains("never acknowledged"), "{findings:?}");
    store
        .commit_now(Batch::default().put("t/000006", value(6)))
        .expect("a commit");
    drop(store);
    let (store, findings) = open(&folder);
    assert_eq!(findings, []);
    intact(&store, 6);
}

#[test]
fn damage_to_the_journal_is_mended_from_the_index_or_named() {
    for at in [0, 40, 700, 1500] {
        let (_place, folder) = filled(20);
        let journal = journal_files(&folder).pop().expect("a segment");
        flip(&journal, at);
        let (store, findings) = open(&folder);
        intact(&store, 20);
        assert!(findings[0].what.contains("the index had them"), "{findings:?}");
        store
            .commit_now(Batch::default().put("t/000021", value(21)))
            .expect("a commit");
        drop(store);
        let (store, findings) = open(&folder);
        assert_eq!(findings, [], "mended for good");
        intact(&store, 21);
    }
    let (_place, folder) = filled(20);
    let journal = journal_files(&folder).pop().expect("a segment");
    flip(&journal, 700);
    fs::remove_dir_all(folder.join("index-v1")).expect("removed");
    let error = Store::open(&folder).expect_err("acknowledged records are lost");
    assert!(
        matches!(&error, StoreError::Damaged { path, .. } if *path == journal),
        "{error}"
    );
    assert!(journal.exists(), "nothing was changed");
}

/// Two changes that were made durable together, then one of its own.
fn grouped(folder: &Path) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut digest = Digest::default();
    for (number, group) in [(1, 1), (2, 1), (3, 3)] {
        let key = format!("t/{number:06}");
        let value = value(number);
        digest.toggle(&key, number, value.get());
        let line = Line {
            group,
            digest,
            changes: vec![(key, Some(&value))],
        };
        frame::write(&mut lines, number, &serde_json::to_vec(&line).expect("JSON"));
    }
    fs::create_dir_all(folder.join("journal-v1")).expect("a folder");
    fs::write(folder.join("journal-v1/j-0000000000000001"), &lines).expect("a journal");
    lines
}

#[test]
fn a_group_before_another_one_was_acknowledged() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("store");
    grouped(&folder);
    intact(&open(&folder).0, 3);
    fs::remove_dir_all(folder.join("index-v1")).expect("removed");
    let journal = folder.join("journal-v1/j-0000000000000001");
    flip(&journal, 40);
    let error = Store::open(&folder).expect_err("acknowledged records are lost");
    assert!(matches!(error, StoreError::Damaged { known: 0, .. }), "{error}");

    // Without the last group the first may have been torn: neither of its changes was promised.
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("store");
    let lines = grouped(&folder);
    let journal = folder.join("journal-v1/j-0000000000000001");
    fs::write(&journal, &lines[..lines.len() / 3 * 2]).expect("a shorter journal");
    flip(&journal, 40);
    let (store, findings) = open(&folder);
    assert!(findings[0].what.contains("never acknowledged"), "{findings:?}");
    intact(&store, 0);
}

#[test]
fn a_journal_that_is_gone_is_made_from_the_index_or_named() {
    let (_place, folder) = filled(7);
    for path in journal_files(&folder) {
        fs::remove_file(path).expect("removed");
    }
    intact(&open(&folder).0, 7);
    for path in journal_files(&folder) {
        if path.to_string_lossy().contains("/c-") {
            flip(&path, 100);
        } else {
            fs::remove_file(path).expect("removed");
        }
    }
    fs::remove_dir_all(folder.join("index-v1")).expect("removed");
    assert!(matches!(
        Store::open(&folder).expect_err("everything is lost"),
        StoreError::Damaged { .. }
    ));
}

#[test]
fn any_single_damage_loses_nothing_in_silence() {
    let (_place, origin) = filled(12);
    let length = fs::metadata(journal_files(&origin).pop().expect("a segment"))
        .expect("a file")
        .len();
    for at in (0..length as usize).step_by(7) {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("store");
        for part in ["journal-v1", "index-v1"] {
            fs::create_dir_all(folder.join(part)).expect("a folder");
            for entry in fs::read_dir(origin.join(part)).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_file() {
                    let name = path.file_name().expect("a name");
                    fs::copy(&path, folder.join(part).join(name)).expect("a copy");
                }
            }
        }
        flip(&journal_files(&folder).pop().expect("a segment"), at);
        let (store, findings) = open(&folder);
        assert!(!findings.is_empty(), "damage at {at} was not noticed");
        intact(&store, 12);
    }
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
