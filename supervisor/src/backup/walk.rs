//! Walks a folder that a stranger may be changing at the same time, without ever leaving it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use tracing::warn;

/// Deepest folder that is looked into: each holds a descriptor open.
const DEEPEST: usize = 128;

/// Something in the folder.
#[derive(Debug)]
pub(super) struct Found {
    /// Where, from the folder on.
    pub(super) path: PathBuf,
    /// Its owner, mode and times.
    pub(super) about: FileStat,
    /// What it is.
    pub(super) kind: Kind,
}

/// What can be backed up.
#[derive(Debug)]
pub(super) enum Kind {
    /// A folder.
    Folder,
    /// A regular file, opened.
    File(File),
    /// A symbolic link, and its text.
    Link(PathBuf),
}

/// Calls `each` with everything in `root`, folders before what is in them. What vanishes meanwhile, sockets, pipes
/// and devices are left out; so is what lies too deep or may not be read, with a warning.
///
/// # Errors
/// The kernel's, and those of `each`.
pub(super) fn walk(root: &Path, each: &mut dyn FnMut(Found) -> io::Result<()>) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = match open(root, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::ENOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    inside(&folder, Path::new(""), 0, each)
}

fn inside(
    folder: &OwnedFd,
    path: &Path,
    depth: usize,
    each: &mut dyn FnMut(Found) -> io::Result<()>,
) -> io::Result<()> {
    if depth > DEEPEST {
        // One instance must not keep all others out of the backup.
        warn!(
            "left out of the backup: {} lies deeper than {DEEPEST} folders",
            path.display()
        );
        return Ok(());
    }
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut listing = Dir::from_fd(folder.try_clone()?)?;
    for entry in listing.iter() {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    drop(listing);
    names.sort_unstable();
    for name in names {
        let name = OsStr::from_bytes(&name);
        let path = path.join(name);
        match one(folder, name, &path, depth, each) {
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            Err(error) if error.raw_os_error() == Some(Errno::EACCES as i32) => {
                warn!("left out of the backup: {} may not be read", path.display());
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

fn one(
    folder: &OwnedFd,
    name: &OsStr,
    path: &Path,
    depth: usize,
    each: &mut dyn FnMut(Found) -> io::Result<()>,
) -> io::Result<()> {
    let about = fstatat(folder.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let kind = SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFLNK {
        let text = readlinkat(folder.as_fd(), name)?;
        return each(Found {
            path: path.to_owned(),
            about,
            kind: Kind::Link(text.into()),
        });
    }
    if kind != SFlag::S_IFDIR && kind != SFlag::S_IFREG {
        return Ok(());
    }
    // Looked at again after it was opened: it may be something else by now. Without waiting, for it may be a pipe.
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
    let opened = match openat2(folder.as_fd(), name, how) {
        Ok(opened) => opened,
        Err(Errno::ELOOP | Errno::EXDEV) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let about = fstat(opened.as_fd())?;
    match SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => {
            each(Found {
                path: path.to_owned(),
                about,
                kind: Kind::Folder,
            })?;
            inside(&opened, path, depth + 1, each)
        }
        SFlag::S_IFREG => each(Found {
            path: path.to_owned(),
            about,
            kind: Kind::File(opened.into()),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_leads_out_is_not_followed() {
        let place = tempfile::tempdir().expect("a folder");
        let outside = place.path().join("outside");
        fs::write(&outside, "secret").expect("a file");
        let root = place.path().join("root");
        fs::create_dir_all(root.join("sub/deeper")).expect("folders");
        fs::write(root.join("sub/file"), "mine").expect("a file");
        symlink(&outside, root.join("link")).expect("a link");
        symlink(place.path(), root.join("folder-link")).expect("a link");
        nix::unistd::mkfifo(&root.join("pipe"), Mode::S_IRWXU).expect("a pipe");
        let deep = (0..=DEEPEST).fold(root.join("z"), |path, _| path.join("d"));
        fs::create_dir_all(deep.join("deepest")).expect("folders");
        let mut seen = Vec::new();
        let mut deepest = 0;
        walk(&root, &mut |found| {
            let what = match found.kind {
                Kind::Folder => "folder",
                Kind::File(_) => "file",
                Kind::Link(_) => "link",
            };
            if found.path.starts_with("z") {
                deepest = deepest.max(found.path.components().count());
            } else {
                seen.push(format!("{} {what}", found.path.display()));
            }
            Ok(())
        })
        .expect("walked");
        assert_eq!(
            seen,
            [
                "folder-link link",
                "link link",
                "sub folder",
                "sub/deeper folder",
                "sub/file file"
            ]
        );
        assert_eq!(deepest, DEEPEST + 1, "and no error");
        walk(&root.join("nowhere"), &mut |_| panic!("nothing is there")).expect("nothing");
    }
}
