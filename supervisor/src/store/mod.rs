//! The one door to what the control plane remembers: get, scan, pages, compare-and-swap batches, watch.
//!
//! The truth is an fsynced, checksummed journal of plain records (`journal`); sled is an index over it that is made
//! again when it is damaged (`index`). One thread writes (`writer`), so conditions of batches need no locks; reads go
//! to the index at once. Keys are paths such as `instances/<id>`, values are JSON with a format number (`table`).
//! Nothing larger than a record of some kilobytes belongs here. The door is narrow enough that etcd fits it: a
//! revision is the number of the change that put a record.

mod batch;
mod dump;
mod error;
mod index;
mod journal;
pub mod migrate;
mod open;
pub mod table;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

pub use self::batch::{Batch, Change, Commit, Entry};
pub use self::dump::{DumpError, import};
pub use self::error::StoreError;
use self::index::Index;
pub use self::open::{Finding, exists};
use self::writer::{Order, Writer};

/// Folder of the journal, beside that of the index.
const JOURNAL: &str = "journal-v1";

/// Changes that a watcher may be behind before it must look at everything again.
const BEHIND: usize = 1024;

/// An open store; clones share it, and the last one closes it.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Arc<Writer>,
    index: Index,
    changes: broadcast::Sender<Arc<Commit>>,
}

impl Store {
    /// Opens the store in `folder`, making it when there is none. What was damaged and could be mended is reported.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::Damaged`] when acknowledged records are
    /// lost: nothing was changed then.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Finding>), StoreError> {
        let mut opened = open::open(folder)?;
        let findings = std::mem::take(&mut opened.findings);
        let (changes, _) = broadcast::channel(BEHIND);
        let index = Writer::index(&opened);
        let writer = Arc::new(Writer::start(opened, changes.clone())?);
        let store = Self {
            writer,
            index,
            changes,
        };
        Ok((store, findings))
    }

    /// One record.
    ///
    /// # Errors
    /// When the index fails.
    pub fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.index.get(key)
    }

    /// All records whose key begins with `prefix`, in order of their keys.
    ///
    /// # Errors
    /// When the index fails.
    pub fn scan(&self, prefix: &str) -> Result<Vec<(String, Entry)>, StoreError> {
        Ok(self.index.scan(prefix)?.into_iter().collect())
    }

    /// The first `limit` of the records whose key begins with `prefix` and comes after `after`, in order of their keys.
    ///
    /// # Errors
    /// When the index fails.
    pub fn after(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Entry)>, StoreError> {
        Ok(self.index.after(prefix, after, limit)?.into_iter().collect())
    }

    /// Writes a batch; its number when it is on the disk. Dropping the future does not take the batch back.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a condition does not hold; the disk's refusals. Nothing was changed then.
    pub async fn commit(&self, batch: Batch) -> Result<u64, StoreError> {
        let answered = self.writer.ask(|answer| Order::Commit(batch, answer));
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// [`Store::commit`] for callers without an event loop.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// Inside an event loop.
    pub fn commit_now(&self, batch: Batch) -> Result<u64, StoreError> {
        let answered = self.writer.ask(|answer| Order::Commit(batch, answer));
        answered.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Closes the store when nobody else has it any more, so that another process can open it; gives it back when
    /// somebody still has it after `patience`.
    ///
    /// # Errors
    /// The store itself: it is open as before.
    pub async fn release(self, patience: Duration) -> Result<(), Self> {
        let deadline = Instant::now() + patience;
        while Arc::strong_count(&self.writer) > 1 {
            if Instant::now() > deadline {
                return Err(self);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Waits for the writer, which writes its index out.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
        Ok(())
    }

    /// Every change from now on, in order. A receiver that falls too far behind is told so and must scan again.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Arc<Commit>> {
        self.changes.subscribe()
    }

    /// Why changes are refused, live: the disk failed, and is tried again with each change. `None` while they are taken.
    #[must_use]
    pub fn refusing(&self) -> watch::Receiver<Option<String>> {
        self.writer.refusing()
    }

    /// Makes a checkpoint, so that the next opening reads little; the number of the last change in it.
    ///
    /// # Errors
    /// When it cannot be written; the journal goes on as before.
    pub async fn checkpoint(&self) -> Result<u64, StoreError> {
        let answered = self.writer.ask(Order::Checkpoint);
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod mended;

#[cfg(test)]
mod damage;

#[cfg(test)]
mod killed;
