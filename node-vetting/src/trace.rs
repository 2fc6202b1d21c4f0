//! What was seen in one run, in order. Written by the host side only, so that nothing inside can forge or remove it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One run: under which conditions, what happened, how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Which run of the plan: `base`, `secrets-b`, `ci`, `+400d`.
    pub run: String,
    /// What was attempted, in order.
    pub events: Vec<Event>,
    /// How it ended.
    pub end: End,
    /// Fuel used: engine instructions, equal on every machine.
    pub fuel: u64,
    /// Largest memory of the guest, in bytes.
    pub memory: u64,
    /// Source files that were executed, as paths below the user directory.
    pub loaded: Vec<String>,
    /// Functions and branches that ran, per file: byte offsets of their starts. Empty when the run was not instrumented.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covered: Vec<(String, Vec<u32>)>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The plan was carried out to its end.
    Done,
    /// A budget was spent: fuel, memory, events, output, or the wall-clock net below them.
    Spent(String),
    /// Most of the fuel went at one stretch: neither was another file loaded, nor did time pass. It goes round without an end.
    Stuck,
    /// The engine trapped, for instance because the parser's stack was exhausted.
    Trapped(String),
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Virtual milliseconds since the start of the run.
    pub at: u64,
    /// What was going on.
    pub phase: Phase,
    /// Who did it, as the engine's own stack says. None where only our code was on the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Where other packages called that place from, nearest first: one place per package crossed, without its line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Site>,
    /// What was attempted.
    pub what: What,
}

/// Who attempts something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The nearest place in a package.
    pub site: Option<Site>,
    /// Where other packages called that place from.
    pub callers: Vec<Site>,
}

/// A place in source code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Site {
    /// Path below the user directory: `node_modules/a/lib/b.js`.
    pub file: String,
    /// From 1; 0 where it is not known.
    pub line: u32,
}

/// What was going on when something was attempted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// A lifecycle script runs, with its name.
    Install(String),
    /// An entry is loaded that Node-RED itself would not load, with its path.
    Load(String),
    /// A file that registers node types is loaded.
    Register,
    /// A node is constructed, with its type.
    Construct(String),
    /// A message is handled, with the node's type.
    Message(String),
    /// A route beside the editor is asked, with method and path.
    Admin(String),
    /// Time passes.
    Timer,
    /// A node is closed.
    Close(String),
    /// The editor half runs, with the node's type where it is known.
    Editor(String),
}

/// Bytes that leave the guest, told by what matters of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// How many.
    pub bytes: u64,
    /// Their SHA-256, for comparing runs.
    pub digest: String,
    /// The first of them as text, for the reader of a report.
    pub shown: String,
    /// Planted secrets found in them, in whatever encoding: `environment`, `npm-token`, `ssh-key`, `flow-credential`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Whether a marker that came from the network is in them.
    #[serde(default)]
    pub remote: bool,
}

/// Where something is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// `tcp`, `tls`, `udp`, `http`, `https`, `ws`, `wss`, `dns`, `unix`.
    pub protocol: String,
    /// Host name, address or path of a socket.
    pub host: String,
    /// 0 where it has none.
    pub port: u16,
    /// Whether the host is one that the generated configuration names.
    pub configured: bool,
}

/// What was attempted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the fields are the arguments of the calls that the variants name"
)]
pub enum What {
    EnvRead {
        key: String,
        present: bool,
    },
    EnvEnumerate,
    EnvWrite {
        key: String,
    },
    /// `class` as in the scopes of `fs.*` capabilities.
    FsRead {
        path: String,
        class: String,
        found: bool,
    },
    FsList {
        path: String,
        class: String,
    },
    FsWrite {
        path: String,
        class: String,
        payload: Payload,
    },
    FsDelete {
        path: String,
        class: String,
    },
    FsWatch {
        path: String,
        class: String,
    },
    FsMode {
        path: String,
        class: String,
        mode: u32,
    },
    Connect {
        peer: Peer,
    },
    Send {
        peer: Peer,
        payload: Payload,
    },
    Listen {
        protocol: String,
        port: u16,
        host: String,
    },
    Multicast {
        group: String,
    },
    Resolve {
        name: String,
        payload: Payload,
    },
    TlsInsecure {
        peer: Peer,
    },
    Spawn {
        command: String,
        arguments: Vec<String>,
        shell: bool,
        detached: bool,
        payload: Payload,
    },
    Exit {
        code: i32,
    },
    Signal {
        signal: String,
    },
    Identity {
        what: String,
    },
    SetUid,
    Worker {
        payload: Payload,
    },
    /// `how`: `eval`, `Function`, `vm`, `timer`, `import`. `literal` when the text stands in the package's own source.
    Eval {
        how: String,
        literal: bool,
        payload: Payload,
    },
    Require {
        name: String,
        found: bool,
        computed: bool,
    },
    ModuleHook {
        what: String,
    },
    Native {
        path: String,
    },
    Wasm {
        payload: Payload,
    },
    /// Something shared was changed: `Array.prototype.map`, `http.request`, `global.fetch`.
    Tamper {
        area: String,
        what: String,
    },
    RequireCache {
        what: String,
    },
    RedRegister {
        node_type: String,
        core: bool,
    },
    RedAdminRoute {
        method: String,
        path: String,
        permission: Option<String>,
    },
    RedHttpRoute {
        method: String,
        path: String,
    },
    RedSetting {
        key: String,
    },
    RedFlows {
        write: bool,
    },
    RedCredentials {
        own: bool,
    },
    RedHook {
        name: String,
    },
    RedEvent {
        name: String,
    },
    RedLogHandler,
    RedStorage,
    /// A probe value was compared with something: what it was compared with becomes the next persona.
    Compared {
        probe: String,
        with: String,
    },
    /// The guest looks whether it is watched.
    Probing {
        what: String,
    },
    /// A timer of a day or more, in milliseconds.
    LongTimer {
        delay: u64,
    },
    EditorNetwork {
        url: String,
        payload: Payload,
    },
    EditorScript {
        url: String,
    },
    EditorToken,
    EditorHtml {
        payload: Payload,
    },
    EditorGlobal {
        what: String,
    },
    /// A node could not be constructed or fed: what it said.
    Failed {
        node_type: String,
        said: String,
    },
    /// An exception that nobody caught.
    Uncaught {
        said: String,
    },
    /// Something that the stand-ins do not offer was asked for.
    Unsupported {
        what: String,
    },
    /// Bytes printed so far passed a power of two.
    Output {
        bytes: u64,
    },
}
