//! From the formats of earlier versions to today's, step by step, when the store is opened.
//!
//! A step changes one table's records from one format to the next and is never edited after a release; the tests
//! keep a record of every format that was ever written.

use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::table::Stored;
use super::{Batch, Entry, Store, StoreError};

/// One step of one table.
pub struct Step {
    /// The table.
    pub table: &'static str,
    /// The format that it reads; it writes the next one.
    pub from: u32,
    /// What it does to a record, in words if it cannot.
    pub run: fn(Value) -> Result<Value, String>,
}

/// A table and the newest format that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The table.
    pub table: &'static str,
    /// The format.
    pub format: u32,
}

/// Bytes of records that are changed at one stroke: a table may be larger than what the journal takes as one change.
const AT_ONCE: usize = 256 << 10;

/// Brings every record to the newest format; how many were changed. Each record says which format it has, so one that
/// is broken off anywhere goes on where it was.
///
/// # Errors
/// [`StoreError::Newer`] when a newer version wrote here: nothing was changed then.
pub async fn migrate(store: &Store, known: &[Known], steps: &[Step]) -> Result<usize, StoreError> {
    let mut old = Vec::new();
    for known in known {
        for (key, entry) in store.scan(&format!("{}/", known.table))? {
            let stored: Stored<IgnoredAny> =
                serde_json::from_str(entry.value.get()).map_err(|error| unreadable(&key, error))?;
            if stored.format > known.format {
                return Err(StoreError::Newer {
                    key,
                    found: stored.format,
                    known: known.format,
                });
            }
            if stored.format < known.format {
                old.push((known, key, entry));
            }
        }
    }
    let (mut batch, mut size) = (Batch::default(), 0);
    let changed = old.len();
    for (known, key, entry) in old {
        let value = raised(known, steps, &key, &entry)?;
        size += value.get().len();
        batch = batch.when(key.clone(), entry.revision).put(key, value);
        if size > AT_ONCE {
            store.commit(std::mem::take(&mut batch)).await?;
            size = 0;
        }
    }
    if size > 0 {
        store.commit(batch).await?;
    }
    Ok(changed)
}

/// A record in the newest format.
fn raised(known: &Known, steps: &[Step], key: &str, entry: &Entry) -> Result<Box<RawValue>, StoreError> {
    let mut stored: Stored<Value> =
        serde_json::from_str(entry.value.get()).map_err(|error| unreadable(key, error))?;
    while stored.format < known.format {
        let step = steps
            .iter()
            .find(|step| step.table == known.table && step.from == stored.format);
        let step =
            step.ok_or_else(|| unreadable(key, format!("no step leads on from format {}", stored.format)))?;
        stored = Stored {
            format: stored.format + 1,
            record: (step.run)(stored.record).map_err(|reason| unreadable(key, reason))?,
        };
    }
    to_raw_value(&stored).map_err(|error| unreadable(key, error))
}

fn unreadable(key: &str, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Record {
        key: key.to_owned(),
        reason: reason.to_string(),
    }
}
