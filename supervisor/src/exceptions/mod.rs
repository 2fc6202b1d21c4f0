//! Waivers and policies while a host runs: changed with who did it, and everything that became of their files is in the
//! audit log.
//!
//! The files are the truth, for whoever judges reads them without a host. What the audit log last knew of them is in the
//! store; what differs is noted, together with that it was, at one stroke. So a change is noted once, whatever made it: the
//! interface, a command on a host that was down, or an editor.

mod turns;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node_vetting::policy::{Day, Waiver};
use npm::{PackageName, Version};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tracing::warn;

use self::turns::{Noted, Turn, fits, turns};
use crate::audit::{self, By};
use crate::clock;
use crate::ids::hexadecimal;
use crate::problem::{Code, Problem};
use crate::store::table::{Record, Table};
use crate::store::{Batch, Store, StoreError};
use crate::vetting::{Waivers, policies};

/// How often is looked at the files.
const TICK: Duration = Duration::from_secs(5);

/// A policy as the audit log knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NotedPolicy {
    /// Of its text.
    sha256: String,
}

impl Record for NotedPolicy {
    const TABLE: &'static str = "policies";
    const FORMAT: u32 = 1;
}

/// See the module.
#[derive(Debug)]
pub struct Exceptions {
    data_dir: PathBuf,
    file: Waivers,
    store: Store,
    /// One change at a time is made and noted.
    alone: tokio::sync::Mutex<()>,
}

impl Exceptions {
    /// Those of the host with this data directory and store.
    #[must_use]
    pub fn of(data_dir: &Path, store: Store) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            file: Waivers::of(data_dir),
            store,
            alone: tokio::sync::Mutex::default(),
        }
    }

    /// All waivers, also those that have ended, and what names this list.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn list(&self) -> Result<(Vec<Waiver>, String), Problem> {
        let all = self.file.all()?;
        let digest = Waivers::digest(&all);
        Ok((all, digest))
    }

    /// Adds a waiver, in place of one for the same rules of the same package; `based_on` names the list that it was decided
    /// on, if any.
    ///
    /// # Errors
    /// [`Code::Usage`] when it cannot count, [`Code::Conflict`] when somebody else changed the list first.
    pub async fn add(&self, by: &By, waiver: Waiver, based_on: Option<String>) -> Result<(), Problem> {
        fits(&waiver, Day::of(clock::now_s()))?;
        self.change(by, move |file| file.add(waiver, based_on.as_deref()))
            .await
    }

    /// Takes back the waivers of a package in a version; how many there were.
    ///
    /// # Errors
    /// [`Code::Missing`] when there is none, [`Code::Conflict`] when somebody else changed the list first.
    pub async fn remove(
        &self,
        by: &By,
        (package, version): (PackageName, Version),
        based_on: Option<String>,
    ) -> Result<usize, Problem> {
        let spec = format!("{package}@{version}");
        let removed = self
            .change(by, move |file| {
                file.remove(&package, &version, based_on.as_deref())
            })
            .await?;
        if removed == 0 {
            return Err(none_for(&spec));
        }
        Ok(removed)
    }

    /// Changes the file and notes it. What others did to the file before is not theirs who do this.
    async fn change<T: Send + 'static>(
        &self,
        by: &By,
        change: impl FnOnce(&Waivers) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let _alone = self.alone.lock().await;
        self.note(&By::File).await?;
        let file = self.file.clone();
        // It waits for the file's lock, and for the disk.
        let changed = tokio::task::spawn_blocking(move || change(&file)).await;
        let changed =
            changed.map_err(|error| Problem::new(Code::Failed, "a change broke off").because(error))??;
        self.note(by).await?;
        Ok(changed)
    }

    /// Notes what becomes of the files, for ever; whoever runs this ends it.
    pub async fn watch(&self) {
        let mut said = String::new();
        loop {
            let noted = {
                let _alone = self.alone.lock().await;
                self.note(&By::File).await
            };
            let why = noted
                .err()
                .map_or_else(String::new, |problem| problem.to_string());
            if !why.is_empty() && why != said {
                warn!(
                    why,
                    "changes of waivers and policies are not in the audit log until this is mended"
                );
            }
            said = why;
            tokio::time::sleep(TICK).await;
        }
    }

    /// Notes what differs from what was noted last, by whom.
    async fn note(&self, by: &By) -> Result<(), Problem> {
        let (store, data_dir, file, by) = (
            self.store.clone(),
            self.data_dir.clone(),
            self.file.clone(),
            by.clone(),
        );
        let looking = tokio::task::spawn_blocking(move || {
            let all = file.all()?;
            let policies = texts(&data_dir)?;
            differences(&store, &by, all, &policies).map_err(stored)
        });
        let batch = looking
            .await
            .map_err(|error| Problem::new(Code::Failed, "noting broke off").because(error))??;
        if let Some(batch) = batch {
            self.store.commit(batch).await.map_err(stored)?;
        }
        Ok(())
    }
}

/// That there is nothing to take back.
#[must_use]
pub fn none_for(spec: &str) -> Problem {
    Problem::new(Code::Missing, format!("there is no waiver for {spec}"))
        .hint("`redhold waiver list` shows them")
}

fn stored(error: StoreError) -> Problem {
    Problem::new(
        Code::Failed,
        "what became of waivers and policies cannot be noted in the audit log",
    )
    .because(error)
}

/// Every policy's digest, by the name of its layer.
fn texts(data_dir: &Path) -> Result<BTreeMap<String, NotedPolicy>, Problem> {
    let mut all = BTreeMap::new();
    for (level, file) in policies(data_dir)? {
        let text =
            fs::read(&file).map_err(|error| Problem::io(format!("cannot read {}", file.display()), error))?;
        let sha256 = hexadecimal(&Sha256::digest(text));
        all.insert(level, NotedPolicy { sha256 });
    }
    Ok(all)
}

/// The batch that notes what is different; nothing where nothing is.
fn differences(
    store: &Store,
    by: &By,
    all: Vec<Waiver>,
    policies: &BTreeMap<String, NotedPolicy>,
) -> Result<Option<Batch>, StoreError> {
    let mut batch = Batch::default();
    let mut any = false;
    let known = Table::<Noted>::of(store).scan("")?;
    let known: BTreeMap<String, Noted> = known
        .into_iter()
        .map(|(key, noted)| (key, noted.record))
        .collect();
    for (key, turn) in turns(&known, all, Day::of(clock::now_s())) {
        any = true;
        batch = batch.and(noted(by, &key, turn)?);
    }
    let known = Table::<NotedPolicy>::of(store).scan("")?;
    let known: BTreeMap<String, NotedPolicy> = known
        .into_iter()
        .map(|(level, noted)| (level, noted.record))
        .collect();
    let levels = known
        .keys()
        .chain(policies.keys().filter(|level| !known.contains_key(*level)));
    for level in levels {
        let (before, after) = (known.get(level), policies.get(level));
        if before == after {
            continue;
        }
        any = true;
        let shown = |policy: Option<&NotedPolicy>| policy.map(|policy| json!({ "sha256": policy.sha256 }));
        batch = batch.and(audit::entry(
            by,
            "policy.change",
            level,
            shown(before),
            shown(after),
        )?);
        batch = match after {
            Some(after) => batch.and(Table::<NotedPolicy>::set(level, after)?),
            None => batch.remove(Table::<NotedPolicy>::key(level)),
        };
    }
    Ok(any.then_some(batch))
}

fn noted(by: &By, key: &str, turn: Turn) -> Result<Batch, StoreError> {
    let (by, action, waiver, before, after) = match turn {
        Turn::Added(waiver) => (by, "waiver.add", waiver, false, true),
        Turn::Removed(waiver) => (by, "waiver.remove", waiver, true, false),
        Turn::Over(waiver) => (&By::Host, "waiver.end", waiver, true, false),
        Turn::Counts(waiver) => (&By::Host, "waiver.begin", waiver, false, true),
    };
    let object = format!("{}@{}", waiver.package, waiver.version);
    let shown = |is: bool| is.then(|| serde_json::to_value(&waiver).unwrap_or(Value::Null));
    let entry = audit::entry(by, action, &object, shown(before), shown(after))?;
    Ok(match action {
        "waiver.remove" => entry.remove(Table::<Noted>::key(key)),
        _ => {
            let over = action == "waiver.end";
            entry.and(Table::<Noted>::set(key, &Noted { waiver, over })?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::turns::tests::{DAY, waiver};
    use super::*;
    use crate::audit::Entry;

    /// Actions with who did them, in order; what was noted in one stroke by its name.
    fn log(store: &Store) -> Vec<(By, String)> {
        let all = Table::<Entry>::of(store).scan("").expect("the log");
        let mut all: Vec<_> = all.into_iter().map(|(_, entry)| entry).collect();
        all.sort_by(|a, b| (a.revision, &a.record.action).cmp(&(b.revision, &b.record.action)));
        all.into_iter()
            .map(|entry| (entry.record.by, entry.record.action))
            .collect()
    }

    #[tokio::test]
    async fn every_change_is_noted_once_with_who_made_it() {
        let place = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(&place.path().join("store")).expect("a store");
        let own = || Exceptions::of(place.path(), store.clone());
        let local = By::Local { uid: 7 };
        let far = clock::now_s() + 30 * DAY;
        own().add(&local, waiver(far), None).await.expect("added");
        // Another one by hand, and one that a host noted which was killed right after: nothing is told twice.
        let by_hand = Waivers::of(place.path());
        by_hand.add(waiver(far - DAY), None).expect("changed by hand");
        own().note(&By::File).await.expect("noted");
        own().note(&By::File).await.expect("noted");
        fs::write(place.path().join("vetting/policy.toml"), "version = 1").expect("a policy");
        own().note(&By::File).await.expect("noted");
        let (_, digest) = own().list().expect("a list");
        let package = || {
            (
                "node-red-contrib-pump".parse().expect("a name"),
                "1.0.0".parse().expect("a version"),
            )
        };
        let stale = own()
            .remove(&By::Token, package(), Some("other".to_owned()))
            .await;
        assert_eq!(stale.expect_err("another list").code(), Code::Conflict);
        let removed = own().remove(&By::Token, package(), Some(digest)).await;
        assert_eq!(removed.expect("removed"), 1);
        let again = own().remove(&By::Token, package(), None).await;
        assert_eq!(again.expect_err("none left").code(), Code::Missing);
        let told = log(&store);
        let told: Vec<_> = told.iter().map(|(by, action)| (by, action.as_str())).collect();
        assert_eq!(
            told,
            [
                (&local, "waiver.add"),
                (&By::File, "waiver.add"),
                (&By::File, "waiver.remove"),
                (&By::File, "policy.change"),
                (&By::Token, "waiver.remove"),
            ]
        );
    }
}
