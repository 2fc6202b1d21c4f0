//! What comes from elsewhere: flows for an instance that is there, and a Node-RED user directory for a new one.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use runtime::error::or_absent;
use serde_json::{Value, json};

use super::operations::{flows_file, random_key};
use super::problems::{broken, stored, taken};
use super::{Instances, View};
use crate::audit::{self, By};
use crate::instances::actor::Order;
use crate::instances::carried::{self, Found};
use crate::instances::events::Kind;
use crate::instances::machine::Phase as State;
use crate::instances::model::{Desired, Instance, Named, Settings};
use crate::instances::place::Place;
use crate::instances::unpack::unpack;
use crate::instances::{Shared, disk, errand, job, world};
use crate::problem::{Code, Problem};
use crate::store::Batch;
use crate::store::table::Table;
use crate::{clock, ids};

/// How folders begin in which something is unpacked.
pub(super) const STAGING: &str = ".import-";

/// Settings of an import that have settings of their own on a host, which win.
const OWN: [&str; 7] = [
    "apiMaxLength",
    "debugMaxLength",
    "editorTheme",
    "externalModules",
    "functionExternalModules",
    "httpNodeCors",
    "ui",
];

impl Instances {
    /// Replaces the flows of an instance; the ones before stay beside them in a file of their own. What runs is started
    /// again.
    ///
    /// # Errors
    /// [`Code::Usage`] when these are no flows, [`Code::Conflict`] when it is suspended or deleted.
    pub async fn import_flows(&self, by: &By, name: &str, flows: Value) -> Result<View, Problem> {
        let text = flows_file(flows)?;
        let record = self.record(name)?.record;
        self.not_deleted(&record)?;
        if record.desired == Desired::Suspended {
            let message = format!("`{}` is suspended", record.name);
            return Err(Problem::new(Code::Conflict, message)
                .hint("resume or stop it first: what runs has to start again with the new flows"));
        }
        let place = self.place(&record.id);
        let owner = world::owner(record.number);
        let written = tokio::task::spawn_blocking(move || {
            place.make(owner)?;
            replace_flows(&place.data(), text.as_bytes(), owner)
        });
        let backup = written
            .await
            .map_err(|error| broken(error.into()))?
            .map_err(|error| Problem::io("cannot write the flows", error))?;
        let said = match &backup {
            Some(backup) => format!("its flows were replaced by an import; the ones before are in {backup}"),
            None => "its flows were imported".to_owned(),
        };
        let after = json!({ "backup": backup });
        let batch = audit::entry(by, "instance.import", &record.id, None, Some(after))
            .and_then(|batch| Ok(batch.and(self.noted(&record.id, Kind::Changed, said)?)))
            .map_err(stored)?;
        self.shared.store.commit(batch).await.map_err(stored)?;
        let state = self
            .handle(&record.id)
            .map(|handle| handle.observed.borrow().state);
        if record.desired == Desired::Running && state != Some(State::Stopped) {
            self.tell(&record.id, Order::Restart { safe: false })?;
            self.taken_in(&record.id).await;
        }
        self.get(&record.id)
    }

    /// Makes a new instance of a Node-RED user directory, which `archive` gives as a tar stream.
    ///
    /// # Errors
    /// [`Code::Conflict`] when the name is taken; [`Code::Usage`] when the archive is damaged, leads out of itself or
    /// holds no flows. Nothing stays of it then.
    pub async fn import_folder(
        &self,
        by: &By,
        name: &str,
        start: bool,
        archive: impl Read + Send + 'static,
    ) -> Result<View, Problem> {
        let named = Table::<Named>::of(&self.shared.store);
        if named.get(name).map_err(stored)?.is_some() {
            return Err(taken(name));
        }
        let mut instance = Instance {
            id: ids::fresh(),
            name: name.to_owned(),
            desired: if start { Desired::Running } else { Desired::Stopped },
            stack: self.stack(None)?,
            team: None,
            number: 0,
            settings: Settings::default(),
            credential_secret: None,
            created_ms: clock::now_ms(),
            delete_at_ms: None,
        };
        self.judge(&instance)?;
        let staged = self.stage(archive).await?;
        let data = staged.path().join("data");
        let found = look(&self.shared, &instance, staged.path()).await?;
        let (carried, mut left) = sort(&found);
        let settle = {
            let (data, flow_file) = (data.clone(), found.text("flowFile").map(str::to_owned));
            tokio::task::spawn_blocking(move || settle(&data, flow_file.as_deref(), &carried))
        };
        settle.await.map_err(|error| broken(error.into()))??;
        let secret = match found.text("credentialSecret") {
            Some(secret) => Some(secret.to_owned()),
            // Credentials that are there open with the key that Node-RED keeps beside them.
            None if data.join("flows_cred.json").exists() => None,
            None => Some(random_key()),
        };
        if let Some(secret) = secret {
            let secret = json!({ "secret": { "hidden": true, "value": secret } });
            instance.credential_secret = self.sealed(&secret, &instance.id)?;
        }
        left.sort();
        let mut text = "was imported from a Node-RED user directory".to_owned();
        if !left.is_empty() {
            text = format!("{text}; left out: {}", left.join("; "));
        }
        let fill = move |place: &Place| bring(&data, &place.data());
        let view = self
            .add(by, "instance.import", instance, text, Batch::default(), fill)
            .await;
        drop(staged);
        view
    }

    /// Unpacks an archive where nobody looks.
    async fn stage(&self, archive: impl Read + Send + 'static) -> Result<Arc<tempfile::TempDir>, Problem> {
        let folder = self.shared.data_dir.join("instances");
        let staged = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(&folder)?;
            let staged = tempfile::Builder::new().prefix(STAGING).tempdir_in(&folder)?;
            let data = staged.path().join("data");
            fs::create_dir(&data)?;
            fs::create_dir(staged.path().join("run"))?;
            unpack(archive, &data)?;
            Ok(Arc::new(staged))
        });
        let staged = staged.await.map_err(|error| broken(error.into()))?;
        staged.map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::PermissionDenied => {
                Problem::io("cannot unpack the import", error)
            }
            _ => Problem::new(Code::Usage, format!("the archive cannot be imported: {error}")).hint(
                "it is a tar stream of a Node-RED user directory, as `redhold instance import` makes it",
            ),
        })
    }
}

/// Puts flows in place at one stroke. The name of the file in which the ones before stay.
fn replace_flows(data: &Path, text: &[u8], owner: runtime::spec::Owner) -> io::Result<Option<String>> {
    let flows = data.join("flows.json");
    let mut fresh = tempfile::Builder::new().prefix(".import-").tempfile_in(data)?;
    fresh.write_all(text)?;
    if let runtime::spec::Owner::Own { uid, gid } = owner {
        std::os::unix::fs::fchown(fresh.as_file(), Some(uid), Some(gid))?;
    }
    fresh.as_file().sync_all()?;
    let backup = format!("flows.before-import-{}.json", clock::now_ms());
    // A second name for what is there, never a copy of what a link leads to; the flows are whole at every moment.
    let kept = match fs::hard_link(&flows, data.join(&backup)) {
        Ok(()) => Some(backup),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    fresh.persist(&flows)?;
    fs::File::open(data)?.sync_all()?;
    Ok(kept)
}

/// Has the settings file read, in a sandbox of a user that no instance has.
async fn look(shared: &Arc<Shared>, instance: &Instance, staged: &Path) -> Result<Found, Problem> {
    let script = staged.join("data/settings.js");
    if !script.is_file() {
        return Ok(Found::default());
    }
    let stack = job::stack(shared, instance).await?;
    let spec = {
        let (shared, instance, staged) = (shared.clone(), instance.clone(), staged.to_owned());
        tokio::task::spawn_blocking(move || world::look(&shared, &instance, &stack, &staged))
    };
    let spec = spec.await.map_err(|error| broken(error.into()))??;
    let patience = tokio::time::sleep(std::time::Duration::from_secs(60));
    let outcome = errand::run(&shared.executable, &spec, patience).await?;
    Found::heard(&outcome.output).ok_or_else(|| {
        Problem::new(Code::Usage, "the settings.js of the import could not be read")
            .hint("leave it out to import without settings")
    })
}

/// What goes over and what does not.
fn sort(found: &Found) -> (Value, Vec<String>) {
    let (mut carried, mut left) = found.sorted();
    for name in OWN {
        if carried.remove(name).is_some() {
            left.push(format!(
                "setting {name}: `redhold instance set` has one of its own"
            ));
        }
    }
    if !found.variables.is_empty() {
        let names = found.variables.join(", ");
        left.push(format!("what settings.js makes of the variables {names}"));
    }
    (Value::Object(carried), left)
}

/// Gives the files of an unpacked user directory the names that they have here.
fn settle(data: &Path, flow_file: Option<&str>, carried: &Value) -> Result<(), Problem> {
    let cannot = |error| Problem::io("cannot prepare the import", error);
    let flows = match flow_file {
        // Where it lay on another machine, its folder is another one here.
        Some(name) => Path::new(name)
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        None => carried::flow_file(data)?,
    };
    let none = || {
        Problem::new(Code::Usage, "the import holds no flows")
            .hint("name the Node-RED user directory, most often ~/.node-red")
    };
    let text = fs::read(data.join(&flows)).map_err(|error| none().because(error))?;
    let nodes: Value = serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text))
        .map_err(|error| Problem::new(Code::Usage, format!("{flows} is not valid JSON")).because(error))?;
    flows_file(nodes)?;
    let stem = flows.strip_suffix(".json").unwrap_or(&flows);
    for (from, to) in [
        (flows.clone(), "flows.json"),
        (format!("{stem}_cred.json"), "flows_cred.json"),
    ] {
        or_absent(fs::rename(data.join(&from), data.join(to))).map_err(cannot)?;
    }
    // What of it means something here is read already, and the rest may hold secrets.
    for name in ["settings.js", carried::FILE] {
        or_absent(fs::remove_file(data.join(name))).map_err(cannot)?;
    }
    if carried.as_object().is_some_and(|settings| !settings.is_empty()) {
        let text = format!("{:#}\n", json!({ "settings": carried }));
        crate::paths::write_private(&data.join(carried::FILE), text.as_bytes()).map_err(cannot)?;
    }
    Ok(())
}

/// Brings what is in one folder into another, which may be on a disk of the instance's own.
fn bring(from: &Path, to: &Path) -> io::Result<()> {
    disk::copy(from, to)?;
    nix::unistd::syncfs(fs::File::open(to)?).map_err(Into::into)
}
