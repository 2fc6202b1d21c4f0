//! Reads the segments back, and tells a write that was broken off from damage to what was promised.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::checkpoint::Records;
use super::files::{Files, set_aside, sync_folder};
use super::frame;
use crate::store::Finding;
use crate::store::batch::{Change, Commit, Digest, Entry, Line};
use crate::store::error::StoreError;
use crate::store::index::{State, apply};

/// One change as the journal has it.
#[derive(Debug)]
pub(in crate::store) struct Written {
    /// The change.
    pub(in crate::store) commit: Commit,
    /// Digest of all records after it.
    pub(in crate::store) digest: Digest,
}

impl Written {
    /// How far a store is that has it.
    pub(in crate::store) fn state(&self) -> State {
        State {
            applied: self.commit.sequence,
            digest: self.digest,
        }
    }
}

/// Damage to acknowledged changes.
#[derive(Clone, Debug)]
pub(in crate::store) struct Hole {
    /// The file.
    pub(in crate::store) path: PathBuf,
    /// Where it begins.
    pub(in crate::store) offset: u64,
    /// The last change before it.
    pub(in crate::store) known: u64,
}

/// All that could be read.
#[derive(Debug, Default)]
pub(in crate::store) struct History {
    /// In order, without a gap, each proven by its digest.
    pub(in crate::store) before: Vec<Written>,
    /// What the records are after them.
    pub(in crate::store) records: Records,
    /// The first damage, and what was found whole behind it.
    pub(in crate::store) hole: Option<(Hole, Vec<Written>)>,
    /// The last segment, and how much of it is whole.
    pub(in crate::store) last: Option<(PathBuf, u64)>,
}

/// Reads the changes after those of a checkpoint (its last one, its digest and its records), up to change `last`.
/// With a `last` nothing is looked at behind it, nor cut off: somebody may be writing there.
pub(in crate::store) fn history(
    files: &Files,
    (since, mut digest, records): (u64, Digest, Records),
    last: u64,
    findings: &mut Vec<Finding>,
) -> Result<History, StoreError> {
    let mut history = History {
        records,
        ..History::default()
    };
    let mut known = since;
    // The newest segment that begins at or before the first change that is needed, and all after it.
    let begin = files
        .segments
        .iter()
        .rposition(|(first, _)| *first <= since + 1)
        .unwrap_or(0);
    let segments = &files.segments[begin..];
    for (number, (first, path)) in segments.iter().enumerate() {
        let is_last = number + 1 == segments.len();
        // What stands here of changes that the next segment has was never acknowledged: the disk failed, and the store
        // went on in another file.
        let next = segments.get(number + 1).map_or(u64::MAX, |(first, _)| *first);
        let end = next.min(last.saturating_add(1));
        let bytes = fs::read(path).map_err(StoreError::file("read", path))?;
        if *first > known + 1 && history.hole.is_none() {
            // A whole segment is missing.
            let hole = Hole {
                path: path.clone(),
                offset: 0,
                known,
            };
            history.hole = Some((hole, Vec::new()));
        }
        let mut at = 0;
        while at < bytes.len() && known + 1 < end {
            let rest = &bytes[at..];
            let line = frame::read(rest).and_then(|frame| Some((frame, parse(frame)?)));
            let (frame, (written, _)) = match line {
                Some(line) => line,
                None => {
                    let next = following(rest);
                    if let Some((skip, (written, _))) = &next
                        && written.commit.sequence <= known + 1
                    {
                        findings.push(Finding {
                            path: path.clone(),
                            what: format!(
                                "{skip} bytes at {at} are damaged; a checkpoint has what they held"
                            ),
                        });
                        at += skip;
                        continue;
                    }
                    if is_last && history.hole.is_none() && was_torn(rest, known) {
                        cut(path, at, &bytes, findings)?;
                        history.last = Some((path.clone(), at as u64));
                        return Ok(history);
                    }
                    if history.hole.is_none() {
                        let hole = Hole {
                            path: path.clone(),
                            offset: at as u64,
                            known,
                        };
                        history.hole = Some((hole, Vec::new()));
                    }
                    match next {
                        Some((skip, _)) => at += skip,
                        None => break,
                    }
                    continue;
                }
            };
            at += frame.length;
            let sequence = written.commit.sequence;
            if sequence <= known {
                continue;
            }
            if sequence >= end {
                break;
            }
            // Also whole lines can be in the wrong place: blocks of another file, or of another time.
            let follows = history.hole.is_none()
                && sequence == known + 1
                && follows(&mut digest, &mut history.records, &written);
            if !follows && history.hole.is_none() {
                let hole = Hole {
                    path: path.clone(),
                    offset: (at - frame.length) as u64,
                    known,
                };
                history.hole = Some((hole, Vec::new()));
            }
            known = sequence;
            match &mut history.hole {
                None => history.before.push(written),
                Some((_, after)) => after.push(written),
            }
        }
        history.last = Some((path.clone(), bytes.len() as u64));
    }
    Ok(history)
}

/// Applies a change; whether that leads to the digest that it was written with.
fn follows(digest: &mut Digest, records: &mut Records, written: &Written) -> bool {
    let mut toggle = |key: &String, entry: Option<&Entry>| {
        if let Some(entry) = entry {
            digest.toggle(key, entry.revision, entry.value.get());
        }
    };
    for change in &written.commit.changes {
        toggle(&change.key, records.get(&change.key));
        apply(records, change, written.commit.sequence);
        toggle(&change.key, records.get(&change.key));
    }
    *digest == written.digest
}

/// Whether damage after change `known` is what a write that was broken off left behind: a group that was begun after
/// the damaged one proves that this one was acknowledged.
fn was_torn(rest: &[u8], known: u64) -> bool {
    let mut at = 0;
    while let Some((skip, (_, group))) = rest.get(at..).and_then(following) {
        if group > known + 1 {
            return false;
        }
        at += skip;
    }
    true
}

/// The next whole change after damage.
fn following(rest: &[u8]) -> Option<(usize, (Written, u64))> {
    let mut skipped = 0;
    loop {
        let (skip, frame) = frame::find(rest.get(skipped..)?)?;
        skipped += skip;
        if let Some(found) = parse(frame) {
            return Some((skipped, found));
        }
    }
}

/// A change and the first one of its group.
fn parse(frame: frame::Frame<'_>) -> Option<(Written, u64)> {
    let text = std::str::from_utf8(frame.payload).ok()?;
    let line: Line<'_> = serde_json::from_str(text).ok()?;
    let changes = line.changes.into_iter().map(|(key, value)| Change {
        key,
        value: value.map(ToOwned::to_owned),
    });
    let commit = Commit {
        sequence: frame.sequence,
        changes: changes.collect(),
    };
    let written = Written {
        commit,
        digest: line.digest,
    };
    Some((written, line.group))
}

/// Cuts off what was never acknowledged, and keeps it beside.
fn cut(path: &Path, at: usize, bytes: &[u8], findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(path);
    let mut name = path.as_os_str().to_owned();
    name.push(".torn");
    let aside = PathBuf::from(name);
    if aside.exists() {
        set_aside(&aside)?;
    }
    let mut kept = fs::File::create(&aside).map_err(StoreError::file("make", &aside))?;
    kept.write_all(&bytes[at..])
        .and_then(|()| kept.sync_all())
        .map_err(StoreError::file("write", &aside))?;
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(StoreError::file("open", path))?;
    file.set_len(at as u64)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(folder))
        .map_err(StoreError::file("cut", path))?;
    findings.push(Finding {
        path: path.to_owned(),
        what: format!(
            "{} bytes at its end were written but never acknowledged (a crash or a power cut): cut off, kept in {}",
            bytes.len() - at,
            aside.display()
        ),
    });
    Ok(())
}
