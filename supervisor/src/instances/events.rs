//! What happened to each instance, in order, kept in the store.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::clock;
use crate::store::table::{Record, Table, Versioned};
use crate::store::{Batch, Store, StoreError};

/// Events that are kept per instance.
pub const KEPT: usize = 1000;
/// How many go at once when there are more.
const GO: usize = 100;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub kind: Kind,
    /// In a sentence.
    pub text: String,
    /// Figures and longer texts, by kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub detail: Option<Value>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It was created, copied or imported.
    Created,
    /// A person changed what it should be.
    Changed,
    /// Its process was started.
    Started,
    /// No process could be started.
    StartFailed,
    /// Its flows run.
    Ready,
    /// Its flows do not run, although its editor does.
    NotReady,
    /// A person deployed flows.
    Deployed,
    /// It ended because it was told to.
    Stopped,
    /// It ended by itself.
    Crashed,
    /// The kernel killed it for memory.
    OutOfMemory,
    /// Its event loop stood still for a while.
    Blocked,
    /// Its event loop turns again.
    Unblocked,
    /// It was killed because its event loop stood still, or its start took too long.
    Hung,
    /// It does not answer requests, or does again.
    Serving,
    /// It starts again after a while.
    Waiting,
    /// It crashed too often and starts with its flows stopped.
    SafeMode,
    /// It crashed too often and stays down.
    Down,
    /// It was frozen.
    Suspended,
    /// It was thawed.
    Resumed,
    /// It was found alive after the supervisor was away.
    Adopted,
    /// npm installed or removed packages.
    Installed,
    /// npm could not.
    InstallFailed,
    /// The gate did not let it.
    InstallRefused,
    /// Its disk space is nearly or wholly used up.
    Disk,
    /// It uses much of its processor limit, or no longer does.
    Cpu,
    /// It uses much of its memory limit, or no longer does.
    Memory,
    /// Something was done to it in a maintenance window, or could not be.
    Maintenance,
    /// It will be deleted, or was brought back.
    Deletion,
    /// It did, or tried, what none of its capabilities covers.
    Attempted,
    /// What it has installed is judged worse than before.
    VerdictFell,
    /// What it has installed is judged better than before, or was removed.
    VerdictRose,
}

impl Kind {
    /// As the interface for programs calls it.
    #[must_use]
    pub fn name(self) -> String {
        // A kind is a text there.
        serde_json::to_value(self)
            .ok()
            .and_then(|name| Some(name.as_str()?.to_owned()))
            .unwrap_or_default()
    }
}

impl Record for Event {
    const TABLE: &'static str = "events";
    const FORMAT: u32 = 1;
}

/// The events of all instances.
#[derive(Debug)]
pub struct Events {
    store: Store,
    table: Table<Event>,
    /// The last number of each instance, and how many there are.
    known: Mutex<HashMap<String, (u64, usize)>>,
}

impl Events {
    /// Those in the store.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self {
            store: store.clone(),
            table: Table::of(store),
            known: Mutex::default(),
        }
    }

    /// Notes an event. One that the disk does not take is not worth holding an instance up: it is logged instead.
    pub async fn note(&self, id: &str, kind: Kind, text: impl Into<String>, detail: Option<Value>) {
        let event = Event {
            at_ms: clock::now_ms(),
            kind,
            text: text.into(),
            detail,
        };
        info!(instance = id, event = kind.name(), "{}", event.text);
        let noted = match self.batch(id, &event) {
            Ok(batch) => self.store.commit(batch).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            warn!(instance = id, %error, "an event could not be stored");
        }
    }

    /// The batch that notes an event, to be written together with what caused it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn batch(&self, id: &str, event: &Event) -> Result<Batch, StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, count) = match known.get(id) {
            Some(known) => *known,
            None => {
                let all = self.table.scan(&format!("{id}/"))?;
                let last = all.last().and_then(|(name, _)| number(name)).unwrap_or(0);
                (last, all.len())
            }
        };
        // By time, and in order even when the clock is set back.
        let next = (last + 1).max(event.at_ms << 8);
        let mut batch = Table::<Event>::set(&format!("{id}/{next:016x}"), event)?;
        let mut count = count + 1;
        if count > KEPT {
            for (name, _) in self.table.scan(&format!("{id}/"))?.into_iter().take(GO) {
                batch = batch.remove(Table::<Event>::key(&name));
                count -= 1;
            }
        }
        known.insert(id.to_owned(), (next, count));
        Ok(batch)
    }

    /// At most `limit` events of an instance, oldest first: number and event. Those after number `after`, and without
    /// one the newest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, id: &str, after: Option<u64>, limit: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        let prefix = format!("{id}/");
        let found = match after {
            Some(after) => self
                .table
                .after(&prefix, &format!("{prefix}{after:016x}"), limit)?,
            None => {
                let mut all = self.table.scan(&prefix)?;
                all.split_off(all.len().saturating_sub(limit))
            }
        };
        let numbered = |(name, event): (String, Versioned<Event>)| Some((number(&name)?, event.record));
        Ok(found.into_iter().filter_map(numbered).collect())
    }

    /// The batch that removes all events of an instance.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn forget(&self, id: &str) -> Result<Batch, StoreError> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        let all = self.table.scan(&format!("{id}/"))?;
        Ok(all.into_iter().fold(Batch::default(), |batch, (name, _)| {
            batch.remove(Table::<Event>::key(&name))
        }))
    }
}

fn number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.rsplit('/').next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_keep_their_order_and_their_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(&folder.path().join("store")).expect("a store");
        let events = Events::of(&store);
        for number in 0..KEPT + 5 {
            events.note("a", Kind::Changed, number.to_string(), None).await;
        }
        events.note("b", Kind::Started, "other", None).await;
        let kept = events.list("a", Some(0), 2 * KEPT).expect("events");
        assert_eq!(kept.len(), KEPT + 5 - GO);
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(kept.last().map(|(_, event)| event.text.as_str()), Some("1004"));
        // A new supervisor goes on behind them.
        let again = Events::of(&store);
        again.note("a", Kind::Adopted, "again", None).await;
        let last = Some(kept.last().expect("one").0);
        let after = again.list("a", last, 10).expect("events");
        assert_eq!(after.len(), 1);
        let newest = again.list("a", None, 3).expect("events");
        assert_eq!(newest[..2], kept[kept.len() - 2..]);
        assert_eq!(newest[2..], after[..]);
        assert_eq!(events.list("a", Some(0), 3).expect("events"), kept[..3]);
        store
            .commit(again.forget("a").expect("a batch"))
            .await
            .expect("forgotten");
        assert_eq!(again.list("a", Some(0), 1).expect("events"), []);
        assert_eq!(again.list("b", Some(0), 10).expect("events").len(), 1);
    }
}
