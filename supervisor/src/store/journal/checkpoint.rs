//! A checkpoint: every record at one moment, as lines, published by rename.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::files::{checkpoint, sync_folder};
use super::frame;
use crate::store::batch::{Digest, Entry};
use crate::store::error::StoreError;

/// All records.
pub(in crate::store) type Records = BTreeMap<String, Entry>;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// The last change that is in it.
    sequence: u64,
    /// Number of records.
    records: u64,
    /// Digest of all of them.
    digest: Digest,
}

/// Writes the checkpoint after change `sequence`.
pub(in crate::store) fn write(
    folder: &Path,
    sequence: u64,
    digest: Digest,
    records: &Records,
) -> Result<(), StoreError> {
    let path = checkpoint(folder, sequence);
    let temporary = folder.join(".checkpoint");
    let publish = || {
        let mut to = BufWriter::new(File::create(&temporary)?);
        let head = Head {
            sequence,
            records: records.len() as u64,
            digest,
        };
        let mut line = Vec::new();
        frame::write(&mut line, 0, &serde_json::to_vec(&head)?);
        for (number, (key, entry)) in (1..).zip(records) {
            frame::write(
                &mut line,
                number,
                &serde_json::to_vec(&(key, entry.revision, &entry.value))?,
            );
            to.write_all(&line)?;
            line.clear();
        }
        to.write_all(&line)?;
        to.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync_folder(folder)
    };
    publish().map_err(|error| {
        // A half one is removed at the next opening at the latest.
        let _ = fs::remove_file(&temporary);
        StoreError::file("write", &path)(error)
    })
}

/// Reads a checkpoint; `None` when anything in it is damaged.
pub(in crate::store) fn read(path: &Path) -> Result<Option<(u64, Digest, Records)>, StoreError> {
    let bytes = fs::read(path).map_err(StoreError::file("read", path))?;
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Option<(u64, Digest, Records)> {
    let first = frame::read(bytes).filter(|frame| frame.sequence == 0)?;
    let head: Head = serde_json::from_slice(first.payload).ok()?;
    let mut records = Records::new();
    let mut digest = Digest::default();
    let mut at = first.length;
    for number in 1..=head.records {
        let frame = frame::read(bytes.get(at..)?).filter(|frame| frame.sequence == number)?;
        let (key, revision, value): (String, u64, Box<RawValue>) =
            serde_json::from_slice(frame.payload).ok()?;
        digest.toggle(&key, revision, value.get());
        records.insert(key, Entry { revision, value });
        at += frame.length;
    }
    (at == bytes.len() && digest == head.digest).then_some((head.sequence, digest, records))
}
