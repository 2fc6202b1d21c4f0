//! Files on their way in: written beside the rest of the storage, made durable, and put in place at one stroke.
//!
//! What has come stays when the client goes, and an upload can go on from there. It belongs to the instance from its
//! first byte, so that it counts as the instance's, but lies where the instance does not look.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, renameat};
use nix::sys::stat::{fstat, fstatat};
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::tree::{Kind, beneath, kind, reopen, size};
use super::{FileError, FilePath, Tree};
use crate::ids;

/// What the names of uploads begin with.
pub(super) const PREFIX: &str = "upload-";

/// How far an upload has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Received {
    /// Bytes that are there; the next one has this number.
    pub received: u64,
    /// SHA-256 of them in hexadecimal digits, where it was asked for.
    pub sha256: Option<String>,
}

/// A file on its way in. Dropping it keeps what has come.
#[derive(Debug)]
pub struct Upload {
    file: File,
    path: FilePath,
    own: OwnedFd,
    name: String,
    received: u64,
}

impl Tree {
    /// Begins an upload, or goes on with one at byte `from`.
    ///
    /// # Errors
    /// That something else is at the path, that somebody else uploads to it, or that it has not come as far.
    pub fn upload(&self, path: &FilePath, from: Option<u64>) -> Result<Upload, FileError> {
        let failed = |error: io::Error| FileError::of("upload", path.as_str(), error);
        self.accepts(path)?;
        let own = self.own()?;
        let name = name(path);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NONBLOCK;
        let place = beneath(own.as_fd(), &name, flags).map_err(|error| failed(error.into()))?;
        let stat = fstat(&place).map_err(|error| failed(error.into()))?;
        // One with a second name could be somebody else's, and is about to be given away and written to.
        if kind(&stat) != Kind::File || stat.st_nlink != 1 {
            return Err(FileError::Kind(path.to_string()));
        }
        self.give(&place).map_err(|error| failed(error.into()))?;
        let file = File::from(place);
        // One at a time; the lock goes with the descriptor.
        file.try_lock().map_err(|_| FileError::Busy(path.to_string()))?;
        let now = fstatat(&own, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        if !now.is_ok_and(|now| (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino)) {
            // Put in place by somebody else between the opening and the lock.
            return Err(FileError::Busy(path.to_string()));
        }
        let have = file.metadata().map_err(failed)?.len();
        let received = match from {
            None => {
                file.set_len(0).map_err(failed)?;
                0
            }
            // What came behind that byte is sent again.
            Some(from) if from <= have => {
                file.set_len(from).map_err(failed)?;
                from
            }
            Some(_) => {
                if have == 0 {
                    // It was not there: nothing is left of the attempt.
                    let _ = unlinkat(&own, name.as_str(), UnlinkatFlags::NoRemoveDir);
                }
                let path = path.to_string();
                return Err(FileError::Offset { path, have });
            }
        };
        Ok(Upload {
            file,
            path: path.clone(),
            own,
            name,
            received,
        })
    }

    /// How far an upload to this path has come; `None` where none is under way.
    ///
    /// # Errors
    /// The kernel's.
    pub fn uploaded(&self, path: &FilePath) -> Result<Option<u64>, FileError> {
        Ok(self.part(path)?.map(|(_, have)| have))
    }

    /// What has come of an upload, for reading, and its size in bytes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn part(&self, path: &FilePath) -> Result<Option<(File, u64)>, FileError> {
        let failed = |error: io::Error| FileError::of("look at the upload of", path.as_str(), error);
        let Some(own) = self.own_if_made()? else {
            return Ok(None);
        };
        let place = match beneath(own.as_fd(), &name(path), OFlag::O_PATH) {
            Ok(place) => place,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        let stat = fstat(&place).map_err(|error| failed(error.into()))?;
        if kind(&stat) != Kind::File {
            return Err(FileError::Kind(path.to_string()));
        }
        Ok(Some((reopen(&place, false).map_err(failed)?, size(&stat))))
    }

    /// Forgets what has come of an upload.
    ///
    /// # Errors
    /// That there is none, that it is under way, or the kernel's.
    pub fn abandon(&self, path: &FilePath) -> Result<(), FileError> {
        let own = self.own()?;
        let Some((file, _)) = self.part(path)? else {
            return Err(FileError::Missing(path.to_string()));
        };
        file.try_lock().map_err(|_| FileError::Busy(path.to_string()))?;
        unlinkat(&own, name(path).as_str(), UnlinkatFlags::NoRemoveDir)
            .map_err(|error| FileError::of("forget the upload of", path.as_str(), error))
    }

    /// Whether a file can come to this path.
    fn accepts(&self, path: &FilePath) -> Result<(), FileError> {
        self.parent(path)?;
        match self.stat(path) {
            Err(FileError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
            Ok(entry) => match entry.kind {
                Kind::File => Ok(()),
                Kind::Folder => Err(FileError::Folder(path.to_string())),
                Kind::Other => Err(FileError::Kind(path.to_string())),
            },
        }
    }

    /// Puts an upload in place of whatever file was there.
    ///
    /// # Errors
    /// As [`Tree::upload`]; what has come stays then.
    pub fn finish(&self, upload: Upload) -> Result<(), FileError> {
        let Upload {
            file,
            path,
            own,
            name,
            ..
        } = upload;
        let failed = |error: io::Error| FileError::of("put in place", path.as_str(), error);
        self.accepts(&path)?;
        let (folder, last) = self.parent(&path)?;
        file.sync_all().map_err(failed)?;
        renameat(&own, name.as_str(), &folder, last).map_err(|error| failed(error.into()))?;
        fsync(&folder).map_err(|error| failed(error.into()))?;
        fsync(&own).map_err(|error| failed(error.into()))
    }
}

impl Upload {
    /// Adds bytes at its end.
    ///
    /// # Errors
    /// The kernel's: a full disk, a quota.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file
            .write_all_at(bytes, self.received)
            .map_err(|error| FileError::of("write", self.path.as_str(), error))?;
        self.received += bytes.len() as u64;
        Ok(())
    }

    /// Bytes that have come.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Makes what has come durable.
    ///
    /// # Errors
    /// The kernel's.
    pub fn keep(&self) -> Result<(), FileError> {
        self.file
            .sync_all()
            .map_err(|error| FileError::of("write", self.path.as_str(), error))
    }
}

/// SHA-256 of the first `length` bytes of a file, in hexadecimal digits; `None` when it is shorter, or `go_on` says no.
///
/// # Errors
/// The kernel's.
pub fn sha256(mut file: &File, length: u64, mut go_on: impl FnMut() -> bool) -> io::Result<Option<String>> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = file.read(&mut buffer[..most])?;
        if count == 0 || !go_on() {
            return Ok(None);
        }
        hash.update(&buffer[..count]);
        left -= count as u64;
    }
    Ok(Some(ids::hexadecimal(&hash.finalize())))
}

/// The name of a path's upload in the host's own folder.
fn name(path: &FilePath) -> String {
    let hash = ids::hexadecimal(&Sha256::digest(path.as_str()));
    format!("{PREFIX}{}", &hash[..32])
}
