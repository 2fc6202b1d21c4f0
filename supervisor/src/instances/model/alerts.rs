//! When somebody is told of an instance, and who.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// When somebody is told of an instance, and who. How the host reaches them stands in its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AlertSettings {
    /// It ended by itself, could not be started, or stays down.
    pub crash: bool,
    /// It starts with its flows stopped.
    pub safe_mode: bool,
    /// It was killed because its event loop stood still, or its start took too long.
    pub hang: bool,
    /// The kernel killed it for memory.
    pub out_of_memory: bool,
    /// It uses much of its processor limit.
    pub cpu: bool,
    /// It uses much of its memory limit.
    pub memory: bool,
    /// Nine tenths of its disk space are used, or all of it.
    pub disk: bool,
    /// It did, or tried, what none of its capabilities covers; told once per start.
    pub capabilities: bool,
    /// A package that it has installed is judged worse than before, or a flaw of one became known.
    pub packages: bool,
    /// What is much of the processor limit, in percent.
    pub cpu_percent: u32,
    /// What is much of the memory limit, in percent.
    pub memory_percent: u32,
    /// For how long its flows must run until it counts as well again, in seconds.
    pub recovered_after_s: u32,
    /// For how long, in seconds, on average, before somebody is told.
    pub load_for_s: u32,
    /// Who: e-mail addresses, and `webhook:NAME` for a webhook of the host's configuration. Empty is whom the host
    /// tells.
    pub recipients: Vec<String>,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            crash: true,
            safe_mode: true,
            hang: true,
            out_of_memory: true,
            cpu: true,
            memory: true,
            disk: true,
            // On hosts from before this, flows with exec nodes do it every day.
            capabilities: false,
            packages: true,
            cpu_percent: 75,
            memory_percent: 75,
            recovered_after_s: 600,
            load_for_s: 300,
            recipients: Vec::new(),
        }
    }
}
