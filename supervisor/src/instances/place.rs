//! Where an instance's files lie on the host: every path, in one place.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use runtime::spec::Owner;

/// The folder of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(PathBuf);

impl Place {
    /// Of an instance in a data directory.
    #[must_use]
    pub fn of(data_dir: &Path, id: &str) -> Self {
        Self(data_dir.join("instances").join(id))
    }

    /// Everything of it.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Node-RED's user directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Its file storage: the working directory of its file nodes.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.0.join("files")
    }

    /// Records and sockets of the run.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Records of what runs before it: npm.
    #[must_use]
    pub fn errand(&self) -> PathBuf {
        self.0.join("job")
    }

    /// Its logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The newest log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.logs().join("node-red.log")
    }

    /// The socket on which it serves.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run().join("front.sock")
    }

    /// Makes the folders: what it may write belongs to it, everything else to the host.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make(&self, owner: Owner) -> io::Result<()> {
        for (folder, mode) in [
            (self.0.clone(), 0o711),
            (self.data(), 0o700),
            (self.files(), 0o700),
            (self.run(), 0o700),
            (self.errand(), 0o700),
            (self.logs(), 0o700),
        ] {
            DirBuilder::new().recursive(true).mode(mode).create(&folder)?;
        }
        if let Owner::Own { uid, gid } = owner {
            for folder in [self.data(), self.files()] {
                chown(folder, Some(uid), Some(gid))?;
            }
        }
        Ok(())
    }

    /// Removes everything. The name goes first and at one stroke, so that half an instance is never found.
    ///
    /// # Errors
    /// The kernel's.
    pub fn erase(&self) -> io::Result<()> {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        let gone = self.0.with_file_name(format!(".deleted-{name}"));
        match fs::rename(&self.0, &gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match fs::remove_dir_all(&gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
