//! The configuration file as it is written: everything optional, nothing unknown.

use std::path::PathBuf;

use serde::Deserialize;

use super::alerts::AlertsTable;

/// See [`Config`](super::Config) for what each means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) http: Option<Vec<String>>,
    pub(super) https: Option<Vec<String>>,
    pub(super) domain: Option<String>,
    pub(super) tls: TlsTable,
    pub(super) by_path: Option<bool>,
    pub(super) starts_at_once: Option<usize>,
    pub(super) drain_minutes: Option<u32>,
    pub(super) connections_per_client: Option<usize>,
    pub(super) proxies: Option<Vec<String>>,
    pub(super) control_group: Option<PathBuf>,
    pub(super) network: NetworkTable,
    pub(super) log: Option<String>,
    pub(super) alerts: AlertsTable,
}

/// The table `[tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TlsTable {
    /// `local`, `files`, `acme` or `off`.
    pub(super) mode: Option<String>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) contact: Option<String>,
    pub(super) directory: Option<String>,
    pub(super) terms_agreed: Option<bool>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) eab_kid: Option<String>,
    pub(super) eab_key_file: Option<PathBuf>,
}

/// The table `[network]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct NetworkTable {
    /// `isolated`, `host` or `none`.
    pub(super) default: Option<String>,
    pub(super) deny: Vec<String>,
    /// `on` or `leave`.
    pub(super) forwarding: Option<String>,
    pub(super) pool: Option<String>,
    pub(super) pool6: Option<String>,
}
