//! Removing a folder that a stranger filled: nested deeper than a path, a stack or the limit of descriptors allows,
//! and perhaps still changing. Everything is done to one name in an open folder, so no link leads out, and folders too
//! deep to be walked down to are moved up first.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::ids;

/// Folders inside each other that are entered, each with an open descriptor; deeper ones are moved up.
const DEEPEST: usize = 48;

/// Names that are read before any of them is removed.
const BATCH: usize = 128;

/// What the names of folders that were moved up begin with.
const GONE: &str = "gone-";

/// Why something is not all gone.
#[derive(Debug)]
pub struct Stuck {
    /// The name that could not be removed.
    pub name: String,
    /// What the kernel said; `None` when there is more than was to be removed.
    pub error: Option<Errno>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error {
            Some(error) => write!(f, "cannot remove `{}` in it: {}", self.name, error.desc()),
            None => write!(
                f,
                "there is more in it than is removed at once, at `{}`",
                self.name
            ),
        }
    }
}

impl std::error::Error for Stuck {}

/// Removes a folder with everything in it, as [`std::fs::remove_dir_all`] does; a link is removed, never followed.
///
/// # Errors
/// The kernel's; `NotFound` when there is nothing.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let named = path.file_name().zip(path.parent());
    let (name, parent) = named.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    std::fs::symlink_metadata(path)?;
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let parent = open(parent, flags, Mode::empty())?;
    tree(&parent, name.as_bytes(), &mut u64::MAX.clone()).map_err(|stuck| match stuck.error {
        Some(error) => io::Error::new(io::Error::from(error).kind(), stuck),
        None => io::Error::other(stuck),
    })
}

/// Removes what has this name in a folder, whatever it is, taking `left` down by one for each entry; nothing more is
/// removed when it is 0.
///
/// # Errors
/// The kernel's, on the entry that it refused.
pub fn tree(parent: &OwnedFd, name: &[u8], left: &mut u64) -> Result<(), Stuck> {
    while !gone(parent, name, left)? {
        let Some(top) = enter(parent, name)? else { continue };
        // Deep folders are moved up here while others are emptied.
        loop {
            let names = names(&top, name)?;
            if names.is_empty() {
                break;
            }
            for name in names {
                take_apart(&top, &name, &top, 1, left)?;
            }
        }
    }
    Ok(())
}

fn take_apart(
    folder: &OwnedFd,
    name: &[u8],
    top: &OwnedFd,
    depth: usize,
    left: &mut u64,
) -> Result<(), Stuck> {
    while !gone(folder, name, left)? {
        if depth >= DEEPEST {
            let fresh = format!("{GONE}{}", ids::fresh());
            return renameat(folder, name, top, fresh.as_str()).map_err(stuck(name));
        }
        let Some(inside) = enter(folder, name)? else {
            continue;
        };
        for name in names(&inside, name)? {
            take_apart(&inside, &name, top, depth + 1, left)?;
        }
    }
    Ok(())
}

/// Removes a file or an empty folder; false when it is a folder with something in it.
fn gone(folder: &OwnedFd, name: &[u8], left: &mut u64) -> Result<bool, Stuck> {
    *left = left.checked_sub(1).ok_or_else(|| Stuck {
        name: shown(name),
        error: None,
    })?;
    match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(true),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(error) => return Err(stuck(name)(error)),
    }
    match unlinkat(folder, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
        Err(error) => Err(stuck(name)(error)),
    }
}

/// Opens a folder, unless something else has its name by now.
fn enter(folder: &OwnedFd, name: &[u8]) -> Result<Option<OwnedFd>, Stuck> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV);
    match openat2(folder, name, how) {
        Ok(inside) => Ok(Some(inside)),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EINTR) => Ok(None),
        Err(error) => Err(stuck(name)(error)),
    }
}

/// Some of the names in a folder.
fn names(folder: &OwnedFd, named: &[u8]) -> Result<Vec<Vec<u8>>, Stuck> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut dir = Dir::openat(folder, ".", flags, Mode::empty()).map_err(stuck(named))?;
    let names = dir
        .iter()
        .map(|entry| Ok(entry?.file_name().to_bytes().to_vec()))
        .filter(|name| !matches!(name.as_deref(), Ok(b"." | b"..")));
    names
        .take(BATCH)
        .collect::<nix::Result<_>>()
        .map_err(stuck(named))
}

fn stuck(name: &[u8]) -> impl Fn(Errno) -> Stuck + use<'_> {
    move |error| Stuck {
        name: shown(name),
        error: Some(error),
    }
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::mkdirat;

    use super::*;

    /// Nests folders without ever naming a path.
    fn nest(folder: &Path, levels: usize) {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut at = open(folder, flags, Mode::empty()).expect("a folder");
        for _ in 0..levels {
            mkdirat(&at, "d", Mode::S_IRWXU).expect("a level");
            at = nix::fcntl::openat(&at, "d", flags, Mode::empty()).expect("a level");
        }
    }

    #[test]
    fn what_no_path_reaches_is_removed() {
        let place = tempfile::tempdir().expect("a folder");
        let outside = place.path().join("outside");
        fs::write(&outside, "stays").expect("a file");
        let folder = place.path().join("deep");
        fs::create_dir(&folder).expect("a folder");
        nest(&folder, 10_000);
        for number in 0..300 {
            fs::write(folder.join(format!("file {number}")), "x").expect("a file");
        }
        symlink(&outside, folder.join("link")).expect("a link");
        symlink(place.path(), folder.join("d/link")).expect("a link");
        remove_all(&folder).expect("removed");
        assert!(!folder.exists());
        assert_eq!(fs::read_to_string(&outside).expect("a file"), "stays");

        let again = remove_all(&folder).expect_err("nothing is there");
        assert_eq!(again.kind(), io::ErrorKind::NotFound);
        // A link is removed itself.
        let link = place.path().join("link");
        symlink(&outside, &link).expect("a link");
        remove_all(&link).expect("removed");
        assert!(outside.exists());
    }

    #[test]
    fn a_bound_holds() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("wide");
        fs::create_dir(&folder).expect("a folder");
        for number in 0..20 {
            fs::write(folder.join(number.to_string()), "").expect("a file");
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let parent = open(place.path(), flags, Mode::empty()).expect("a folder");
        let stuck = tree(&parent, b"wide", &mut 10).expect_err("more than ten");
        assert_eq!(stuck.error, None);
        tree(&parent, b"wide", &mut 100).expect("the rest");
        assert!(!folder.exists());
    }
}
