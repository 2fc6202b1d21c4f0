//! Records in the run directory: complete or not there, whatever happens in between.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
        match fallocate(&file, FallocateFlags::empty(), 0, ROOM) {
            Err(error @ (nix::errno::Errno::ENOSPC | nix::errno::Errno::EDQUOT)) => return Err(error.into()),
            _ => {}
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
    pub(crate) fn write(mut self, record: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)?;
        self.file.sync_all()?;
        std::fs::rename(&self.hidden, self.folder.join(self.name))?;
        File::open(&self.folder)?.sync_all()
    }
}
