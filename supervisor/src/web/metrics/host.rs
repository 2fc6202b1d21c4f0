//! Figures of the machine, and of this process with its front.

use std::fs;
use std::path::Path;

use nix::unistd::{SysconfVar, sysconf};
use runtime::sandbox::cgroup::Pressure;

use super::{AppState, pressures};
use crate::telemetry::exposition::{Exposition, Kind};

fn one(all: &mut Exposition, name: &str, kind: Kind, help: &str, value: Option<f64>) {
    let samples: Vec<_> = value.map(|value| (Vec::new(), value)).into_iter().collect();
    all.family(name, kind, help, &samples);
}

/// The machine's processors, memory and disk.
pub(super) fn machine(all: &mut Exposition, data_dir: &Path) {
    let times = processor_seconds().unwrap_or_default();
    let samples: Vec<_> = times
        .iter()
        .map(|(mode, seconds)| (vec![("mode", *mode)], *seconds))
        .collect();
    let help = "Time that the processors of the machine spent in each mode, summed over all.";
    all.family("redhold_host_cpu_seconds_total", Kind::Counter, help, &samples);
    for (name, help, line) in [
        ("redhold_host_memory_bytes", "Memory of the machine.", "MemTotal:"),
        (
            "redhold_host_memory_available_bytes",
            "Memory of the machine that can be had without swapping.",
            "MemAvailable:",
        ),
    ] {
        one(all, name, Kind::Gauge, help, kibibytes("/proc/meminfo", line));
    }
    if let Ok(disk) = nix::sys::statvfs::statvfs(data_dir) {
        let bytes = |blocks: u64| Some(blocks as f64 * disk.fragment_size() as f64);
        let help = "Size of the disk with the data directory.";
        one(
            all,
            "redhold_host_disk_bytes",
            Kind::Gauge,
            help,
            bytes(disk.blocks()),
        );
        let help = "Room on the disk with the data directory.";
        let free = bytes(disk.blocks_available());
        one(all, "redhold_host_disk_available_bytes", Kind::Gauge, help, free);
    }
    pressures(
        all,
        "redhold_host",
        &[()],
        |()| Vec::new(),
        |(), resource| Pressure::of_host(resource),
    );
}

/// This process, under the names that every exporter uses for itself. Its front is in it.
pub(super) fn supervisor(all: &mut Exposition) {
    let version = [(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)];
    all.family("redhold_build_info", Kind::Gauge, "Version of Redhold.", &version);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields are counted from the third, the state: the second is a name that may hold spaces.
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map_or_else(Vec::new, |(_, rest)| rest.split_ascii_whitespace().collect());
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    let spent = ticks(14).zip(ticks(15)).map(|(user, system)| user + system);
    let seconds = |ticks: Option<f64>| Some(ticks? / per_second());
    let help = "Processor time of the supervisor, its front included.";
    one(
        all,
        "process_cpu_seconds_total",
        Kind::Counter,
        help,
        seconds(spent),
    );
    let begun = seconds(ticks(22)).zip(boot()).map(|(after, boot)| boot + after);
    let help = "When the supervisor was started, in seconds since 1970.";
    one(all, "process_start_time_seconds", Kind::Gauge, help, begun);
    let resident = kibibytes("/proc/self/status", "VmRSS:");
    let help = "Memory of the supervisor, its front included.";
    one(all, "process_resident_memory_bytes", Kind::Gauge, help, resident);
    let open = fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as f64);
    one(
        all,
        "process_open_fds",
        Kind::Gauge,
        "Open descriptors of the supervisor.",
        open,
    );
}

/// What the front has done.
pub(super) fn front(all: &mut Exposition, state: &AppState) {
    const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
    let Some(answers) = state.answers.get() else {
        return;
    };
    let counts = answers.by_class();
    let samples: Vec<_> = CLASSES
        .iter()
        .zip(counts)
        .map(|(class, count)| (vec![("class", *class)], count as f64))
        .collect();
    let help = "Answers of the front, by the first digit of their status.";
    all.family("redhold_front_answers_total", Kind::Counter, help, &samples);
}

/// Certificates that an authority renews.
pub(super) fn certificates(all: &mut Exposition, state: &AppState) {
    let standings = state
        .certificates
        .as_ref()
        .map_or_else(Vec::new, |shelf| shelf.standings());
    let ends: Vec<_> = standings
        .iter()
        .filter_map(|one| Some((vec![("name", one.name.as_str())], one.not_after_ms? as f64 / 1e3)))
        .collect();
    let help = "When the certificate of a name ends, in seconds since 1970; names without one are missing.";
    all.family(
        "redhold_certificate_not_after_timestamp_seconds",
        Kind::Gauge,
        help,
        &ends,
    );
    let failures: Vec<_> = standings
        .iter()
        .map(|one| (vec![("name", one.name.as_str())], f64::from(one.failures)))
        .collect();
    let help = "Orders in a row that led to no certificate.";
    all.family("redhold_certificate_failures", Kind::Gauge, help, &failures);
}

/// A value in kilobytes of `proc(5)`, as bytes.
fn kibibytes(file: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// Ticks in which the kernel counts times in `proc(5)`.
fn per_second() -> f64 {
    sysconf(SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .map_or(100.0, |ticks| ticks as f64)
}

/// The first line of `/proc/stat`. What guests of this machine use is part of `user` already.
fn processor_seconds() -> Option<Vec<(&'static str, f64)>> {
    const MODES: [&str; 8] = [
        "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
    ];
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks = line.split_ascii_whitespace().map(|ticks| ticks.parse::<f64>());
    let modes = MODES.into_iter().zip(ticks);
    modes
        .map(|(mode, ticks)| Some((mode, ticks.ok()? / per_second())))
        .collect()
}

/// When the machine was started, in seconds since 1970.
fn boot() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("btime ")?.parse().ok())
}
