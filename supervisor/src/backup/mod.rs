//! The whole host in one file, taken while it runs, and a host from such a file.
//!
//! A backup is a tar archive: the store as plain lines at one moment, the keys, and every instance's `data/` and
//! `files/`, ended by a manifest without which it counts as cut short. Stacks are not in it: they are pinned, and
//! fetched again. Whoever has the file has the host's secrets.

mod restore;
mod sparse;
mod take;
mod walk;

pub use self::restore::{Restored, restore};
pub use self::take::take;

use serde::{Deserialize, Serialize};

/// Name of the last entry.
const MANIFEST: &str = "manifest.json";

/// Name of the store's entry.
const STORE: &str = "store.lines";

/// Format of the archive. Those of format 1 have no files with holes.
const FORMAT: u32 = 2;

/// What the archive must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// Version of Redhold that took it.
    version: String,
    /// When, in milliseconds since 1970.
    created_ms: u64,
    /// The last change of the store that is in it.
    sequence: u64,
    /// Entries before this one.
    entries: u64,
    /// SHA-256 over the contents of all of them, in hexadecimal.
    digest: String,
}
