//! Removing: a folder vanishes at one stroke, and what was in it is taken apart where nobody sees it.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::fstatat;
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};
use tracing::warn;

use super::tree::{Kind, duplicate, is_dots};
use super::upload::PREFIX;
use super::{FileError, FilePath, Tree};
use crate::{ids, removal};

/// Entries that one removal takes away; a folder into which somebody keeps writing would never be done otherwise.
const MOST: u64 = 10_000_000;

/// What the names of removed folders begin with.
const GONE: &str = "gone-";

/// For how long an upload that nobody goes on with is kept.
const UPLOADS: Duration = Duration::from_hours(7 * 24);

impl Tree {
    /// Removes a file, a link or an empty folder, or a folder with everything in it.
    ///
    /// # Errors
    /// [`FileError::NotEmpty`] unless `recursive`, or the kernel's.
    pub fn remove(&self, path: &FilePath, recursive: bool) -> Result<(), FileError> {
        let failed = |error: Errno| FileError::of("remove", path.as_str(), error);
        let (folder, name) = self.parent(path)?;
        if self.stat(path)?.kind != Kind::Folder {
            unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir).map_err(failed)?;
            return fsync(&folder).map_err(failed);
        }
        if !recursive {
            unlinkat(&folder, name, UnlinkatFlags::RemoveDir).map_err(failed)?;
            return fsync(&folder).map_err(failed);
        }
        let own = self.own()?;
        renameat(&folder, name, &own, fresh().as_str()).map_err(failed)?;
        fsync(&own).map_err(failed)?;
        fsync(&folder).map_err(failed)?;
        self.sweep()
    }

    /// Takes away what earlier removals and forgotten uploads have left.
    ///
    /// # Errors
    /// The kernel's.
    pub fn sweep(&self) -> Result<(), FileError> {
        let failed = |error: Errno| FileError::of("clear away what was in", ".redhold", error);
        let Some(own) = self.own_if_made()? else {
            return Ok(());
        };
        let mut left = MOST;
        for name in names(&own).map_err(failed)? {
            if name.starts_with(GONE.as_bytes()) {
                removal::tree(&own, &name, &mut left).map_err(|stuck| match stuck.error {
                    Some(error) => FileError::of("remove", &stuck.name, error),
                    None => FileError::TooMany(stuck.name),
                })?;
            } else if name.starts_with(PREFIX.as_bytes()) && is_old(&own, &name) {
                // Whoever goes on with it now finds that it begins anew.
                let _ = unlinkat(&own, name.as_slice(), UnlinkatFlags::NoRemoveDir);
            }
        }
        Ok(())
    }
}

/// Takes away what a host that was killed has left in these storages, one after the other.
pub async fn sweep(folders: Vec<PathBuf>) {
    for folder in folders {
        let swept = tokio::task::spawn_blocking(move || Tree::open(&folder).and_then(|tree| tree.sweep()));
        match swept.await {
            Ok(Ok(()) | Err(FileError::Missing(_))) => {}
            Ok(Err(error)) => warn!(
                error = &error as &dyn std::error::Error,
                "what was removed is not all gone"
            ),
            Err(error) => warn!(%error, "what was removed is not all gone"),
        }
    }
}

/// The names in a folder.
fn names(folder: &OwnedFd) -> nix::Result<Vec<Vec<u8>>> {
    let mut dir = Dir::from_fd(duplicate(folder)?)?;
    let names = dir.iter().map(|entry| Ok(entry?.file_name().to_bytes().to_vec()));
    names
        .filter(|name| !name.as_ref().is_ok_and(|name: &Vec<u8>| is_dots(name)))
        .collect()
}

fn is_old(folder: &OwnedFd, name: &[u8]) -> bool {
    let Ok(stat) = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
        return false;
    };
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let changed = u64::try_from(stat.st_mtime).unwrap_or(0);
    now.saturating_sub(changed) > UPLOADS.as_secs()
}

fn fresh() -> String {
    format!("{GONE}{}", ids::fresh())
}
