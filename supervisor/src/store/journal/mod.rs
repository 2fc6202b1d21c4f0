//! The truth of the store: an append-only journal in segments, and checkpoints that let old segments go.
//!
//! A change is acknowledged after `fdatasync(2)`; changes that wait meanwhile share the next one. On opening,
//! damage at the very end that was never acknowledged is cut off and kept beside; damage anywhere else is named.

pub(super) mod checkpoint;
pub(super) mod files;
pub(super) mod frame;
pub(super) mod read;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use self::files::{segment, sync_folder};
use super::error::StoreError;

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// Bytes of it that are whole and durable.
    length: u64,
}

impl Journal {
    /// Goes on with the segment that was read last, or begins one.
    pub(super) fn resume(folder: &Path, last: Option<(PathBuf, u64)>, next: u64) -> Result<Self, StoreError> {
        match last {
            Some((path, length)) => {
                let file = OpenOptions::new()
                    .append(true)
                    .open(&path)
                    .map_err(StoreError::file("open", &path))?;
                Ok(Self {
                    folder: folder.to_owned(),
                    path,
                    file,
                    length,
                })
            }
            None => Self::begin(folder, next),
        }
    }

    /// Begins a segment with this change, which is not written yet. What a disk that failed left under its name was
    /// never acknowledged.
    fn begin(folder: &Path, first: u64) -> Result<Self, StoreError> {
        let path = segment(folder, first);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .and_then(|file| {
                file.set_len(0)?;
                file.sync_all()?;
                Ok(file)
            })
            .map_err(StoreError::file("make", &path))?;
        sync_folder(folder).map_err(StoreError::file("sync", folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            path,
            file,
            length: 0,
        })
    }

    /// Writes lines and makes them durable.
    ///
    /// # Errors
    /// [`StoreError::File`] when nothing was written, which leaves everything as it was: the disk is full, most
    /// often. [`StoreError::Failed`] when the kernel could not say what is on the disk now (`fsync(2)` drops the
    /// pages it failed to write): nothing may be promised until the file was read again.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| StoreError::Failed(error.to_string());
        if let Err(source) = self.file.write_all(lines) {
            self.file.set_len(self.length).map_err(failed)?;
            return Err(StoreError::File {
                what: "write to",
                path: self.path.clone(),
                source,
            });
        }
        self.file.sync_data().map_err(failed)?;
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Bytes in the current segment.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Begins the next segment after a checkpoint at `last`, and removes what the checkpoint before that made
    /// superfluous. The newest two checkpoints stay, with all segments since the older one.
    pub(super) fn roll(&mut self, last: u64) -> Result<(), StoreError> {
        *self = Self::begin(&self.folder, last + 1)?;
        let files = files::Files::list(&self.folder)?;
        let Some((keep, _)) = files.checkpoints.iter().rev().nth(1) else {
            return Ok(());
        };
        let old = files.checkpoints.iter().filter(|(at, _)| at < keep);
        // A segment whose successor begins at or before the first change that is needed holds nothing needed.
        let spent = files
            .segments
            .windows(2)
            .filter(|pair| pair[1].0 <= keep + 1)
            .map(|pair| &pair[0]);
        for (_, path) in old.chain(spent) {
            fs::remove_file(path).map_err(StoreError::file("remove", path))?;
        }
        Ok(())
    }
}
