//! What a host stands on: its folders, its store, and what this machine offers.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runtime::sandbox::probe::Host;
use runtime::spec::Isolation;
use tracing::warn;

use crate::alerts::{Alert, Cursor, Troubles};
use crate::config::NetworkConfig;
use crate::instances::NpmSettings;
use crate::instances::disk::Disks;
use crate::instances::events::Event;
use crate::instances::model::{Created, Instance, Kept, LastNumber, Named};
use crate::instances::networks::Networks;
use crate::instances::service::problems::stored;
use crate::instances::tokens::{EndpointToken, TokenUse};
use crate::instances::undo::Undo;
use crate::instances::upkeep::Maintained;
use crate::problem::{Code, Problem};
use crate::stacks::Stacks;
use crate::store::Store;
use crate::store::migrate::{Known, migrate};
use crate::store::table::Record;
use crate::{audit, paths};

/// Where the parts of the data directory are.
pub(super) struct Folders {
    pub(super) store: PathBuf,
    pub(super) keys: PathBuf,
}

impl Folders {
    pub(super) fn make(data_dir: &Path) -> Result<Self, Problem> {
        let cannot = |error| {
            Problem::io(
                format!("cannot make the data directory {}", data_dir.display()),
                error,
            )
        };
        // Instances without a root of their own must get through to their folders, and see nothing else on the way.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(data_dir)
            .map_err(cannot)?;
        let longest = data_dir.join("instances/0123456789ab/run/front.sock");
        if longest.as_os_str().len() > paths::LONGEST_SOCKET {
            let message = format!(
                "the data directory {} has too long a path for sockets",
                data_dir.display()
            );
            return Err(Problem::new(Code::Usage, message).hint("choose a shorter one"));
        }
        let folders = Self {
            store: data_dir.join("store"),
            keys: data_dir.join("keys"),
        };
        for (folder, mode) in [
            (folders.store.clone(), 0o700),
            (folders.keys.clone(), 0o700),
            (data_dir.join("instances"), 0o711),
            (data_dir.join("run"), 0o711),
        ] {
            DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(folder)
                .map_err(cannot)?;
        }
        Ok(folders)
    }
}

/// The newest format of every table.
const KNOWN: [Known; 14] = [
    known::<Instance>(),
    known::<Kept>(),
    known::<Undo>(),
    known::<Named>(),
    known::<Created>(),
    known::<LastNumber>(),
    known::<Event>(),
    known::<EndpointToken>(),
    known::<TokenUse>(),
    known::<Maintained>(),
    known::<Alert>(),
    known::<Troubles>(),
    known::<Cursor>(),
    known::<audit::Entry>(),
];

const fn known<R: Record>() -> Known {
    Known {
        table: R::TABLE,
        format: R::FORMAT,
    }
}

/// Opens the store and brings its records to today's formats.
pub(super) async fn open_store(folder: &Path) -> Result<Store, Problem> {
    let path = folder.to_owned();
    let opened = tokio::task::spawn_blocking(move || Store::open(&path)).await;
    let (store, findings) = opened
        .map_err(|error| Problem::new(Code::Failed, "the store did not open").because(error))?
        .map_err(unopened)?;
    for finding in findings {
        warn!("{}: {}", finding.path.display(), finding.what);
    }
    migrate(&store, &KNOWN, &[]).await.map_err(stored)?;
    Ok(store)
}

fn unopened(error: crate::store::StoreError) -> Problem {
    use crate::store::StoreError;
    match error {
        StoreError::Locked(folder) => {
            let message = format!("another Redhold runs on {}", folder.display());
            Problem::new(Code::Busy, message).hint("stop it first, or choose another --data-dir")
        }
        StoreError::Damaged { .. } => Problem::new(Code::Failed, "the store cannot be opened")
            .because(error)
            .hint("nothing was changed; bring a backup back with `redhold restore`, and keep the damaged store for a look"),
        error => stored(error),
    }
}

/// How the disk space of instances can be bounded here.
pub(super) async fn disks(data_dir: &Path) -> Result<Arc<Disks>, Problem> {
    let data_dir = data_dir.to_owned();
    tokio::task::spawn_blocking(move || Disks::look(Path::new(paths::EXECUTABLE), &data_dir))
        .await
        .map(Arc::new)
        .map_err(|error| Problem::new(Code::Failed, "the disk could not be tried").because(error))
}

/// What instances can be connected to here.
pub(super) async fn networks(config: &NetworkConfig, isolation: Isolation) -> Result<Networks, Problem> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || Networks::look(&config, isolation))
        .await
        .map_err(|error| Problem::new(Code::Failed, "the network could not be tried").because(error))
}

/// The strongest walls of this host, and what it lacks.
pub(super) fn walls() -> Result<(Isolation, Vec<String>), Problem> {
    let host = Host::walls(Path::new(paths::EXECUTABLE));
    let mut lesser = Vec::new();
    let isolation = host.isolation().map_err(|lacking| {
        let names: Vec<&str> = lacking.iter().map(|feature| feature.name.as_str()).collect();
        let message = format!(
            "this machine cannot wall Node-RED off: it lacks {}",
            names.join(", ")
        );
        Problem::new(Code::Host, message).hint("`redhold doctor` says how to mend it")
    })?;
    if isolation == Isolation::Landlock {
        lesser.push("no namespaces: instances see each other's processes and sockets, and without root also this host's own socket, as its administrator".to_owned());
    }
    if !nix::unistd::geteuid().is_root() {
        lesser.push(
            "not root: all instances run as this account; only their namespaces keep them apart".to_owned(),
        );
    }
    Ok((isolation, lesser))
}

/// How instances reach npm's registry.
pub(super) fn npm(stacks: &Stacks) -> NpmSettings {
    stacks.addresses().map_or_else(
        |problem| {
            warn!(%problem, "instances get no npm registry");
            NpmSettings::default()
        },
        NpmSettings::from,
    )
}
