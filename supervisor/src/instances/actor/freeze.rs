//! Freezing a living instance, and letting it go on.

use tracing::warn;

use super::Actor;
use crate::audit::{self, By};
use crate::instances::events::Kind;
use crate::instances::machine::Input;
use crate::instances::model::{Desired, Instance};
use crate::instances::patch;
use crate::store::StoreError;
use crate::store::table::{Table, Versioned};

impl Actor {
    pub(super) async fn freeze(&mut self, frozen: bool) {
        let Some(life) = &self.life else { return };
        let outcome = match life.running.freeze(frozen) {
            Ok(true) => Ok(()),
            Ok(false) => Err("this machine has no freezer of control groups".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match (outcome, frozen) {
            (Ok(()), true) => {
                self.note(Kind::Suspended, "its processes stand still", None)
                    .await;
            }
            (Ok(()), false) => {
                // What it did not say while it stood still is no silence.
                let now = self.now();
                self.health.beat(now, None);
                if let Some(life) = &mut self.life {
                    life.thawed = Some(now);
                }
                self.note(Kind::Resumed, "its processes go on", None).await;
            }
            (Err(why), true) => self.goes_on(&why).await,
            (Err(why), false) => warn!(instance = self.id(), why, "cannot be thawed"),
        }
    }

    /// It could not be frozen, so it runs: what is wanted of it says so too, or it would be tried again at each start.
    async fn goes_on(&mut self, why: &str) {
        self.note(Kind::Resumed, format!("cannot be suspended: {why}"), None)
            .await;
        let restart = self.settings().restart.clone();
        // What it answers is to thaw, and nothing is frozen.
        self.machine
            .step(self.now(), Input::Want(Desired::Running), &restart);
        match self.desire_running().await {
            Ok(record) => self.record = record,
            // Somebody else wants something of it in this moment; that is on its way.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => warn!(instance = self.id(), %error, "that it runs could not be stored"),
        }
    }

    async fn desire_running(&self) -> Result<Versioned<Instance>, StoreError> {
        let before = &self.record.record;
        let after = Instance {
            desired: Desired::Running,
            ..before.clone()
        };
        let (old, new) = (patch::shown(before), patch::shown(&after));
        let batch = Table::<Instance>::put(&after.id, &after, self.record.revision)?.and(audit::entry(
            &By::Host,
            "instance.suspend-failed",
            &after.id,
            Some(old),
            Some(new),
        )?);
        let revision = self.shared.store.commit(batch).await?;
        Ok(Versioned {
            revision,
            record: after,
        })
    }
}
