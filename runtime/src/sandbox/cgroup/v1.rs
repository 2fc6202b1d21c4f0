//! The first generation of control groups: one tree per controller, limits in files of their own.
//!
//! Documentation/admin-guide/cgroup-v1/{memory,blkio-controller,pids}.rst, Documentation/scheduler/sched-bwc.rst.
//! cgroups-rs sets, the files themselves are read back.

use std::path::Path;

use cgroups_rs::fs::blkio::BlkIoController;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;

use super::device::Device;
use super::files::{CgroupError, keyed, number, read, read_number, set};
use super::reading::{Reading, cpu_quota};
use crate::record::Strength;
use crate::units::{Bytes, CpuShare};

/// Memory and swap together, where swap is accounted.
pub(super) fn memory(group: &Path, limit: Bytes) -> Result<Reading, CgroupError> {
    let controller = MemController::new(group.to_owned(), group.to_owned(), false);
    let wanted = i64::try_from(limit.0).unwrap_or(i64::MAX);
    let outcome = set(group, controller.set_limit(wanted));
    let memory = group.join("memory.limit_in_bytes");
    let read_back = read_number(&memory)?;
    if let Err(error) = outcome {
        // The kernel refuses what is below the use after it has taken back what it can (EBUSY).
        let used = read_number(&group.join("memory.usage_in_bytes"))?;
        return match used > limit.0 {
            true => Ok(Reading::bytes(limit, read_back, "memory.limit_in_bytes").in_use(used)),
            false => Err(error),
        };
    }
    let both = group.join("memory.memsw.limit_in_bytes");
    if !both.exists() {
        let reading = Reading::bytes(limit, read_back, "memory.limit_in_bytes");
        return Ok(match swap_exists() {
            true => reading.lesser("swap is not accounted (boot with `swapaccount=1`): it can grow there"),
            false => reading,
        });
    }
    // The kernel wants this one at or above the other at all times: set last when falling from "no limit".
    set(group, controller.set_memswap_limit(wanted))?;
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
    let controller = CpuController::new(group.to_owned(), group.to_owned(), false);
    set(
        group,
        controller.set_cfs_quota_and_period(i64::try_from(quota).ok(), Some(period)),
    )?;
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
    let controller = BlkIoController::new(group.to_owned(), group.to_owned(), false);
    let (major, minor) = device.number();
    set(
        group,
        controller.throttle_read_bps_for_device(major, minor, rate.0),
    )?;
    set(
        group,
        controller.throttle_write_bps_for_device(major, minor, rate.0),
    )?;
    let mut least = Reading::bytes(rate, rate.0, "blkio.throttle");
    for file in [
        "blkio.throttle.read_bps_device",
        "blkio.throttle.write_bps_device",
    ] {
        let path = group.join(file);
        let kept = keyed(&read(&path)?, &device.to_string()).unwrap_or(u64::MAX);
        let reading = Reading::bytes(rate, kept, &format!("blkio.throttle for {device}"));
        if reading.strength != Strength::Hard || file.contains("write") {
            least = reading;
        }
    }
    Ok(least.lesser("cgroup v1 counts reads and direct writes only; buffered writes pass"))
}

/// One line of headings, then one per swap area.
fn swap_exists() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}
