//! The values that the static `settings.cjs` reads: a JSON document beside it, never generated code; and its secrets,
//! which stand in no file.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Inside, Wanted};
use crate::secret::Secret;

/// Node-RED settings of one instance that are not decided by the sandbox.
#[derive(Clone)]
pub struct Settings {
    /// Name of the flow file in the user directory.
    pub flow_file: String,
    /// Key of the credentials; `None` lets Node-RED keep one of its own in the user directory.
    pub credential_secret: Option<String>,
    /// Start the editor with the flows stopped.
    pub safe: bool,
    /// What the front sends for whoever may use the editor; without it everybody may.
    pub voucher: Option<Secret>,
    /// Seconds after which a function node's endless loop is broken off. 0 never does.
    pub function_timeout: u32,
    /// The editor may install nodes from the npm registry.
    pub palette_install: bool,
    /// What Node-RED asks of npm is done by the host; otherwise it starts npm itself.
    pub host_npm: bool,
    /// The gate's socket as Node-RED sees it, for the npm that it starts itself.
    pub gate: Option<PathBuf>,
    /// Least important level that is logged: `fatal`, `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
    /// Core node files that are not loaded (Node-RED's `nodesExcludes`), for small headless runs.
    pub nodes_excludes: Vec<String>,
    /// Further settings by Node-RED's own names, as an import found them; ours win.
    pub extra: serde_json::Map<String, Value>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flow_file: "flows.json".to_owned(),
            credential_secret: None,
            safe: false,
            voucher: None,
            // Long enough for any honest synchronous work, short enough that a person sees why nothing answers.
            function_timeout: 10,
            palette_install: true,
            host_npm: false,
            gate: None,
            log_level: "info".to_owned(),
            nodes_excludes: Vec::new(),
            extra: serde_json::Map::new(),
        }
    }
}

/// What the run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody's flows.
    Serve,
    /// Filling the compile cache: see `cache`.
    Warm,
}

/// What `secrets.cjs` reads from a descriptor of its own: it stands in no file.
pub(super) fn secrets(settings: &Settings) -> Option<String> {
    let voucher = settings.voucher.as_ref().map(Secret::reveal);
    let secret = settings.credential_secret.as_deref();
    (secret.is_some() || voucher.is_some())
        .then(|| json!({ "credentialSecret": secret, "voucher": voucher }).to_string())
}

/// The document for `settings.cjs` and `main.cjs`.
pub(super) fn document(wanted: &Wanted<'_>, inside: &Inside, purpose: Purpose) -> Value {
    let settings = &wanted.settings;
    json!({
        "modules": inside.modules,
        "cache": inside.cache,
        "files": inside.files,
        "userDir": inside.data,
        "flowFile": settings.flow_file,
        "safeMode": settings.safe,
        "secrets": secrets(settings).is_some(),
        "readOnly": wanted.read_only,
        "functionTimeout": settings.function_timeout,
        "paletteInstall": settings.palette_install && !wanted.read_only,
        "hostNpm": settings.host_npm && !wanted.read_only,
        "gate": settings.gate,
        "logLevel": settings.log_level,
        "listen": match purpose {
            Purpose::Serve => json!({ "fd": 3 }),
            Purpose::Warm => json!("/tmp/warm.sock"),
        },
        "watched": wanted.watch.is_some(),
        "warm": purpose == Purpose::Warm,
        "nodesExcludes": settings.nodes_excludes,
        "extra": settings.extra,
    })
}
