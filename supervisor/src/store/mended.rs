//! Damage to files of the store: what is mended, from what, and what is named.

use std::fs;
use std::path::Path;

use super::batch::{Digest, Line};
use super::journal::frame;
use super::tests::{filled, flip, intact, journal_files, open, value};
use super::{Batch, Store, StoreError};

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
