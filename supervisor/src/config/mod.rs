//! The configuration of a host: file, environment and flags, resolved once into one complete value.

mod alerts;
mod file;
mod network;
mod resolve;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use self::alerts::{Alerts, Mail, Security, Webhook};
pub use self::network::{DefaultNetwork, NetworkConfig};
pub use self::resolve::{Flags, resolve};

/// What a host runs with. Everything is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Everything on the disk.
    pub data_dir: PathBuf,
    /// Where browsers and programs come in, without TLS.
    pub http: Vec<SocketAddr>,
    /// The same with TLS; empty when it is off.
    pub https: Vec<SocketAddr>,
    /// The host's own name; an instance is `<name>.<domain>`.
    pub domain: String,
    /// Instances are also at `/i/<name>/` of the host's own name. Browsers take all of them for one site then, so a
    /// page of one can act on another.
    pub by_path: bool,
    /// Where certificates come from.
    pub tls: Tls,
    /// The v2 control group in which instances live, as `/proc/<pid>/cgroup` names it; without one, their starter's
    /// own place decides.
    pub control_group: Option<PathBuf>,
    /// Instances that may start at the same time.
    pub starts_at_once: usize,
    /// What instances are connected to.
    pub network: NetworkConfig,
    /// Connections that one client may have open at once.
    pub connections_per_client: usize,
    /// Clients that speak for many, so that no bound holds for them.
    pub proxies: Vec<IpNet>,
    /// How long connections may go on in a supervisor that was replaced.
    pub drain: Duration,
    /// How the host reaches people.
    pub alerts: Alerts,
    /// How the host logs.
    pub log: LogFormat,
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Nowhere: something in front of this host ends TLS, or nobody needs it.
    Off,
    /// An authority of the host's own, made on the first start.
    Local,
    /// Files that somebody else renews; they are read again when they change.
    Files {
        /// Certificates, PEM, the host's own first.
        certificate: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
    },
    /// An authority that speaks ACME (RFC 8555).
    Acme(Acme),
}

/// An authority that speaks ACME, and this host's account there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Whom it may write to, as `mailto:` and an address.
    pub contact: String,
    /// Where it describes itself.
    pub directory: String,
    /// The only authorities by whose certificates it is believed, PEM; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// An account of another kind to which this host's belongs.
    pub external_account: Option<ExternalAccount>,
}

/// An account to which one at an ACME server is bound (RFC 8555, 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Its name.
    pub kid: String,
    /// A file with its key, as base64url.
    pub key_file: PathBuf,
}

/// How the host logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// To the journal, where systemd has led the standard error there, else as text.
    Auto,
    /// Lines for people.
    Text,
    /// An object per line for programs.
    Json,
    /// Entries of systemd's journal, with fields.
    Journald,
}
