//! What can go wrong with the store: on which package or path, and why.

use std::io;
use std::path::{Path, PathBuf};

use npm::FetchError;
use npm::tarball::TarballError;
use thiserror::Error;

use crate::units::Bytes;

/// A failure of the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The lock holds no Node.js for this kind of machine.
    #[error("stack {stack} has no Node.js for {arch}")]
    NoNode {
        /// The stack's name.
        stack: String,
        /// The kind of machine.
        arch: &'static str,
    },
    /// A package did not arrive.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A package arrived and is not fit to be unpacked.
    #[error("{package} is refused")]
    Refused {
        /// The package, with its version.
        package: String,
        /// What is wrong with it.
        #[source]
        source: TarballError,
    },
    /// The disk has too little room.
    #[error("{path} has {free} of free space; {needed} are needed")]
    Space {
        /// The store's folder.
        path: PathBuf,
        /// What the work needs in all from here on.
        needed: Bytes,
        /// What there is.
        free: Bytes,
    },
    /// The disk was filled while packages were written.
    #[error("the disk of {path} ran full: {free} of free space are left and about {needed} are needed")]
    Full {
        /// The store's folder.
        path: PathBuf,
        /// What the whole work needs.
        needed: Bytes,
        /// What there is.
        free: Bytes,
    },
    /// A file or folder could not be handled.
    #[error("cannot {action} {path}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A work thread ended early, which only the end of the process explains.
    #[error("the work was broken off")]
    BrokenOff,
}

impl StoreError {
    /// For `map_err`: an I/O failure of an action on a path.
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + use<'a> {
        move |source| Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Whether the disk or the account's share of it is full.
    pub(crate) fn out_of_space(&self) -> bool {
        let full = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        match self {
            Self::Io { source, .. } => full(source),
            Self::Refused {
                source: TarballError::Sink { source, .. },
                ..
            } => full(source),
            _ => false,
        }
    }

    /// Whether what was fetched so far is worth keeping for another attempt: only where the link failed.
    pub(crate) fn resumable(&self) -> bool {
        match self {
            Self::Fetch(error) => {
                error.passing() || error.unreachable() || matches!(error, FetchError::Denied { .. })
            }
            Self::BrokenOff => true,
            _ => false,
        }
    }
}
