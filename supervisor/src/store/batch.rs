//! Pure: what is written at one stroke, how it stands in a line, and the digest of everything.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// Changes that happen together or not at all, and what must hold for them to happen.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) conditions: Vec<(String, u64)>,
    pub(super) changes: Vec<Change>,
}

/// One record put or removed.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record's key.
    pub key: String,
    /// Its new value, `None` when it is removed.
    pub value: Option<Box<RawValue>>,
}

/// Changes as they happened.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Position in the order of all changes; the revision of every record it put.
    pub sequence: u64,
    /// What changed.
    pub changes: Vec<Change>,
}

/// A stored value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The change that put it.
    pub revision: u64,
    /// The value, JSON.
    pub value: Box<RawValue>,
}

impl Batch {
    /// Requires that `key` was last put by change `revision`, or is absent when that is 0.
    #[must_use]
    pub fn when(mut self, key: impl Into<String>, revision: u64) -> Self {
        self.conditions.push((key.into(), revision));
        self
    }

    /// Puts a value.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: Box<RawValue>) -> Self {
        self.changes.push(Change {
            key: key.into(),
            value: Some(value),
        });
        self
    }

    /// Removes a record; one that is absent already is no error.
    #[must_use]
    pub fn remove(mut self, key: impl Into<String>) -> Self {
        self.changes.push(Change {
            key: key.into(),
            value: None,
        });
        self
    }

    /// All conditions and changes of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self.changes.extend(other.changes);
        self
    }
}

/// A commit as it stands in the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<'a> {
    /// First change of the group that was made durable together: a damaged line whose group the next whole line
    /// shares was never acknowledged.
    #[serde(rename = "g")]
    pub(super) group: u64,
    /// Digest of all records after this change.
    #[serde(rename = "d")]
    pub(super) digest: Digest,
    /// Key and value, or the key alone when it was removed.
    #[serde(rename = "c", borrow)]
    pub(super) changes: Vec<(String, Option<&'a RawValue>)>,
}

/// Tells two states of the whole store apart, whatever way led there: the sum (exclusive or) over all records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Digest(pub(super) u128);

impl Digest {
    /// Of all these records.
    pub(super) fn of<'a>(records: impl IntoIterator<Item = (&'a String, &'a Entry)>) -> Self {
        let mut digest = Self::default();
        for (key, entry) in records {
            digest.toggle(key, entry.revision, entry.value.get());
        }
        digest
    }

    /// Adds a record, or takes the same one away again.
    pub(super) fn toggle(&mut self, key: &str, revision: u64, value: &str) {
        let digest = Sha256::new()
            .chain_update(revision.to_be_bytes())
            .chain_update((key.len() as u64).to_be_bytes())
            .chain_update(key)
            .chain_update(value)
            .finalize();
        let half = digest.first_chunk().copied().unwrap_or_default();
        self.0 ^= u128::from_be_bytes(half);
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        format!("{:032x}", digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}
