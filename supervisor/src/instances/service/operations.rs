//! The operations that change an instance: judged, written together with their audit entry, told to the actor.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::problems::{broken, changed_meanwhile, stored, taken, unfit};
use super::{Action, Instances, New, View, delete_later, once};
use crate::audit::{self, By};
use crate::clock;
use crate::ids;
use crate::instances::actor::Order;
use crate::instances::events::{Event, Kind};
use crate::instances::machine::Phase as State;
use crate::instances::model::{Created, Desired, Hidden, Instance, LastNumber, Named, Settings};
use crate::instances::place::Place;
use crate::instances::undo::{UNDO, Undo};
use crate::instances::{check, name_key, patch, wish, world};
use crate::problem::{Code, Problem};
use crate::store::table::{Table, Versioned};
use crate::store::{Batch, StoreError};
use crate::team::Team;

impl Instances {
    /// Creates an instance; asked again with the same key, it gives the one that was created then.
    ///
    /// # Errors
    /// [`Code::Usage`] with all that is wrong with the wish, [`Code::Conflict`] when the name is taken.
    pub async fn create(&self, by: &By, new: New, key: Option<&str>) -> Result<View, Problem> {
        let _alone = self.adding.lock().await;
        let keys = Table::<Created>::of(&self.shared.store);
        let before = key.map(|key| once::before(&keys, key, clock::now_ms()));
        if let Some(id) = before.transpose()?.flatten() {
            return self.get(&id);
        }
        let id = ids::fresh();
        let settings = match new.settings {
            None => Settings::default(),
            Some(settings) => patch::apply(&Settings::default(), settings, &self.shared.key, &id)
                .map_err(|what| unfit(&what))?,
        };
        let secret = json!({ "secret": { "hidden": true, "value": random_key() } });
        let desired = if new.start {
            Desired::Running
        } else {
            Desired::Stopped
        };
        let flows = new.flows.map(flows_file).transpose()?;
        let instance = Instance {
            name: new.name,
            desired,
            stack: self.stack(new.stack.as_deref())?,
            team: new.team,
            number: 0,
            settings,
            credential_secret: self.sealed(&secret, &id)?,
            created_ms: clock::now_ms(),
            delete_at_ms: None,
            id,
        };
        let fill = move |place: &Place| match &flows {
            Some(flows) => std::fs::write(place.data().join("flows.json"), flows),
            None => Ok(()),
        };
        let noted = key.map(|key| once::noted(&keys, key, &instance.id, instance.created_ms));
        let once = noted.transpose().map_err(stored)?.unwrap_or_default();
        let text = "was created".to_owned();
        self.add(by, "instance.create", instance, text, once, fill).await
    }

    pub(super) fn sealed(&self, document: &Value, id: &str) -> Result<Option<Hidden>, Problem> {
        #[derive(Serialize, Deserialize)]
        struct One {
            secret: Option<Hidden>,
        }
        let none = One { secret: None };
        let one: One =
            patch::apply(&none, document.clone(), &self.shared.key, id).map_err(|what| unfit(&what))?;
        Ok(one.secret)
    }

    pub(super) fn stack(&self, name: Option<&str>) -> Result<String, Problem> {
        Ok(self.shared.stacks.resolve(name)?.name().to_owned())
    }

    /// Writes a new instance and begins it; `fill` puts its first files in place. Callers hold `adding`.
    pub(super) async fn add(
        &self,
        by: &By,
        action: &str,
        mut instance: Instance,
        text: String,
        more: Batch,
        fill: impl Fn(&Place) -> std::io::Result<()> + Send + 'static,
    ) -> Result<View, Problem> {
        self.judge(&instance)?;
        let numbers = Table::<LastNumber>::of(&self.shared.store);
        let last = numbers.get("instances").map_err(stored)?;
        let (number, revision) = last.map_or((0, 0), |last| (last.record.number, last.revision));
        instance.number = number + 1;
        let owner = world::owner(instance.number);
        let place = self.place(&instance.id);
        let made = {
            let place = place.clone();
            let disks = self.shared.disks.clone();
            let wanted = wish::disk(&self.shared.data_dir, &instance);
            tokio::task::spawn_blocking(move || {
                let made = disks.ready(&wanted).and_then(|_| {
                    let filled = fill(&place).and_then(|()| give(&place, owner));
                    filled.and_then(|()| durable(&place)).map_err(|error| {
                        Problem::io(format!("cannot make {}", place.root().display()), error)
                    })
                });
                if made.is_err() {
                    // Nothing points at it.
                    let _ = disks.erase(&place);
                }
                made
            })
        };
        made.await.map_err(|error| broken(error.into()))??;
        let id = instance.id.clone();
        let batch = Table::<Instance>::put(&id, &instance, 0)
            .and_then(|batch| {
                Ok(batch.and(Table::<Named>::put(&instance.name, &Named { id: id.clone() }, 0)?))
            })
            .and_then(|batch| {
                let next = LastNumber {
                    number: instance.number,
                };
                Ok(batch.and(Table::<LastNumber>::put("instances", &next, revision)?))
            })
            .and_then(|batch| Ok(batch.and(self.noted(&id, Kind::Created, text)?)))
            .and_then(|batch| {
                let after = patch::shown(&instance);
                Ok(batch.and(audit::entry(by, action, &id, None, Some(after))?))
            })
            .map_err(stored)?
            .and(more);
        match self.shared.store.commit(batch).await {
            Ok(revision) => {
                let record = Versioned {
                    revision,
                    record: instance,
                };
                self.begin(record.clone(), None)?;
                Ok(self.view(record))
            }
            Err(error) => {
                // Nothing points at its folder.
                let disks = self.shared.disks.clone();
                let _ = tokio::task::spawn_blocking(move || disks.erase(&place)).await;
                Err(match error {
                    StoreError::Conflict { key, .. } if key == name_key(&instance.name) => {
                        taken(&instance.name)
                    }
                    error => stored(error),
                })
            }
        }
    }

    pub(super) fn judge(&self, instance: &Instance) -> Result<(), Problem> {
        let mut wrong = check::settings(&instance.settings);
        wrong.splice(0..0, check::name(&instance.name));
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Problem::new(Code::Usage, wrong.join("; ")))
    }

    pub(super) fn noted(&self, id: &str, kind: Kind, text: String) -> Result<Batch, StoreError> {
        let event = Event {
            at_ms: clock::now_ms(),
            kind,
            text,
            detail: None,
        };
        self.shared.events.batch(id, &event)
    }

    /// Changes name, stack or settings by a merge patch; `revision` is the one the change is based on, if any.
    ///
    /// # Errors
    /// [`Code::Usage`] with all that is wrong, [`Code::Conflict`] when somebody else changed it first.
    pub async fn change(
        &self,
        by: &By,
        name: &str,
        revision: Option<u64>,
        changes: Value,
    ) -> Result<View, Problem> {
        #[derive(Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Changeable {
            name: String,
            stack: String,
            #[serde(default)]
            team: Option<Team>,
            settings: Settings,
        }
        let before = self.record(name)?;
        self.not_deleted(&before.record)?;
        if revision.is_some_and(|revision| revision != before.revision) {
            return Err(changed_meanwhile(&before.record.name));
        }
        let old = Changeable {
            name: before.record.name.clone(),
            stack: before.record.stack.clone(),
            team: before.record.team.clone(),
            settings: before.record.settings.clone(),
        };
        let new =
            patch::apply(&old, changes, &self.shared.key, &before.record.id).map_err(|what| unfit(&what))?;
        let after = Instance {
            stack: self.stack(Some(&new.stack))?,
            name: new.name,
            team: new.team,
            settings: new.settings,
            ..before.record.clone()
        };
        self.judge(&after)?;
        self.fits(&before.record, &after)?;
        let mut more = self
            .noted(&after.id, Kind::Changed, differences(&before.record, &after))
            .map_err(stored)?;
        if after.name != before.record.name {
            let named = Named { id: after.id.clone() };
            let new_name = Table::<Named>::put(&after.name, &named, 0).map_err(stored)?;
            more = more.and(new_name).remove(name_key(&before.record.name));
        }
        self.replace(by, "instance.change", &before, after, more).await
    }

    /// Writes a changed record and tells the actor.
    pub(super) async fn replace(
        &self,
        by: &By,
        action: &str,
        before: &Versioned<Instance>,
        after: Instance,
        more: Batch,
    ) -> Result<View, Problem> {
        // What was written and never told would hold only after the next start of the host.
        let room = self.room(&after.id)?;
        let (old, new) = (patch::shown(&before.record), patch::shown(&after));
        let batch = Table::<Instance>::put(&after.id, &after, before.revision)
            .and_then(|batch| {
                Ok(batch
                    .and(more)
                    .and(audit::entry(by, action, &after.id, Some(old), Some(new))?))
            })
            .map_err(stored)?;
        let revision = self
            .shared
            .store
            .commit(batch)
            .await
            .map_err(|error| match error {
                StoreError::Conflict { key, .. } if key == name_key(&after.name) => taken(&after.name),
                StoreError::Conflict { .. } => changed_meanwhile(&before.record.name),
                error => stored(error),
            })?;
        let record = Versioned {
            revision,
            record: after,
        };
        room.send(Order::Record(Box::new(record.clone())));
        self.taken_in(&record.record.id).await;
        Ok(self.view(record))
    }

    pub(super) fn not_deleted(&self, instance: &Instance) -> Result<(), Problem> {
        if instance.delete_at_ms.is_none() {
            return Ok(());
        }
        let message = format!("the instance `{}` is deleted", instance.name);
        Err(Problem::new(Code::Conflict, message)
            .hint("bring it back first, with `redhold instance undelete`"))
    }

    /// Does something to an instance.
    ///
    /// # Errors
    /// [`Code::Conflict`] when it is in no state for that.
    pub async fn act(&self, by: &By, name: &str, action: Action) -> Result<View, Problem> {
        let before = self.record(name)?;
        let id = before.record.id.clone();
        if action == Action::Undelete {
            return self.undelete(by, &before).await;
        }
        self.not_deleted(&before.record)?;
        let state = self.handle(&id).map(|handle| handle.observed.borrow().state);
        let desired = match action {
            Action::Start | Action::Restart | Action::SafeMode => Desired::Running,
            Action::Stop | Action::Kill => Desired::Stopped,
            Action::Suspend if state != Some(State::Running) && state != Some(State::Suspended) => {
                let message = format!(
                    "`{}` does not run, and only what runs can be suspended",
                    before.record.name
                );
                return Err(Problem::new(Code::Conflict, message).hint("start it first, or stop it"));
            }
            Action::Suspend => Desired::Suspended,
            Action::Resume if before.record.desired != Desired::Suspended => {
                let message = format!("`{}` is not suspended", before.record.name);
                return Err(Problem::new(Code::Conflict, message));
            }
            Action::Resume => Desired::Running,
            Action::Undelete => unreachable!("dealt with above"),
        };
        let after = Instance {
            desired,
            ..before.record.clone()
        };
        let verb = serde_json::to_value(action).unwrap_or_default();
        let verb = verb.as_str().unwrap_or_default();
        let who = match by {
            By::Maintenance => "its maintenance window",
            _ => "a person",
        };
        let text = format!("{who} asked: {verb}");
        let more = self.noted(&id, Kind::Changed, text).map_err(stored)?;
        let view = self
            .replace(by, &format!("instance.{verb}"), &before, after, more)
            .await?;
        let order = match action {
            Action::Restart => Order::Restart { safe: false },
            Action::SafeMode => Order::Restart { safe: true },
            Action::Kill => Order::Kill,
            Action::Suspend => return self.suspended(&id),
            _ => return Ok(view),
        };
        self.tell(&id, order)?;
        self.taken_in(&id).await;
        self.get(&id)
    }

    /// How it is after it was to be suspended.
    fn suspended(&self, id: &str) -> Result<View, Problem> {
        let view = self.get(id)?;
        if view.desired == Desired::Suspended {
            return Ok(view);
        }
        let message = format!("`{}` could not be suspended, and runs on", view.name);
        let hint = format!(
            "`redhold events {}` says why; `redhold doctor` says what this machine lacks",
            view.name
        );
        Err(Problem::new(Code::Host, message).hint(hint))
    }

    pub(super) async fn undelete(&self, by: &By, before: &Versioned<Instance>) -> Result<View, Problem> {
        if before.record.delete_at_ms.is_none() {
            let message = format!("the instance `{}` is not deleted", before.record.name);
            return Err(Problem::new(Code::Conflict, message));
        }
        if self.shared.undo_left(&before.record.id).is_zero() {
            let message = format!("the instance `{}` is being deleted for good", before.record.name);
            return Err(Problem::new(Code::Conflict, message).hint("bring it back from a backup"));
        }
        let after = Instance {
            delete_at_ms: None,
            ..before.record.clone()
        };
        let more = self
            .noted(&after.id, Kind::Deletion, "was brought back".to_owned())
            .map_err(stored)?
            .remove(Table::<Undo>::key(&after.id));
        self.replace(by, "instance.undelete", before, after, more).await
    }

    /// Stops an instance and marks it for deletion; for good at once when `now`.
    ///
    /// # Errors
    /// [`Code::Missing`] when there is none.
    pub async fn delete(&self, by: &By, name: &str, now: bool) -> Result<View, Problem> {
        let before = self.record(name)?;
        let wait = if now { Duration::ZERO } else { UNDO };
        let at = clock::now_ms() + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let after = Instance {
            desired: Desired::Stopped,
            delete_at_ms: Some(at),
            ..before.record.clone()
        };
        let text = if now {
            "is deleted for good".to_owned()
        } else {
            "is deleted for good in 24 hours".to_owned()
        };
        let uptime = clock::Uptime::now()
            .map_err(|error| Problem::io("cannot read how long this machine is up", error))?;
        let more = Table::<Undo>::set(&after.id, &Undo::from(uptime, wait))
            .and_then(|undo| Ok(undo.and(self.noted(&after.id, Kind::Deletion, text)?)))
            .map_err(stored)?;
        let view = self.replace(by, "instance.delete", &before, after, more).await?;
        if let Some(handle) = self.handle(&view.id) {
            let orders = handle.orders;
            if now {
                // Waits for room: nobody would say it again.
                self.tasks
                    .spawn(async move { drop(orders.send(Order::Delete).await) });
            } else {
                self.tasks
                    .spawn(delete_later(orders, self.shared.clone(), view.id.clone()));
            }
        }
        Ok(view)
    }
}

/// The first files are on the disk before the record says that there is an instance.
fn durable(place: &Place) -> std::io::Result<()> {
    // In an image they are on a file system of their own, inside a file of the other.
    for folder in [place.data(), place.root().to_owned()] {
        nix::unistd::syncfs(std::fs::File::open(folder)?)?;
    }
    Ok(())
}

/// What was made for an instance belongs to it.
fn give(place: &Place, owner: runtime::spec::Owner) -> std::io::Result<()> {
    let runtime::spec::Owner::Own { uid, gid } = owner else {
        return Ok(());
    };
    world::give(&place.data(), uid, gid)
}

/// Flows as a file: a list of nodes, or the document with `flows` that Node-RED's API gives.
pub(super) fn flows_file(flows: Value) -> Result<String, Problem> {
    let nodes = match flows {
        Value::Object(mut document) => document.remove("flows").unwrap_or_default(),
        nodes => nodes,
    };
    let nodes = nodes
        .as_array()
        .filter(|nodes| {
            nodes
                .iter()
                .all(|node| node["id"].is_string() && node["type"].is_string())
        })
        .ok_or_else(|| {
            Problem::new(
                Code::Usage,
                "these are no flows: they are a list of nodes, each with an `id` and a `type`",
            )
            .hint("export them from the editor with Menu > Export > JSON")
        })?;
    serde_json::to_string_pretty(nodes)
        .map_err(|error| Problem::new(Code::Usage, "these flows cannot be written").because(error))
}

/// In words, which parts of an instance differ.
fn differences(before: &Instance, after: &Instance) -> String {
    let (old, new) = (patch::shown(before), patch::shown(after));
    let mut places = Vec::new();
    differ("", &old, &new, &mut places);
    if places.is_empty() {
        "was saved as it was".to_owned()
    } else {
        format!("changed: {}", places.join(", "))
    }
}

fn differ(place: &str, old: &Value, new: &Value, places: &mut Vec<String>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let deeper = if place.is_empty() {
                    name.clone()
                } else {
                    format!("{place}.{name}")
                };
                differ(
                    &deeper,
                    &old.get(name).cloned().unwrap_or_default(),
                    &new.get(name).cloned().unwrap_or_default(),
                    places,
                );
            }
        }
        _ => places.push(place.strip_prefix("settings.").unwrap_or(place).to_owned()),
    }
}

pub(super) fn random_key() -> String {
    let mut bytes = [0; 32];
    ids::random(&mut bytes);
    ids::hexadecimal(&bytes)
}
