//! Records in the run directory: complete or not there, whatever happens in between.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use serde::Serialize;

/// More than an exit record has ever needed.
const ROOM: i64 = 4096;

/// Room for a record that must be writable later, when the disk may be full.
#[derive(Debug)]
pub(crate) struct Reserved {
    file: File,
    hidden: PathBuf,
    folder: PathBuf,
    name: &'static str,
}

/// Puts a record in place at once but not durably: it says what runs, and after a crash of the machine nothing does.
///
/// # Errors
/// The kernel's.
pub(crate) fn publish(folder: &Path, name: &str, record: &impl Serialize) -> io::Result<()> {
    let hidden = folder.join(format!(".{name}"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&hidden)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    std::fs::rename(&hidden, folder.join(name))
}

impl Reserved {
    /// # Errors
    /// The kernel's: `ENOSPC` when there is no room even now.
    pub(crate) fn new(folder: &Path, name: &'static str) -> io::Result<Self> {
        let hidden = folder.join(format!(".{name}"));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&hidden)?;
        // Some file systems cannot reserve; there the record takes its chance.
        if let Err(error @ (Errno::ENOSPC | Errno::EDQUOT)) =
            fallocate(&file, FallocateFlags::empty(), 0, ROOM)
        {
            return Err(error.into());
        }
        Ok(Self {
            file,
            hidden,
            folder: folder.to_owned(),
            name,
        })
    }

    /// Writes the record and gives it its name, both durably.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn write(&mut self, record: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)?;
        self.file.sync_all()?;
        std::fs::rename(&self.hidden, self.folder.join(self.name))?;
        File::open(&self.folder)?.sync_all()
    }
}
