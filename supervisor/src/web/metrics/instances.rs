//! Figures of each instance.

use runtime::sandbox::cgroup::Stats;
use runtime::sandbox::quota::Usage;

use super::{AppState, Sample, pressures};
use crate::instances::figures::Figures;
use crate::instances::service::View;
use crate::telemetry::exposition::{Exposition, Kind};

/// What is known of one.
struct Known<'a> {
    view: &'a View,
    stats: Stats,
    disk: Option<Usage>,
}

impl<'a> Known<'a> {
    fn labels(&self) -> Vec<(&'a str, &'a str)> {
        vec![("name", self.view.name.as_str()), ("id", self.view.id.as_str())]
    }

    fn figures(&self) -> Option<Figures> {
        self.view.observed.figures
    }
}

/// A figure of one, if there is one.
type Read = fn(&Known<'_>) -> Option<f64>;
type Family = (&'static str, Kind, &'static str, Read);

/// How it is, and what became of it.
const CONDITION: [Family; 5] = [
    (
        "up",
        Kind::Gauge,
        "Its flows run and its event loop turns.",
        |one| {
            let health = one.view.observed.health.as_ref();
            Some(f64::from(u8::from(
                health.is_some_and(|health| health.flows && health.turning),
            )))
        },
    ),
    (
        "starts_total",
        Kind::Counter,
        "Starts since the supervisor's own.",
        |one| Some(one.view.observed.starts as f64),
    ),
    (
        "restarts_total",
        Kind::Counter,
        "Starts since the supervisor's own that followed a crash, a hang or a lack of memory.",
        |one| Some(one.view.observed.restarts as f64),
    ),
    (
        "crashes",
        Kind::Gauge,
        "Crashes that count towards safe mode.",
        |one| Some(one.view.observed.crashes as f64),
    ),
    (
        "start_time_seconds",
        Kind::Gauge,
        "When its process was started, in seconds since 1970.",
        |one| Some(one.view.observed.started_ms? as f64 / 1e3),
    ),
];

/// What the kernel says.
const USE: [Family; 8] = [
    (
        "memory_bytes",
        Kind::Gauge,
        "Memory charged to it, cached files included.",
        |one| Some(one.stats.memory? as f64),
    ),
    (
        "memory_peak_bytes",
        Kind::Gauge,
        "Most memory ever charged to it.",
        |one| Some(one.stats.memory_peak? as f64),
    ),
    (
        "memory_limit_bytes",
        Kind::Gauge,
        "Memory that it may use.",
        |one| {
            let limit = one.view.settings["limits"]["memoryMib"].as_u64();
            Some((limit.filter(|limit| *limit > 0)? << 20) as f64)
        },
    ),
    ("cpu_seconds_total", Kind::Counter, "Processor time.", |one| {
        Some(one.stats.cpu_us? as f64 / 1e6)
    }),
    (
        "cpu_throttled_seconds_total",
        Kind::Counter,
        "Time without a processor because of its limit.",
        |one| Some(one.stats.throttled_us? as f64 / 1e6),
    ),
    ("tasks", Kind::Gauge, "Processes and threads.", |one| {
        Some(one.stats.pids? as f64)
    }),
    (
        "disk_bytes",
        Kind::Gauge,
        "What its files take up; where nobody counts them, as they were last measured.",
        |one| Some(one.disk?.used as f64),
    ),
    (
        "disk_limit_bytes",
        Kind::Gauge,
        "What its files may take up.",
        |one| Some(one.disk?.limit? as f64),
    ),
];

/// What it says itself.
const OWN: [Family; 4] = [
    (
        "messages_total",
        Kind::Counter,
        "Messages that its nodes received since it was started.",
        |one| Some(one.figures()?.messages as f64),
    ),
    ("heap_bytes", Kind::Gauge, "JavaScript objects.", |one| {
        Some(one.figures()?.heap_bytes as f64)
    }),
    (
        "event_loop_delay_seconds",
        Kind::Gauge,
        "Longest delay of its event loop that was noticed in the minute before its last report.",
        |one| Some(f64::from(one.figures()?.delay_ms) / 1e3),
    ),
    (
        "event_loop_utilization_ratio",
        Kind::Gauge,
        "Share of time in which its event loop worked, between its last two reports.",
        |one| Some(one.figures()?.utilization),
    ),
];

/// All families of all instances. Blocks for a moment.
pub(super) fn all(all: &mut Exposition, state: &AppState, views: &[View]) {
    let count = [(Vec::new(), views.len() as f64)];
    all.family(
        "redhold_instances",
        Kind::Gauge,
        "Instances on this host.",
        &count,
    );
    let known: Vec<Known<'_>> = views
        .iter()
        .map(|view| Known {
            view,
            stats: state.instances.stats(&view.id).unwrap_or_default(),
            // One that was removed meanwhile has none.
            disk: state
                .instances
                .record(&view.id)
                .ok()
                .and_then(|found| state.instances.disk(&found.record)),
        })
        .collect();
    for (name, kind, help, read) in CONDITION.iter().chain(&USE).chain(&OWN) {
        let samples: Vec<Sample<'_>> = known
            .iter()
            .filter_map(|one| Some((one.labels(), read(one)?)))
            .collect();
        all.family(&format!("redhold_instance_{name}"), *kind, help, &samples);
    }
    pressures(all, "redhold_instance", &known, Known::labels, |one, resource| {
        state.instances.pressure(&one.view.id, resource)
    });
    let states: Vec<Sample<'_>> = known
        .iter()
        .map(|one| {
            let mut labels = one.labels();
            labels.push(("state", one.view.observed.state.name()));
            (labels, 1.0)
        })
        .collect();
    let help = "1 for the state it is in; the others are missing.";
    all.family("redhold_instance_state", Kind::Gauge, help, &states);
}
