//! What the kernel says of processes: who belongs to whom, processor time, memory (`proc(5)`).

use std::fs;

/// Memory of a set of processes, in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Anonymous: what the processes wrote themselves. Pages that one had from another by a fork count once.
    pub anonymous: f64,
    /// Proportional: shared pages divided among those who map them.
    pub proportional: f64,
}

/// A process and everything that descends from it.
pub fn tree(root: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, fields(pid)?.get(1)?.parse().ok()?))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found
}

/// Processor seconds that the processes, and the children they have buried, used so far.
pub fn processor_seconds(pids: &[i32]) -> f64 {
    let ticks: u64 = pids
        .iter()
        .filter_map(|pid| fields(*pid))
        // utime, stime, cutime and cstime, counted from the state.
        .flat_map(|fields| fields[11..15].iter().map(|ticks| ticks.parse().unwrap_or(0)).collect::<Vec<u64>>())
        .sum();
    // USER_HZ is 100 on every Linux that Node.js is built for.
    ticks as f64 / 100.0
}

/// Memory that the processes hold now. Without root, processes of another user count as nothing: see [`readable`].
pub fn memory(pids: &[i32]) -> Memory {
    let mut sum = Memory::default();
    for pid in pids {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
            continue;
        };
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            number.unwrap_or(0.0) / 1024.0
        };
        sum.anonymous += value("Pss_Anon:");
        sum.proportional += value("Pss:");
    }
    sum
}

/// The most memory that a process ever held at a time, in MiB; none when it is gone.
pub fn peak(pid: i32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// Whether this user may look into the memory of these processes.
pub fn readable(pids: &[i32]) -> bool {
    pids.iter()
        .all(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).is_ok())
}

/// The fields of `/proc/[pid]/stat` after the name, which may itself hold spaces.
fn fields(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}
