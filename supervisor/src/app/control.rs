//! The part of a host that decides: store, actors and interface. It can be closed and opened again while the front
//! goes on.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use runtime::spec::Isolation;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

use crate::acme::Acme;
use crate::alerts::Alerts;
use crate::config::Config;
use crate::exceptions::Exceptions;
use crate::gate::NpmGate;
use crate::instances::disk::Disks;
use crate::instances::events::Events;
use crate::instances::model::{EditorSettings, Instance};
use crate::instances::networks::Networks;
use crate::instances::queue::StartQueue;
use crate::instances::tokens::EndpointToken;
use crate::instances::{Instances, Shared};
use crate::paths;
use crate::problem::{Code, Problem};
use crate::proxy::Answers;
use crate::proxy::access::Gate;
use crate::proxy::table::{Entry, HostTable};
use crate::secret::HostKey;
use crate::shutdown::Tasks;
use crate::stacks::Stacks;
use crate::store::Store;
use crate::store::table::{Table, Versioned};
use crate::web::state::Addresses;
use crate::web::switch::Switch;
use crate::web::{self, AppState, local};

use super::ground;

/// What stays the same for as long as the process lives.
pub(super) struct Base {
    pub(super) config: Config,
    pub(super) key: HostKey,
    pub(super) gate: Arc<Gate>,
    pub(super) stacks: Arc<Stacks>,
    pub(super) isolation: Isolation,
    pub(super) disks: Arc<Disks>,
    pub(super) networks: Networks,
    /// The registry that instances see.
    pub(super) packages: NpmGate,
    pub(super) addresses: Addresses,
    pub(super) answers: Arc<OnceLock<Answers>>,
    pub(super) table: Arc<HostTable>,
    /// Who orders certificates.
    pub(super) acme: Option<Acme>,
    /// Its tasks; only one supervisor orders.
    pub(super) ordering: Tasks,
    /// Whether there is an interface at the moment.
    pub(super) switch: Switch,
    /// The interface as the local socket offers it.
    pub(super) desk: axum::Router,
    /// The local socket.
    pub(super) api: UnixListener,
    /// What outlives a control that is closed: connections, and what speaks to systemd.
    pub(super) tasks: Tasks,
}

/// See the module.
pub(super) struct Control {
    pub(super) store: Store,
    instances: Arc<Instances>,
    tasks: Tasks,
}

impl Control {
    /// Takes over what lives and begins to decide.
    pub(super) async fn open(base: &Base, store: Store) -> Result<Self, Problem> {
        let shared = Arc::new(Shared {
            events: Events::of(&store),
            store: store.clone(),
            data_dir: base.config.data_dir.clone(),
            stacks: base.stacks.clone(),
            key: base.key.clone(),
            queue: StartQueue::new(base.config.starts_at_once),
            executable: PathBuf::from(paths::EXECUTABLE),
            isolation: base.isolation,
            control_group: base.config.control_group.clone(),
            disks: base.disks.clone(),
            npm: ground::npm(&base.stacks),
            gate: base.packages.clone(),
            networks: base.networks.clone(),
        });
        let instances = Instances::open(shared).await?;
        let tasks = Tasks::default();
        let alerts = Alerts::open(
            store.clone(),
            instances.clone(),
            base.config.alerts.clone(),
            base.config.domain.clone(),
            base.addresses.of("{name}"),
        );
        let exceptions = Arc::new(Exceptions::of(&base.config.data_dir, store.clone()));
        let state = AppState {
            exceptions: exceptions.clone(),
            alerts: alerts.clone(),
            instances: instances.clone(),
            store: store.clone(),
            stacks: base.stacks.clone(),
            data_dir: base.config.data_dir.clone(),
            tasks: tasks.clone(),
            answers: base.answers.clone(),
            addresses: base.addresses.clone(),
            certificates: base.acme.as_ref().map(Acme::shelf),
            networks: base.networks.view(),
        };
        let api = base
            .api
            .try_clone()
            .and_then(tokio::net::UnixListener::from_std)
            .map_err(|error| Problem::new(Code::Host, "cannot serve the local socket").because(error))?;
        let filled = Filled {
            table: base.table.clone(),
            instances: instances.clone(),
            key: base.key.clone(),
            names: base.acme.clone().zip(Some(base.config.domain.clone())),
        };
        filled.fill()?;
        base.switch.on(web::router(state));
        // While nobody decides, who knocks waits in the socket's queue.
        let accepting = local::serve(api, base.desk.clone(), tasks.clone(), base.tasks.clone());
        tasks.spawn(accepting);
        tasks.spawn(filled.keep(store.clone(), tasks.clone()));
        tasks.spawn(until_the_end(instances.clone(), exceptions, tasks.clone()));
        tasks.spawn(alerts.run(tasks.clone()));
        Ok(Self {
            store,
            instances,
            tasks,
        })
    }

    /// The file storages of all instances.
    pub(super) fn storages(&self) -> Result<Vec<PathBuf>, Problem> {
        let files = |instance: Versioned<Instance>| self.instances.place(&instance.record.id).files();
        Ok(self.instances.records()?.map(files).collect())
    }

    /// Ends everything but what the store itself needs: no request is taken, those under way have `grace`, and the
    /// actors end last. Instances live on, and the front goes on with the routes that it has.
    pub(super) async fn close(self, base: &Base, grace: Duration) -> Store {
        let off = base.switch.off();
        self.tasks.drain(grace).await;
        off.cancel();
        self.instances.close().await;
        self.store
    }
}

/// What is looked at from time to time, beside the actors.
async fn until_the_end(instances: Arc<Instances>, exceptions: Arc<Exceptions>, tasks: Tasks) {
    let uses = async {
        loop {
            tokio::time::sleep(USES).await;
            instances.write_uses().await;
        }
    };
    tokio::select! {
        () = instances.watch_loads() => {}
        () = instances.maintain() => {}
        () = instances.watch_verdicts() => {}
        () = exceptions.watch() => {}
        () = uses => {}
        () = tasks.ending() => instances.write_uses().await,
    }
}

/// How often is written when tokens were used.
const USES: Duration = Duration::from_secs(60);

/// The names of the host: where each leads, and whose certificates are wanted.
struct Filled {
    table: Arc<HostTable>,
    instances: Arc<Instances>,
    key: HostKey,
    /// Who orders certificates, for names in which domain.
    names: Option<(Acme, String)>,
}

impl Filled {
    /// Puts every instance into the table of routes.
    fn fill(&self) -> Result<(), Problem> {
        let mut entries = HashMap::new();
        let mut names = BTreeSet::new();
        for Versioned { record, .. } in self.instances.records()? {
            if record.delete_at_ms.is_none() {
                names.insert(record.name.clone());
            }
            let Some(upstream) = self.instances.upstream(&record.id) else {
                continue;
            };
            let http = &record.settings.http;
            let password = http.password.as_ref().and_then(|hidden| {
                // One that does not open admits nobody.
                self.key.open_sealed(&record.id, &hidden.sealed).ok()
            });
            let editor = &record.settings.editor;
            entries.insert(
                record.name.clone(),
                Entry {
                    upstream,
                    voucher: voucher(&self.key, &record.id),
                    editor: editor.enabled.then(|| editor.root.clone()),
                    endpoints: http.access,
                    user: http.user.clone(),
                    password,
                    tokens: self.instances.admissions(&record.id)?,
                    unframed: unframed(editor),
                    shared: record.settings.shared.clone(),
                    storage: self.instances.place(&record.id).files(),
                },
            );
        }
        self.table.replace(entries);
        if let Some((acme, domain)) = &self.names {
            let mut all: BTreeSet<_> = names.iter().map(|name| format!("{name}.{domain}")).collect();
            all.insert(domain.clone());
            acme.want(all);
        }
        Ok(())
    }

    /// Keeps it as the store is.
    async fn keep(self, store: Store, tasks: Tasks) {
        let mut changes = store.watch();
        let mut begun = self.instances.begun();
        let prefixes = [Table::<Instance>::key(""), Table::<EndpointToken>::key("")];
        let ours = |key: &str| prefixes.iter().any(|prefix| key.starts_with(prefix));
        loop {
            let changed = tokio::select! {
                // A record is written before its actor is begun, so the one does not tell of the other.
                told = begun.changed() => match told {
                    Ok(()) => true,
                    Err(_) => return,
                },
                changed = changes.recv() => match changed {
                    Ok(commit) => commit.changes.iter().any(|change| ours(&change.key)),
                    Err(RecvError::Lagged(_)) => true,
                    Err(RecvError::Closed) => return,
                },
                () = tasks.ending() => return,
            };
            if changed && let Err(problem) = self.fill() {
                warn!(%problem, "the routes are as they were before the last change");
            }
        }
    }
}

/// Where dashboards are: the first one where its setting says, the second one where it is unless a flow says otherwise.
fn unframed(editor: &EditorSettings) -> Vec<String> {
    if editor.dashboard_frames {
        return Vec::new();
    }
    let first = Some(editor.dashboard.clone()).filter(|path| !path.trim_matches('/').is_empty());
    first.into_iter().chain(["/dashboard".to_owned()]).collect()
}

fn voucher(key: &HostKey, id: &str) -> Option<hyper::header::HeaderValue> {
    let mut value = hyper::header::HeaderValue::from_str(key.voucher(id).reveal()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
