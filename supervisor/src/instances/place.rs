//! Where an instance's files lie on the host: every path, in one place.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use runtime::error::or_absent;
use runtime::sandbox::quota::image;
use runtime::spec::Owner;

use crate::paths;
use crate::removal;

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
        self.inside("data")
    }

    /// Its file storage: the working directory of its file nodes.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.inside("files")
    }

    /// A folder that the instance may write. In an image, a link of the host's leads there; named here is the folder
    /// itself, which whoever opens it need not follow a link for.
    fn inside(&self, name: &str) -> PathBuf {
        let link = self.0.join(name);
        fs::read_link(&link).map_or(link, |target| self.0.join(target))
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

    /// Where npm meets the gate.
    #[must_use]
    pub fn gate(&self) -> PathBuf {
        self.0.join("gate")
    }

    /// The digest of the `.npmrc` that earlier versions put into `data/`.
    #[must_use]
    pub fn npmrc_digest(&self) -> PathBuf {
        self.0.join("npmrc.sha256")
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

    /// Makes that socket; requests wait in it for the instance.
    ///
    /// # Errors
    /// The kernel's.
    pub fn listen(&self) -> io::Result<OwnedFd> {
        paths::listen(&self.socket(), 0o600).map(OwnedFd::from)
    }

    /// The image of its own that holds `data/` and `files/`, where disk space is bounded by one. Beside its folder,
    /// so that it is not in the way when that goes.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.beside("", ".img")
    }

    /// An image that is being made.
    #[must_use]
    pub fn new_image(&self) -> PathBuf {
        self.beside(".new-", ".img")
    }

    /// Where its image is mounted.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.0.join("disk")
    }

    /// Where an image that is being made is mounted.
    #[must_use]
    pub fn new_disk(&self) -> PathBuf {
        self.0.join("disk.new")
    }

    fn beside(&self, before: &str, after: &str) -> PathBuf {
        let id = self.0.file_name().unwrap_or_default().to_string_lossy();
        self.0.with_file_name(format!("{before}{id}{after}"))
    }

    /// Makes the folders that are the host's: everything but what the instance may write.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_own(&self) -> io::Result<()> {
        for (folder, mode) in [
            (self.0.clone(), 0o711),
            (self.run(), 0o700),
            (self.errand(), 0o700),
            (self.logs(), 0o700),
        ] {
            DirBuilder::new().recursive(true).mode(mode).create(&folder)?;
        }
        Ok(())
    }

    /// Makes the folders: what it may write belongs to it, everything else to the host.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make(&self, owner: Owner) -> io::Result<()> {
        self.make_own()?;
        if self.image().exists() && !image::is_mounted(&self.disk()) {
            // What was written there would lie below the image, and be gone with it.
            return Err(io::Error::other("its disk is not mounted"));
        }
        for folder in [self.data(), self.files()] {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            if let Owner::Own { uid, gid } = owner {
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
        let gone = Self(self.beside(DELETED, ""));
        or_absent(fs::rename(&self.0, &gone.0))?;
        gone.remove(self)
    }

    /// Whether an entry of the folder of all instances is what an erasure left that was cut off.
    #[must_use]
    pub fn half_erased(name: &str) -> bool {
        name.starts_with(DELETED)
    }

    /// Finishes an erasure that was cut off; `entry` is any entry of the folder of all instances.
    ///
    /// # Errors
    /// The kernel's.
    pub fn finish_erasure(entry: &Path) -> io::Result<()> {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        match name.strip_prefix(DELETED) {
            Some(id) => Self(entry.to_owned()).remove(&Self(entry.with_file_name(id))),
            None => Ok(()),
        }
    }

    fn remove(&self, before: &Self) -> io::Result<()> {
        for mounted in [self.disk(), self.new_disk()] {
            image::unmount(&mounted).map_err(io::Error::other)?;
        }
        or_absent(fs::remove_file(before.image()))?;
        or_absent(fs::remove_file(before.new_image()))?;
        or_absent(removal::remove_all(&self.0))
    }
}

/// Begins the name of the folder of an instance that is no more.
const DELETED: &str = ".deleted-";
