//! A host, put together: everything is opened in order, runs until it is told to end, and is closed in reverse.

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use runtime::sandbox::probe::Host;
use runtime::spec::Isolation;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tracing::{info, warn};

use crate::config::{Config, Tls};
use crate::instances::disk::Disks;
use crate::instances::events::{Event, Events};
use crate::instances::model::{Created, Instance, Kept, LastNumber, Named};
use crate::instances::queue::StartQueue;
use crate::instances::service::problems::stored;
use crate::instances::{Instances, NpmSettings, Shared};
use crate::problem::{Code, Problem};
use crate::proxy::access::Gate;
use crate::proxy::activation::Given;
use crate::proxy::certificates::{FileCertificate, LocalAuthority, server_config};
use crate::proxy::table::{Entry, HostTable};
use crate::proxy::{Bounds, Door, Front, Listening};
use crate::secret::{HostKey, Secret};
use crate::shutdown::Tasks;
use crate::stacks::Stacks;
use crate::store::Store;
use crate::store::migrate::{Known, migrate};
use crate::store::table::{Record, Table};
use crate::web::state::Addresses;
use crate::web::{self, AppState, local, remote};
use crate::{audit, files, paths};

/// How long requests may take when the host ends.
const DRAIN: Duration = Duration::from_secs(10);

/// What a host says when it is ready.
#[derive(Clone, Debug)]
pub struct Ready {
    /// How instances are addressed.
    pub addresses: Addresses,
    /// The local socket.
    pub socket: PathBuf,
    /// Where the administrator's token is.
    pub token: PathBuf,
    /// The certificate of the host's own authority, where it has one.
    pub authority: Option<PathBuf>,
    /// This host was started for the first time.
    pub first: bool,
    /// What this host lacks, in words.
    pub lesser: Vec<String>,
}

/// Runs a host until it is told to end.
///
/// # Errors
/// When it cannot start: one problem with what to do about it.
pub async fn run(mut config: Config, given: Given, ready: impl FnOnce(&Ready)) -> Result<(), Problem> {
    let mut ends = Ends::catch()?;
    given.replace(&mut config)?;
    let folders = Folders::make(&config.data_dir)?;
    let store = open_store(&folders.store).await?;
    let key = HostKey::open(&folders.keys.join("host.key"))
        .map_err(|error| Problem::io("cannot open the host's key", error))?;
    let (gate, first) = Gate::open(&folders.keys)
        .map_err(|error| Problem::io("cannot open the administrator's token", error))?;
    let gate = Arc::new(gate);
    let stacks = Arc::new(Stacks::new(&config.data_dir));
    let (isolation, mut lesser) = walls()?;
    let certificates = Certificates::open(&config, &folders.keys)?;
    let listeners = listeners(&config, given, &certificates)?;
    let socket = paths::api_socket(&config.data_dir);
    let api = local::listen(&socket)
        .map_err(|error| Problem::io(format!("cannot listen on {}", socket.display()), error))?;

    let executable = PathBuf::from("/proc/self/exe");
    let disks = {
        let (executable, data_dir) = (executable.clone(), config.data_dir.clone());
        tokio::task::spawn_blocking(move || Disks::look(&executable, &data_dir)).await
    };
    let disks =
        disks.map_err(|error| Problem::new(Code::Failed, "the disk could not be tried").because(error))?;
    lesser.extend(disks.lesser());

    let shared = Arc::new(Shared {
        events: Events::of(&store),
        store: store.clone(),
        data_dir: config.data_dir.clone(),
        stacks: stacks.clone(),
        key: key.clone(),
        queue: StartQueue::new(config.starts_at_once),
        // The program that runs, also after the file was replaced by a newer one.
        executable,
        isolation,
        control_group: config.control_group.clone(),
        disks: Arc::new(disks),
        npm: npm(&stacks),
        pool: config.network_pool,
    });
    let instances = Instances::open(shared).await?;
    let tasks = Tasks::default();
    let storages = instances.list()?.into_iter();
    let storages = storages.map(|view| instances.place(&view.id).files()).collect();
    tasks.spawn(files::sweep(storages));
    let addresses = addresses(&config);
    let answers = Arc::new(OnceLock::new());
    let state = AppState {
        instances: instances.clone(),
        store: store.clone(),
        stacks,
        data_dir: config.data_dir.clone(),
        tasks: tasks.clone(),
        answers: answers.clone(),
        addresses: addresses.clone(),
    };
    let (router, _) = web::router(state);
    tasks.spawn(local::serve(api, router.clone(), tasks.clone()));
    let table = Arc::new(HostTable::new(
        &config.domain,
        gate.clone(),
        !config.https.is_empty(),
        config.by_path,
    ));
    fill(&table, &instances, &key)?;
    tasks.spawn(keep_filled(
        table.clone(),
        instances.clone(),
        key,
        store.clone(),
        tasks.clone(),
    ));
    let front = Front::serve(
        listeners,
        table,
        Some(remote::router(router, gate.clone())),
        BOUNDS,
    )
    .map_err(|error| Problem::new(Code::Host, "cannot serve").because(error))?;
    // Set once, here.
    let _ = answers.set(front.answers());
    ready(&Ready {
        addresses,
        socket: socket.clone(),
        token: gate.file().to_owned(),
        authority: certificates.authority(),
        first,
        lesser,
    });
    watchdog(&tasks);
    say_to_systemd(&[sd_notify::NotifyState::Ready]);
    loop {
        match ends.next().await {
            End::Stop => break,
            End::Reload => certificates.reload(),
        }
    }
    say_to_systemd(&[sd_notify::NotifyState::Stopping]);
    info!("stopping; instances go on");
    // Nobody new; what is under way ends, then its tasks, then the actors, and the store last.
    let _ = fs::remove_file(&socket);
    front.drain(DRAIN).await;
    tasks.drain(DRAIN).await;
    instances.close().await;
    Ok(())
}

/// A host serves many; each of them less patiently than a developer's machine serves one.
const BOUNDS: Bounds = Bounds {
    connections: 16_384,
    head: Duration::from_secs(30),
    upload_silence: Duration::from_secs(60),
    starting: Duration::from_secs(20),
    answer: Duration::from_secs(900),
};

struct Folders {
    store: PathBuf,
    keys: PathBuf,
}

impl Folders {
    fn make(data_dir: &Path) -> Result<Self, Problem> {
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
const KNOWN: [Known; 7] = [
    known::<Instance>(),
    known::<Kept>(),
    known::<Named>(),
    known::<Created>(),
    known::<LastNumber>(),
    known::<Event>(),
    known::<audit::Entry>(),
];

const fn known<R: Record>() -> Known {
    Known {
        table: R::TABLE,
        format: R::FORMAT,
    }
}

async fn open_store(folder: &Path) -> Result<Store, Problem> {
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

/// The strongest walls of this host, and what it lacks.
fn walls() -> Result<(Isolation, Vec<String>), Problem> {
    let host = Host::walls(Path::new("/proc/self/exe"));
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
        lesser.push("no namespaces: instances see each other's processes and sockets".to_owned());
    }
    if !nix::unistd::geteuid().is_root() {
        lesser.push(
            "not root: all instances run as this account; only their namespaces keep them apart".to_owned(),
        );
    }
    Ok((isolation, lesser))
}

fn npm(stacks: &Stacks) -> NpmSettings {
    stacks.addresses().map_or_else(
        |problem| {
            warn!(%problem, "instances get no npm registry");
            NpmSettings::default()
        },
        NpmSettings::from,
    )
}

fn addresses(config: &Config) -> Addresses {
    let (scheme, listening, usual) = match config.https.first() {
        Some(address) => ("https", Some(*address), 443),
        None => ("http", config.http.first().copied(), 80),
    };
    Addresses {
        scheme,
        domain: config.domain.clone(),
        port: listening
            .map(|address| address.port())
            .filter(|port| *port != usual),
    }
}

/// Where certificates come from, opened.
enum Certificates {
    None,
    Local(Arc<LocalAuthority>),
    Files(Arc<FileCertificate>),
}

impl Certificates {
    fn open(config: &Config, keys: &Path) -> Result<Self, Problem> {
        Ok(match &config.tls {
            Tls::Off => Self::None,
            Tls::Local => Self::Local(Arc::new(LocalAuthority::open(keys, &config.domain)?)),
            Tls::Files { certificate, key } => {
                Self::Files(Arc::new(FileCertificate::open(certificate, key)?))
            }
        })
    }

    fn authority(&self) -> Option<PathBuf> {
        match self {
            Self::Local(authority) => Some(authority.file().to_owned()),
            _ => None,
        }
    }

    fn reload(&self) {
        if let Self::Files(files) = self {
            match files.reload() {
                Ok(()) => info!("read the certificate again"),
                Err(problem) => warn!(%problem, "the certificate from before stays"),
            }
        }
    }

    fn door(&self) -> Result<Door, Problem> {
        Ok(match self {
            Self::None => Door::Plain,
            Self::Local(authority) => Door::Tls(server_config(authority.clone())?),
            Self::Files(files) => Door::Tls(server_config(files.clone())?),
        })
    }
}

/// What was given, else what the configuration names.
fn listeners(config: &Config, given: Given, certificates: &Certificates) -> Result<Vec<Listening>, Problem> {
    let bind = |address: &std::net::SocketAddr| {
        TcpListener::bind(address).map_err(|error| {
            let message = format!("cannot listen on {address}");
            let (code, hint) = match error.kind() {
                std::io::ErrorKind::AddrInUse => (Code::Busy, "something else has that port; `ss -ltnp` says what"),
                std::io::ErrorKind::PermissionDenied => {
                    (Code::Host, "ports below 1024 need root, or CAP_NET_BIND_SERVICE; choose others with --http and --https")
                }
                _ => (Code::Usage, "choose an address of this machine with --http and --https"),
            };
            Problem::new(code, message).because(error).hint(hint)
        })
    };
    let mut all = Vec::new();
    let or_bound = |given: Vec<TcpListener>, addresses: &[std::net::SocketAddr]| match given.is_empty() {
        true => addresses.iter().map(bind).collect(),
        false => Ok(given),
    };
    for listener in or_bound(given.http, &config.http)? {
        all.push(Listening::plain(listener));
    }
    for listener in or_bound(given.https, &config.https)? {
        all.push(Listening {
            listener,
            door: certificates.door()?,
        });
    }
    Ok(all)
}

/// Puts every instance into the table of routes.
fn fill(table: &HostTable, instances: &Instances, key: &HostKey) -> Result<(), Problem> {
    let mut entries = HashMap::new();
    for view in instances.list()? {
        let record = instances.record(&view.id)?.record;
        let Some(upstream) = instances.upstream(&view.id) else {
            continue;
        };
        let http = &record.settings.http;
        let password = http.password.as_ref().and_then(|hidden| {
            let opened = key.open_sealed(&record.id, &hidden.sealed);
            opened.map(|secret| Secret::new(secret.reveal().to_owned())).ok()
        });
        entries.insert(
            record.name.clone(),
            Entry {
                upstream,
                voucher: voucher(key, &record.id),
                editor: {
                    let editor = &record.settings.editor;
                    editor.enabled.then(|| editor.root.clone())
                },
                endpoints: http.access,
                user: http.user.clone(),
                password,
                shared: record.settings.shared.clone(),
                storage: instances.place(&record.id).files(),
            },
        );
    }
    table.replace(entries);
    Ok(())
}

fn voucher(key: &HostKey, id: &str) -> Option<hyper::header::HeaderValue> {
    let mut value = hyper::header::HeaderValue::from_str(key.voucher(id).reveal()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Keeps the table as the store is.
async fn keep_filled(
    table: Arc<HostTable>,
    instances: Arc<Instances>,
    key: HostKey,
    store: Store,
    tasks: Tasks,
) {
    let mut changes = store.watch();
    let mut begun = instances.begun();
    let prefix = Table::<Instance>::key("");
    loop {
        let ours = tokio::select! {
            // A record is written before its actor is begun, so the one does not tell of the other.
            told = begun.changed() => match told {
                Ok(()) => true,
                Err(_) => return,
            },
            changed = changes.recv() => match changed {
                Ok(commit) => commit.changes.iter().any(|change| change.key.starts_with(&prefix)),
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return,
            },
            () = tasks.ending() => return,
        };
        if ours && let Err(problem) = fill(&table, &instances, &key) {
            warn!(%problem, "the routes are as they were before the last change");
        }
    }
}

/// What ends, or renews, a host.
struct Ends {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

enum End {
    Stop,
    Reload,
}

impl Ends {
    fn catch() -> Result<Self, Problem> {
        let catch = |kind| {
            signal(kind).map_err(|error| Problem::new(Code::Host, "cannot catch signals").because(error))
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> End {
        tokio::select! {
            _ = self.interrupt.recv() => End::Stop,
            _ = self.terminate.recv() => End::Stop,
            _ = self.hangup.recv() => End::Reload,
        }
    }
}

/// Where there is no systemd, nobody hears it.
fn say_to_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        warn!(%error, "systemd could not be told");
    }
}

/// Tells systemd that the event loop turns, as often as it wants to hear it.
fn watchdog(tasks: &Tasks) {
    let mut micros = 0;
    if !sd_notify::watchdog_enabled(false, &mut micros) {
        return;
    }
    let every = Duration::from_micros(micros) / 2;
    let ending = tasks.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => say_to_systemd(&[sd_notify::NotifyState::Watchdog]),
                () = ending.ending() => return,
            }
        }
    });
}
