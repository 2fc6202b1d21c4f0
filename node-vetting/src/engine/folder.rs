//! The folder of what the engine is made from and of: archives by hash, compiled images by key.
//!
//! A compiled image is machine code, and whoever can change it owns the worker that maps it. It is therefore taken only
//! from a folder and a file that belong to the user that runs this and that nobody else may write; whoever can write
//! there nevertheless can also replace the executable that is running. Files are published by rename, never changed.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use thiserror::Error;

/// A folder of this process's user, and of nobody else.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

/// Why a folder or a file in it cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The file system fails.
    #[error("{what} {path}")]
    Io {
        /// What was being done: `read`, `write`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
    /// Somebody else could have written there.
    #[error("{path} is not this user's alone: it must belong to user {user} and be writable for nobody else")]
    NotOurs {
        /// The folder or file.
        path: PathBuf,
        /// The number of the user that runs this.
        user: u32,
    },
}

impl Folder {
    /// Opens or makes the folder.
    ///
    /// # Errors
    /// When it cannot be made, or is not this user's alone.
    pub fn open(root: &Path) -> Result<Self, FolderError> {
        let io_error = |source| FolderError::Io {
            what: "make",
            path: root.to_owned(),
            source,
        };
        // Only the folder itself is closed: what it stands in may hold what others must reach.
        if let Some(parent) = root.parent() {
            fs::create_dir_all(parent).map_err(io_error)?;
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(io_error)?;
        let folder = Self {
            root: root.to_owned(),
        };
        ours(root, &fs::symlink_metadata(root).map_err(io_error)?)?;
        Ok(folder)
    }

    /// A compiled image by its path, for a worker.
    ///
    /// # Errors
    /// When it is not there, or the file or its folder is not this user's alone.
    pub fn image(path: &Path) -> Result<File, FolderError> {
        let missing = || FolderError::Io {
            what: "read",
            path: path.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        };
        let (folder, name) = path.parent().zip(path.file_name()).ok_or_else(missing)?;
        let folder = Self::open(folder)?;
        let name = name.to_str().ok_or_else(missing)?;
        folder.file(name)?.ok_or_else(missing)
    }

    /// The path of an entry.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file in the folder; none when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is not this user's alone.
    pub(super) fn file(&self, name: &str) -> Result<Option<File>, FolderError> {
        let path = self.path(name);
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path);
        let io_error = |source| FolderError::Io {
            what: "read",
            path: path.clone(),
            source,
        };
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(error)),
        };
        ours(&path, &file.metadata().map_err(io_error)?)?;
        Ok(Some(file))
    }

    /// All bytes of a file; none when there is none.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
        let Some(mut file) = self.file(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| FolderError::Io {
            what: "read",
            path: self.path(name),
            source,
        })?;
        Ok(Some(bytes))
    }

    /// Publishes a file: it is there whole, or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn publish(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let write = || -> io::Result<()> {
            let mut draft = tempfile::NamedTempFile::new_in(&self.root)?;
            draft.as_file().set_permissions(Permissions::from_mode(0o600))?;
            draft.write_all(bytes)?;
            draft.as_file().sync_all()?;
            draft.persist(self.path(name))?;
            File::open(&self.root)?.sync_all()
        };
        write().map_err(|source| FolderError::Io {
            what: "write",
            path: self.path(name),
            source,
        })
    }
}

fn ours(path: &Path, metadata: &fs::Metadata) -> Result<(), FolderError> {
    let user = geteuid().as_raw();
    if metadata.uid() == user && metadata.mode() & 0o022 == 0 && !metadata.is_symlink() {
        return Ok(());
    }
    Err(FolderError::NotOurs {
        path: path.to_owned(),
        user,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folder_itself_is_closed_to_others() {
        let temp = tempfile::tempdir().expect("a folder");
        let parent = temp.path().join("data");
        let root = parent.join("engine");
        Folder::open(&root).expect("the folder of the engine");
        let mode = |path: &Path| fs::metadata(path).expect("a folder").mode() & 0o777;
        assert_eq!(mode(&root), 0o700);
        let usual = temp.path().join("usual");
        fs::create_dir(&usual).expect("a folder");
        assert_eq!(mode(&parent), mode(&usual));
        Folder::open(&root).expect("the same folder again");
    }
}
