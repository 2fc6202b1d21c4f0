//! Typed tables over the store's text keys, and the format number in front of each record.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{Batch, Entry, Store, StoreError};

/// Something that is stored. Its fields may gain optional ones; anything else needs a new [`Record::FORMAT`] and a
/// step in [`migrate`](super::migrate).
pub trait Record: Serialize + DeserializeOwned {
    /// Name of its table, the first part of every key.
    const TABLE: &'static str;
    /// Its format.
    const FORMAT: u32;
}

/// A record as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored<T> {
    /// Its format.
    #[serde(rename = "v")]
    pub(super) format: u32,
    /// What it is.
    #[serde(rename = "r")]
    pub(super) record: T,
}

/// A record with the number of the change that put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<R> {
    /// For [`Batch::when`] and as an ETag.
    pub revision: u64,
    /// What it is.
    pub record: R,
}

/// One table of a store.
#[derive(Clone, Debug)]
pub struct Table<R> {
    store: Store,
    kind: PhantomData<fn() -> R>,
}

impl<R: Record> Table<R> {
    /// The table of this kind of record.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self {
            store: store.clone(),
            kind: PhantomData,
        }
    }

    /// The key of a record: a name of its own, or a path where a table has parts.
    #[must_use]
    pub fn key(name: &str) -> String {
        format!("{}/{name}", R::TABLE)
    }

    /// One record.
    ///
    /// # Errors
    /// When the index fails, or what is stored is not such a record.
    pub fn get(&self, name: &str) -> Result<Option<Versioned<R>>, StoreError> {
        let key = Self::key(name);
        let entry = self.store.get(&key)?;
        entry.map(|entry| decode(&key, &entry)).transpose()
    }

    /// All records whose name begins with `prefix`, by name.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub fn scan(&self, prefix: &str) -> Result<Vec<(String, Versioned<R>)>, StoreError> {
        named(self.store.scan(&Self::key(prefix))?)
    }

    /// A page: the first `limit` of the records whose name begins with `prefix` and comes after `name`, by name.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub fn after(
        &self,
        prefix: &str,
        name: &str,
        limit: usize,
    ) -> Result<Vec<(String, Versioned<R>)>, StoreError> {
        named(self.store.after(&Self::key(prefix), &Self::key(name), limit)?)
    }

    /// A batch that puts a record where `revision` is the one it replaces, 0 for none.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn put(name: &str, record: &R, revision: u64) -> Result<Batch, StoreError> {
        let key = Self::key(name);
        Ok(Batch::default()
            .when(key.clone(), revision)
            .put(key.clone(), encode(&key, record)?))
    }

    /// A batch that puts a record, whatever was there.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn set(name: &str, record: &R) -> Result<Batch, StoreError> {
        let key = Self::key(name);
        Ok(Batch::default().put(key.clone(), encode(&key, record)?))
    }

    /// A batch that removes a record where `revision` is the one it has.
    #[must_use]
    pub fn remove(name: &str, revision: u64) -> Batch {
        let key = Self::key(name);
        Batch::default().when(key.clone(), revision).remove(key)
    }
}

/// Records with their names, which are their keys without the table.
fn named<R: Record>(entries: Vec<(String, Entry)>) -> Result<Vec<(String, Versioned<R>)>, StoreError> {
    let own = Table::<R>::key("");
    let named = |(key, entry): (String, Entry)| {
        let record = decode(&key, &entry)?;
        Ok((key.strip_prefix(&own).unwrap_or(&key).to_owned(), record))
    };
    entries.into_iter().map(named).collect()
}

fn encode<R: Record>(key: &str, record: &R) -> Result<Box<RawValue>, StoreError> {
    let stored = Stored {
        format: R::FORMAT,
        record,
    };
    to_raw_value(&stored).map_err(|error| StoreError::Record {
        key: key.to_owned(),
        reason: error.to_string(),
    })
}

fn decode<R: Record>(key: &str, entry: &Entry) -> Result<Versioned<R>, StoreError> {
    let text = entry.value.get();
    let unreadable = |error: serde_json::Error| StoreError::Record {
        key: key.to_owned(),
        reason: error.to_string(),
    };
    let stored: Stored<R> = serde_json::from_str(text).map_err(unreadable)?;
    Ok(Versioned {
        revision: entry.revision,
        record: stored.record,
    })
}
