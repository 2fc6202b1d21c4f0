//! `/metrics`: the host, its front and every instance, for Prometheus.

use std::collections::HashMap;
use std::fs;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::errors::Refusal;
use super::state::blocking;
use crate::instances::service::View;
use crate::problem::Problem;
use crate::telemetry::exposition::{Exposition, Kind};

/// Figures of everything, in the text exposition format
pub(super) async fn metrics(State(state): State<AppState>) -> Result<Response, Refusal> {
    // Most of it is read from files of the kernel's, several for each instance.
    let text = blocking(move || text(&state)).await??;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text).into_response())
}

fn text(state: &AppState) -> Result<String, Problem> {
    let views = state.instances.list()?;
    let mut all = Exposition::default();
    host(&mut all, state, &views);
    certificates(&mut all, state);
    instances(&mut all, state, &views);
    Ok(all.text())
}

fn host(all: &mut Exposition, state: &AppState, views: &[View]) {
    let one = |value: f64| [(Vec::new(), value)];
    let version = [(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)];
    all.family("redhold_info", Kind::Gauge, "Version of Redhold.", &version);
    all.family(
        "redhold_instances",
        Kind::Gauge,
        "Instances on this host.",
        &one(views.len() as f64),
    );
    if let Some(resident) = resident() {
        let help = "Memory of the supervisor alone.";
        all.family(
            "redhold_supervisor_resident_bytes",
            Kind::Gauge,
            help,
            &one(resident),
        );
    }
    if let Some(answers) = state.answers.get() {
        const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
        let counts = answers.by_class();
        let samples: Vec<_> = CLASSES
            .iter()
            .zip(counts)
            .map(|(class, count)| (vec![("class", *class)], count as f64))
            .collect();
        let help = "Answers of the front, by the first digit of their status.";
        all.family("redhold_front_answers_total", Kind::Counter, help, &samples);
    }
    let pressures: Vec<_> = ["cpu", "memory", "io"]
        .iter()
        .filter_map(|resource| Some((vec![("resource", *resource)], pressure(resource)?)))
        .collect();
    let help = "Share of time in which something waited for the resource, over 10 seconds.";
    all.family("redhold_host_pressure_ratio", Kind::Gauge, help, &pressures);
}

fn certificates(all: &mut Exposition, state: &AppState) {
    let standings = state
        .certificates
        .as_ref()
        .map_or_else(Vec::new, |shelf| shelf.standings());
    let ends: Vec<_> = standings
        .iter()
        .filter_map(|one| Some((vec![("name", one.name.as_str())], one.not_after_ms? as f64 / 1e3)))
        .collect();
    let help = "When the certificate of a name ends, in seconds since 1970; names without one are missing.";
    all.family("redhold_certificate_not_after_seconds", Kind::Gauge, help, &ends);
    let failures: Vec<_> = standings
        .iter()
        .map(|one| (vec![("name", one.name.as_str())], f64::from(one.failures)))
        .collect();
    let help = "Orders in a row that led to no certificate.";
    all.family("redhold_certificate_failures", Kind::Gauge, help, &failures);
}

fn instances(all: &mut Exposition, state: &AppState, views: &[View]) {
    type Read<'a> = &'a dyn Fn(&View) -> Option<f64>;
    let stats: HashMap<_, _> = views
        .iter()
        .filter_map(|view| Some((view.id.as_str(), state.instances.stats(&view.id)?)))
        .collect();
    let stat = |view: &View| stats.get(view.id.as_str());
    let figures = |view: &View| view.observed.figures;
    let seconds = |micros: u64| micros as f64 / 1e6;
    let families: [(&str, Kind, &str, Read<'_>); 12] = [
        ("redhold_instance_up", Kind::Gauge, "Its flows run.", &|view| {
            let health = view.observed.health.as_ref();
            Some(f64::from(u8::from(
                health.is_some_and(|health| health.flows && health.turning),
            )))
        }),
        (
            "redhold_instance_starts_total",
            Kind::Counter,
            "Starts since the supervisor's own.",
            &|view| Some(view.observed.starts as f64),
        ),
        (
            "redhold_instance_memory_bytes",
            Kind::Gauge,
            "Memory charged to it.",
            &|view| stat(view)?.memory.map(|bytes| bytes as f64),
        ),
        (
            "redhold_instance_memory_peak_bytes",
            Kind::Gauge,
            "Most memory ever charged to it.",
            &|view| stat(view)?.memory_peak.map(|bytes| bytes as f64),
        ),
        (
            "redhold_instance_memory_limit_bytes",
            Kind::Gauge,
            "What it may use.",
            &|view| {
                let limit = view.settings["limits"]["memoryMib"]
                    .as_u64()
                    .filter(|limit| *limit > 0)?;
                Some((limit << 20) as f64)
            },
        ),
        (
            "redhold_instance_cpu_seconds_total",
            Kind::Counter,
            "Processor time.",
            &|view| stat(view)?.cpu_us.map(seconds),
        ),
        (
            "redhold_instance_throttled_seconds_total",
            Kind::Counter,
            "Time without processor for its limit.",
            &|view| stat(view)?.throttled_us.map(seconds),
        ),
        (
            "redhold_instance_tasks",
            Kind::Gauge,
            "Processes and threads.",
            &|view| stat(view)?.pids.map(|count| count as f64),
        ),
        (
            "redhold_instance_heap_bytes",
            Kind::Gauge,
            "JavaScript objects, by its own account.",
            &|view| Some(figures(view)?.heap_bytes as f64),
        ),
        (
            "redhold_instance_event_loop_delay_seconds",
            Kind::Gauge,
            "Longest delay of the event loop in the last minute.",
            &|view| Some(f64::from(figures(view)?.delay_ms) / 1e3),
        ),
        (
            "redhold_instance_event_loop_utilization_ratio",
            Kind::Gauge,
            "Share of time in which the event loop worked, in the last minute.",
            &|view| Some(figures(view)?.utilization),
        ),
        (
            "redhold_instance_crashes",
            Kind::Gauge,
            "Crashes that count towards safe mode.",
            &|view| Some(view.observed.crashes as f64),
        ),
    ];
    for (name, kind, help, read) in families {
        let samples: Vec<_> = views
            .iter()
            .filter_map(|view| {
                Some((
                    vec![("instance", view.name.as_str()), ("id", view.id.as_str())],
                    read(view)?,
                ))
            })
            .collect();
        all.family(name, kind, help, &samples);
    }
    let states: Vec<_> = views
        .iter()
        .map(|view| {
            (
                vec![
                    ("instance", view.name.as_str()),
                    ("state", view.observed.state.name()),
                ],
                1.0,
            )
        })
        .collect();
    all.family(
        "redhold_instance_state",
        Kind::Gauge,
        "The state it is in.",
        &states,
    );
}

/// Bytes of memory that this process has, by `proc(5)`.
fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// Documentation/accounting/psi.rst: `some avg10=0.12 ...`, in percent.
fn pressure(resource: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/pressure/{resource}")).ok()?;
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let percent: f64 = some
        .split_whitespace()
        .next()?
        .strip_prefix("avg10=")?
        .parse()
        .ok()?;
    Some(percent / 100.0)
}
