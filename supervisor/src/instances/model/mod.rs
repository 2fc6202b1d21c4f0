//! What is remembered of an instance: its record in the store, and every setting with its default.

mod alerts;
mod capabilities;
mod maintenance;

use std::collections::BTreeMap;

use runtime::traffic::Protocol;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

pub use self::alerts::AlertSettings;
pub use self::capabilities::{CapabilityMode, CapabilitySettings};
pub use self::maintenance::{Upkeep, Weekday, Window, Windows};
use crate::store::table::Record;
use crate::team::Team;

/// An instance as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Identifier, given once; names its folders, control groups and user.
    pub id: String,
    /// Name, unique on the host; names its address.
    pub name: String,
    /// What it should do.
    pub desired: Desired,
    /// Name of its stack.
    pub stack: String,
    /// The team that it belongs to; none is the host's own. Its packages are judged by that team's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Team>,
    /// Number on this host, from which its user is made.
    pub number: u32,
    /// Everything that a person can set.
    pub settings: Settings,
    /// Key of the flows' credentials; absent where Node-RED keeps one of its own, as in what was imported.
    #[serde(default)]
    pub credential_secret: Option<Hidden>,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// Set when it is deleted: when it goes for good, in milliseconds since 1970, as that was foreseen then. What
    /// counts is the time that the machine runs (`undo`).
    #[serde(default)]
    pub delete_at_ms: Option<u64>,
}

impl Record for Instance {
    const TABLE: &'static str = "instances";
    const FORMAT: u32 = 1;
}

/// What an instance's actor remembers of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its flows stay stopped until a person, or a deploy, starts them.
    pub safe: bool,
}

impl Record for Kept {
    const TABLE: &'static str = "kept";
    const FORMAT: u32 = 1;
}

/// Who has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The instance's identifier.
    pub id: String,
}

impl Record for Named {
    const TABLE: &'static str = "names";
    const FORMAT: u32 = 1;
}

/// What a request with a key of its own created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The instance's identifier.
    pub id: String,
    /// When, in milliseconds since 1970.
    #[serde(default)]
    pub at_ms: u64,
}

impl Record for Created {
    const TABLE: &'static str = "created";
    const FORMAT: u32 = 1;
}

/// The last number that was given to an instance; numbers make users, and are never given twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastNumber {
    /// The number.
    pub number: u32,
}

impl Record for LastNumber {
    const TABLE: &'static str = "counters";
    const FORMAT: u32 = 1;
}

/// What an instance should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Desired {
    /// Run.
    Running,
    /// Run, but without processor time: its processes stay in memory as they are.
    Suspended,
    /// Not run.
    Stopped,
}

/// Every setting of an instance. Absent ones have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// What it may use up. Memory, processor time and tasks change without a restart.
    pub limits: LimitSettings,
    /// Environment of the flows: a text, or `{"hidden": true, "value": "..."}` for a secret that is never shown again.
    #[schema(value_type = Object)]
    pub env: BTreeMap<String, Variable>,
    /// Time zone by its name in the time zone database; `null` is UTC.
    pub time_zone: Option<String>,
    /// The editor.
    pub editor: EditorSettings,
    /// Installing nodes and modules.
    pub palette: PaletteSettings,
    /// Endpoints that flows serve.
    pub http: HttpSettings,
    /// How it is watched.
    pub health: HealthSettings,
    /// What happens after it has ended by itself.
    pub restart: RestartSettings,
    /// Which network it sees.
    pub network: NetworkSettings,
    /// What it may do beyond what its packages were vetted for.
    pub capabilities: CapabilitySettings,
    /// When somebody is told of it, and who.
    pub alerts: AlertSettings,
    /// Hours in which it is restarted or upgraded, by weekday.
    #[schema(value_type = BTreeMap<String, Window>)]
    pub maintenance: Windows,
    /// Folders of `files/` that the front serves: address path to folder.
    pub shared: BTreeMap<String, Shared>,
    /// Seconds after which an endless loop in a function node is broken off; 0 never does.
    #[schema(value_type = u32)]
    pub function_timeout_s: Seconds10,
    /// Least important level that Node-RED logs.
    pub log_level: LogLevel,
}

/// A number of seconds whose default is 10: long enough for any honest synchronous work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds10(pub u32);

impl Default for Seconds10 {
    fn default() -> Self {
        Self(10)
    }
}

/// Levels of Node-RED's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "Node-RED's own names")]
pub enum LogLevel {
    Fatal,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// A variable of the environment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Variable {
    /// Anybody who may see the instance may see it.
    Plain(String),
    /// Nobody sees it again.
    Hidden(Hidden),
}

/// A secret at rest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hidden {
    /// Always true; tells it from other objects.
    #[serde(deserialize_with = "always")]
    pub hidden: bool,
    /// The text, sealed for this instance.
    pub sealed: String,
}

/// What is not marked as hidden would be shown with its sealed text, and taken from anybody.
fn always<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match bool::deserialize(from)? {
        true => Ok(true),
        false => Err(D::Error::custom("a secret is `hidden: true`")),
    }
}

impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Variable")
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

/// What an instance may use up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LimitSettings {
    /// Memory and swap together, in MiB; 0 is no limit.
    pub memory_mib: u32,
    /// Processor time in percent of one core; 0 is no limit.
    pub cpu_percent: u32,
    /// Tasks, threads included.
    pub tasks: u32,
    /// What `data/` and `files/` may hold together, in MiB; 0 is no limit.
    pub disk_mib: u32,
    /// Open descriptors per process.
    pub descriptors: u32,
    /// What one start of npm may use, in MiB: npm alone peaks at 270.
    pub install_memory_mib: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            memory_mib: 512,
            cpu_percent: 0,
            tasks: 512,
            disk_mib: 1024,
            descriptors: 4096,
            install_memory_mib: 768,
        }
    }
}

/// The editor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct EditorSettings {
    /// Whether there is one.
    pub enabled: bool,
    /// Path under which it is served; empty is the root.
    pub root: String,
    /// Path of the dashboard.
    pub dashboard: String,
    /// Whether pages of other sites may show the dashboard in a frame.
    pub dashboard_frames: bool,
    /// Code editor of function nodes.
    pub code_editor: CodeEditor,
    /// Name of a theme that a package of `palette.packages` brings, such as `dark` of
    /// `@node-red-contrib-themes/theme-collection`; empty is Node-RED's own.
    pub theme: String,
    /// Title of the page; empty is Node-RED's.
    pub page_title: String,
    /// Icon of the page: a picture in its file storage, such as `brand/icon.png`; empty is Node-RED's.
    pub favicon: String,
    /// Title in the header; empty is the instance's name.
    pub header_title: String,
    /// Where the header's title leads; empty is nowhere.
    pub header_url: String,
    /// Whether tours are shown.
    pub tours: bool,
    /// Largest body that the editor's API takes, for example `5mb`.
    pub api_max_length: String,
    /// Characters of a message that the debug pane shows.
    pub debug_max_length: u32,
}

impl Default for EditorSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            root: String::new(),
            dashboard: "/ui".to_owned(),
            dashboard_frames: false,
            code_editor: CodeEditor::Monaco,
            theme: String::new(),
            page_title: String::new(),
            favicon: String::new(),
            header_title: String::new(),
            header_url: String::new(),
            tours: false,
            api_max_length: "5mb".to_owned(),
            debug_max_length: 1000,
        }
    }
}

/// Code editors of Node-RED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "Node-RED's own names")]
pub enum CodeEditor {
    Monaco,
    Ace,
}

/// Installing nodes, and modules of function nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PaletteSettings {
    /// Whether the editor may install nodes.
    pub allow_install: bool,
    /// Packages that may be installed or loaded, as `name` or `name@range`; `*` stands for any part of a name, and
    /// an empty list for all.
    pub allow_list: Vec<String>,
    /// Packages that may not, in the same form. Where both lists name one, the longer name decides.
    pub deny_list: Vec<String>,
    /// Files of Node-RED's own nodes that are not loaded, for example `10-mqtt.js`.
    pub nodes_excludes: Vec<String>,
    /// Packages that are installed before a start: name to range.
    pub packages: BTreeMap<String, String>,
    /// Addresses of catalogues that the editor shows; empty is what was vetted on this host, then Node-RED's own.
    pub catalogues: Vec<String>,
    /// An `.npmrc` for private registries, as a secret: read by the host's gate alone. npm gets what it says of how to
    /// install (`legacy-peer-deps` and the like); its flows see nothing of it.
    pub npmrc: Option<Hidden>,
    /// Whether function nodes may bring modules.
    pub allow_modules: bool,
    /// Modules that function nodes may bring, those of Node.js itself included; empty is all.
    pub modules_allow_list: Vec<String>,
    /// Modules that function nodes may not bring.
    pub modules_deny_list: Vec<String>,
}

impl Default for PaletteSettings {
    fn default() -> Self {
        Self {
            allow_install: true,
            allow_list: Vec::new(),
            deny_list: Vec::new(),
            nodes_excludes: Vec::new(),
            packages: BTreeMap::new(),
            catalogues: Vec::new(),
            npmrc: None,
            allow_modules: true,
            modules_allow_list: Vec::new(),
            modules_deny_list: Vec::new(),
        }
    }
}

/// Endpoints that flows serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct HttpSettings {
    /// Who may call them.
    pub access: Access,
    /// Name for `basic` access.
    pub user: String,
    /// Password for `basic` access, as a secret.
    pub password: Option<Hidden>,
    /// Origins that browsers let call them, or `*` for all; empty is none but their own.
    pub cors_origins: Vec<String>,
    /// Methods that those may use.
    pub cors_methods: Vec<Method>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        use Method::{Delete, Get, Head, Patch, Post, Put};
        Self {
            access: Access::Open,
            user: String::new(),
            password: None,
            cors_origins: Vec::new(),
            cors_methods: vec![Get, Put, Post, Patch, Head, Delete],
        }
    }
}

/// Methods of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "HTTP's own names")]
pub enum Method {
    Get,
    Put,
    Post,
    Patch,
    Head,
    Delete,
}

/// Who may reach something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Anybody.
    #[default]
    Open,
    /// Who knows the name and the password, or has a token.
    Basic,
    /// Who has a token: `Authorization: Bearer rht_...`.
    Tokens,
}

/// A folder that the front serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Shared {
    /// Folder inside `files/`.
    pub folder: String,
    /// Who may read it; `basic` uses the name and password of [`HttpSettings`], `tokens` the instance's tokens.
    #[serde(default)]
    pub access: Access,
}

/// How an instance is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct HealthSettings {
    /// Milliseconds between two requests that ask whether it serves.
    pub probe_every_ms: u32,
    /// Milliseconds that it has for an answer.
    pub probe_timeout_ms: u32,
    /// Answers in a row that are missing before it counts as not serving.
    pub probe_failures: u32,
    /// Milliseconds of a silent event loop after which the stack of what holds it is recorded.
    pub blocked_after_ms: u32,
    /// Milliseconds of a silent event loop after which it is killed and started again; 0 never is.
    pub hang_after_ms: u32,
    /// Milliseconds that a start may take until the flows run.
    pub start_timeout_ms: u32,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            probe_every_ms: 30_000,
            probe_timeout_ms: 4_000,
            probe_failures: 3,
            blocked_after_ms: 8_000,
            hang_after_ms: 20_000,
            start_timeout_ms: 60_000,
        }
    }
}

/// What happens after an instance has ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RestartSettings {
    /// Whether it is started again.
    pub enabled: bool,
    /// Longest wait before a start, in milliseconds; the wait doubles from one second.
    pub longest_wait_ms: u32,
    /// Crashes within the window that lead to safe mode.
    pub crashes: u32,
    /// The window, in milliseconds; as long without a crash also makes the next one the first again.
    pub window_ms: u32,
    /// Whether there is a safe mode; without it the instance stays down.
    pub safe_mode: bool,
    /// Crashes in safe mode after which it stays down.
    pub safe_crashes: u32,
}

impl Default for RestartSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            longest_wait_ms: 60_000,
            crashes: 5,
            window_ms: 600_000,
            safe_mode: true,
            safe_crashes: 3,
        }
    }
}

/// Which network an instance sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct NetworkSettings {
    /// The host's own network, or one apart from it.
    pub mode: NetworkMode,
    /// What an `isolated` network lets out: `*` for everything but this host and its other instances, `host:port`,
    /// `address/length:port`, `[IPv6 address/length]:port` or `*:port`, with `/udp` at the end when it is not TCP. A
    /// single address may be the host's own, or another instance's; with `localhost:1883` the instance's own loopback
    /// leads to the host's at that port. The npm registry of this host is always reached.
    pub allow: Vec<String>,
    /// Ports of an `isolated` network that the host passes on to the instance.
    pub publish: Vec<PublishSettings>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            mode: NetworkMode::Default,
            allow: vec![OUTSIDE.to_owned()],
            publish: Vec::new(),
        }
    }
}

/// Lets everything out but what leads to the host and its other instances.
pub const OUTSIDE: &str = "*";

/// A port of the host that leads into an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PublishSettings {
    /// The host's port.
    pub port: u16,
    /// The instance's port; left out it is the same.
    #[serde(default)]
    pub to: Option<u16>,
    /// `tcp` or `udp`.
    #[serde(default)]
    #[schema(value_type = String)]
    pub protocol: Protocol,
    /// The host's address: `0.0.0.0` is all of IPv4, `::` all of IPv6, and without one it is all of both. What is
    /// published at 127.0.0.1 is for the host's own programs.
    #[serde(default)]
    pub address: Option<String>,
}

/// Kinds of network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// What this host's configuration says, else `isolated` where the host can and `host` where it cannot; `redhold
    /// instance show` says which it is.
    #[default]
    Default,
    /// Apart, with a cable to the host: what is allowed goes out, and published ports come in. Needs root, and does
    /// not start where the host cannot.
    Isolated,
    /// The host's: outbound connections and listening ports are the host's.
    Host,
    /// Apart: requests come in through the front, and nothing goes out.
    None,
}
