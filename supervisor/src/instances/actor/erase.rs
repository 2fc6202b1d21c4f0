//! The end of an instance for good: its record goes when its files are gone.

use std::time::Duration;

use tracing::warn;

use super::Actor;
use crate::instances::model::{Instance, Kept};
use crate::instances::undo::Undo;
use crate::instances::upkeep::Maintained;
use crate::instances::verdicts::Verdicts;
use crate::instances::{job, tokens};
use crate::store::table::Table;

/// Until files or a record that could not be removed are tried again.
const ERASE_AGAIN: Duration = Duration::from_secs(60);

impl Actor {
    /// Its files are gone: so goes its record.
    pub(super) async fn forget(&mut self) {
        let id = &self.record.record.id;
        let batch = self.shared.events.forget(id).and_then(|events| {
            let tokens = tokens::forget(&self.shared.store, id)?;
            Ok(events
                .and(tokens)
                .remove(Table::<Instance>::key(id))
                .remove(Table::<Kept>::key(id))
                .remove(Table::<Undo>::key(id))
                .remove(Table::<Maintained>::key(id))
                .remove(Table::<Verdicts>::key(id))
                .remove(crate::instances::name_key(&self.record.record.name)))
        });
        let stored = match batch {
            Ok(batch) => self.shared.store.commit(batch).await.map(drop),
            Err(error) => Err(error),
        };
        match stored {
            Ok(()) => self.erased = true,
            Err(error) => {
                warn!(instance = self.id(), %error, "its record could not be removed; tried again later");
                self.erase_later();
            }
        }
    }

    pub(super) fn erase_later(&mut self) {
        let (place, errands) = (self.place.clone(), self.errands.clone());
        let shared = self.shared.clone();
        self.jobs.spawn(async move {
            tokio::time::sleep(ERASE_AGAIN).await;
            job::erase(shared, place, errands).await
        });
    }
}
