//! The index on the disk: sled, the only file that knows it.
//!
//! sled's own flush is no disk sync, it cannot tell a torn tail from a short log, and a damaged file or a full disk can
//! make it panic. So nothing is believed that its digest does not prove, an opening that did not come back is
//! remembered, and a panic is one more error.

use std::fs;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use runtime::error::or_absent;
use serde_json::value::RawValue;

use super::State;
use crate::removal;
use crate::store::batch::{Commit, Digest, Entry};
use crate::store::error::StoreError;
use crate::store::journal::checkpoint::Records;

/// Most memory that sled may use for pages, in bytes; everything in a control-plane store is small.
const CACHE: u64 = 8 << 20;

/// How long sled's threads may keep the lock of one that was closed.
const LETS_GO: Duration = Duration::from_secs(5);

/// Before a record's key.
const RECORD: u8 = b'r';
/// Key of the state itself.
const STATE: &[u8] = b"s";

/// An open one.
#[derive(Debug)]
pub(super) struct Disk {
    sled: sled::Db,
}

impl Disk {
    /// Opens the index and proves it: its state only when every record is as the digest says.
    ///
    /// # Errors
    /// When it cannot be used at all; [`Disk::create`] makes a new one then.
    pub(super) fn open(folder: &Path) -> Result<(Self, State), StoreError> {
        let marker = folder.with_extension("opening");
        if marker.exists() {
            return Err(StoreError::Index(
                "an earlier opening did not come back".to_owned(),
            ));
        }
        fs::write(&marker, []).map_err(StoreError::file("make", &marker))?;
        let opened = guarded(|| {
            let disk = Self::start(folder)?;
            let state = disk.prove()?;
            Ok((disk, state))
        });
        fs::remove_file(&marker).map_err(StoreError::file("remove", &marker))?;
        opened
    }

    /// Makes a new index in place of whatever is there.
    pub(super) fn create(folder: &Path) -> Result<Self, StoreError> {
        for path in [folder.to_owned(), folder.with_extension("opening")] {
            let removed = if path.is_dir() {
                removal::remove_all(&path)
            } else {
                fs::remove_file(&path)
            };
            or_absent(removed).map_err(StoreError::file("remove", &path))?;
        }
        Self::start(folder)
    }

    fn start(folder: &Path) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE)
            // The journal is what lasts; without this sled wakes twice a second for ever.
            .flush_every_ms(None);
        let patience = Instant::now() + LETS_GO;
        loop {
            match config.open() {
                Ok(sled) => return Ok(Self { sled }),
                // The store's own lock is held here, so nobody has it: threads of a closed one let go a little later.
                Err(sled::Error::Io(error))
                    if error.to_string().contains("acquire lock") && Instant::now() < patience =>
                {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn prove(&self) -> Result<State, StoreError> {
        let bytes = self.sled.get(STATE).map_err(failed)?;
        let state = bytes.as_deref().and_then(decode_state);
        let state = state.ok_or_else(|| StoreError::Index("it has no state".to_owned()))?;
        if Digest::of(&self.scan("")?) == state.digest {
            Ok(state)
        } else {
            Err(StoreError::Index(
                "its records are not those that were written".to_owned(),
            ))
        }
    }

    /// One record.
    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let stored = guarded(|| self.sled.get(record(key)).map_err(failed))?;
        stored.map(|bytes| decode(key, &bytes)).transpose()
    }

    /// All records whose key begins with `prefix`, in order.
    pub(super) fn scan(&self, prefix: &str) -> Result<Records, StoreError> {
        guarded(|| self.sled.scan_prefix(record(prefix)).map(read).collect())
    }

    /// The first `limit` of those whose key comes after `after`.
    pub(super) fn after(&self, prefix: &str, after: &str, limit: usize) -> Result<Records, StoreError> {
        let begin = Bound::Excluded(record(after.max(prefix)));
        // What is no record stands behind them.
        let end = Bound::Excluded(vec![RECORD + 1]);
        guarded(|| {
            self.sled
                .range((begin, end))
                .map(read)
                .take_while(|read| read.as_ref().map_or(true, |(key, _)| key.starts_with(prefix)))
                .take(limit)
                .collect()
        })
    }

    /// Applies a change, and the state after it, at one stroke.
    pub(super) fn apply(&self, commit: &Commit, digest: Digest) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for change in &commit.changes {
            match &change.value {
                Some(value) => batch.insert(record(&change.key), encode(commit.sequence, value)),
                None => batch.remove(record(&change.key)),
            }
        }
        let state = State {
            applied: commit.sequence,
            digest,
        };
        batch.insert(STATE, encode_state(state));
        guarded(|| self.sled.apply_batch(batch).map_err(failed))
    }

    /// Fills a new index.
    pub(super) fn fill(&self, records: &Records, state: State) -> Result<(), StoreError> {
        guarded(|| {
            for (key, entry) in records {
                self.sled
                    .insert(record(key), encode(entry.revision, &entry.value))
                    .map_err(failed)?;
            }
            self.sled.insert(STATE, encode_state(state)).map_err(failed)?;
            Ok(())
        })
    }

    /// Writes out what sled holds back, so that the next opening has less to do.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        guarded(|| self.sled.flush().map_err(failed).map(drop))
    }
}

/// Does something with sled; a panic is one more error.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::Index("sled panicked".to_owned())))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn failed(error: sled::Error) -> StoreError {
    StoreError::Index(error.to_string())
}

fn read(pair: sled::Result<(sled::IVec, sled::IVec)>) -> Result<(String, Entry), StoreError> {
    let (key, bytes) = pair.map_err(failed)?;
    let key = std::str::from_utf8(key.get(1..).unwrap_or_default())
        .map_err(|_| StoreError::Index("a key is not text".to_owned()))?;
    Ok((key.to_owned(), decode(key, &bytes)?))
}

fn record(key: &str) -> Vec<u8> {
    [&[RECORD], key.as_bytes()].concat()
}

fn encode(revision: u64, value: &RawValue) -> Vec<u8> {
    [&revision.to_be_bytes(), value.get().as_bytes()].concat()
}

fn decode(key: &str, bytes: &[u8]) -> Result<Entry, StoreError> {
    let split = bytes.split_first_chunk().and_then(|(revision, value)| {
        let value = RawValue::from_string(String::from_utf8(value.to_vec()).ok()?).ok()?;
        Some((u64::from_be_bytes(*revision), value))
    });
    let (revision, value) = split.ok_or_else(|| StoreError::Record {
        key: key.to_owned(),
        reason: "the index has something else there".to_owned(),
    })?;
    Ok(Entry { revision, value })
}

fn encode_state(state: State) -> Vec<u8> {
    [&state.applied.to_be_bytes()[..], &state.digest.0.to_be_bytes()].concat()
}

fn decode_state(bytes: &[u8]) -> Option<State> {
    let (applied, digest) = bytes.split_first_chunk()?;
    Some(State {
        applied: u64::from_be_bytes(*applied),
        digest: Digest(u128::from_be_bytes(digest.try_into().ok()?)),
    })
}
