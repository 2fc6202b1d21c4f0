//! What keeper and host tell each other, and what stays on disk when both are gone.
//!
//! Every type here is a compatibility promise: a newer host reads the records and speaks to the keepers of an
//! older one. New fields are optional; none changes its meaning.

use serde::{Deserialize, Serialize};

use crate::traffic::Filtered;

/// File in the run directory that says what runs; written before the program starts, removed by whoever collects
/// the exit.
pub const RUN_FILE: &str = "run.json";
/// File in the run directory that says how it ended; written once, durably, before the keeper exits.
pub const EXIT_FILE: &str = "exit.json";
/// The keeper's control socket in the run directory.
pub const CONTROL_SOCKET: &str = "control.sock";

/// The copy of the host's resolver configuration that an instance on the host's network is shown.
pub const RESOLVER_FILE: &str = "resolv.conf";

/// What runs, as the keeper found it after building the sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The instance.
    pub id: String,
    /// `/proc/sys/kernel/random/boot_id`: a record of another boot names no living process.
    pub boot_id: String,
    /// The keeper.
    pub keeper: ProcessRef,
    /// The first process inside, by its number outside.
    pub init: ProcessRef,
    /// When the program was started, in milliseconds since 1970.
    pub started_ms: u64,
    /// Digest of the spec, to tell whether a running instance still matches what is wanted.
    pub spec_digest: String,
    /// Directories of its control groups, to be emptied and removed when the keeper is lost.
    pub cgroups: Vec<String>,
    /// Its devices and rules on the host, to be removed when the keeper is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Box<Filtered>>,
    /// What is enforced, and how.
    pub levels: Vec<Level>,
}

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Process number on the host.
    pub pid: i32,
    /// Start time in clock ticks since boot: field 22 of `/proc/[pid]/stat` (`proc(5)`).
    pub start_ticks: u64,
}

/// One wall or limit, and how strong it is on this host. A lesser mode is always named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// What it is about: `memory`, `cpu`, `pids`, `io`, `disk`, `namespaces`, `seccomp`,
    /// `landlock`, `network`, `identity`, `capabilities`.
    pub name: String,
    /// How strong.
    pub strength: Strength,
    /// In words, for a person: the value read back, or what is lacking.
    pub detail: String,
}

/// How strongly something is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// By the kernel, read back.
    Hard,
    /// By the kernel, in a lesser form that `detail` names.
    Partial,
    /// Not at all: the host lacks it.
    None,
    /// Not asked for.
    Off,
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The instance.
    pub id: String,
    /// Exit code of the program, when it exited by itself.
    pub code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// The memory limit was hit.
    pub oom: Option<OomRecord>,
    /// A stop was asked for before it ended.
    pub stopping: bool,
    /// When it was started, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: u64,
    /// Processor time used, in microseconds, where the kernel says.
    pub cpu_us: Option<u64>,
    /// Most memory ever charged, in bytes, where the kernel says.
    pub memory_peak: Option<u64>,
    /// What it tried and may not do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

/// Something that the program, or what it started, tried to do although its spec does not let it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What kind of thing.
    pub what: Attempted,
    /// Of a program the path as it was asked for, of a socket its family or protocol, of a connection the host and the
    /// port as `network.allow` writes them; untrusted, without control characters, and not long.
    pub name: String,
    /// How often so far in this run; of connections at least so often.
    pub count: u64,
    /// First time, in milliseconds since 1970.
    pub first_ms: u64,
    /// Last time, in milliseconds since 1970.
    pub last_ms: u64,
    /// Whether it was refused; else it was let through.
    pub refused: bool,
    /// Whose code it was by the program's own account; a hint, which any code in it can forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Kinds of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attempted {
    /// To execute a program.
    Execute,
    /// To make a raw socket.
    RawSocket,
    /// To make a socket of a kind that nobody here gets.
    Socket,
    /// To look a name up that leads to no host it has to do with.
    Name,
    /// To reach a host that it has nothing to do with.
    Connect,
    /// To reach, or look up, what its network does not lead to.
    Closed,
    /// More different things than are kept apart; the name says so.
    Others,
}

/// An out-of-memory kill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomRecord {
    /// How many processes were killed for it.
    pub kills: u64,
    /// The limit in bytes.
    pub limit: Option<u64>,
    /// Most memory ever charged, in bytes.
    pub peak: Option<u64>,
}

/// A request on the control socket: one JSON object per line, answered by one line ([`Reply`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Request {
    /// How is it?
    Status,
    /// From now on this connection carries [`Event`]s, one per line, beginning with the last known guest state.
    Subscribe,
    /// Ask the program to end, and kill it after `grace_ms`.
    Stop {
        /// Milliseconds until it is killed.
        grace_ms: u64,
    },
    /// Kill everything in the instance now.
    Kill,
    /// Ask the program to collect its garbage and give memory back.
    Collect,
    /// Pass a message on to the program's own plugin; keepers that do not know this refuse it.
    Tell {
        /// A JSON object, in all at most 4 KiB.
        message: serde_json::Value,
    },
    /// Interrupt the program, so that it says in a message of type `stack` what its event loop is held by. Answered
    /// at once; the message follows, unless the program is held outside of JavaScript.
    Diagnose,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// It was done, or begun.
    Done,
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// It could not be done.
    Failed {
        /// Why, for a person.
        message: String,
    },
}

/// A running instance seen from its keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What runs.
    pub run: RunRecord,
    /// When the program last said that its event loop turns, in milliseconds since 1970.
    pub last_beat_ms: Option<u64>,
    /// The last `state` message of the guest, as it came.
    pub guest_state: Option<serde_json::Value>,
    /// Memory charged now, in bytes.
    pub memory: Option<u64>,
    /// Most memory ever charged, in bytes.
    pub memory_peak: Option<u64>,
    /// Processor time used, in microseconds.
    pub cpu_us: Option<u64>,
    /// Tasks now.
    pub pids: Option<u64>,
}

/// Something that happened, for subscribers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The program sent a message over its channel.
    Guest {
        /// As it came: untrusted.
        message: serde_json::Value,
    },
    /// The event loop turns again after at least five silent seconds, or has been silent for as long.
    Stuck {
        /// Milliseconds of silence so far; 0 when it turns again.
        silent_ms: u64,
    },
    /// The kernel killed for memory.
    Oom(OomRecord),
    /// It tried what it may not do: the first time, the tenth, the hundredth and so on, and what is known already when
    /// somebody subscribes.
    Attempt(Attempt),
    /// It ended; the last event.
    Exit(ExitRecord),
}
