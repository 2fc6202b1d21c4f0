//! From the formats of earlier versions to today's, step by step, when the store is opened.
//!
//! A step changes one table's records from one format to the next and is never edited after a release; the tests
//! keep a record of every format that was ever written.

use serde_json::Value;
use serde_json::value::to_raw_value;

use super::table::Stored;
use super::{Batch, Store, StoreError};

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

/// Brings every record to the newest format; how many were changed. All changes of a table happen at one stroke, so
/// a power cut leaves the table as it was.
///
/// # Errors
/// [`StoreError::Newer`] when a newer version wrote here: nothing was changed in that table.
pub async fn migrate(store: &Store, known: &[Known], steps: &[Step]) -> Result<usize, StoreError> {
    let mut changed = 0;
    for known in known {
        let mut batch = Batch::default();
        for (key, entry) in store.scan(&format!("{}/", known.table))? {
            let unreadable = |reason: String| StoreError::Record {
                key: key.clone(),
                reason,
            };
            let mut stored: Stored<Value> =
                serde_json::from_str(entry.value.get()).map_err(|error| unreadable(error.to_string()))?;
            if stored.format > known.format {
                return Err(StoreError::Newer {
                    key,
                    found: stored.format,
                    known: known.format,
                });
            }
            if stored.format == known.format {
                continue;
            }
            while stored.format < known.format {
                let step = steps
                    .iter()
                    .find(|step| step.table == known.table && step.from == stored.format)
                    .ok_or_else(|| unreadable(format!("no step leads on from format {}", stored.format)))?;
                stored = Stored {
                    format: stored.format + 1,
                    record: (step.run)(stored.record).map_err(unreadable)?,
                };
            }
            let value = to_raw_value(&stored).map_err(|error| unreadable(error.to_string()))?;
            batch = batch.when(key.clone(), entry.revision).put(key, value);
            changed += 1;
        }
        if !batch.changes.is_empty() {
            store.commit(batch).await?;
        }
    }
    Ok(changed)
}
