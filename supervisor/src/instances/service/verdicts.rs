//! Packages that are installed are judged again: what a changed policy, waiver, engine or flaw makes of them is an event, an
//! audit entry and an alert, and never a removal.
//!
//! Judging costs no run: the kept reports are weighed anew whenever something is different. What needs runs, or a question
//! to a registry, stands in a queue that is worked off one at a time while no npm waits. What is told and what is
//! remembered of it are written at one stroke, so a host that is killed between any two lines tells everything, and once.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use node_vetting::policy::Gate;
use npm::{PackageName, Version};
use tracing::{info, warn};

use super::Instances;
use super::problems::{broken, stored};
use crate::audit::{self, By};
use crate::clock;
use crate::gate::{Due, Judgement, Kept};
use crate::instances::events::{Event, Kind};
use crate::instances::model::Instance;
use crate::instances::place::Place;
use crate::instances::verdicts::{News, Seen, Verdicts};
use crate::instances::{Shared, packages, wish};
use crate::problem::{Code, Problem};
use crate::store::table::{Table, Versioned};
use crate::store::{Batch, StoreError};
use crate::team::Team;
use crate::vetting::{self, Rules};

/// How often is looked whether something is different.
const TICK: Duration = Duration::from_secs(5);

/// How often is judged although nothing looks different, in seconds: grants and waivers end, and reports come from elsewhere.
const AGAIN: u64 = 900;

/// Until what failed, or brought nothing, is tried again.
const LATER: Duration = Duration::from_secs(3600);

/// What one instance was judged by: while that is the same, so are the verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    rules: String,
    installed: [Option<SystemTime>; 2],
    feed: Option<SystemTime>,
    turn: u64,
}

/// What the rules of a team, or of nobody's, are at a moment.
struct Bench {
    rules: Rules,
    stamp: String,
    mode: Gate,
}

/// What both halves of the work share.
#[derive(Default)]
struct Again {
    judged: Mutex<HashMap<String, Stamp>>,
    /// Instance and `name@version` of packages on whose report something is due.
    queue: Mutex<BTreeSet<(String, String)>>,
}

/// A package of an instance, and what is kept on it.
pub(super) struct Found {
    pub(super) name: PackageName,
    pub(super) version: Version,
    pub(super) kept: Option<Kept>,
}

impl Found {
    fn spec(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Instances {
    /// Keeps verdicts on what is installed up to date, for ever; whoever runs this ends it.
    pub async fn watch_verdicts(&self) {
        let again = Again::default();
        tokio::join!(self.judge_installed(&again), self.work_off(&again));
    }

    async fn judge_installed(&self, again: &Again) {
        let mut said = String::new();
        loop {
            let judged = self.judge_changed(again).await;
            // Once: a policy with a mistake in it has it at every look.
            let why = judged
                .err()
                .map_or_else(String::new, |problem| problem.to_string());
            if !why.is_empty() && why != said {
                warn!(
                    why,
                    "packages that are installed are not judged again until this is mended"
                );
            }
            said = why;
            tokio::time::sleep(TICK).await;
        }
    }

    /// Judges every instance of which something is different since the last time.
    async fn judge_changed(&self, again: &Again) -> Result<(), Problem> {
        let records: Vec<_> = self
            .records()?
            .filter(|record| record.record.delete_at_ms.is_none())
            .collect();
        locked(&again.judged).retain(|id, _| records.iter().any(|record| record.record.id == *id));
        let mut first = None;
        for (record, stamp, bench) in self.changed(again, records).await? {
            match self.judge_one(again, &record, bench).await {
                Ok(true) => drop(locked(&again.judged).insert(record.record.id, stamp)),
                // Somebody changed it in this moment: the next look sees it as it is then.
                Ok(false) => {}
                // One of many.
                Err(problem) => drop(first.get_or_insert(problem)),
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Judges an instance; false when it was changed meanwhile.
    async fn judge_one(
        &self,
        again: &Again,
        record: &Versioned<Instance>,
        bench: Result<Arc<Bench>, String>,
    ) -> Result<bool, Problem> {
        let bench = bench.map_err(|text| Problem::new(Code::Usage, text))?;
        if bench.mode == Gate::Off {
            return Ok(true);
        }
        let id = record.record.id.clone();
        let (shared, rules) = (self.shared.clone(), bench.clone());
        let looking = {
            let id = id.clone();
            tokio::task::spawn_blocking(move || look(&shared, &id, &rules.rules))
        };
        let (seen, due) = looking.await.map_err(|error| broken(error.into()))??;
        if !self.remember(record, &seen, &bench).await? {
            return Ok(false);
        }
        let mut queue = locked(&again.queue);
        queue.retain(|(other, _)| *other != id);
        queue.extend(due.into_iter().map(|spec| (id.clone(), spec)));
        Ok(true)
    }

    /// Instances of which something is different, with what they are judged by, or why that cannot be read.
    async fn changed(
        &self,
        again: &Again,
        records: Vec<Versioned<Instance>>,
    ) -> Result<Vec<Changed>, Problem> {
        let shared = self.shared.clone();
        let judged = locked(&again.judged).clone();
        let looking = tokio::task::spawn_blocking(move || changed(&shared, &judged, records));
        looking.await.map_err(|error| broken(error.into()))
    }

    /// Writes what is remembered of an instance's packages from now on, together with what is told of it; false when the
    /// instance was changed meanwhile.
    async fn remember(
        &self,
        record: &Versioned<Instance>,
        seen: &[Seen],
        bench: &Bench,
    ) -> Result<bool, Problem> {
        let id = &record.record.id;
        let known = Table::<Verdicts>::of(&self.shared.store)
            .get(id)
            .map_err(stored)?;
        let (before, revision) = known.map_or_else(Default::default, |known| (known.record, known.revision));
        let (after, news) = before.turn(seen, &bench.stamp, bench.mode);
        if after == before {
            return Ok(true);
        }
        let batch = Table::<Verdicts>::put(id, &after, revision).map_err(stored)?;
        let batch = batch.when(Table::<Instance>::key(id), record.revision);
        let batch = batch.and(self.news(id, &news).map_err(stored)?);
        match self.shared.store.commit(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(stored(error)),
        }
    }

    fn news(&self, id: &str, news: &News) -> Result<Batch, StoreError> {
        let mut batch = Batch::default();
        let told = [
            (Kind::VerdictFell, news.fallen()),
            (Kind::VerdictRose, news.risen()),
        ];
        for (kind, said) in told {
            let Some((text, detail)) = said else { continue };
            info!(instance = id, event = kind.name(), "{text}");
            let event = Event {
                at_ms: clock::now_ms(),
                kind,
                text,
                detail: Some(detail),
            };
            batch = batch.and(self.shared.events.batch(id, &event)?);
        }
        if news.fell.is_empty() && news.rose.is_empty() {
            return Ok(batch);
        }
        let (before, after) = news.differences();
        let entry = audit::entry(&By::Host, "package.verdict", id, Some(before), Some(after))?;
        Ok(batch.and(entry))
    }

    /// Does what is due on reports, one at a time.
    async fn work_off(&self, again: &Again) {
        // By instance and package: until when, and with which feed it was tried.
        let mut later: HashMap<(String, String), (Instant, Option<SystemTime>)> = HashMap::new();
        loop {
            let feed = vetting::feed(&self.shared.data_dir).map(|(_, changed)| changed);
            later.retain(|_, (until, tried)| *until > Instant::now() && *tried == feed);
            let next = {
                let queue = locked(&again.queue);
                queue.iter().find(|key| !later.contains_key(*key)).cloned()
            };
            let Some((id, spec)) = next else {
                tokio::time::sleep(TICK).await;
                continue;
            };
            let done = self.bring_up_to_date(&id, &spec).await;
            if let Err(problem) = &done {
                warn!(instance = id, package = spec, %problem, "a package that is installed could not be looked at again");
            }
            let key = (id, spec);
            if matches!(done, Ok(true)) {
                locked(&again.judged).remove(&key.0);
                locked(&again.queue).remove(&key);
            } else {
                later.insert(key, (Instant::now() + LATER, feed));
            }
        }
    }

    /// Does what is due on the report of a package; whether nothing is due any more.
    async fn bring_up_to_date(&self, id: &str, spec: &str) -> Result<bool, Problem> {
        let instance = match self.record(id) {
            Ok(record) => record.record,
            Err(problem) if problem.code() == Code::Missing => return Ok(true),
            Err(problem) => return Err(problem),
        };
        let Some((found, due)) = self.due_on(id, spec).await? else {
            return Ok(true);
        };
        if due == Due::Nothing {
            return Ok(true);
        }
        let upstream = wish::upstream(&instance, &self.shared.key)
            .map_err(|error| Problem::new(Code::Failed, "cannot open the settings of npm").because(error))?;
        let (name, version) = (&found.name, &found.version);
        let gate = &self.shared.gate;
        if !gate.catch_up(&upstream, (name, version), found.kept, due).await? {
            return Ok(false);
        }
        let left = self.due_on(id, spec).await?;
        Ok(left.is_none_or(|(_, due)| due == Due::Nothing))
    }

    /// A package of an instance with what is due on its report; nothing when it is not installed any more.
    async fn due_on(&self, id: &str, spec: &str) -> Result<Option<(Found, Due)>, Problem> {
        let (shared, id, spec) = (self.shared.clone(), id.to_owned(), spec.to_owned());
        let looking = tokio::task::spawn_blocking(move || {
            let all = found(&shared, &id).into_iter();
            let Some(found) = all.into_iter().find(|found| found.spec() == spec) else {
                return Ok(None);
            };
            let due = due(&shared, &found)?;
            Ok(Some((found, due)))
        });
        looking.await.map_err(|error| broken(error.into()))?
    }
}

/// An instance of which something is different, with what it is judged by.
type Changed = (Versioned<Instance>, Stamp, Result<Arc<Bench>, String>);

fn changed(
    shared: &Shared,
    judged: &HashMap<String, Stamp>,
    records: Vec<Versioned<Instance>>,
) -> Vec<Changed> {
    let feed = vetting::feed(&shared.data_dir).map(|(_, changed)| changed);
    let mut stamps: HashMap<Option<Team>, String> = HashMap::new();
    let mut benches: HashMap<Option<Team>, Result<Arc<Bench>, String>> = HashMap::new();
    let mut all = Vec::new();
    for record in records {
        let instance = &record.record;
        let team = instance.team.clone();
        let rules = stamps
            .entry(team.clone())
            .or_insert_with(|| shared.gate.stamp(team.as_ref()))
            .clone();
        let data = Place::of(&shared.data_dir, &instance.id).data();
        let stamp = Stamp {
            installed: packages::when_installed(&data),
            turn: turn(&instance.id),
            feed,
            rules,
        };
        if judged.get(&instance.id) == Some(&stamp) {
            continue;
        }
        let bench = benches.entry(team.clone()).or_insert_with(|| {
            let rules = shared
                .gate
                .rules(team.as_ref())
                .map_err(|problem| problem.to_string())?;
            Ok(Arc::new(Bench {
                mode: rules.gate(shared.gate.usual()),
                stamp: stamp.rules.clone(),
                rules,
            }))
        });
        let bench = bench.clone();
        all.push((record, stamp, bench));
    }
    all
}

/// Another number every [`AGAIN`] seconds, and for each instance at another moment.
fn turn(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    (clock::now_ms() / 1000 + hasher.finish() % AGAIN) / AGAIN
}

/// What an instance has installed, and what is kept on it.
pub(super) fn found(shared: &Shared, id: &str) -> Vec<Found> {
    let data = Place::of(&shared.data_dir, id).data();
    let installed = packages::installed_by_npm(&data);
    let direct = packages::direct(&data).into_iter();
    direct
        .filter_map(|(name, version)| {
            let (name, version) = (name.parse().ok()?, Version::parse(version).ok()?);
            let kept = shared.gate.fitting(&name, &version, &installed);
            Some(Found { name, version, kept })
        })
        .collect()
}

pub(super) fn due(shared: &Shared, found: &Found) -> Result<Due, Problem> {
    let feed = vetting::feed(&shared.data_dir).map(|(_, changed)| changed);
    let engine = vetting::engine_name()?;
    Ok(Due::of(found.kept.as_ref(), &engine, feed, SystemTime::now()))
}

/// How the packages of an instance stand, and those on whose report something is due.
fn look(shared: &Shared, id: &str, rules: &Rules) -> Result<(Vec<Seen>, Vec<String>), Problem> {
    let (mut seen, mut waiting) = (Vec::new(), Vec::new());
    for found in found(shared, id) {
        if due(shared, &found)? != Due::Nothing {
            waiting.push(found.spec());
        }
        if let Some(Kept { report, .. }) = &found.kept {
            let judgement = Judgement::of(report, &rules.decide(report, &[]));
            seen.push(Seen::of(report, judgement));
        }
    }
    Ok((seen, waiting))
}
