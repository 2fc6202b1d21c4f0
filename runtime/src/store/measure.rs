//! What a lock says of an archive, found out by fetching it.

use std::io::{BufReader, Read};
use std::path::Path;

use npm::tarball::{self, Limits};
use npm::{Algorithm, Client, Hasher, Integrity, PackageName, Version};

use crate::store::StackStore;
use crate::store::blob::{self, Cancel, Wanted, blocking};
use crate::store::error::StoreError;
use crate::store::fetch::{refused, rewind};
use crate::store::lock::Artifact;
use crate::store::progress::Progress;
use crate::store::unpack::unpack;

/// An archive, measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// As a lock has it.
    pub artifact: Artifact,
    /// Bytes of `bin/node`, where it holds one.
    pub executable: Option<u64>,
}

impl StackStore {
    /// Fetches an archive and unpacks it into a folder of the caller's.
    ///
    /// # Errors
    /// When it does not arrive, is refused, or the folder holds such files already.
    pub async fn extract(
        &self,
        client: &Client,
        artifact: &Artifact,
        dir: &Path,
        progress: &dyn Progress,
    ) -> Result<(), StoreError> {
        self.make_buckets()?;
        let mut file = blob::fetch(
            &self.layout,
            client,
            &Wanted::from(artifact),
            progress,
            &Cancel::never(),
        )
        .await?;
        let limits = Limits::exactly(artifact.unpacked, artifact.files);
        let root = dir.to_path_buf();
        blocking(move || unpack(&mut file, &limits, &root, "", |_| true))
            .await?
            .map_err(|source| refused(artifact, source))?;
        Ok(())
    }

    /// Fetches an archive, compares it with its hash, walks it under the ordinary limits and tells what a lock
    /// says of it. The archive stays until a stack that has it is published, or the store is pruned.
    ///
    /// # Errors
    /// When it does not arrive or is refused.
    pub async fn measure(
        &self,
        client: &Client,
        name: &PackageName,
        version: &Version,
        integrity: &Integrity,
        progress: &dyn Progress,
    ) -> Result<Measured, StoreError> {
        self.make_buckets()?;
        let wanted = Wanted {
            name: name.clone(),
            version: version.clone(),
            integrity: integrity.clone(),
            size: None,
        };
        let mut file = blob::fetch(&self.layout, client, &wanted, progress, &Cancel::never()).await?;
        let (name, version) = (name.clone(), version.clone());
        let label = format!("{name}@{version}");
        let measured = blocking(move || {
            let mut hasher = Hasher::new(Algorithm::Sha512);
            let mut size = 0;
            let mut buffer = vec![0; 128 << 10];
            loop {
                let count = file.read(&mut buffer).map_err(tarball::TarballError::Damaged)?;
                if count == 0 {
                    break;
                }
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
            rewind(&mut file)?;
            let mut executable = None;
            let totals = tarball::walk(BufReader::new(&mut file), &Limits::default(), |entry, _| {
                if entry.path == "bin/node" {
                    executable = Some(entry.size);
                }
                Ok(())
            })?;
            Ok(Measured {
                artifact: Artifact {
                    name,
                    version,
                    integrity: hasher.finish(),
                    size,
                    unpacked: totals.unpacked,
                    files: totals.files,
                },
                executable,
            })
        })
        .await?;
        measured.map_err(|source| StoreError::Refused {
            package: label,
            source,
        })
    }
}
