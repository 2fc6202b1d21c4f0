//! What came from registries, kept on disk: archives by their hash, documents by their address.
//!
//! Nothing in here is believed: archives are hashed again whenever they are read, and a document that cannot be
//! read is fetched again. So no write needs a sync, and a power cut costs a download at most.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use npm::{Hasher, Integrity};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::closure::hex;

/// Archives by their hash. The number changes with the form.
const ARCHIVES: &str = "archives-v1";
/// Documents by the hash of their address.
const DOCUMENTS: &str = "documents-v1";

/// The folder where all this lies.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A cache in this folder, which is made when it is first written to.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    fn archive_path(&self, integrity: &Integrity) -> PathBuf {
        let digest = integrity.hex();
        self.folder
            .join(ARCHIVES)
            .join(&digest[..2])
            .join(format!("{digest}.tgz"))
    }

    /// The archive that hashes to this, if it is here unharmed. A harmed one is removed.
    #[must_use]
    pub(super) fn archive(&self, integrity: &Integrity) -> Option<Vec<u8>> {
        let path = self.archive_path(integrity);
        let bytes = fs::read(&path).ok()?;
        let mut hasher = Hasher::new(integrity.algorithm());
        hasher.update(&bytes);
        if hasher.check(integrity).is_ok() {
            return Some(bytes);
        }
        tracing::warn!(path = %path.display(), "a cached archive was damaged and is fetched again");
        // Whoever fetches it again replaces it anyway.
        let _ = fs::remove_file(&path);
        None
    }

    /// Keeps an archive whose hash was checked.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn keep_archive(&self, integrity: &Integrity, bytes: &[u8]) -> io::Result<()> {
        write(&self.archive_path(integrity), bytes)
    }

    fn document_path(&self, address: &str) -> PathBuf {
        let digest = hex(&Sha256::digest(address.as_bytes()));
        self.folder.join(DOCUMENTS).join(format!("{digest}.json"))
    }

    /// The document of this address, with its age.
    #[must_use]
    pub(super) fn document(&self, address: &str) -> Option<(Vec<u8>, Duration)> {
        let path = self.document_path(address);
        let written = fs::metadata(&path).and_then(|meta| meta.modified()).ok()?;
        // A clock that was set back makes everything look young, which costs freshness until it catches up.
        let age = SystemTime::now().duration_since(written).unwrap_or_default();
        Some((fs::read(&path).ok()?, age))
    }

    /// Keeps a document.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn keep_document(&self, address: &str, bytes: &[u8]) -> io::Result<()> {
        write(&self.document_path(address), bytes)
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use npm::Algorithm;

    fn hash(bytes: &[u8]) -> Integrity {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn archives_come_back_unharmed_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(&folder.path().join("not/there/yet"));
        let integrity = hash(b"bytes");
        assert_eq!(cache.archive(&integrity), None);
        cache.keep_archive(&integrity, b"bytes").expect("it is kept");
        assert_eq!(cache.archive(&integrity).as_deref(), Some(&b"bytes"[..]));
        fs::write(cache.archive_path(&integrity), b"byte").expect("it is cut");
        assert_eq!(cache.archive(&integrity), None);
        assert!(!cache.archive_path(&integrity).exists());
    }

    #[test]
    fn documents_have_an_age() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(folder.path());
        cache.keep_document("http://r/thing", b"{}").expect("it is kept");
        let (bytes, age) = cache.document("http://r/thing").expect("it is there");
        assert_eq!(bytes, b"{}");
        assert!(age < Duration::from_secs(60));
        assert!(cache.document("http://r/other").is_none());
    }
}
