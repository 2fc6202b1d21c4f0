//! A host, put together: everything is opened in order, runs until it is told to end, and is closed in reverse.

mod control;
mod ground;
mod handover;
mod signals;
mod upgrade;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use node_vetting::policy;
use tokio::sync::mpsc;
use tracing::{info, warn};

use self::control::{Base, Control};
use self::ground::{Folders, disks, networks, open_store, walls};
use self::handover::{Doors, Predecessor};
pub use self::handover::{Inherited, SUCCESSOR, successor};
use self::signals::{End, Ends, say_to_systemd, watchdog, watched};
use self::upgrade::After;
use crate::acme::Acme;
use crate::audit::By;
use crate::config::{Config, Tls};
use crate::gate::NpmGate;
use crate::problem::{Code, Problem};
use crate::proxy::access::Gate;
use crate::proxy::activation::Given;
use crate::proxy::certificates::{FileCertificate, LocalAuthority, server_config};
use crate::proxy::table::HostTable;
use crate::proxy::{Bounds, Door, Front, Listening};
use crate::secret::HostKey;
use crate::shutdown::Tasks;
use crate::stacks::Stacks;
use crate::web::state::{Addresses, Upgrades, Wish};
use crate::web::switch::Switch;
use crate::web::{self, local, remote};
use crate::{files, paths};

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

/// Runs a host until it is told to end, or until a newer one has taken its place. `given` are sockets that somebody
/// else opened, `inherited` what else an earlier supervisor left.
///
/// # Errors
/// When it cannot start, or not go on after an upgrade that failed: one problem with what to do about it.
pub async fn run(
    config: Config,
    given: Given,
    mut inherited: Inherited,
    ready: impl FnOnce(&Ready),
) -> Result<(), Problem> {
    match Running::open(config, given, &mut inherited).await {
        Ok((host, state)) => {
            ready(&state);
            say_to_systemd(&[sd_notify::NotifyState::Ready]);
            inherited.ready();
            host.live().await
        }
        Err(problem) => {
            inherited.failed(&problem);
            Err(problem)
        }
    }
}

/// A host that runs.
struct Running {
    ends: Ends,
    base: Base,
    /// None while another supervisor decides, or tries to.
    control: Option<Control>,
    certificates: Certificates,
    front: Front,
    /// The sockets once more, for a newer supervisor.
    doors: Doors,
    wishes: mpsc::Receiver<Wish>,
    predecessors: Vec<Predecessor>,
    folders: Folders,
    watchdog: Option<Duration>,
}

impl Running {
    async fn open(
        mut config: Config,
        given: Given,
        inherited: &mut Inherited,
    ) -> Result<(Self, Ready), Problem> {
        let ends = Ends::catch()?;
        given.replace(&mut config)?;
        let folders = Folders::make(&config.data_dir)?;
        let store = open_store(&folders.store).await?;
        let key = HostKey::open(&folders.keys.join("host.key"))
            .map_err(|error| Problem::io("cannot open the host's key", error))?;
        let (gate, first) = Gate::open(&folders.keys)
            .map_err(|error| Problem::io("cannot open the administrator's token", error))?;
        let gate = Arc::new(gate);
        let (isolation, mut lesser) = walls()?;
        let disks = disks(&config.data_dir).await?;
        lesser.extend(disks.lesser());
        let networks = networks(&config.network, isolation).await?;
        lesser.extend(networks.lesser());
        let packages = NpmGate::of(&config.data_dir, policy::Gate::Enforce);
        lesser.extend(packages.lesser(isolation));
        let ordering = Tasks::default();
        let certificates = Certificates::open(&config, &folders.keys, &ordering)?;
        let listeners = listeners(&config, given, &certificates)?;
        let socket = paths::api_socket(&config.data_dir);
        let listened = match inherited.api.take() {
            Some(api) => Ok(api),
            None => local::listen(&socket),
        };
        let api =
            listened.map_err(|error| Problem::io(format!("cannot listen on {}", socket.display()), error))?;
        let doors = Doors::of(&listeners, &api)
            .map_err(|error| Problem::new(Code::Host, "cannot keep the listening sockets").because(error))?;
        let switch = Switch::default();
        let (upgrades, wishes) = mpsc::channel(1);
        let table = HostTable::new(
            &config.domain,
            gate.clone(),
            !config.https.is_empty(),
            config.by_path,
        );
        let base = Base {
            key,
            gate: gate.clone(),
            stacks: Arc::new(Stacks::new(&config.data_dir)),
            isolation,
            disks,
            networks,
            packages,
            addresses: addresses(&config),
            answers: Arc::new(OnceLock::new()),
            table: Arc::new(table.proving(certificates.acme().map(Acme::challenges))),
            acme: certificates.acme().cloned(),
            ordering,
            desk: web::desk(&switch, Upgrades(upgrades)),
            switch,
            api,
            tasks: Tasks::default(),
            config,
        };
        let control = Control::open(&base, store).await?;
        // Once, and beside the control: a large one would hold up an upgrade.
        base.tasks.spawn(files::sweep(control.storages()?));
        let front = Front::serve(
            listeners,
            base.table.clone(),
            Some(remote::router(base.desk.clone(), base.gate.clone())),
            bounds(&base.config),
        )
        .map_err(|error| Problem::new(Code::Host, "cannot serve").because(error))?;
        // Set once, here.
        let _ = base.answers.set(front.answers());
        let ready = Ready {
            addresses: base.addresses.clone(),
            socket,
            token: base.gate.file().to_owned(),
            authority: certificates.authority(),
            first,
            lesser,
        };
        let watchdog_time = inherited.watchdog.or_else(watched);
        watchdog(&base.tasks, watchdog_time);
        let host = Self {
            ends,
            base,
            control: Some(control),
            certificates,
            front,
            doors,
            wishes,
            predecessors: std::mem::take(&mut inherited.predecessors),
            folders,
            watchdog: watchdog_time,
        };
        Ok((host, ready))
    }

    async fn live(mut self) -> Result<(), Problem> {
        loop {
            let wish = tokio::select! {
                end = self.ends.next() => match end {
                    End::Stop => break,
                    End::Reload => {
                        self.certificates.reload();
                        continue;
                    }
                    End::Upgrade => Wish::of(By::Host, None).0,
                },
                Some(wish) = self.wishes.recv() => wish,
            };
            match self.upgrade(wish).await? {
                After::Stays => {}
                After::Stops => break,
                After::Leaves(successor) => {
                    self.leave(successor).await;
                    return Ok(());
                }
            }
        }
        self.stop().await;
        Ok(())
    }

    async fn stop(self) {
        say_to_systemd(&[sd_notify::NotifyState::Stopping]);
        info!("stopping; instances go on");
        for predecessor in &self.predecessors {
            predecessor.stop();
        }
        // Nobody new; what is under way ends, then its tasks, then the actors, and the store last.
        let _ = fs::remove_file(paths::api_socket(&self.base.config.data_dir));
        self.front.drain(DRAIN).await;
        if let Some(control) = self.control {
            drop(control.close(&self.base, DRAIN).await);
        }
        self.base.ordering.drain(DRAIN).await;
        self.base.tasks.drain(DRAIN).await;
    }
}

/// A host serves many; each of them less patiently than a developer's machine serves one.
fn bounds(config: &Config) -> Bounds {
    Bounds {
        connections: 16_384,
        per_client: config.connections_per_client,
        proxies: config.proxies.clone(),
        head: Duration::from_secs(30),
        upload_silence: Duration::from_secs(60),
        starting: Duration::from_secs(20),
        answer: Duration::from_secs(900),
    }
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
    /// With the authority of the host's own, which stands in.
    Acme(Acme, Arc<LocalAuthority>),
}

impl Certificates {
    fn open(config: &Config, keys: &Path, tasks: &Tasks) -> Result<Self, Problem> {
        Ok(match &config.tls {
            Tls::Off => Self::None,
            Tls::Local => Self::Local(Arc::new(LocalAuthority::open(keys, &config.domain)?)),
            Tls::Files { certificate, key } => {
                Self::Files(Arc::new(FileCertificate::open(certificate, key)?))
            }
            Tls::Acme(acme) => {
                let own = Arc::new(LocalAuthority::open(keys, &config.domain)?);
                Self::Acme(Acme::start(acme, keys, own.clone(), tasks)?, own)
            }
        })
    }

    fn acme(&self) -> Option<&Acme> {
        match self {
            Self::Acme(acme, _) => Some(acme),
            _ => None,
        }
    }

    fn authority(&self) -> Option<PathBuf> {
        match self {
            Self::Acme(_, own) => Some(own.file().to_owned()),
            Self::Local(authority) => Some(authority.file().to_owned()),
            _ => None,
        }
    }

    fn reload(&self) {
        match self {
            Self::Files(files) => match files.reload() {
                Ok(()) => info!("read the certificate again"),
                Err(problem) => warn!(%problem, "the certificate from before stays"),
            },
            Self::Acme(acme, _) => acme.hurry(),
            Self::None | Self::Local(_) => {}
        }
    }

    fn door(&self) -> Result<Door, Problem> {
        Ok(match self {
            Self::None => Door::Plain,
            Self::Local(authority) => Door::Tls(server_config(authority.clone())?),
            Self::Files(files) => Door::Tls(server_config(files.clone())?),
            Self::Acme(acme, _) => Door::Tls(server_config(acme.shelf())?),
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
