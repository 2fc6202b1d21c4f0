//! Archives on their way: streamed to a file while they are hashed, resumed from what is there.
//!
//! A blob's file is always a prefix of the archive, or worthless; which of the two its hash tells, so it needs no
//! name of its own while it is incomplete, no record of progress and no sync.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use npm::{Client, FetchError, Hasher, Integrity, PackageName, Version};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::store::error::StoreError;
use crate::store::layout::Layout;
use crate::store::lease::is_at;
use crate::store::lock::Artifact;
use crate::store::progress::Progress;

/// How often a blob that somebody else fetches is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Chunks between network and disk. A slow disk thereby slows the network instead of filling memory.
const QUEUE: usize = 32;
/// Largest archive that is fetched when its size is not known beforehand.
const MAX_UNKNOWN: u64 = 512 << 20;

/// What is to be fetched.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: PackageName,
    pub(crate) version: Version,
    pub(crate) integrity: Integrity,
    /// Bytes, where a lock says it.
    pub(crate) size: Option<u64>,
}

impl From<&Artifact> for Wanted {
    fn from(artifact: &Artifact) -> Self {
        Self {
            name: artifact.name.clone(),
            version: artifact.version.clone(),
            integrity: artifact.integrity.clone(),
            size: Some(artifact.size),
        }
    }
}

/// The file with what came so far and its hash. Nobody else writes to it: it is locked.
struct Writer {
    file: File,
    hasher: Hasher,
    len: u64,
}

/// Fetches an archive and gives its file, complete and verified, with the position at its start. Nobody else gets
/// the file while it is held.
///
/// # Errors
/// When it does not arrive or is not what was promised; in the latter case its file is gone.
pub(crate) async fn fetch(
    layout: &Layout,
    client: &Client,
    wanted: &Wanted,
    progress: &dyn Progress,
) -> Result<File, StoreError> {
    let path = layout.blob(&wanted.integrity);
    let label = format!("{}@{}", wanted.name, wanted.version);
    let file = open_locked(&path).await?;
    let algorithm = wanted.integrity.algorithm();
    let limit = wanted.size.unwrap_or(MAX_UNKNOWN);
    let io_error = StoreError::io("write", &path);
    let mut writer = blocking(move || Writer::resume(file, Hasher::new(algorithm), limit))
        .await?
        .map_err(&io_error)?;
    // Bytes of an earlier run may be damaged; then one fresh download is fair before the package is refused.
    let mut inherited = writer.len > 0;
    if inherited {
        progress.received(&label, writer.len);
        // Without a size, whether it is complete is seen by its hash alone.
        if wanted.size.is_none() && writer.hasher.clone().check(&wanted.integrity).is_ok() {
            return writer.done().map_err(&io_error);
        }
    }
    loop {
        if Some(writer.len) != wanted.size {
            writer = match download(client, wanted, writer, progress, &label, &io_error).await {
                Ok(writer) => writer,
                Err(error) => {
                    if !error.resumable() {
                        remove(&path);
                    }
                    return Err(error);
                }
            };
        }
        match writer.hasher.clone().check(&wanted.integrity) {
            Ok(()) => return writer.done().map_err(&io_error),
            Err(_) if inherited => {
                inherited = false;
                progress.lost(&label, writer.len);
                writer.restart(Hasher::new(algorithm)).map_err(&io_error)?;
            }
            Err(source) => {
                remove(&path);
                return Err(FetchError::Integrity {
                    package: label,
                    source,
                }
                .into());
            }
        }
    }
}

/// Downloads what is missing, with repetitions.
async fn download(
    client: &Client,
    wanted: &Wanted,
    mut writer: Writer,
    progress: &dyn Progress,
    label: &str,
    io_error: &impl Fn(io::Error) -> StoreError,
) -> Result<Writer, StoreError> {
    let limit = wanted.size.unwrap_or(MAX_UNKNOWN);
    let mut retry = client.retry();
    loop {
        let mut coming = match client.tarball(&wanted.name, &wanted.version, writer.len).await {
            Ok(coming) => coming,
            Err(error) => {
                retry.wait(error).await?;
                continue;
            }
        };
        if coming.start != writer.len {
            progress.lost(label, writer.len);
            let fresh = Hasher::new(wanted.integrity.algorithm());
            writer.restart(fresh).map_err(io_error)?;
        }
        let wrong_size = |got| FetchError::Size {
            package: label.to_owned(),
            url: coming_url(&coming),
            got,
            expected: limit,
        };
        if let (Some(total), Some(size)) = (coming.total, wanted.size)
            && total != size
        {
            return Err(wrong_size(total).into());
        }
        let (to_disk, from_network) = mpsc::channel(QUEUE);
        let mut expected = writer.len;
        let work = blocking(move || writer.absorb(from_network));
        let feed = async {
            let mut failure = None;
            loop {
                match coming.chunk().await {
                    Ok(Some(chunk)) => {
                        let count = chunk.len() as u64;
                        expected += count;
                        // More than was promised: stop here, whatever may follow.
                        if expected > limit {
                            break;
                        }
                        // The disk's side ends early only with an error of its own, which comes out below.
                        if to_disk.send(chunk).await.is_err() {
                            break;
                        }
                        retry.progressed();
                        progress.received(label, count);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
            drop(to_disk);
            failure
        };
        let (failure, absorbed) = tokio::join!(feed, work);
        let (back, outcome) = absorbed?;
        writer = back;
        outcome.map_err(io_error)?;
        if expected > limit {
            return Err(FetchError::Size {
                package: label.to_owned(),
                url: coming_url(&coming),
                got: expected,
                expected: limit,
            }
            .into());
        }
        match failure {
            Some(error) => retry.wait(error).await?,
            None if wanted.size.is_some_and(|size| size != writer.len) => {
                return Err(FetchError::Size {
                    package: label.to_owned(),
                    url: coming_url(&coming),
                    got: writer.len,
                    expected: limit,
                }
                .into());
            }
            None => return Ok(writer),
        }
    }
}

fn coming_url(coming: &npm::Download) -> String {
    coming.url().to_owned()
}

/// Opens a blob's file, made if need be, once nobody else has it.
async fn open_locked(path: &Path) -> Result<File, StoreError> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(StoreError::io("open", path))?;
        match file.try_lock() {
            // Whoever had it may have finished and removed it: then a new one is needed.
            Ok(()) if is_at(&file, path).map_err(StoreError::io("open", path))? => return Ok(file),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
        }
    }
}

/// Removes a blob. Its holder may go on reading it.
pub(crate) fn remove(path: &Path) {
    // A blob that cannot be removed is only wasted space, and the next run meets the same obstacle by name.
    let _ = fs::remove_file(path);
}

/// Runs on a blocking thread of the caller's runtime and waits for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.map_err(|_| StoreError::BrokenOff)
}

impl Writer {
    /// Takes in what an earlier run left. More than the archive can have is worthless.
    fn resume(mut file: File, mut hasher: Hasher, limit: u64) -> io::Result<Self> {
        let fresh = hasher.clone();
        let mut buffer = vec![0; 128 << 10];
        let mut len = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    len += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut writer = Self { file, hasher, len };
        if len > limit {
            writer.restart(fresh)?;
        }
        Ok(writer)
    }

    fn restart(&mut self, hasher: Hasher) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = hasher;
        self.len = 0;
        Ok(())
    }

    /// Writes and hashes what comes until nothing more does.
    fn absorb(mut self, mut chunks: mpsc::Receiver<bytes::Bytes>) -> (Self, io::Result<()>) {
        while let Some(chunk) = chunks.blocking_recv() {
            if let Err(error) = self.file.write_all(&chunk) {
                return (self, Err(error));
            }
            self.hasher.update(&chunk);
            self.len += chunk.len() as u64;
        }
        (self, Ok(()))
    }

    fn done(mut self) -> io::Result<File> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(self.file)
    }
}
