//! Who uses a folder: `flock` on the folder itself, shared for users, exclusive for whoever makes or removes it.
//!
//! The kernel drops the lock with the last descriptor, so a dead holder needs no cleaning up and no process number
//! is ever compared (`flock(2)`).

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A shared hold on a folder of the store. Whoever removes folders leaves held ones alone.
#[derive(Debug)]
pub struct Lease {
    _dir: File,
}

impl Lease {
    /// Takes hold of a folder if nobody holds it alone at the moment; never waits.
    ///
    /// # Errors
    /// When it cannot be opened or locked.
    pub fn at_once(dir: &Path) -> io::Result<Option<Self>> {
        let Some(file) = open(dir)? else {
            return Ok(None);
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(is_at(&file, dir)?.then_some(Self { _dir: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Takes hold of a published folder; none when there is none. Waits for the instant in which somebody else
    /// tests or removes it.
    ///
    /// # Errors
    /// When it cannot be opened or locked.
    pub fn shared(dir: &Path) -> io::Result<Option<Self>> {
        while let Some(file) = open(dir)? {
            file.lock_shared()?;
            // It may have been moved away while this waited; then look again.
            if is_at(&file, dir)? {
                return Ok(Some(Self { _dir: file }));
            }
            // What a link leads to is never what the path names.
            if is_link(dir)? {
                return Err(io::Error::other(
                    "a symbolic link stands where a folder of its own belongs",
                ));
            }
        }
        Ok(None)
    }
}

/// The only hold on a folder.
#[derive(Debug)]
pub(crate) struct Exclusive {
    dir: File,
}

/// What trying for the only hold gave.
#[derive(Debug)]
pub(crate) enum Attempt {
    Held(Exclusive),
    Busy,
    Absent,
}

impl Exclusive {
    /// Takes the only hold on a folder or file, if it is free. Never waits.
    pub(crate) fn attempt(path: &Path) -> io::Result<Attempt> {
        let Some(file) = open(path)? else {
            return Ok(Attempt::Absent);
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Attempt::Busy),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Moved away in between: whoever did that is busy with it.
        Ok(if is_at(&file, path)? {
            Attempt::Held(Self { dir: file })
        } else {
            Attempt::Busy
        })
    }

    /// Whether what is held is still what the path names.
    pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
        is_at(&self.dir, path)
    }
}

/// Whether anybody holds this folder.
pub(crate) fn in_use(dir: &Path) -> io::Result<bool> {
    Ok(matches!(Exclusive::attempt(dir)?, Attempt::Busy))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_link(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(named) => Ok(named.is_symlink()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether what was opened is still what the path names.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((opened.dev(), opened.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_keep_removers_away() {
        let dir = tempfile::tempdir().unwrap();
        let stack = dir.path().join("stack");
        assert!(Lease::shared(&stack).unwrap().is_none());
        assert!(matches!(Exclusive::attempt(&stack).unwrap(), Attempt::Absent));
        fs::create_dir(&stack).unwrap();
        let first = Lease::shared(&stack).unwrap().unwrap();
        let second = Lease::shared(&stack).unwrap().unwrap();
        assert!(in_use(&stack).unwrap());
        drop(first);
        assert!(in_use(&stack).unwrap());
        drop(second);
        assert!(!in_use(&stack).unwrap());
        let only = Exclusive::attempt(&stack).unwrap();
        assert!(matches!(only, Attempt::Held(_)));
        assert!(matches!(Exclusive::attempt(&stack).unwrap(), Attempt::Busy));
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(Lease::shared(&link).is_err());
        assert!(matches!(Exclusive::attempt(&link).unwrap(), Attempt::Busy));
    }
}
