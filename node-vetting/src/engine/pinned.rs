//! Archives that the engine is made from: named by hash, fetched once like any package, kept for offline.

use std::borrow::Cow;

use npm::{Client, FetchError, Hasher, Integrity, PackageName, Version};
use thiserror::Error;

use crate::engine::folder::{Folder, FolderError};
use crate::package::{Package, PackageError};

/// Most that an archive may have. The largest is that of Node.js itself, of 60 MB, beside which stand-ins are tested.
const MAX: u64 = 128 << 20;

/// A package under its hash: no registry can give another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pinned {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its version.
    pub version: Cow<'static, str>,
    /// The hash of its archive.
    pub integrity: Cow<'static, str>,
}

/// Why an archive is not there.
#[derive(Debug, Error)]
pub enum PinnedError {
    /// It is wrongly pinned.
    #[error("{0} is no name, version and hash of a package")]
    Unusable(String),
    /// It could not be fetched.
    #[error("{package}, which vetting needs, is not here and could not be fetched")]
    Fetch {
        /// Which.
        package: String,
        /// Why.
        #[source]
        source: Box<FetchError>,
    },
    /// It is larger than any of them.
    #[error("{0} is larger than {MAX} bytes")]
    TooLarge(String),
    /// It cannot be kept.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// It is damaged although its hash is right.
    #[error("{0}: {1}")]
    Package(String, PackageError),
}

impl Pinned {
    /// `name@version`.
    #[must_use]
    pub fn spec(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The package, from the folder or else from the registry.
    ///
    /// # Errors
    /// When it is not in the folder and cannot be fetched.
    pub async fn get(&self, folder: &Folder, client: &Client) -> Result<Package, PinnedError> {
        let bytes = self.archive(folder, client).await?;
        Package::from_archive(&bytes).map_err(|error| PinnedError::Package(self.spec(), error))
    }

    /// Its archive, from the folder or else from the registry.
    pub(super) async fn archive(&self, folder: &Folder, client: &Client) -> Result<Vec<u8>, PinnedError> {
        let unusable = || PinnedError::Unusable(self.spec());
        let integrity: Integrity = self.integrity.parse().map_err(|_| unusable())?;
        let file = format!("{}.tgz", integrity.hex());
        let kept = folder.read(&file)?.filter(|bytes| {
            let mut hasher = Hasher::new(integrity.algorithm());
            hasher.update(bytes);
            hasher.check(&integrity).is_ok()
        });
        if let Some(bytes) = kept {
            return Ok(bytes);
        }
        let name: PackageName = self.name.parse().map_err(|_| unusable())?;
        let version = Version::parse(&*self.version).map_err(|_| unusable())?;
        let bytes = self.download(client, &name, &version, &integrity).await?;
        folder.publish(&file, &bytes)?;
        Ok(bytes)
    }

    /// Keeps `bytes` when they are its archive; whether they are.
    pub(super) fn plant(&self, folder: &Folder, bytes: &[u8]) -> Result<bool, PinnedError> {
        let integrity: Integrity = self
            .integrity
            .parse()
            .map_err(|_| PinnedError::Unusable(self.spec()))?;
        let mut hasher = Hasher::new(integrity.algorithm());
        hasher.update(bytes);
        let same = hasher.check(&integrity).is_ok();
        if same {
            folder.publish(&format!("{}.tgz", integrity.hex()), bytes)?;
        }
        Ok(same)
    }

    fn failed(&self, source: FetchError) -> PinnedError {
        PinnedError::Fetch {
            package: self.spec(),
            source: Box::new(source),
        }
    }

    async fn download(
        &self,
        client: &Client,
        name: &PackageName,
        version: &Version,
        integrity: &Integrity,
    ) -> Result<Vec<u8>, PinnedError> {
        let failed = |source| self.failed(source);
        let mut retry = client.retry();
        loop {
            let error = match self.attempt(client, name, version, integrity).await {
                Ok(bytes) => return Ok(bytes),
                Err(PinnedError::Fetch { source, .. }) => *source,
                Err(other) => return Err(other),
            };
            retry.wait(error).await.map_err(failed)?;
        }
    }

    async fn attempt(
        &self,
        client: &Client,
        name: &PackageName,
        version: &Version,
        integrity: &Integrity,
    ) -> Result<Vec<u8>, PinnedError> {
        let failed = |source| self.failed(source);
        let mut coming = client.tarball(name, version, 0).await.map_err(failed)?;
        let mut hasher = Hasher::new(integrity.algorithm());
        let mut bytes = Vec::new();
        while let Some(chunk) = coming.chunk().await.map_err(failed)? {
            hasher.update(&chunk);
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > MAX {
                return Err(PinnedError::TooLarge(self.spec()));
            }
        }
        hasher.check(integrity).map_err(|source| {
            failed(FetchError::Integrity {
                package: self.spec(),
                source,
            })
        })?;
        Ok(bytes)
    }
}
