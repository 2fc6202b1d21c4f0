//! The first generation of control groups: one tree per controller, limits in files of their own.
//!
//! Documentation/admin-guide/cgroup-v1/{memory,blkio-controller,pids}.rst, Documentation/scheduler/sched-bwc.rst.

use std::path::Path;

use super::device::Device;
use super::files::{CgroupError, keyed, number, read, read_number, write};
use super::reading::{Reading, cpu_quota};
use crate::record::Strength;
use crate::units::{Bytes, CpuShare, Pids};

/// Memory and swap together, where swap is accounted.
pub(super) fn memory(group: &Path, limit: Bytes) -> Result<Reading, CgroupError> {
    let memory = group.join("memory.limit_in_bytes");
    write(&memory, &limit.0.to_string())?;
    let read_back = read_number(&memory)?;
    let both = group.join("memory.memsw.limit_in_bytes");
    if !both.exists() {
        let reading = Reading::bytes(limit, read_back, "memory.limit_in_bytes");
        return Ok(match swap_exists() {
            true => reading.lesser("swap is not accounted (boot with `swapaccount=1`): it can grow there"),
            false => reading,
        });
    }
    // The kernel wants this one at or above the other at all times: set last when falling from "no limit".
    write(&both, &limit.0.to_string())?;
    Ok(Reading::bytes(
        limit,
        read_back.max(read_number(&both)?),
        "memory.limit_in_bytes and memory.memsw.limit_in_bytes",
    ))
}

/// A quota per period of real time.
pub(super) fn cpu(group: &Path, share: CpuShare) -> Result<Reading, CgroupError> {
    let (quota, period) = cpu_quota(share);
    let (quota_file, period_file) = (group.join("cpu.cfs_quota_us"), group.join("cpu.cfs_period_us"));
    write(&period_file, &period.to_string())?;
    write(&quota_file, &quota.to_string())?;
    Ok(Reading::cpu(
        share,
        // An unset quota reads -1.
        number(&read(&quota_file)?).unwrap_or(u64::MAX),
        read_number(&period_file)?,
        "cpu.cfs_quota_us",
    ))
}

/// Bytes per second, read and written. v1 sees a buffered write only when the flusher thread does it, for which
/// nobody's group is charged.
pub(super) fn io(group: &Path, rate: Bytes, device: &Device) -> Result<Reading, CgroupError> {
    let mut least = Reading::bytes(rate, rate.0, "blkio.throttle");
    for file in [
        "blkio.throttle.read_bps_device",
        "blkio.throttle.write_bps_device",
    ] {
        let path = group.join(file);
        write(&path, &format!("{device} {}", rate.0))?;
        let set = keyed(&read(&path)?, &device.to_string()).unwrap_or(u64::MAX);
        let reading = Reading::bytes(rate, set, &format!("blkio.throttle for {device}"));
        if reading.strength != Strength::Hard || file.contains("write") {
            least = reading;
        }
    }
    Ok(least.lesser("cgroup v1 counts reads and direct writes only; buffered writes pass"))
}

/// Tasks, threads included.
pub(super) fn pids(group: &Path, limit: Pids) -> Result<Reading, CgroupError> {
    let file = group.join("pids.max");
    write(&file, &limit.0.to_string())?;
    Ok(Reading::count(limit, read_number(&file)?, "pids.max"))
}

/// One line of headings, then one per swap area.
fn swap_exists() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}
