//! Alerts: people who are told of what happens to instances.
//!
//! What happened stands in the store already, as events; this reads them in order, behind the actors, so that none ever
//! waits for it. What is decided is written at one stroke with the event up to which it was: whatever kills the host
//! between two lines, no alert is lost, and none is decided twice. Each is sent until somebody takes it, so it may come
//! twice after a kill; its identifier says so.

mod channel;
mod decide;
mod record;
mod retry;
mod text;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::channel::{Channels, Undelivered};
use self::decide::{Over, Told};
use self::text::{About, Words};
use crate::clock;
use crate::config;
use crate::ids;
use crate::instances::Instances;
use crate::instances::events::Event;
use crate::instances::model::{Desired, Instance};
use crate::instances::service::problems::stored;
use crate::problem::Problem;
use crate::recipient::Recipient;
use crate::shutdown::Tasks;
use crate::store::table::Table;
use crate::store::{Batch, Commit, Store, StoreError};

pub use self::decide::Topic;
pub use self::record::{Alert, Cursor, Delivery, DeliveryState, Kind, Troubles};

/// Alerts that are kept, and how many go at once when there are more.
const KEPT: usize = 1000;
const GO: usize = 100;

/// Tries at the same time; one recipient has one at a time.
const AT_ONCE: usize = 8;

/// The longest time until is looked whether something is due.
const TICK: Duration = Duration::from_secs(5);

/// When is looked at the latest, in milliseconds: the clock may have been set.
const LOOK_AGAIN: u64 = 300_000;

/// A try that came back: alert, recipient, outcome.
type Sent = (String, String, Result<(), Undelivered>);

/// Name of the only cursor.
const CURSOR: &str = "events";

/// See the module.
#[derive(Debug)]
pub struct Alerts {
    store: Store,
    instances: Arc<Instances>,
    channels: Arc<Channels>,
    /// Where an instance is, with `{name}` for its name.
    addresses: String,
}

impl Alerts {
    /// Those of a host; `addresses` is where an instance is, with `{name}` for its name.
    #[must_use]
    pub fn open(
        store: Store,
        instances: Arc<Instances>,
        config: config::Alerts,
        domain: String,
        addresses: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            instances,
            channels: Arc::new(Channels::new(config, domain)),
            addresses,
        })
    }

    /// Those after `after`, oldest first; of one instance, or of all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, instance: Option<&str>, after: &str) -> Result<Vec<Alert>, Problem> {
        let all = Table::<Alert>::of(&self.store)
            .scan("")
            .map_err(stored)?
            .into_iter();
        let wanted = |alert: &Alert| {
            alert.id.as_str() > after && instance.is_none_or(|id| alert.instance.as_deref() == Some(id))
        };
        Ok(all.map(|(_, alert)| alert.record).filter(wanted).collect())
    }

    /// Sends a test to everybody who can be told of something, once; how that went.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn test(&self) -> Result<Vec<Delivery>, Problem> {
        let mut everybody: Vec<Recipient> = self.channels.to().to_vec();
        for view in self.instances.list()? {
            let record = self.instances.record(&view.id)?.record;
            everybody.extend(recipients(&record));
        }
        let mut seen = HashSet::new();
        everybody.retain(|recipient| seen.insert(recipient.clone()));
        if everybody.is_empty() {
            return Ok(Vec::new());
        }
        let decided = Decided {
            kind: Kind::Test,
            topics: Vec::new(),
            words: text::test(self.channels.domain()),
        };
        let mut alert = alert(decided, None);
        let tries = everybody.iter().map(|to| self.channels.deliver(to, &alert));
        let outcomes = futures_util::future::join_all(tries).await;
        let now = clock::now_ms();
        alert.deliveries = everybody
            .iter()
            .zip(outcomes)
            .map(|(to, outcome)| {
                let mut delivery = waiting(to);
                // It is not tried again: whoever tries it sees it now.
                let outcome = outcome.map_err(|undelivered| Undelivered {
                    final_: true,
                    ..undelivered
                });
                retry::tried(&mut delivery, outcome, now, now);
                delivery
            })
            .collect();
        let deliveries = alert.deliveries.clone();
        let batch = self.put(&alert).map_err(stored)?;
        self.store.commit(batch).await.map_err(stored)?;
        Ok(deliveries)
    }

    /// Tells people for as long as the host lives.
    pub async fn run(self: Arc<Self>, tasks: Tasks) {
        let changes = self.store.watch();
        let work = async {
            if let Err(error) = self.work(changes).await {
                warn!(%error, "nobody is told of anything any more: the store failed");
            }
        };
        tokio::select! {
            () = work => {}
            () = tasks.ending() => {}
        }
    }

    async fn work(&self, mut changes: Receiver<Arc<Commit>>) -> Result<(), StoreError> {
        let mut cursor = self.catch_up().await?;
        let mut sending = JoinSet::new();
        let mut busy = HashSet::new();
        // When something is due, by the wall clock: looking for it reads all that is remembered.
        let mut next = 0;
        loop {
            let now = clock::now_ms();
            if now >= next {
                let well = self.recover(cursor).await?;
                let sends = self.send(&mut sending, &mut busy)?;
                next = well.min(sends).min(now + LOOK_AGAIN);
            }
            tokio::select! {
                changed = changes.recv() => match changed {
                    Ok(commit) if commit.sequence > cursor => {
                        cursor = commit.sequence;
                        let events = Table::<Event>::key("");
                        for change in &commit.changes {
                            let put = change.key.strip_prefix(&events).filter(|_| change.value.is_some());
                            if let Some(name) = put {
                                self.look(name, cursor).await?;
                                next = 0;
                            }
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => {
                        cursor = self.catch_up().await?;
                        next = 0;
                    }
                    Err(RecvError::Closed) => return Ok(()),
                },
                Some(sent) = sending.join_next() => match sent {
                    Ok((id, to, outcome)) => {
                        busy.remove(&to);
                        self.sent(&id, &to, outcome).await?;
                        next = 0;
                    }
                    Err(error) => warn!(%error, "sending an alert broke off"),
                },
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Looks at the events that nobody has looked at; on a host that never did, at none of those before.
    async fn catch_up(&self) -> Result<u64, StoreError> {
        // A change that changes nothing has the number of this moment.
        let nothing = Batch::default().remove(Table::<Cursor>::key("none"));
        let newest = self.store.commit(nothing).await?;
        let known = Table::<Cursor>::of(&self.store).get(CURSOR)?;
        let Some(known) = known else {
            let cursor = Table::<Cursor>::set(CURSOR, &Cursor { sequence: newest })?;
            return self.store.commit(cursor).await;
        };
        // A store that was brought back from a backup may count anew.
        let mut cursor = known.record.sequence.min(newest);
        let mut new: Vec<(u64, String)> = Table::<Event>::of(&self.store)
            .scan("")?
            .into_iter()
            .map(|(name, event)| (event.revision, name))
            .filter(|(revision, _)| *revision > cursor)
            .collect();
        new.sort();
        for (revision, name) in new {
            self.look(&name, revision).await?;
            cursor = revision;
        }
        Ok(cursor)
    }

    /// Looks at one event, which the change `sequence` put.
    async fn look(&self, name: &str, sequence: u64) -> Result<(), StoreError> {
        let Some(event) = Table::<Event>::of(&self.store).get(name)? else {
            return Ok(());
        };
        let Some((id, _)) = name.split_once('/') else {
            return Ok(());
        };
        let Some(instance) = Table::<Instance>::of(&self.store).get(id)? else {
            return self.forget(id).await;
        };
        let (instance, event) = (instance.record, event.record);
        let before = self.troubles(id)?;
        let mut troubles = before.clone();
        let runs = instance.desired == Desired::Running;
        let told = troubles.hear(&event, &instance.settings.alerts, runs);
        if troubles == before {
            return Ok(());
        }
        let decided = told.map(|told| match told {
            Told::Recovery(over) => self.recovered(&instance, &over),
            Told::Trouble(topic) => Decided {
                kind: Kind::Trouble,
                topics: vec![topic],
                words: text::trouble(&self.about(&instance), topic, &event),
            },
        });
        self.decide(&instance, troubles, decided, sequence).await
    }

    /// What has been well for long enough is told to be; when the next one will be, in milliseconds since 1970.
    async fn recover(&self, cursor: u64) -> Result<u64, StoreError> {
        let now = clock::now_ms();
        let mut next = u64::MAX;
        for (id, kept) in Table::<Troubles>::of(&self.store).scan("")? {
            let Some(instance) = Table::<Instance>::of(&self.store).get(&id)? else {
                self.forget(&id).await?;
                continue;
            };
            let instance = instance.record;
            let mut troubles = kept.record;
            let wanted = &instance.settings.alerts;
            if let Some(over) = troubles.due(now, wanted) {
                let decided = self.recovered(&instance, &over);
                self.decide(&instance, troubles, Some(decided), cursor).await?;
            } else if let Some(due) = troubles.due_ms(wanted) {
                next = next.min(due);
            }
        }
        Ok(next)
    }

    fn troubles(&self, id: &str) -> Result<Troubles, StoreError> {
        let kept = Table::<Troubles>::of(&self.store).get(id)?;
        Ok(kept.map(|kept| kept.record).unwrap_or_default())
    }

    async fn forget(&self, id: &str) -> Result<(), StoreError> {
        let batch = Batch::default().remove(Table::<Troubles>::key(id));
        self.store.commit(batch).await.map(drop)
    }

    fn about<'a>(&self, instance: &'a Instance) -> About<'a> {
        About {
            name: &instance.name,
            id: &instance.id,
            address: self.addresses.replace("{name}", &instance.name),
            secrets: self.instances.secrets(instance),
        }
    }

    fn recovered(&self, instance: &Instance, over: &Over) -> Decided {
        Decided {
            kind: Kind::Recovery,
            topics: over.iter().map(|(topic, _)| *topic).collect(),
            words: text::recovery(&self.about(instance), over, clock::now_ms()),
        }
    }

    /// Writes what was decided, together with up to where.
    async fn decide(
        &self,
        instance: &Instance,
        mut troubles: Troubles,
        decided: Option<Decided>,
        sequence: u64,
    ) -> Result<(), StoreError> {
        let mut batch = Table::<Cursor>::set(CURSOR, &Cursor { sequence })?;
        if let Some(decided) = decided {
            let mut alert = alert(decided, Some(instance));
            let named = recipients(instance);
            let to = if named.is_empty() {
                self.channels.to().to_vec()
            } else {
                named
            };
            let may = troubles.may_send(alert.at_ms);
            alert.deliveries = to
                .iter()
                .map(|to| Delivery {
                    state: if may {
                        DeliveryState::Waiting
                    } else {
                        DeliveryState::Held
                    },
                    ..waiting(to)
                })
                .collect();
            info!(
                instance = instance.id,
                recipients = to.len(),
                "alert: {}",
                alert.title
            );
            batch = batch.and(self.put(&alert)?);
        }
        batch = if troubles.is_empty() {
            batch.remove(Table::<Troubles>::key(&instance.id))
        } else {
            batch.and(Table::<Troubles>::set(&instance.id, &troubles)?)
        };
        self.store.commit(batch).await.map(drop)
    }

    /// Puts an alert, and lets the oldest go when there are too many. They are the queue, which so has a bound.
    fn put(&self, alert: &Alert) -> Result<Batch, StoreError> {
        let mut batch = Table::<Alert>::set(&alert.id, alert)?;
        let all = Table::<Alert>::of(&self.store).scan("")?;
        if all.len() >= KEPT {
            for (id, _) in all.into_iter().take(GO) {
                batch = batch.remove(Table::<Alert>::key(&id));
            }
        }
        Ok(batch)
    }

    /// Begins the tries that are due; when the next one will be, in milliseconds since 1970.
    fn send(&self, sending: &mut JoinSet<Sent>, busy: &mut HashSet<String>) -> Result<u64, StoreError> {
        let now = clock::now_ms();
        let mut next = u64::MAX;
        for (_, alert) in Table::<Alert>::of(&self.store).scan("")? {
            let alert = alert.record;
            for delivery in &alert.deliveries {
                if delivery.state != DeliveryState::Waiting {
                    continue;
                }
                if delivery.at_ms > now {
                    next = next.min(delivery.at_ms);
                    continue;
                }
                // What waits for another try is looked at when that has come back.
                if sending.len() >= AT_ONCE || busy.contains(&delivery.to) {
                    continue;
                }
                busy.insert(delivery.to.clone());
                let channels = self.channels.clone();
                let (alert, to) = (alert.clone(), delivery.to.clone());
                sending.spawn(async move {
                    let outcome = match to.parse() {
                        Ok(recipient) => channels.deliver(&recipient, &alert).await,
                        Err(why) => Err(Undelivered { why, final_: true }),
                    };
                    (alert.id, to, outcome)
                });
            }
        }
        Ok(next)
    }

    /// Notes how a try went.
    async fn sent(&self, id: &str, to: &str, outcome: Result<(), Undelivered>) -> Result<(), StoreError> {
        if let Err(undelivered) = &outcome {
            warn!(to, why = undelivered.why, "an alert did not arrive");
        }
        let Some(found) = Table::<Alert>::of(&self.store).get(id)? else {
            return Ok(());
        };
        let mut alert = found.record;
        let (now, decided) = (clock::now_ms(), alert.at_ms);
        let tried = alert.deliveries.iter_mut().find(|delivery| delivery.to == to);
        if let Some(delivery) = tried {
            retry::tried(delivery, outcome, decided, now);
        }
        let batch = Table::<Alert>::set(id, &alert)?;
        self.store.commit(batch).await.map(drop)
    }
}

/// What is to be told.
struct Decided {
    kind: Kind,
    topics: Vec<Topic>,
    words: Words,
}

fn alert(decided: Decided, instance: Option<&Instance>) -> Alert {
    let Decided { kind, topics, words } = decided;
    let at_ms = clock::now_ms();
    Alert {
        id: format!("{at_ms:012x}-{}", ids::fresh()),
        at_ms,
        kind,
        topics,
        instance: instance.map(|instance| instance.id.clone()),
        name: instance.map(|instance| instance.name.clone()),
        title: words.title,
        text: words.text,
        deliveries: Vec::new(),
    }
}

fn waiting(to: &Recipient) -> Delivery {
    Delivery {
        to: to.to_string(),
        state: DeliveryState::Waiting,
        attempts: 0,
        at_ms: 0,
        error: None,
    }
}

/// Whom an instance names. What is none was written by another version.
fn recipients(instance: &Instance) -> Vec<Recipient> {
    let named = instance.settings.alerts.recipients.iter();
    let all: BTreeMap<String, Recipient> = named
        .filter_map(|text| Some((text.clone(), text.parse().ok()?)))
        .collect();
    all.into_values().collect()
}
