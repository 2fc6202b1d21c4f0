//! Maintenance windows: restarts and upgrades that nobody is awake for, and upgrades that are undone.
//!
//! Everything that must survive this supervisor is in the store before it is done: which window was dealt with, and an
//! upgrade whose outcome is not known yet.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::warn;

use super::problems::stored;
use super::{Action, Instances};
use crate::audit::By;
use crate::clock;
use crate::instances::actor::Order;
use crate::instances::events::{KEPT, Kind};
use crate::instances::model::{Desired, Instance, Upkeep};
use crate::instances::upkeep::{self, Maintained, Occurrence, Outcome, Pending};
use crate::problem::{Code, Problem};
use crate::store::Batch;
use crate::store::table::{Table, Versioned};

/// How often is looked.
const TICK: Duration = Duration::from_secs(5);

/// Windows that are begun at each look: an hour is long enough for all, and a host is not stopped as a whole.
const AT_ONCE: usize = 2;

/// How old the note of the last look may become, in milliseconds.
const STALE: i64 = 30 * 60_000;

impl Instances {
    /// Does what windows ask for, for ever; whoever runs this ends it.
    pub async fn maintain(&self) {
        loop {
            let records = self.table.scan("").unwrap_or_else(|error| {
                warn!(%error, "maintenance windows are not looked at");
                Vec::new()
            });
            let mut begun = 0;
            for (id, record) in records {
                if record.record.delete_at_ms.is_some() || begun >= AT_ONCE {
                    continue;
                }
                match self.attend(&record).await {
                    Ok(did) => begun += usize::from(did),
                    // It stays due.
                    Err(problem) => warn!(instance = id, %problem, "maintenance did not come about yet"),
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Looks at one instance; whether something was begun.
    async fn attend(&self, record: &Versioned<Instance>) -> Result<bool, Problem> {
        let instance = &record.record;
        let windows = &instance.settings.maintenance;
        let found = Table::<Maintained>::of(&self.shared.store)
            .get(&instance.id)
            .map_err(stored)?;
        if windows.is_empty() && found.is_none() {
            return Ok(false);
        }
        let now = Timestamp::now();
        let first = found.is_none();
        let mut kept = found.map_or_else(
            || Maintained {
                checked_ms: now.as_millisecond(),
                ..Maintained::default()
            },
            |found| found.record,
        );
        if let Some(pending) = kept.pending.clone() {
            self.follow(record, &kept, &pending).await?;
            return Ok(false);
        }
        let zone = match instance.settings.time_zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|error| {
                let message = format!("this host does not know the time zone `{name}` any more");
                Problem::new(Code::Host, message)
                    .because(error)
                    .hint("install its time zone database (package `tzdata`)")
            })?,
        };
        let due = upkeep::due(now, &kept, windows, &zone);
        if let Some(missed) = due.missed {
            kept.last_ms = missed.begin_ms;
            kept.checked_ms = now.as_millisecond();
            let when = Timestamp::from_millisecond(missed.begin_ms).unwrap_or(now);
            let text = format!(
                "the maintenance window of {} went by while this host was down: it is not made up for",
                zone_time(when, &zone)
            );
            self.keep(instance, &kept, Some(text)).await?;
        }
        if let Some(open) = due.open {
            self.begin_upkeep(record, kept, open).await?;
            return Ok(true);
        }
        if first || now.as_millisecond() - kept.checked_ms > STALE {
            kept.checked_ms = now.as_millisecond();
            self.keep(instance, &kept, None).await?;
        }
        Ok(false)
    }

    async fn begin_upkeep(
        &self,
        record: &Versioned<Instance>,
        mut kept: Maintained,
        window: Occurrence,
    ) -> Result<(), Problem> {
        let instance = &record.record;
        let before = kept.clone();
        kept.last_ms = window.begin_ms;
        kept.checked_ms = Timestamp::now().as_millisecond();
        if instance.desired != Desired::Running {
            let text = "nothing was done in its maintenance window: it is not meant to run";
            return self.keep(instance, &kept, Some(text.to_owned())).await;
        }
        match window.action {
            Upkeep::Restart => {
                let text = "is restarted, in its maintenance window".to_owned();
                self.keep(instance, &kept, Some(text)).await?;
                let asked = self.act(&By::Maintenance, &instance.id, Action::Restart).await;
                if asked.is_err() {
                    // Too busy, or changed in this moment: the window is still open.
                    self.keep(instance, &before, None).await?;
                }
                asked.map(drop)
            }
            Upkeep::Upgrade => self.begin_upgrade(record, kept).await,
        }
    }

    async fn begin_upgrade(&self, record: &Versioned<Instance>, mut kept: Maintained) -> Result<(), Problem> {
        let instance = &record.record;
        let newest = self.shared.stacks.resolve(None)?;
        let present = self.shared.stacks.resolve(Some(&instance.stack));
        let newer = present.is_ok_and(|present| newest.node_red() > present.node_red());
        let text = if !newer {
            Some(format!("has the newest stack already: {}", instance.stack))
        } else if kept.undone.as_deref() == Some(newest.name()) {
            Some(format!(
                "stays with {}: the upgrade to {} was undone before; `redhold instance set {} --stack {1}` tries it again",
                instance.stack,
                newest.name(),
                instance.name
            ))
        } else {
            // All of it is here before anything is stopped.
            let fetched = self.shared.stacks.ensure(&newest, &runtime::store::Silent).await;
            let failed = fetched.err();
            failed.map(|problem| format!("stays with {}: {problem}", instance.stack))
        };
        if let Some(text) = text {
            return self.keep(instance, &kept, Some(text)).await;
        }
        let to = newest.name().to_owned();
        kept.pending = Some(Pending {
            from: instance.stack.clone(),
            to: to.clone(),
            begun_ms: clock::now_ms(),
            flows: self
                .watch(&instance.id)
                .is_some_and(|seen| seen.borrow().health.as_ref().is_some_and(|facts| facts.flows)),
        });
        let text = format!(
            "is upgraded from {} to {to}, in its maintenance window",
            instance.stack
        );
        self.put_on(record, &to, "maintenance.upgrade", &kept, text).await
    }

    /// Puts an instance onto a stack, together with what is remembered of it, and restarts it.
    async fn put_on(
        &self,
        record: &Versioned<Instance>,
        stack: &str,
        action: &str,
        kept: &Maintained,
        text: String,
    ) -> Result<(), Problem> {
        let id = &record.record.id;
        let after = Instance {
            stack: stack.to_owned(),
            ..record.record.clone()
        };
        let more = self.kept(id, kept, Some(text))?;
        self.replace(&By::Maintenance, action, record, after, more)
            .await?;
        // Should this get lost, `follow` sees that the old process runs, and says it again.
        self.tell(id, Order::Restart { safe: false })
    }

    /// Looks how an upgrade goes, and undoes one that went wrong.
    async fn follow(
        &self,
        record: &Versioned<Instance>,
        kept: &Maintained,
        pending: &Pending,
    ) -> Result<(), Problem> {
        let instance = &record.record;
        let Some(mut observed) = self.watch(&instance.id).map(|seen| seen.borrow().clone()) else {
            return Ok(());
        };
        // What it is seen to do now says nothing of a crash after which it was started again at once.
        let trouble = self.trouble_since(&instance.id, pending.begun_ms)?;
        observed.reason = trouble.or(observed.reason);
        let start_ms = u64::from(instance.settings.health.start_timeout_ms);
        let settled = Maintained {
            pending: None,
            ..kept.clone()
        };
        let outcome = upkeep::judge(
            pending,
            &instance.stack,
            instance.desired,
            &observed,
            clock::now_ms(),
            start_ms,
        );
        match outcome {
            Outcome::Open => Ok(()),
            Outcome::NotBegun => self.tell(&instance.id, Order::Restart { safe: false }),
            Outcome::Overruled => {
                let text = format!(
                    "the upgrade to {} is no longer watched: somebody decided otherwise meanwhile",
                    pending.to
                );
                self.keep(instance, &settled, Some(text)).await
            }
            Outcome::Taken => {
                let text = format!("the upgrade to {} went well", pending.to);
                self.keep(instance, &settled, Some(text)).await
            }
            Outcome::Failed(why) => {
                let undone = Maintained {
                    undone: Some(pending.to.clone()),
                    ..settled
                };
                let text = format!(
                    "the upgrade to {} is undone, and {} put back: on the new stack it {why}",
                    pending.to, pending.from
                );
                self.put_on(record, &pending.from, "maintenance.undo", &undone, text)
                    .await
            }
        }
    }

    /// What went wrong with an instance first, since then.
    fn trouble_since(&self, id: &str, since_ms: u64) -> Result<Option<String>, Problem> {
        let bad = [Kind::Crashed, Kind::OutOfMemory, Kind::Hung, Kind::StartFailed];
        let events = self.events(id, None, KEPT)?.into_iter().map(|(_, event)| event);
        let mut bad = events.filter(|event| event.at_ms >= since_ms && bad.contains(&event.kind));
        Ok(bad.next().map(|event| event.text))
    }

    async fn keep(
        &self,
        instance: &Instance,
        kept: &Maintained,
        text: Option<String>,
    ) -> Result<(), Problem> {
        let batch = self.kept(&instance.id, kept, text)?;
        self.shared.store.commit(batch).await.map_err(stored)?;
        Ok(())
    }

    fn kept(&self, id: &str, kept: &Maintained, text: Option<String>) -> Result<Batch, Problem> {
        let batch = Table::<Maintained>::set(id, kept).map_err(stored)?;
        Ok(match text {
            Some(text) => batch.and(self.noted(id, Kind::Maintenance, text).map_err(stored)?),
            None => batch,
        })
    }
}

/// A moment as the clocks of a zone show it.
fn zone_time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%A %Y-%m-%d %H:%M %Z")
        .to_string()
}
