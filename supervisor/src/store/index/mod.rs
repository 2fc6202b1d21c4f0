//! The index: it answers reads, and the journal can always make it again. On the disk as a rule; in memory from the
//! moment at which that fails until the next start, because nothing that the index does is worth an outage.

mod disk;

use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::disk::Disk;
use super::Finding;
use super::batch::{Change, Commit, Digest, Entry};
use super::error::StoreError;
use super::journal::checkpoint::Records;
use crate::problem::{Code, Problem};

/// Readers and the writer share it.
#[derive(Clone, Debug)]
pub(super) struct Index(Arc<RwLock<Kind>>);

/// Where the records are.
#[derive(Debug)]
enum Kind {
    Disk(Disk),
    /// With the last change that is in them.
    Memory(u64, Records),
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
        Ok((Self::of(disk), state))
    }

    /// Makes a new one in place of whatever is there; in memory when the disk does not take it.
    pub(super) fn create(folder: &Path, findings: &mut Vec<Finding>) -> Self {
        Disk::create(folder).map_or_else(
            |error| {
                findings.push(in_memory(folder, error));
                Self(Arc::new(RwLock::new(Kind::Memory(0, Records::new()))))
            },
            Self::of,
        )
    }

    fn of(disk: Disk) -> Self {
        Self(Arc::new(RwLock::new(Kind::Disk(disk))))
    }

    fn read(&self) -> RwLockReadGuard<'_, Kind> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kind> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on in memory, with these records after change `applied`.
    pub(super) fn stand_in(&self, applied: u64, records: Records) {
        let before = std::mem::replace(&mut *self.write(), Kind::Memory(applied, records));
        // It may panic as it is closed, and is made again at the next start anyway.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(before)));
    }

    /// One record.
    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        match &*self.read() {
            Kind::Disk(disk) => disk.get(key),
            Kind::Memory(_, records) => Ok(records.get(key).cloned()),
        }
    }

    /// All records whose key begins with `prefix`, in order.
    pub(super) fn scan(&self, prefix: &str) -> Result<Records, StoreError> {
        match &*self.read() {
            Kind::Disk(disk) => disk.scan(prefix),
            Kind::Memory(_, records) => Ok(records
                .range(prefix.to_owned()..)
                .take_while(|(key, _)| key.starts_with(prefix))
                .map(|(key, entry)| (key.clone(), entry.clone()))
                .collect()),
        }
    }

    /// The first `limit` of those whose key comes after `after`.
    pub(super) fn after(&self, prefix: &str, after: &str, limit: usize) -> Result<Records, StoreError> {
        match &*self.read() {
            Kind::Disk(disk) => disk.after(prefix, after, limit),
            Kind::Memory(_, records) => Ok(records
                .range::<str, _>((Bound::Excluded(after.max(prefix)), Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(prefix))
                .take(limit)
                .map(|(key, entry)| (key.clone(), entry.clone()))
                .collect()),
        }
    }

    /// Applies a change, and the state after it, at one stroke.
    pub(super) fn apply(&self, commit: &Commit, digest: Digest) -> Result<(), StoreError> {
        if let Kind::Disk(disk) = &*self.read() {
            return disk.apply(commit, digest);
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
