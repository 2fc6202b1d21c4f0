//! What an instance is seen to be doing, for everybody who wants to know.

use std::path::{Path, PathBuf};

use runtime::record::Level;
use serde::Serialize;
use utoipa::ToSchema;

use super::figures::Figures;
use super::machine::Phase as State;

/// An instance as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Where it is.
    pub state: State,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Its flows are stopped until a person, or a deploy, starts them.
    pub safe_mode: bool,
    /// Its place among those that wait to start, counted from 1.
    pub place_in_queue: Option<usize>,
    /// Its first process, by its number on the host.
    pub pid: Option<i32>,
    /// When that was started, in milliseconds since 1970.
    pub started_ms: Option<u64>,
    /// What is known of its health; `null` when nothing runs.
    pub health: Option<Facts>,
    /// Why it is down, waits, or its flows do not run.
    pub reason: Option<String>,
    /// Crashes that count towards safe mode.
    pub crashes: usize,
    /// Settings were changed that hold only after a restart.
    pub restart_needed: bool,
    /// What it is walled off by, and how strongly.
    #[schema(value_type = Vec<Object>)]
    pub walls: Vec<Level>,
    /// Starts since the supervisor's own.
    pub starts: u64,
    /// Starts since the supervisor's own that followed a crash, a hang or a lack of memory.
    pub restarts: u64,
    /// What it says about itself, every ten seconds while it works.
    pub figures: Option<Figures>,
    /// Its control groups.
    #[serde(skip)]
    pub groups: Vec<String>,
}

/// Where an instance's requests go now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// The instance is on its way: requests wait.
    Starting,
    /// Its flows run; it accepts on this unix socket.
    Ready(PathBuf),
    /// Nothing runs. A person reads why.
    Down {
        /// In a few words.
        title: String,
        /// What to do, or what happens next.
        detail: String,
    },
}

impl Upstream {
    /// Where requests go while an instance is in this state.
    #[must_use]
    pub fn of(observed: &Observed, socket: &Path) -> Self {
        let down = |title: &str, detail: &str| Self::Down {
            title: title.to_owned(),
            detail: detail.to_owned(),
        };
        match observed.state {
            State::Running => Self::Ready(socket.to_owned()),
            State::Queued | State::Starting => Self::Starting,
            State::Waiting => down("Node-RED crashed", "It starts again in a moment."),
            State::Suspended => down("Node-RED is suspended", "Whoever runs this host can resume it."),
            State::Stopping | State::Stopped | State::Deleted => {
                down("Node-RED is stopped", "Whoever runs this host can start it.")
            }
            State::Down => down(
                "Node-RED is down",
                "It crashed again and again. Whoever runs this host finds the reason in its events.",
            ),
        }
    }
}

/// Four facts that are not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Its process exists.
    pub alive: bool,
    /// Its event loop turns.
    pub turning: bool,
    /// It answers requests; `null` until it was asked.
    pub serving: Option<bool>,
    /// Its flows run.
    pub flows: bool,
}

impl Observed {
    /// Of an instance of which nothing runs.
    #[must_use]
    pub fn stopped(since_ms: u64) -> Self {
        Self {
            state: State::Stopped,
            since_ms,
            safe_mode: false,
            place_in_queue: None,
            pid: None,
            started_ms: None,
            health: None,
            reason: None,
            crashes: 0,
            restart_needed: false,
            walls: Vec::new(),
            starts: 0,
            restarts: 0,
            figures: None,
            groups: Vec::new(),
        }
    }
}
