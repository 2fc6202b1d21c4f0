//! The index: it answers reads, and the journal can always make it again. On the disk as a rule; in memory from the
//! moment at which that fails until the next start, because nothing that the index does is worth an outage.

mod disk;

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tracing::warn;

use self::disk::Disk;
use super::Finding;
use super::batch::{Change, Commit, Digest, Entry};
use super::error::StoreError;
use super::journal::checkpoint::Records;
use super::open::read_again;
use crate::problem::{Code, Problem};

/// Readers and the writer share it. Whoever finds the disk failing makes memory stand in, a reader as well as the
/// writer: sled refuses everything after one failed write, be it of its own doing.
#[derive(Clone, Debug)]
pub(super) struct Index(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kind: RwLock<Kind>,
    folder: PathBuf,
    /// The last acknowledged change, up to which the journal is read when memory has to stand in; [`OPENING`] first.
    acknowledged: AtomicU64,
}

/// While the journal is still being read nothing can stand in.
const OPENING: u64 = u64::MAX;

/// Where the records are.
#[derive(Debug)]
enum Kind {
    Disk(Disk),
    /// With the last change that is in them.
    Memory(u64, Records),
}

impl Kind {
    fn replace(&mut self, applied: u64, records: Records) {
        let before = std::mem::replace(self, Self::Memory(applied, records));
        // It may panic as it is closed, and is made again at the next start anyway.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(before)));
    }
}

/// How far the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The last change that is in it.
    pub(super) applied: u64,
    /// Digest of all records.
    pub(super) digest: Digest,
}

impl Index {
    /// Opens the one on the disk and proves it: every record is as the digest of its state says.
    ///
    /// # Errors
    /// When it cannot be used at all; [`Index::create`] makes a new one then.
    pub(super) fn open(folder: &Path) -> Result<(Self, State), StoreError> {
        let (disk, state) = Disk::open(folder)?;
        Ok((Self::of(folder, Kind::Disk(disk)), state))
    }

    /// Makes a new one in place of whatever is there; in memory when the disk does not take it.
    pub(super) fn create(folder: &Path, findings: &mut Vec<Finding>) -> Self {
        let kind = Disk::create(folder).map_or_else(
            |error| {
                findings.push(in_memory(folder, error));
                Kind::Memory(0, Records::new())
            },
            Kind::Disk,
        );
        Self::of(folder, kind)
    }

    fn of(folder: &Path, kind: Kind) -> Self {
        Self(Arc::new(Shared {
            kind: RwLock::new(kind),
            folder: folder.to_owned(),
            acknowledged: AtomicU64::new(OPENING),
        }))
    }

    /// The journal was read, and `applied` is the last change that was acknowledged: from now on memory can stand in.
    pub(super) fn opened(&self, applied: u64) {
        self.0.acknowledged.store(applied, Ordering::Release);
    }

    fn read(&self) -> RwLockReadGuard<'_, Kind> {
        self.0.kind.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kind> {
        self.0.kind.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on in memory, with these records after change `applied`.
    pub(super) fn replace(&self, applied: u64, records: Records) {
        Kind::replace(&mut self.write(), applied, records);
    }

    /// Goes on in memory, with what the journal has; the next who asks has an answer from there.
    ///
    /// # Errors
    /// When the journal does not give back what was written.
    pub(super) fn stand_in(&self, error: StoreError) -> Result<(), StoreError> {
        let acknowledged = self.0.acknowledged.load(Ordering::Acquire);
        if acknowledged == OPENING {
            return Err(error);
        }
        let mut kind = self.write();
        if let Kind::Memory(..) = *kind {
            // Somebody else was faster.
            return Ok(());
        }
        let finding = in_memory(&self.0.folder, error);
        warn!("{}: {}", finding.path.display(), finding.what);
        let journals = self.0.folder.with_file_name(super::JOURNAL);
        // Once more under the lock: the writer may have acknowledged something since.
        let acknowledged = self.0.acknowledged.load(Ordering::Acquire);
        let (state, records) = read_again(&journals, acknowledged)?;
        kind.replace(state.applied, records);
        Ok(())
    }

    fn ask<T>(&self, ask: impl Fn(&Kind) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let answer = ask(&self.read());
        match answer {
            Err(error @ StoreError::Index(_)) => {
                self.stand_in(error)?;
                ask(&self.read())
            }
            answer => answer,
        }
    }

    /// One record.
    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.ask(|kind| match kind {
            Kind::Disk(disk) => disk.get(key),
            Kind::Memory(_, records) => Ok(records.get(key).cloned()),
        })
    }

    /// All records whose key begins with `prefix`, in order.
    pub(super) fn scan(&self, prefix: &str) -> Result<Records, StoreError> {
        self.ask(|kind| match kind {
            Kind::Disk(disk) => disk.scan(prefix),
            Kind::Memory(_, records) => Ok(records
                .range(prefix.to_owned()..)
                .take_while(|(key, _)| key.starts_with(prefix))
                .map(|(key, entry)| (key.clone(), entry.clone()))
                .collect()),
        })
    }

    /// The first `limit` of those whose key comes after `after`.
    pub(super) fn after(&self, prefix: &str, after: &str, limit: usize) -> Result<Records, StoreError> {
        self.ask(|kind| match kind {
            Kind::Disk(disk) => disk.after(prefix, after, limit),
            Kind::Memory(_, records) => Ok(records
                .range::<str, _>((Bound::Excluded(after.max(prefix)), Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(prefix))
                .take(limit)
                .map(|(key, entry)| (key.clone(), entry.clone()))
                .collect()),
        })
    }

    /// Applies a change that was acknowledged, and the state after it, at one stroke.
    ///
    /// # Errors
    /// When neither the disk takes it nor the journal gives back what memory would need.
    pub(super) fn apply(&self, commit: &Commit, digest: Digest) -> Result<(), StoreError> {
        if self.0.acknowledged.load(Ordering::Acquire) != OPENING {
            self.opened(commit.sequence);
        }
        let applied = match &*self.read() {
            Kind::Disk(disk) => disk.apply(commit, digest),
            Kind::Memory(..) => Ok(()),
        };
        if let Err(error) = applied {
            self.stand_in(error)?;
        }
        if let Kind::Memory(applied, records) = &mut *self.write()
            && *applied < commit.sequence
        {
            *applied = commit.sequence;
            for change in &commit.changes {
                apply(records, change, commit.sequence);
            }
        }
        Ok(())
    }

    /// Fills a new one.
    pub(super) fn fill(&self, records: &Records, state: State) -> Result<(), StoreError> {
        if let Kind::Disk(disk) = &*self.read() {
            return disk.fill(records, state);
        }
        *self.write() = Kind::Memory(state.applied, records.clone());
        Ok(())
    }

    /// Writes out what is held back, so that the next opening has less to do.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        match &*self.read() {
            Kind::Disk(disk) => disk.flush(),
            Kind::Memory(..) => Ok(()),
        }
    }
}

/// That the index at `folder` is in memory from now on.
pub(super) fn in_memory(folder: &Path, error: StoreError) -> Finding {
    let problem = Problem::new(Code::Failed, "the index cannot be used").because(error);
    Finding {
        path: folder.to_owned(),
        what: format!("{problem}; the journal has everything, and until the next start memory stands in"),
    }
}

/// Applies a part of change `sequence` to records in memory.
pub(super) fn apply(records: &mut Records, change: &Change, sequence: u64) {
    match &change.value {
        Some(value) => records.insert(
            change.key.clone(),
            Entry {
                revision: sequence,
                value: value.clone(),
            },
        ),
        None => records.remove(&change.key),
    };
}
