//! Files in folders that strangers write: opened wherever they lead in there, and never outside.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// Opens a regular file for reading. The folder itself is nobody's to move.
///
/// # Errors
/// The kernel's, `EXDEV` where it leads out, or that it is no regular file.
pub fn open(folder: &Path, place: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    // Without waiting, for it may be a pipe.
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = File::from(openat2(folder.as_fd(), place, how)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}
