//! Archives on their way: streamed to a file while they are hashed, resumed from what is there.
//!
//! A blob's file is always a prefix of the archive, or worthless; which of the two its hash tells, so it needs no
//! name of its own while it is incomplete, no record of progress and no sync.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use npm::{Client, Download, FetchError, Hasher, Integrity, PackageName, Version};
use tokio::sync::{mpsc, watch};
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

/// Tells that the work is no longer wanted. Work that is told so ends in order, its threads awaited; work that is
/// dropped leaves a thread behind for as long as one write takes.
#[derive(Clone, Debug)]
pub(crate) struct Cancel(Option<watch::Receiver<bool>>);

impl Cancel {
    /// Whoever holds the sender can cancel.
    pub(crate) fn by(sender: &watch::Sender<bool>) -> Self {
        Self(Some(sender.subscribe()))
    }

    /// Nobody can cancel.
    pub(crate) const fn never() -> Self {
        Self(None)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|told| *told.borrow())
    }

    /// Runs until it is done or cancelled.
    async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        let Some(told) = &self.0 else {
            return Ok(work.await);
        };
        let mut told = told.clone();
        tokio::select! {
            biased;
            // An error says that the one who could cancel is gone, and with it the work.
            _ = told.wait_for(|cancelled| *cancelled) => Err(StoreError::BrokenOff),
            done = work => Ok(done),
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
    cancel: &Cancel,
) -> Result<File, StoreError> {
    let path = layout.blob(&wanted.integrity);
    let label = format!("{}@{}", wanted.name, wanted.version);
    let file = cancel.or(open_locked(&path)).await??;
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
            writer = match download(client, wanted, writer, progress, cancel, &io_error).await {
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
    cancel: &Cancel,
    io_error: &impl Fn(io::Error) -> StoreError,
) -> Result<Writer, StoreError> {
    let label = &format!("{}@{}", wanted.name, wanted.version);
    let limit = wanted.size.unwrap_or(MAX_UNKNOWN);
    let mut retry = client.retry();
    loop {
        let asked = client.tarball(&wanted.name, &wanted.version, writer.len);
        let mut coming = match cancel.or(asked).await? {
            Ok(coming) => coming,
            Err(error) => {
                cancel.or(retry.wait(error)).await??;
                continue;
            }
        };
        let wrong_size = |url: &str, got| FetchError::Size {
            package: label.clone(),
            url: url.to_owned(),
            got,
            expected: limit,
        };
        if let (Some(total), Some(size)) = (coming.total, wanted.size)
            && total != size
        {
            return Err(wrong_size(coming.url(), total).into());
        }
        if coming.start != writer.len {
            progress.lost(label, writer.len);
            let fresh = Hasher::new(wanted.integrity.algorithm());
            writer.restart(fresh).map_err(io_error)?;
        }
        let before = writer.len;
        let (to_disk, from_network) = mpsc::channel(QUEUE);
        let work = blocking(move || writer.absorb(from_network));
        let feed = feed(&mut coming, to_disk, limit - before.min(limit), cancel, |count| {
            progress.received(label, count);
        });
        // Both to their ends, whatever becomes of either: the file must not be held by a forgotten thread.
        let (fed, absorbed) = tokio::join!(feed, work);
        let (back, written) = absorbed?;
        writer = back;
        written.map_err(io_error)?;
        if writer.len > before {
            retry.progressed();
        }
        match fed {
            Fed::Cancelled => return Err(StoreError::BrokenOff),
            Fed::Broken(error) => cancel.or(retry.wait(error)).await??,
            Fed::TooMuch => return Err(wrong_size(coming.url(), limit + 1).into()),
            Fed::Whole if wanted.size.is_some_and(|size| size != writer.len) => {
                return Err(wrong_size(coming.url(), writer.len).into());
            }
            Fed::Whole => return Ok(writer),
        }
    }
}

/// How a body ended.
enum Fed {
    Whole,
    TooMuch,
    Broken(FetchError),
    Cancelled,
}

/// Hands a body to the disk's side, at most `room` bytes of it.
async fn feed(
    coming: &mut Download,
    to_disk: mpsc::Sender<bytes::Bytes>,
    mut room: u64,
    cancel: &Cancel,
    received: impl Fn(u64),
) -> Fed {
    loop {
        match cancel.or(coming.chunk()).await {
            Err(_) => return Fed::Cancelled,
            Ok(Err(error)) => return Fed::Broken(error),
            Ok(Ok(None)) => return Fed::Whole,
            Ok(Ok(Some(chunk))) => {
                let count = chunk.len() as u64;
                // More than was promised: stop here, whatever may follow.
                let Some(left) = room.checked_sub(count) else {
                    return Fed::TooMuch;
                };
                room = left;
                // The disk's side ends early only with an error of its own, which its end tells.
                if to_disk.send(chunk).await.is_err() {
                    return Fed::Whole;
                }
                received(count);
            }
        }
    }
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
