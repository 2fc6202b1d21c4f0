//! Any damage to a real journal: what opens is a state that was acknowledged, and what does not is named.
//!
//! A truncated end cannot be told from a write that was broken off, unless the index knows more. Everything else that
//! is lost must be said.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError};
use serde_json::value::RawValue;

use super::batch::Line;
use super::journal::frame;
use super::writer::Order;
use super::{Batch, Finding, Store, StoreError};

/// For opening a store of some kilobytes on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys and values, and the revision of each.
type State = Vec<(String, u64, String)>;

/// A store that was written and closed, and its state after each change.
struct Origin {
    place: tempfile::TempDir,
    states: Vec<State>,
    /// The first change of the last group.
    last_group: u64,
}

static ORIGIN: LazyLock<Origin> = LazyLock::new(origin);

fn state(store: &Store) -> State {
    let all = store.scan("").expect("a scan").into_iter();
    all.map(|(key, entry)| (key, entry.revision, entry.value.get().to_owned()))
        .collect()
}

/// Groups of one to five changes, over a few keys, with removals; two checkpoints in between.
fn origin() -> Origin {
    let place = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(&place.path().join("store")).expect("a store");
    let mut states = vec![Vec::new()];
    let mut number = 0_u64;
    for group in 0..24 {
        let batches: Vec<Batch> = (0..=group % 5)
            .map(|_| {
                number += 1;
                let value = format!(
                    "{{\"n\":{number},\"t\":\"{}\"}}",
                    "x".repeat(number as usize * 7 % 300)
                );
                let value = RawValue::from_string(value).expect("JSON");
                let batch = Batch::default().put(format!("t/{}", number % 7), value);
                if number.is_multiple_of(3) {
                    batch.remove(format!("t/{}", (number + 2) % 7))
                } else {
                    batch
                }
            })
            .collect();
        for batch in &batches {
            states.push(after(states.last().expect("one"), batch, states.len() as u64));
        }
        let answers: Vec<_> = batches
            .into_iter()
            .map(|batch| store.writer.ask(|answer| Order::Commit(batch, answer)))
            .collect();
        for answer in answers {
            answer.blocking_recv().expect("an answer").expect("a commit");
        }
        if group == 7 || group == 15 {
            let answer = store.writer.ask(Order::Checkpoint);
            answer.blocking_recv().expect("an answer").expect("a checkpoint");
        }
    }
    assert_eq!(&state(&store), states.last().expect("one"));
    drop(store);
    let segment = files(place.path()).pop().expect("a segment");
    let last_group = last_group(&fs::read(segment).expect("a segment"));
    Origin {
        place,
        states,
        last_group,
    }
}

fn after(before: &State, batch: &Batch, revision: u64) -> State {
    let mut records = before.clone();
    for change in &batch.changes {
        records.retain(|(key, ..)| *key != change.key);
        if let Some(value) = &change.value {
            records.push((change.key.clone(), revision, value.get().to_owned()));
        }
    }
    records.sort();
    records
}

/// The first change of the last group in a segment that is whole.
fn last_group(bytes: &[u8]) -> u64 {
    let (mut at, mut group) = (0, 0);
    while let Some(frame) = frame::read(&bytes[at..]) {
        let text = std::str::from_utf8(frame.payload).expect("text");
        let line: Line<'_> = serde_json::from_str(text).expect("a line");
        group = line.group;
        at += frame.length;
    }
    group
}

/// The files of its journal, the newest segment last.
fn files(place: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(place.join("store/journal-v1"))
        .expect("a journal")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// What can happen to a file; places are parts of whatever length it has.
#[derive(Clone, Debug)]
enum Damage {
    Truncate(Index),
    Flip(Index, u8),
    Zeros(Index, usize),
    ZerosToTheEnd(Index),
    /// Blocks of a disk: one in place of another, one more, two that changed places.
    Copy(Index, Index),
    Insert(Index, Index),
    Swap(Index, Index),
    /// The same with whole lines, which have their checksums with them.
    DropLine(Index),
    RepeatLine(Index, Index),
    SwapLines(Index, Index),
    Remove,
}

impl Damage {
    fn on(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        let length = bytes.len();
        let block = |at: &Index| {
            let begin = at.index(length) / 512 * 512;
            begin..(begin + 512).min(length)
        };
        match self {
            Self::Truncate(at) => bytes.truncate(at.index(length)),
            Self::Flip(at, bit) => bytes[at.index(length)] ^= 1 << (bit % 8),
            Self::Zeros(at, count) => {
                let begin = at.index(length);
                bytes[begin..(begin + count).min(length)].fill(0);
            }
            Self::ZerosToTheEnd(at) => bytes[at.index(length)..].fill(0),
            Self::Copy(from, to) => {
                let from = bytes[block(from)].to_vec();
                let to = block(to);
                let count = from.len().min(to.len());
                bytes[to][..count].copy_from_slice(&from[..count]);
            }
            Self::Insert(from, at) => {
                let from = bytes[block(from)].to_vec();
                let at = block(at).start;
                bytes.splice(at..at, from);
            }
            Self::Swap(one, other) => {
                let (one, other) = (block(one), block(other));
                let count = one.len().min(other.len());
                for at in 0..count {
                    bytes.swap(one.start + at, other.start + at);
                }
            }
            Self::DropLine(at) => return lines(&bytes, |lines| drop(lines.remove(at.index(lines.len())))),
            Self::RepeatLine(from, to) => {
                return lines(&bytes, |lines| {
                    let line = lines[from.index(lines.len())].clone();
                    lines.insert(to.index(lines.len() + 1), line);
                });
            }
            Self::SwapLines(one, other) => {
                return lines(&bytes, |lines| {
                    let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                    lines.swap(one, other);
                });
            }
            Self::Remove => return None,
        }
        Some(bytes)
    }
}

fn lines(bytes: &[u8], change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Option<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    change(&mut lines);
    Some(lines.concat())
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<Index>;
    prop_oneof![
        place().prop_map(Damage::Truncate),
        (place(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (place(), 1..3000_usize).prop_map(|(at, count)| Damage::Zeros(at, count)),
        place().prop_map(Damage::ZerosToTheEnd),
        (place(), place()).prop_map(|(from, to)| Damage::Copy(from, to)),
        (place(), place()).prop_map(|(from, to)| Damage::Insert(from, to)),
        (place(), place()).prop_map(|(one, other)| Damage::Swap(one, other)),
        place().prop_map(Damage::DropLine),
        (place(), place()).prop_map(|(from, to)| Damage::RepeatLine(from, to)),
        (place(), place()).prop_map(|(one, other)| Damage::SwapLines(one, other)),
        Just(Damage::Remove),
    ]
}

/// A copy of the origin with damage in some of its files; whether a whole line of the last group is still there, which
/// proves what was acknowledged before it.
fn damaged(all: &[(Index, Damage)], with_index: bool) -> (tempfile::TempDir, bool) {
    let place = tempfile::tempdir().expect("a folder");
    for part in ["journal-v1", "index-v1"] {
        let to = place.path().join("store").join(part);
        fs::create_dir_all(&to).expect("a folder");
        if part == "index-v1" && !with_index {
            fs::remove_dir(to).expect("removed");
            continue;
        }
        for entry in fs::read_dir(ORIGIN.place.path().join("store").join(part)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a copy");
            }
        }
    }
    let files = files(place.path());
    for (file, damage) in all {
        let path = file.get(&files);
        let Ok(bytes) = fs::read(path) else { continue };
        if bytes.is_empty() {
            continue;
        }
        match damage.on(&bytes) {
            Some(bytes) => fs::write(path, bytes).expect("the damage"),
            None => fs::remove_file(path).expect("removed"),
        }
    }
    let last = fs::read(files.last().expect("a segment")).unwrap_or_default();
    let mut lines = last
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(frame::read);
    let proven = lines.any(|frame| frame.sequence >= ORIGIN.last_group);
    (place, proven)
}

/// Opens a store; an endless loop is a failure too.
fn open(place: &Path) -> Result<(State, u64, Vec<Finding>), StoreError> {
    let folder = place.join("store");
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let opened = Store::open(&folder).map(|(store, findings)| {
            let found = state(&store);
            let value = RawValue::from_string("1".to_owned()).expect("JSON");
            // It is one to work with, not only to look at.
            let next = store
                .commit_now(Batch::default().put("t/next", value))
                .expect("a commit");
            (found, next - 1, findings)
        });
        let _ = sender.send(opened);
    });
    let opened = receiver
        .recv_timeout(PATIENCE)
        .expect("it comes to an end, without a panic");
    thread.join().expect("no panic");
    opened
}

fn judge(all: &[(Index, Damage)], with_index: bool) -> Result<(), TestCaseError> {
    let (place, proven) = damaged(all, with_index);
    let last = ORIGIN.states.len() - 1;
    match open(place.path()) {
        Ok((found, applied, findings)) => {
            let applied = usize::try_from(applied).expect("a number");
            prop_assert!(applied <= last);
            prop_assert_eq!(&found, &ORIGIN.states[applied], "after change {}", applied);
            if proven {
                let known = applied as u64 + 1;
                prop_assert!(
                    known >= ORIGIN.last_group,
                    "{} of {}: {:?}",
                    applied,
                    last,
                    findings
                );
            }
            if with_index {
                prop_assert_eq!(applied, last, "the index knew more: {:?}", findings);
            }
            // What was mended stays so.
            let (again, next, _) = open(place.path()).expect("it opens again");
            prop_assert_eq!(next, applied as u64 + 1);
            prop_assert!(again.iter().any(|(key, ..)| key == "t/next"));
        }
        Err(StoreError::Damaged { path, .. }) => {
            prop_assert!(path.starts_with(place.path()));
        }
        Err(other) => return Err(TestCaseError::fail(format!("{other}"))),
    }
    Ok(())
}

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    Config {
        cases: cases.unwrap_or(48),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn without_an_index_a_prefix_opens_or_the_damage_is_named(
        all in prop::collection::vec((any::<Index>(), damage()), 1..4),
    ) {
        judge(&all, false)?;
    }

    #[test]
    fn with_its_index_nothing_is_lost_or_the_damage_is_named(one in (any::<Index>(), damage())) {
        judge(&[one], true)?;
    }
}
