//! Bounds on disk space, strongest first: a quota of the data file system, an image of the instance's own, or only
//! a look from time to time.
//!
//! Mechanism only: which folders of an instance are bounded, and what happens when they are full, others decide.

pub mod image;
pub mod project;
mod walk;

use std::path::Path;

use crate::record::{Level, Strength};
use crate::units::Bytes;

pub use self::walk::measure;

/// One inode for this many bytes: modules of Node.js are many small files.
const BYTES_PER_INODE: u64 = 8192;

/// How disk space is bounded on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// A project quota on the data file system.
    Project,
    /// A file system of the instance's own, in one file that is mounted through a loop device.
    Image,
    /// Nothing hard: somebody has to look how much there is.
    Watched,
}

/// The strongest mechanism of a host, and why nothing stronger works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// What was tried before it and failed, in words.
    pub lacking: Vec<String>,
}

/// What is used of what may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that there can be; `None` is no limit.
    pub limit: Option<u64>,
    /// Share in use, in percent, of bytes or of inodes, whichever is more.
    pub percent: u64,
}

impl Usage {
    /// From pairs of what is used and what there can be; 0 is no limit.
    #[must_use]
    pub fn of(bytes: (u64, u64), inodes: (u64, u64)) -> Self {
        let percent = |(used, limit): (u64, u64)| {
            if limit == 0 {
                return 0;
            }
            u64::try_from(u128::from(used) * 100 / u128::from(limit)).unwrap_or(u64::MAX)
        };
        Self {
            used: bytes.0,
            limit: (bytes.1 > 0).then_some(bytes.1),
            percent: percent(bytes).max(percent(inodes)),
        }
    }
}

/// Tries the mechanisms in order, each by really using it in the data directory. `executable` is this program.
#[must_use]
pub fn probe(executable: &Path, data_dir: &Path) -> Found {
    let mut lacking = Vec::new();
    match project::probe(executable, data_dir) {
        Ok(()) => {
            return Found {
                mechanism: Mechanism::Project,
                lacking,
            };
        }
        Err(why) => lacking.push(format!("no project quota on the data file system ({why})")),
    }
    match image::probe(data_dir) {
        Ok(()) => Found {
            mechanism: Mechanism::Image,
            lacking,
        },
        Err(why) => {
            lacking.push(format!("no image of its own ({why})"));
            Found {
                mechanism: Mechanism::Watched,
                lacking,
            }
        }
    }
}

/// The wall named `disk`.
#[must_use]
pub fn level(strength: Strength, detail: impl Into<String>) -> Level {
    Level {
        name: "disk".to_owned(),
        strength,
        detail: detail.into(),
    }
}

/// Inodes that belong to so many bytes.
fn inodes(bytes: Bytes) -> u64 {
    (bytes.0 / BYTES_PER_INODE).max(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuller_of_bytes_and_inodes_counts() {
        for (bytes, inodes, percent, limit) in [
            ((50, 100), (1, 100), 50, Some(100)),
            ((1, 100), (99, 100), 99, Some(100)),
            ((1, 0), (99, 0), 0, None),
            ((u64::MAX, u64::MAX), (0, 1), 100, Some(u64::MAX)),
        ] {
            let usage = Usage::of(bytes, inodes);
            assert_eq!(
                (usage.percent, usage.limit),
                (percent, limit),
                "{bytes:?} {inodes:?}"
            );
        }
    }
}
