//! Why the store refuses.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A failure of the store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error("another Redhold has the store {} open", .0.display())]
    Locked(PathBuf),
    /// The file system refused.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Acknowledged records are damaged, and neither the index nor an earlier checkpoint has them.
    #[error(
        "the store's file {} is damaged at byte {offset}, and what it held after change {known} is not known from elsewhere",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// The last change before the damage.
        known: u64,
    },
    /// The index failed. The journal has everything; opening again rebuilds it.
    #[error("the store's index failed: {0}")]
    Index(String),
    /// An earlier write could not be made durable, so nothing more is promised until the store is opened again.
    #[error("the store takes no more changes, because the disk failed: {0}")]
    Failed(String),
    /// A condition of the batch did not hold: somebody else changed the record first.
    #[error("`{key}` was changed by somebody else")]
    Conflict {
        /// The record's key.
        key: String,
        /// Its revision now, 0 when there is none.
        now: u64,
    },
    /// A record cannot be read as what it should be.
    #[error("the record `{key}` cannot be read: {reason}")]
    Record {
        /// The record's key.
        key: String,
        /// Why.
        reason: String,
    },
    /// A record was written by a newer Redhold.
    #[error("the record `{key}` has format {found}, and this Redhold knows up to {known}")]
    Newer {
        /// The record's key.
        key: String,
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// A batch is larger than the store takes.
    #[error("a change of {0} bytes is too large for the store")]
    TooLarge(usize),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// For `map_err` on calls of the file system.
    pub(super) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
