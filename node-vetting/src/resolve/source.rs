//! Documents and archives, from the cache where it has them, else from registries: bounded, checked, in parallel.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use npm::{Client, FetchError, Form, Hasher, Integrity, PackageName, Packument, Version};
use tokio::sync::{OnceCell, Semaphore};

use super::cache::Cache;
use super::{Limits, Progress};
use crate::package::{Package, PackageError};

/// Downloads at the same time. Each holds at most one document or archive in memory.
const PARALLEL: usize = 8;
/// A document of this age is as good as a new one: npm's own cache thinks so too.
pub(super) const FRESH: Duration = Duration::from_secs(300);
/// How long a registry is waited for where the cache has an answer.
const SHORT: Duration = Duration::from_secs(8);

/// Why something could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lack {
    /// There is no such package, or it is not in the cache of a machine without a network.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Only the cache was asked, and it does not have it.
    #[error("{0} is not in the cache, and there is no registry to ask")]
    NotCached(String),
    /// The bytes are no package.
    #[error("{package} is no usable package: {source}")]
    Package { package: String, source: PackageError },
    /// The registry gives nothing that the bytes could be checked against.
    #[error("the registry gives no usable hash for {0}")]
    NoHash(String),
    /// It is larger than allowed.
    #[error("{0} is larger than the limit")]
    TooMuch(String),
}

impl Lack {
    /// Whether the answer is final: there is no such thing. Everything else may be different tomorrow.
    pub(super) const fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Fetch(FetchError::NotFound { .. } | FetchError::Packument(_))
                | Self::NotCached(_)
                | Self::NoHash(_)
        )
    }
}

/// One document, asked for once.
type Once = Arc<OnceCell<Option<Arc<Packument>>>>;

/// Where things come from. Cheap to share.
pub(super) struct Source {
    client: Client,
    /// Whether registries may be asked; else the cache has to do.
    online: bool,
    cache: Option<Cache>,
    limits: Limits,
    /// Which packages need the whole document.
    full: Box<dyn Fn(&PackageName) -> bool + Send + Sync>,
    documents: Mutex<HashMap<PackageName, Once>>,
    packages: Mutex<BTreeMap<String, Arc<OnceCell<Arc<Package>>>>>,
    turns: Semaphore,
    /// Bytes that all archives unpack to.
    unpacked: AtomicU64,
    failed: Mutex<Option<Lack>>,
    /// Which package must be as new as can be.
    first: Option<PackageName>,
    /// A registry did not answer: others are not asked what the cache knows.
    down: AtomicBool,
    pub(super) progress: Arc<dyn Progress>,
}

impl Source {
    pub(super) fn new(
        (client, online): (Client, bool),
        cache: Option<Cache>,
        limits: Limits,
        full: Box<dyn Fn(&PackageName) -> bool + Send + Sync>,
        progress: Arc<dyn Progress>,
    ) -> Self {
        Self {
            client,
            online,
            cache,
            limits,
            full,
            documents: Mutex::default(),
            packages: Mutex::default(),
            turns: Semaphore::new(PARALLEL),
            unpacked: AtomicU64::new(0),
            failed: Mutex::default(),
            first: None,
            down: AtomicBool::new(false),
            progress,
        }
    }

    /// The same, with this package as new as can be.
    pub(super) fn first(self, name: PackageName) -> Self {
        Self {
            first: Some(name),
            ..self
        }
    }

    /// The document of a package; nothing when there is none. A failure that may pass is kept for [`Self::failure`].
    pub(super) async fn packument(&self, name: &PackageName) -> Option<Arc<Packument>> {
        let once = {
            let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
            if documents.len() >= self.limits.packages * 4 && !documents.contains_key(name) {
                return None;
            }
            documents.entry(name.clone()).or_default().clone()
        };
        let found = once
            .get_or_init(|| async {
                match self.fetch_document(name).await {
                    Ok(document) => Some(Arc::new(document)),
                    Err(lack) => {
                        self.note(lack);
                        None
                    }
                }
            })
            .await;
        found.clone()
    }

    /// The first failure that is not the absence of something: no answer that follows it can be relied on.
    pub(super) fn failure(&self) -> Option<Lack> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, lack: Lack) {
        if lack.is_absence() {
            tracing::debug!(%lack, "not to be had");
            return;
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(lack);
    }

    async fn fetch_document(&self, name: &PackageName) -> Result<Packument, Lack> {
        let form = if (self.full)(name) {
            Form::Full
        } else {
            Form::Abbreviated
        };
        // What is asked for by name may have been published this minute.
        let fresh = if self.first.as_ref() == Some(name) {
            Duration::ZERO
        } else {
            FRESH
        };
        self.document(name, form, fresh, read).await
    }

    /// The document of a package, read by `read`: from the cache where that is no older than `fresh`, or nobody can be
    /// asked.
    pub(super) async fn document<T, F>(
        &self,
        name: &PackageName,
        form: Form,
        fresh: Duration,
        read: impl Fn(Bytes) -> F,
    ) -> Result<T, Lack>
    where
        F: Future<Output = Result<T, serde_json::Error>>,
    {
        let _turn = self.turns.acquire().await;
        let address = self.address(name, form)?;
        let cached = self.cache.as_ref().and_then(|cache| cache.document(&address));
        if let Some((bytes, age)) = &cached
            && (*age < fresh || !self.online || self.down.load(Ordering::Relaxed))
            && let Ok(document) = read(bytes.clone().into()).await
        {
            return Ok(document);
        }
        if !self.online {
            return Err(Lack::NotCached(name.to_string()));
        }
        let bytes = match cached {
            None => self.client.document(name, form).await?,
            Some((known, _)) => self.renewed(name, form, known).await?,
        };
        if let Some(cache) = &self.cache
            && let Err(error) = cache.keep_document(&address, &bytes)
        {
            tracing::warn!(%error, package = %name, "cannot keep a document in the cache");
        }
        read(bytes.into()).await.map_err(|source| {
            Lack::Fetch(FetchError::Metadata {
                package: name.to_string(),
                url: address,
                source,
            })
        })
    }

    /// A newer document than the one that is known. When the network is gone, what was true is better than nothing, and
    /// nobody waits long to find that out.
    async fn renewed(&self, name: &PackageName, form: Form, known: Vec<u8>) -> Result<Vec<u8>, Lack> {
        match tokio::time::timeout(SHORT, self.client.document(name, form)).await {
            Ok(Ok(bytes)) => return Ok(bytes),
            Ok(Err(error)) if !error.passing() && !error.unreachable() => return Err(error.into()),
            Ok(Err(_)) | Err(_) => {}
        }
        tracing::debug!(package = %name, "the registry does not answer: what it said before has to do");
        self.down.store(true, Ordering::Relaxed);
        Ok(known)
    }

    /// Whether a registry did not answer.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// What names a document in the cache: registries may differ in what they say of a package.
    pub(super) fn address(&self, name: &PackageName, form: Form) -> Result<String, Lack> {
        let registry = self
            .client
            .config()
            .registry_for(name)
            .map_err(FetchError::from)?;
        let form = if form == Form::Full { "full" } else { "short" };
        Ok(format!("{registry} {name} {form}"))
    }

    /// A package from the registry, its bytes checked.
    pub(super) async fn package(
        &self,
        name: &PackageName,
        version: &Version,
        integrity: Option<&Integrity>,
    ) -> Result<Arc<Package>, Lack> {
        let label = format!("{name}@{version}");
        let Some(integrity) = integrity else {
            return Err(Lack::NoHash(label));
        };
        let once = {
            let mut packages = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
            packages
                .entry(format!("{label} {integrity}"))
                .or_default()
                .clone()
        };
        let package = once
            .get_or_try_init(|| async {
                let _turn = self.turns.acquire().await;
                let packed = self.archive(name, version, integrity).await?;
                let package = self.open(label.clone(), packed).await?;
                self.progress.fetched(&label);
                Ok::<_, Lack>(Arc::new(package))
            })
            .await?;
        Ok(package.clone())
    }

    /// An archive whose bytes hash to `integrity`.
    pub(super) async fn archive(
        &self,
        name: &PackageName,
        version: &Version,
        integrity: &Integrity,
    ) -> Result<Vec<u8>, Lack> {
        match self.cache.as_ref().and_then(|cache| cache.archive(integrity)) {
            Some(packed) => Ok(packed),
            None => self.download(name, version, integrity).await,
        }
    }

    /// Reads an archive, within what is left of the whole.
    async fn open(&self, label: String, packed: Vec<u8>) -> Result<Package, Lack> {
        let package = tokio::task::spawn_blocking(move || Package::from_archive(&packed)).await;
        let package = match package {
            Ok(Ok(package)) => package,
            Ok(Err(source)) => {
                return Err(Lack::Package {
                    package: label,
                    source,
                });
            }
            Err(_) => return Err(Lack::TooMuch(label)),
        };
        let size: u64 = package.files().map(|(_, content)| content.len() as u64).sum();
        let before = self.unpacked.fetch_add(size, Ordering::Relaxed);
        if before.saturating_add(size) > self.limits.unpacked {
            return Err(Lack::TooMuch(label));
        }
        Ok(package)
    }

    async fn download(
        &self,
        name: &PackageName,
        version: &Version,
        integrity: &Integrity,
    ) -> Result<Vec<u8>, Lack> {
        let label = format!("{name}@{version}");
        if !self.online {
            return Err(Lack::NotCached(label));
        }
        let mut retry = self.client.retry();
        let packed = loop {
            match self.attempt(name, version, &label).await {
                Ok(packed) => break packed,
                Err(Lack::Fetch(error)) => retry.wait(error).await?,
                Err(other) => return Err(other),
            }
        };
        let mut hasher = Hasher::new(integrity.algorithm());
        hasher.update(&packed);
        hasher.check(integrity).map_err(|source| FetchError::Integrity {
            package: label.clone(),
            source,
        })?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.keep_archive(integrity, &packed)
        {
            tracing::warn!(%error, package = %label, "cannot keep an archive in the cache");
        }
        Ok(packed)
    }

    async fn attempt(&self, name: &PackageName, version: &Version, label: &str) -> Result<Vec<u8>, Lack> {
        let mut download = self.client.tarball(name, version, 0).await?;
        let mut packed = Vec::new();
        while let Some(chunk) = download.chunk().await? {
            self.progress.received(label, chunk.len() as u64);
            packed.extend_from_slice(&chunk);
            if packed.len() as u64 > self.limits.packed {
                return Err(Lack::TooMuch(label.to_owned()));
            }
        }
        Ok(packed)
    }
}

/// Parsing some megabytes takes long enough to stand in the way of others.
async fn read(bytes: Bytes) -> Result<Packument, serde_json::Error> {
    let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&bytes)).await;
    parsed.unwrap_or_else(|_| Err(serde::de::Error::custom("the reader ended")))
}
