//! Export and import: one JSON line per record, so that another engine, or another version, can read them.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::writer::Order;
use super::{Batch, Store, StoreError};

/// Records per change when they are read in.
const AT_ONCE: usize = 500;

/// The format that is written; it says so in its first line.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    #[serde(rename = "redhold-store")]
    format: u32,
    /// The last change that is in it.
    sequence: u64,
    records: u64,
}

/// Every other line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    key: String,
    value: Box<RawValue>,
}

/// Why records could not be taken out or brought in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DumpError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stream broke.
    #[error("the export cannot be read or written")]
    Stream(#[from] io::Error),
    /// It is not what an export looks like.
    #[error("line {line} is not part of an export: {reason}")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// Records would be mixed with others.
    #[error("the store is not empty")]
    NotEmpty,
}

impl Store {
    /// Writes all records as they are at one moment, while others go on writing; the number of the last change in it.
    ///
    /// # Errors
    /// When the index or the stream fails.
    pub async fn export(&self, to: &mut (dyn Write + Send)) -> Result<u64, DumpError> {
        let answered = self.writer.ask(Order::Dump);
        let (sequence, records) = answered.await.unwrap_or(Err(StoreError::Closed))?;
        let head = Head {
            format: FORMAT,
            sequence,
            records: records.len() as u64,
        };
        write(to, &head)?;
        for (key, entry) in records {
            let line = Line {
                key,
                value: entry.value,
            };
            write(to, &line)?;
        }
        to.flush()?;
        Ok(sequence)
    }
}

fn write(to: &mut (dyn Write + Send), line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.write_all(b"\n")
}

/// Brings an export into an empty store; the number of records.
///
/// # Errors
/// When the store is not empty, or the export is damaged or cut short: the store must be thrown away then.
pub async fn import(store: &Store, from: &mut (dyn BufRead + Send)) -> Result<u64, DumpError> {
    if !store.scan("")?.is_empty() {
        return Err(DumpError::NotEmpty);
    }
    let mut head: Option<Head> = None;
    let mut batch = Batch::default();
    let mut count = 0;
    let mut number = 0;
    let mut text = String::new();
    loop {
        text.clear();
        if from.read_line(&mut text)? == 0 {
            break;
        }
        number += 1;
        let bad = |error: serde_json::Error| DumpError::Line {
            line: number,
            reason: error.to_string(),
        };
        if head.is_none() {
            let first: Head = serde_json::from_str(&text).map_err(bad)?;
            if first.format != FORMAT {
                return Err(DumpError::Line {
                    line: number,
                    reason: format!("format {} is not known, only {FORMAT}", first.format),
                });
            }
            head = Some(first);
            continue;
        }
        let line: Line = serde_json::from_str(&text).map_err(bad)?;
        batch = batch.put(line.key, line.value);
        count += 1;
        if batch.changes.len() >= AT_ONCE {
            store.commit(std::mem::take(&mut batch)).await?;
        }
    }
    if !batch.changes.is_empty() {
        store.commit(batch).await?;
    }
    match head {
        Some(head) if head.records == count => Ok(count),
        head => Err(DumpError::Line {
            line: number + 1,
            reason: format!(
                "the export ends here, after {count} of {} records",
                head.map_or(0, |head| head.records)
            ),
        }),
    }
}
