//! The folder itself: paths resolved beneath it, and what is done to single entries.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag, open, openat2, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fsync, unlinkat};
use serde::Serialize;
use utoipa::ToSchema;

use super::path::{OWN, unfit};
use super::{FileError, FilePath};

/// Entries of one folder that the host looks at.
const MOST: usize = 1_000_000;

/// Tries where the kernel could not walk a path because somebody moved folders on it.
const TRIES: usize = 16;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A link, a pipe, a socket or a device: it can be removed, and nothing else.
    Other,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file; 0 for anything else.
    pub size: u64,
    /// When its content was last changed, in milliseconds since 1970.
    pub modified_ms: u64,
}

/// A part of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page {
    /// By name.
    pub entries: Vec<Entry>,
    /// For `after`; `null` when there are no more.
    pub next: Option<String>,
    /// Entries of the whole folder whose names are no text, or have control characters: they cannot be named here.
    pub unnamed: usize,
}

/// A file that is open for reading.
#[derive(Debug)]
pub struct Opened {
    /// The file, at its beginning.
    pub file: File,
    /// Its size when it was opened, in bytes.
    pub size: u64,
    /// When its content was last changed, in seconds since 1970.
    pub modified: i64,
    /// Another one whenever the content is another.
    pub tag: String,
}

/// An instance's file storage.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    uid: u32,
    gid: u32,
}

impl Tree {
    /// Of this folder, which must lie where only the host can move it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(folder: &Path) -> Result<Self, FileError> {
        let name = folder.display().to_string();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = open(folder, flags, Mode::empty()).map_err(|error| FileError::of("open", &name, error))?;
        let stat = fstat(&root).map_err(|error| FileError::of("open", &name, error))?;
        Ok(Self {
            root,
            uid: stat.st_uid,
            gid: stat.st_gid,
        })
    }

    /// What is at a path.
    ///
    /// # Errors
    /// That nothing is there, or that a link leads to it.
    pub fn stat(&self, path: &FilePath) -> Result<Entry, FileError> {
        let place = self.at(path, OFlag::O_PATH)?;
        let stat = fstat(&place).map_err(|error| FileError::of("look at", path.as_str(), error))?;
        Ok(entry(path.split().map_or("", |(_, name)| name), &stat))
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// That it is none, or the kernel's.
    pub fn read(&self, path: &FilePath) -> Result<Opened, FileError> {
        let failed = |error: std::io::Error| FileError::of("open", path.as_str(), error);
        // A descriptor that is only a place: opening a device or a pipe could already do something.
        let place = self.at(path, OFlag::O_PATH)?;
        let stat = fstat(&place).map_err(|error| failed(error.into()))?;
        match kind(&stat) {
            Kind::File => {}
            Kind::Folder => return Err(FileError::Folder(path.to_string())),
            Kind::Other => return Err(FileError::Kind(path.to_string())),
        }
        let file = reopen(&place, false).map_err(failed)?;
        Ok(Opened {
            size: size(&stat),
            modified: stat.st_mtime,
            // The time of the last change cannot be set back by who may write.
            tag: format!(
                "{:x}-{:x}-{:x}.{:x}",
                stat.st_ino, stat.st_size, stat.st_ctime, stat.st_ctime_nsec
            ),
            file,
        })
    }

    /// Entries of a folder by name, those after `after`, at most `limit` of them.
    ///
    /// # Errors
    /// That it is no folder, or has more than a million entries.
    pub fn list(&self, path: &FilePath, after: Option<&str>, limit: usize) -> Result<Page, FileError> {
        let failed = |error: Errno| FileError::of("list", path.as_str(), error);
        let folder = self.folder(path)?;
        let mut dir = Dir::from_fd(duplicate(&folder).map_err(failed)?).map_err(failed)?;
        let mut names = BTreeSet::new();
        let mut unnamed = 0;
        for (count, found) in dir.iter().enumerate() {
            if count > MOST {
                return Err(FileError::TooMany(path.to_string()));
            }
            let found = found.map_err(failed)?;
            let Some(name) = named(found.file_name().to_bytes()) else {
                unnamed += usize::from(!is_dots(found.file_name().to_bytes()));
                continue;
            };
            if after.is_some_and(|after| name <= after) || (path.is_root() && name == OWN) {
                continue;
            }
            // Never more in memory than is shown, and one to know whether there are more.
            if names.len() > limit && names.last().is_some_and(|last: &String| name > last.as_str()) {
                continue;
            }
            names.insert(name.to_owned());
            if names.len() > limit + 1 {
                names.pop_last();
            }
        }
        let more = names.len() > limit;
        let mut entries = Vec::new();
        for name in names.iter().take(limit) {
            match fstatat(&folder, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => entries.push(entry(name, &stat)),
                // Removed meanwhile.
                Err(Errno::ENOENT) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let next = more.then(|| names.iter().nth(limit.saturating_sub(1)).cloned());
        Ok(Page {
            entries,
            next: next.flatten(),
            unnamed,
        })
    }

    /// Makes a folder, and those on the way to it.
    ///
    /// # Errors
    /// That something is there, or the kernel's.
    pub fn make_folder(&self, path: &FilePath) -> Result<(), FileError> {
        let failed = |error: Errno| FileError::of("make the folder", path.as_str(), error);
        let mut made = false;
        for step in path.steps() {
            let Some((above, name)) = step.split() else {
                continue;
            };
            let above = self.folder(&above)?;
            made = match mkdirat(&above, name, Mode::from_bits_truncate(0o755)) {
                Ok(()) => {
                    let folder =
                        beneath(above.as_fd(), name, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)?;
                    self.give(&folder).map_err(failed)?;
                    fsync(&above).map_err(failed)?;
                    true
                }
                Err(Errno::EEXIST) => false,
                Err(error) => return Err(failed(error)),
            };
        }
        if made {
            Ok(())
        } else {
            Err(FileError::Exists(path.to_string()))
        }
    }

    /// Moves a file or a folder; never onto something.
    ///
    /// # Errors
    /// That it is not there, that something is where it should go, or the kernel's.
    pub fn rename(&self, from: &FilePath, to: &FilePath) -> Result<(), FileError> {
        let (old, old_name) = self.parent(from)?;
        let (new, new_name) = self.parent(to)?;
        if self.stat(from)?.kind == Kind::Other {
            return Err(FileError::Kind(from.to_string()));
        }
        renameat2(&old, old_name, &new, new_name, RenameFlags::RENAME_NOREPLACE).map_err(
            |error| match error {
                Errno::EEXIST => FileError::Exists(to.to_string()),
                Errno::EINVAL => FileError::Path(to.to_string(), "a folder cannot go into itself"),
                error => FileError::of("move", from.as_str(), error),
            },
        )?;
        for folder in [&new, &old] {
            fsync(folder).map_err(|error| FileError::of("move", from.as_str(), error))?;
        }
        Ok(())
    }

    /// A folder, open for what happens in it.
    pub(super) fn folder(&self, path: &FilePath) -> Result<OwnedFd, FileError> {
        self.at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
    }

    /// The folder in which a path is, and its name there.
    pub(super) fn parent<'a>(&self, path: &'a FilePath) -> Result<(OwnedFd, &'a str), FileError> {
        let (folder, name) = path
            .split()
            .ok_or_else(|| FileError::Path("/".to_owned(), "it is the folder of the storage itself"))?;
        Ok((self.folder(&folder)?, name))
    }

    /// The host's own folder in the storage; the instance does not get into it where it is another user.
    pub(super) fn own(&self) -> Result<OwnedFd, FileError> {
        if let Some(own) = self.own_if_made()? {
            return Ok(own);
        }
        let failed = |error: Errno| FileError::of("make the folder", OWN, error);
        // A link or a file that has its name would keep everybody out; a folder is not removed like this.
        match unlinkat(&self.root, OWN, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT | Errno::EISDIR) => {}
            Err(error) => return Err(failed(error)),
        }
        match mkdirat(&self.root, OWN, Mode::from_bits_truncate(0o700)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        beneath(self.root.as_fd(), OWN, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)
    }

    /// The same, where it was made already.
    pub(super) fn own_if_made(&self) -> Result<Option<OwnedFd>, FileError> {
        match beneath(self.root.as_fd(), OWN, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(own) => Ok(Some(own)),
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(FileError::of("open", OWN, error)),
        }
    }

    /// Makes something the instance's, so that it can change it.
    pub(super) fn give(&self, thing: &impl AsFd) -> nix::Result<()> {
        let stat = fstat(thing)?;
        if (stat.st_uid, stat.st_gid) == (self.uid, self.gid) {
            return Ok(());
        }
        fchown(
            thing,
            Some(Uid::from_raw(self.uid)),
            Some(Gid::from_raw(self.gid)),
        )
    }

    fn at(&self, path: &FilePath, flags: OFlag) -> Result<OwnedFd, FileError> {
        let text = if path.is_root() { "." } else { path.as_str() };
        beneath(self.root.as_fd(), text, flags).map_err(|error| match error {
            // Asked for as a folder, a link is refused as none.
            Errno::ENOTDIR if self.is_link(path) => FileError::Kind(path.to_string()),
            error => FileError::of("open", path.as_str(), error),
        })
    }

    fn is_link(&self, path: &FilePath) -> bool {
        let place = beneath(self.root.as_fd(), path.as_str(), OFlag::O_PATH);
        place.and_then(fstat).is_ok_and(|stat| kind(&stat) == Kind::Other)
    }
}

/// Opens what is beneath a folder, without any link on the way or at its end.
pub(super) fn beneath(folder: BorrowedFd<'_>, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .mode(if flags.contains(OFlag::O_CREAT) {
            Mode::from_bits_truncate(0o644)
        } else {
            Mode::empty()
        })
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS,
        );
    let mut tried = 1;
    loop {
        match openat2(folder, path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) if tried < TRIES => tried += 1,
            other => return other,
        }
    }
}

/// Opens what a place is, whatever its path leads to by now.
pub(super) fn reopen(place: &OwnedFd, write: bool) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(write)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", place.as_raw_fd()))
}

/// A folder once more, read from its beginning.
pub(super) fn duplicate(folder: &OwnedFd) -> nix::Result<OwnedFd> {
    beneath(folder.as_fd(), ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

/// A name as text, where it can be one of a path.
pub(super) fn named(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name)
        .ok()
        .filter(|name| unfit(name).is_none())
}

/// Whether a name is one of the two that every folder has.
pub(super) fn is_dots(name: &[u8]) -> bool {
    name == b"." || name == b".."
}

/// What something is.
pub(super) fn kind(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Folder,
        _ => Kind::Other,
    }
}

/// Bytes of a file.
pub(super) fn size(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn entry(name: &str, stat: &FileStat) -> Entry {
    let kind = kind(stat);
    let millis = stat
        .st_mtime
        .saturating_mul(1000)
        .saturating_add(stat.st_mtime_nsec / 1_000_000);
    Entry {
        name: name.to_owned(),
        kind,
        size: if kind == Kind::File { size(stat) } else { 0 },
        modified_ms: u64::try_from(millis).unwrap_or(0),
    }
}
