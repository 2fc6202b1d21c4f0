//! What the guest's driver is told to do in one run, as it gets it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::closure::Closure;
use crate::exercise::entries::Entries;
use crate::exercise::feedback;
use crate::world::{CONFIGURED_DOMAIN, USER_DIR, World};

/// Messages that each node is sent.
const MESSAGES: u32 = 6;
/// Days that pass behind them.
const DAYS: u32 = 40;
/// Times that timers armed at the same place of the code may fire. Reconnect loops and pollers show all they do in a few
/// rounds; what counts to a number does so in messages, or in a file.
const FIRINGS: u32 = 40;

/// The plan of one run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan<'a> {
    /// `name@version` of the package in question.
    package: String,
    /// Its folder in the guest's files.
    folder: String,
    #[serde(flatten)]
    entries: &'a Entries,
    messages: u32,
    days: u32,
    firings: u32,
    half: Half,
    /// Texts that are told when something is compared with them, by what they are.
    probes: BTreeMap<String, String>,
    /// What messages are tried with besides what a node's own code compares them with.
    words: Vec<String>,
    /// What the editor half told of the package's types, as it told it; empty for the editor half itself.
    types: Value,
    configured: Configured,
    /// What credential fields of nodes are filled with.
    credential: String,
    /// What credential fields of other packages' nodes in the same flows hold.
    other_credential: String,
    /// The login that the editor keeps.
    editor_token: String,
}

/// What generated configurations may name.
#[derive(Clone, Debug, Serialize)]
struct Configured {
    domain: &'static str,
    host: String,
    address: &'static str,
    broker: String,
    database: String,
    url: String,
    mail: String,
    file: &'static str,
    folder: &'static str,
    port: u16,
    serial_port: &'static str,
    user: &'static str,
}

/// Which half of a package runs. They never meet in one guest: one belongs to a browser, the other to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Half {
    /// What the editor gets. It comes first: from what it tells of the types their configurations are made.
    Editor,
    /// What Node-RED loads.
    Runtime,
}

impl<'a> Plan<'a> {
    /// The plan for a closure in a world; the secrets that the driver hands out are planted in it.
    pub(super) fn new(
        closure: &Closure,
        entries: &'a Entries,
        half: Half,
        types: Value,
        words: Vec<String>,
        world: &mut World,
    ) -> Self {
        Self {
            package: closure.root().spec(),
            folder: format!("{USER_DIR}/{}", closure.root_place()),
            entries,
            messages: MESSAGES,
            days: DAYS,
            firings: FIRINGS,
            half,
            probes: feedback::probes(world.conditions()),
            words,
            types,
            configured: Configured {
                domain: CONFIGURED_DOMAIN,
                host: format!("plc.{CONFIGURED_DOMAIN}"),
                address: "192.0.2.40",
                broker: format!("broker.{CONFIGURED_DOMAIN}"),
                database: format!("db.{CONFIGURED_DOMAIN}"),
                url: format!("https://api.{CONFIGURED_DOMAIN}/v1"),
                mail: format!("line3@{CONFIGURED_DOMAIN}"),
                file: "/data/configured/values.csv",
                folder: "/data/configured",
                port: 4000,
                serial_port: "/dev/ttyUSB0",
                user: "line3",
            },
            credential: world.plant("flow-credential", "node", 24),
            other_credential: world.plant("other-credential", "bystander", 24),
            editor_token: world.plant("editor-token", "login", 48),
        }
    }
}
