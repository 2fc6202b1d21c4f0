//! Opening: the newest whole checkpoint, the changes since, and an index that agrees with them.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::JOURNAL;
use super::batch::Digest;
use super::error::StoreError;
use super::index::{Index, State, in_memory};
use super::journal::Journal;
use super::journal::checkpoint::{self, Records};
use super::journal::files::{Files, set_aside};
use super::journal::read::{History, Hole, Written, history};

/// Something that was wrong when the store was opened, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// In words.
    pub what: String,
}

/// An opened store without its threads.
#[derive(Debug)]
pub(super) struct Opened {
    /// Keeps other processes out for as long as this lives.
    pub(super) _lock: Flock<File>,
    pub(super) index: Index,
    pub(super) journal: Journal,
    pub(super) folder: PathBuf,
    pub(super) state: State,
    pub(super) findings: Vec<Finding>,
}

/// Opens, repairing what can be repaired without a person.
pub(super) fn open(folder: &Path) -> Result<Opened, StoreError> {
    let journals = folder.join(JOURNAL);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&journals)
        .map_err(StoreError::file("make", &journals))?;
    let lock = lock(folder)?;
    let index_folder = folder.join("index-v1");
    let mut findings = Vec::new();

    let files = Files::list(&journals)?;
    let base = newest_checkpoint(&files, &mut findings)?;
    let from_nothing = base.is_none() && files.segments.is_empty();
    let base = base.unwrap_or_default();
    let (since, base_digest) = (base.0, base.1);
    let mut history = history(&files, base, u64::MAX, &mut findings)?;
    if let Some((_, path)) = files.checkpoints.last()
        && from_nothing
    {
        let hole = Hole {
            path: path.clone(),
            offset: 0,
            known: 0,
        };
        history.hole = Some((hole, Vec::new()));
    }
    // A journal that is gone is not a store that never was: the index may have everything.
    let fresh = from_nothing && !index_folder.exists();

    if fresh {
        // Before the index: from now on an index without a journal is one whose journal was lost.
        Journal::resume(&journals, None, 1)?;
    }
    let (index, state) = match Index::open(&index_folder) {
        _ if fresh => (Index::create(&index_folder, &mut findings), None),
        Ok((index, state)) => (index, Some(state)),
        Err(error) => {
            if let Some((hole, _)) = history.hole {
                // What is left of the index may be the only other copy: it stays for a person to look at.
                return Err(damaged(hole));
            }
            if from_nothing {
                // There is nothing to make it from: it stays for a person to look at.
                return Err(error);
            }
            findings.push(Finding {
                path: index_folder.clone(),
                what: format!("{error}; it was made again from the journal"),
            });
            (Index::create(&index_folder, &mut findings), None)
        }
    };
    let mended = mend(&journals, &index, state, since, &mut history, &mut findings)?;
    let (index, state, last) = if let Some(state) = mended {
        (index, state, None)
    } else {
        let (index, state) = catch_up(
            &index_folder,
            (index, state),
            State {
                applied: since,
                digest: base_digest,
            },
            &history,
            &mut findings,
        );
        (index, state, history.last)
    };
    let journal = Journal::resume(&journals, last, state.applied + 1)?;
    index.opened(state.applied);
    Ok(Opened {
        _lock: lock,
        index,
        journal,
        folder: journals,
        state,
        findings,
    })
}

fn lock(folder: &Path) -> Result<Flock<File>, StoreError> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(StoreError::file("open", &path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        nix::errno::Errno::EAGAIN => StoreError::Locked(folder.to_owned()),
        error => StoreError::file("lock", &path)(error.into()),
    })
}

fn damaged(hole: Hole) -> StoreError {
    StoreError::Damaged {
        path: hole.path,
        offset: hole.offset,
        known: hole.known,
    }
}

type Checkpoint = (u64, Digest, Records);

fn newest_checkpoint(files: &Files, findings: &mut Vec<Finding>) -> Result<Option<Checkpoint>, StoreError> {
    for (_, path) in files.checkpoints.iter().rev() {
        if let Some(found) = checkpoint::read(path)? {
            return Ok(Some(found));
        }
        let aside = set_aside(path)?;
        findings.push(Finding {
            path: path.clone(),
            what: format!(
                "this checkpoint is damaged; the one before and the journal stood in for it, it is kept as {}",
                aside.display()
            ),
        });
    }
    Ok(None)
}

/// Where the journal lost something that was acknowledged, a proven index that is further makes it whole: it
/// becomes the new checkpoint. `None` when there was nothing to mend.
fn mend(
    journals: &Path,
    index: &Index,
    state: Option<State>,
    since: u64,
    history: &mut History,
    findings: &mut Vec<Finding>,
) -> Result<Option<State>, StoreError> {
    let known = history
        .before
        .last()
        .map_or(since, |written| written.commit.sequence);
    let (hole, after) = match history.hole.take() {
        Some((hole, after)) => (Some(hole), after),
        None => (None, Vec::new()),
    };
    let end = after.last().map_or(known, |written| written.commit.sequence);
    let Some(mut state) = state.filter(|state| state.applied > known) else {
        return match hole {
            None => Ok(None),
            Some(hole) => Err(damaged(hole)),
        };
    };
    // What was found whole behind the hole, and the index does not have yet; there may be a second hole in it.
    let indexed = state.applied;
    for written in after.iter().filter(|written| written.commit.sequence > indexed) {
        if written.commit.sequence != state.applied + 1 {
            let hole = hole.as_ref();
            return Err(StoreError::Damaged {
                path: hole.map_or_else(|| journals.to_owned(), |hole| hole.path.clone()),
                offset: hole.map_or(0, |hole| hole.offset),
                known,
            });
        }
        index.apply(&written.commit, written.digest)?;
        state = State {
            applied: written.commit.sequence,
            digest: written.digest,
        };
    }
    let records = index.scan("")?;
    if Digest::of(&records) != state.digest {
        // The index was on another path than what follows the damage.
        return Err(damaged(hole.unwrap_or_else(|| Hole {
            path: journals.to_owned(),
            offset: 0,
            known,
        })));
    }
    checkpoint::write(journals, state.applied, state.digest, &records)?;
    let files = Files::list(journals)?;
    for (_, path) in files
        .segments
        .iter()
        .filter(|(first, _)| *first > since || hole.is_some())
    {
        set_aside(path)?;
    }
    findings.push(Finding {
        path: hole.map_or_else(|| journals.to_owned(), |hole| hole.path),
        what: format!(
            "changes {} to {} were damaged here; the index had them, and a new checkpoint was made from it",
            known + 1,
            state.applied.max(end)
        ),
    });
    Ok(Some(state))
}

/// Brings the index to the end of the journal; makes it again when it is not on the journal's path.
fn catch_up(
    folder: &Path,
    (mut index, found): (Index, Option<State>),
    begin: State,
    history: &History,
    findings: &mut Vec<Finding>,
) -> (Index, State) {
    let states = || std::iter::once(begin).chain(history.before.iter().map(Written::state));
    let end = history.before.last().map_or(begin, Written::state);
    let caught_up = match found {
        Some(found) if states().any(|state| state == found) => history
            .before
            .iter()
            .filter(|written| written.commit.sequence > found.applied)
            .try_for_each(|written| index.apply(&written.commit, written.digest)),
        found => {
            if found.is_some() {
                drop(index);
                index = Index::create(folder, findings);
            }
            index.fill(&history.records, end)
        }
    };
    if let Err(error) = caught_up {
        findings.push(in_memory(folder, error));
        index.replace(end.applied, history.records.clone());
    }
    (index, end)
}

/// Reads the journal in `journals` once more while it is open; the records after change `end`, the last that was
/// acknowledged: what a write left behind that failed is nobody's.
pub(super) fn read_again(journals: &Path, end: u64) -> Result<(State, Records), StoreError> {
    let mut findings = Vec::new();
    let files = Files::list(journals)?;
    let base = newest_checkpoint(&files, &mut findings)?.unwrap_or_default();
    let begin = State {
        applied: base.0,
        digest: base.1,
    };
    let history = history(&files, base, end, &mut findings)?;
    match history.hole {
        Some((hole, _)) => Err(damaged(hole)),
        None => Ok((
            history.before.last().map_or(begin, Written::state),
            history.records,
        )),
    }
}

/// Whether a folder holds a store.
#[must_use]
pub fn exists(folder: &Path) -> bool {
    fs::read_dir(folder.join(JOURNAL)).is_ok_and(|mut entries| entries.next().is_some())
}
