//! All instances of the host: found again, listed, and operated on. Every change is written to the store first and
//! told to the actor then.

mod copy;
mod figures;
mod import;
mod load;
mod maintenance;
mod once;
mod operations;
mod packages;
pub(crate) mod problems;
mod tokens;
mod verdicts;
mod wishes;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::warn;

pub use self::packages::PackageView;
pub use self::tokens::{NewToken, TokenView};
pub use self::wishes::{Action, Copy, CopyEnv, New, View};

use self::problems::{broken, stored};
use crate::clock;
use crate::gate::NpmGate;
use crate::instances::actor::{Actor, Order};
use crate::instances::events::Event;
use crate::instances::model::{Instance, Kept, Named};
use crate::instances::observed::{Observed, Upstream};
use crate::instances::place::Place;
use crate::instances::tokens::Uses;
use crate::instances::undo::NOTED;
use crate::instances::{Shared, errand, job, patch, wish};
use crate::problem::{Code, Problem};
use crate::removal;
use crate::shutdown::Tasks;
use crate::store::table::{Table, Versioned};

/// Orders that wait for an actor; one that is busier than that is asked again later.
const MAILBOX: usize = 64;

/// Milliseconds by which a clock that has jumped is off at least.
const JUMP: u64 = 60_000;
/// How long actors may take to end, once nobody has an order for them.
const ENDS: Duration = Duration::from_millis(500);

/// All instances. The host has one of it.
#[derive(Debug)]
pub struct Instances {
    shared: Arc<Shared>,
    table: Table<Instance>,
    actors: RwLock<HashMap<String, Handle>>,
    tasks: Tasks,
    /// One new instance at a time: each takes the next number, and looks for the key that it came with.
    adding: tokio::sync::Mutex<()>,
    /// Told when an actor was begun.
    begun: watch::Sender<()>,
    /// When tokens of endpoints were used.
    uses: Uses,
}

#[derive(Clone, Debug)]
struct Handle {
    orders: mpsc::Sender<Order>,
    observed: watch::Receiver<Observed>,
    upstream: watch::Receiver<Upstream>,
}

impl Instances {
    /// Finds every instance in the store, takes over what lives, and brings everything to its desired state.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(shared: Arc<Shared>) -> Result<Arc<Self>, Problem> {
        let table = Table::<Instance>::of(&shared.store);
        let records = table.scan("").map_err(stored)?;
        let instances = Arc::new(Self {
            table,
            actors: RwLock::default(),
            tasks: Tasks::default(),
            adding: tokio::sync::Mutex::default(),
            begun: watch::channel(()).0,
            uses: Uses::default(),
            shared,
        });
        // Everybody is looked for before anybody is started.
        let mut looking = JoinSet::new();
        for (id, record) in records {
            let place = Place::of(&instances.shared.data_dir, &id);
            let disks = instances.shared.disks.clone();
            looking.spawn_blocking(move || {
                if place.root().exists()
                    && let Err(problem) = disks.find(&place)
                {
                    // Its start says so too; all others go on.
                    warn!(instance = id, %problem, "an instance's disk is not there");
                }
                // What npm was doing is asked for again, by the next start or by the editor that waits for it.
                if let Err(error) = errand::clear(&place.errand()) {
                    warn!(instance = id, %error, "what npm left could not be removed");
                }
                let found = if place.run().exists() {
                    job::found(&place.run())
                } else {
                    Ok(job::Done::Ended(None))
                };
                (record, found)
            });
        }
        while let Some(looked) = looking.join_next().await {
            let (record, found) = looked.map_err(|error| broken(error.into()))?;
            let found = found.map_err(|problem| {
                // One of many; its start looks again, and fails with the reason while it stays so.
                warn!(instance = record.record.id, %problem, "what runs of it is not known");
            });
            instances.begin(record, found.ok())?;
        }
        // Listed now: what an import makes from now on is not left of anything.
        let folders = remains(&instances.shared.data_dir.join("instances"));
        let remains = async move {
            // It ends by itself; nothing waits for it.
            let _ = tokio::task::spawn_blocking(move || remove_remains(&folders)).await;
        };
        instances.tasks.spawn(remains);
        Ok(instances)
    }

    fn begin(&self, record: Versioned<Instance>, found: Option<job::Done>) -> Result<(), Problem> {
        let id = record.record.id.clone();
        let kept = Table::<Kept>::of(&self.shared.store)
            .get(&id)
            .map_err(stored)?
            .map(|kept| kept.record)
            .unwrap_or_default();
        let (orders, received) = mpsc::channel(MAILBOX);
        let (observed, seen) = watch::channel(Observed::stopped(clock::now_ms()));
        let delete = record.record.delete_at_ms.is_some().then(|| id.clone());
        let (upstream, way) = watch::channel(Upstream::Starting);
        let actor = Actor::new(self.shared.clone(), record, &kept, received, observed, upstream);
        let handle = Handle {
            orders,
            observed: seen,
            upstream: way,
        };
        {
            let mut actors = self.actors.write().unwrap_or_else(PoisonError::into_inner);
            // Deleted ones are told nothing any more.
            actors.retain(|_, handle| !handle.orders.is_closed());
            actors.insert(id, handle.clone());
        }
        self.tasks.spawn(actor.run(found));
        if let Some(id) = delete {
            self.tasks
                .spawn(delete_later(handle.orders, self.shared.clone(), id));
        }
        self.begun.send_replace(());
        Ok(())
    }

    /// Ends the actors. What runs goes on.
    pub async fn close(&self) {
        self.actors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        // Those who wait for a time to be over would wait for hours.
        self.tasks.end(tokio::time::sleep(ENDS)).await;
    }

    /// All instances, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<View>, Problem> {
        let mut views: Vec<View> = self.records()?.map(|record| self.view(record)).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(views)
    }

    /// The records of all instances, by identifier: what they should be, without a look at what they do.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn records(&self) -> Result<impl Iterator<Item = Versioned<Instance>>, Problem> {
        let records = self.table.scan("").map_err(stored)?;
        Ok(records.into_iter().map(|(_, record)| record))
    }

    /// One instance, by identifier or name.
    ///
    /// # Errors
    /// [`Code::Missing`] when there is none.
    pub fn get(&self, name: &str) -> Result<View, Problem> {
        self.record(name).map(|record| self.view(record))
    }

    fn view(&self, record: Versioned<Instance>) -> View {
        let Versioned { revision, record } = record;
        let mut observed = match self.handle(&record.id) {
            Some(handle) => handle.observed.borrow().clone(),
            None => Observed::stopped(record.created_ms),
        };
        observed.place_in_queue = self.shared.queue.position(&record.id);
        View {
            settings: patch::shown(&record.settings),
            delete_at_ms: record.delete_at_ms.map(|noted| self.delete_at(&record.id, noted)),
            id: record.id,
            name: record.name,
            desired: record.desired,
            stack: record.stack,
            team: record.team,
            created_ms: record.created_ms,
            observed,
            revision,
        }
    }

    /// When a deleted instance goes for good, by the wall clock: as it was noted, unless that clock has jumped or the
    /// machine was off since.
    fn delete_at(&self, id: &str, noted: u64) -> u64 {
        let left = u64::try_from(self.shared.undo_left(id).as_millis()).unwrap_or(u64::MAX);
        let at = clock::now_ms().saturating_add(left);
        if at.abs_diff(noted) < JUMP { noted } else { at }
    }

    /// The record itself, by identifier or name.
    ///
    /// # Errors
    /// [`Code::Missing`] when there is none.
    pub fn record(&self, name: &str) -> Result<Versioned<Instance>, Problem> {
        let missing = || {
            Problem::new(Code::Missing, format!("there is no instance `{name}`"))
                .hint("`redhold instance list` shows all of them")
        };
        if let Some(found) = self.table.get(name).map_err(stored)? {
            return Ok(found);
        }
        let named = Table::<Named>::of(&self.shared.store)
            .get(name)
            .map_err(stored)?
            .ok_or_else(missing)?;
        self.table
            .get(&named.record.id)
            .map_err(stored)?
            .ok_or_else(missing)
    }

    /// What an instance is seen to be doing, live; `None` when it is no more.
    #[must_use]
    pub fn watch(&self, id: &str) -> Option<watch::Receiver<Observed>> {
        self.handle(id).map(|handle| handle.observed)
    }

    /// Told whenever there is an instance more.
    #[must_use]
    pub fn begun(&self) -> watch::Receiver<()> {
        self.begun.subscribe()
    }

    /// Where an instance's requests go, live; `None` when it is no more.
    #[must_use]
    pub fn upstream(&self, id: &str) -> Option<watch::Receiver<Upstream>> {
        self.handle(id).map(|handle| handle.upstream)
    }

    /// What of an instance nobody may read anywhere, in clear.
    #[must_use]
    pub fn secrets(&self, instance: &Instance) -> Vec<String> {
        wish::secrets(instance, &self.shared.key)
    }

    fn handle(&self, id: &str) -> Option<Handle> {
        self.actors
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// Where an instance's files lie.
    #[must_use]
    pub fn place(&self, id: &str) -> Place {
        Place::of(&self.shared.data_dir, id)
    }

    /// What their packages come through.
    #[must_use]
    pub fn gate(&self) -> &NpmGate {
        &self.shared.gate
    }

    /// What happened to an instance: at most `limit` events after number `after`, else the newest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events(&self, id: &str, after: Option<u64>, limit: usize) -> Result<Vec<(u64, Event)>, Problem> {
        self.shared.events.list(id, after, limit).map_err(stored)
    }

    /// Room for an order in an actor's mailbox, taken before anything is written that the actor must hear of.
    fn room(&self, id: &str) -> Result<mpsc::OwnedPermit<Order>, Problem> {
        let Some(handle) = self.handle(id) else {
            return Err(Problem::new(Code::Missing, "this instance is no more"));
        };
        handle.orders.try_reserve_owned().map_err(|_| {
            Problem::new(Code::Busy, "this instance is busy with earlier requests")
                .hint("try again in a moment")
        })
    }

    /// Hands an order to an actor without waiting.
    fn tell(&self, id: &str, order: Order) -> Result<(), Problem> {
        self.room(id)?.send(order);
        Ok(())
    }

    /// Waits until the actor has taken in what it was told, so that what is shown next is the answer to it.
    async fn taken_in(&self, id: &str) {
        let (answer, answered) = oneshot::channel();
        if self.tell(id, Order::Sync(answer)).is_ok() {
            // It may have ended; then there is nothing to wait for.
            let _ = answered.await;
        }
    }
}

/// Folders whose record went while they did not, or never came.
fn remains(folder: &Path) -> Vec<PathBuf> {
    let left = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        Place::half_erased(&name) || name.starts_with(import::STAGING)
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let left = entries.filter_map(Result::ok).filter(left);
    left.map(|entry| entry.path()).collect()
}

fn remove_remains(folders: &[PathBuf]) {
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let removed = if name.starts_with(import::STAGING) {
            // Its settings may be being read.
            errand::clear(&folder.join("run"))
                .map_err(|problem| problem.to_string())
                .and_then(|()| removal::remove_all(folder).map_err(|error| error.to_string()))
        } else {
            Place::finish_erasure(folder).map_err(|error| error.to_string())
        };
        if let Err(why) = removed {
            warn!(
                why,
                "{} is left of an instance and cannot be removed",
                folder.display()
            );
        }
    }
}

/// Waits for the time to delete an instance for good; one that was brought back meanwhile ignores it.
async fn delete_later(orders: mpsc::Sender<Order>, shared: Arc<Shared>, id: String) {
    loop {
        let left = shared.undo_left(&id);
        if left.is_zero() {
            break;
        }
        match shared.note_undo(&id).await {
            Ok(true) => {}
            // Brought back.
            Ok(false) => return,
            Err(problem) => {
                warn!(instance = id, %problem, "the time until it is deleted could not be noted");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(left.min(NOTED)) => {}
            () = orders.closed() => return,
        }
    }
    // A full mailbox empties; an actor that ended needs no order.
    let _ = orders.send(Order::DeleteWhenDue).await;
}
