//! The second generation of control groups: one tree, Documentation/admin-guide/cgroup-v2.rst.
//! cgroups-rs sets what it sets rightly, the files themselves are read back.

use std::path::Path;

use cgroups_rs::fs::blkio::BlkIoController;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;

use super::device::Device;
use super::files::{CgroupError, number, read, read_number, set, write};
use super::reading::{Reading, cpu_quota};
use crate::units::{Bytes, CpuShare};

/// Memory, without swap: v2 limits the two apart, and only this way are they together never above `limit`.
/// An out-of-memory kill takes the whole instance: half of a program is worse than none.
pub(super) fn memory(group: &Path, limit: Bytes) -> Result<Reading, CgroupError> {
    let file = group.join("memory.max");
    let controller = MemController::new(group.to_owned(), group.to_owned(), true);
    let still_used = pressed_down(group, limit, || {
        let wanted = i64::try_from(limit.0).unwrap_or(i64::MAX);
        set(group, controller.set_limit(wanted))
    })?;
    if let Some(used) = still_used {
        return Ok(Reading::bytes(limit, read_number(&file)?, "memory.max").in_use(used));
    }
    write(&group.join("memory.oom.group"), "1")?;
    let reading = Reading::bytes(limit, read_number(&file)?, "memory.max");
    let swap = group.join("memory.swap.max");
    if !swap.exists() {
        // Built or booted without swap accounting; without a swap area there is nothing to account.
        return Ok(reading);
    }
    write(&swap, "0")?;
    Ok(match read_number(&swap)? {
        0 => reading,
        left => reading.lesser(&format!("it may also use {} of swap", Bytes(left))),
    })
}

/// Has the kernel take back what is above `limit`, then sets it; gives what is used, and sets nothing, when that did not
/// help: a limit below the use ends the whole group at once. Above `memory.high` tasks are slowed down and made to free
/// memory, and nothing is killed, so the group is held there meanwhile.
fn pressed_down(
    group: &Path,
    limit: Bytes,
    set: impl FnOnce() -> Result<(), CgroupError>,
) -> Result<Option<u64>, CgroupError> {
    let current = group.join("memory.current");
    let high = group.join("memory.high");
    if !high.exists() {
        return set().map(|()| None);
    }
    let outcome = (|| {
        if read_number(&current)? > limit.0 {
            // Comes back when the kernel has tried.
            write(&high, &limit.0.to_string())?;
            let used = read_number(&current)?;
            if used > limit.0 {
                return Ok(Some(used));
            }
        }
        set().map(|()| None)
    })();
    // Also what a supervisor left that was killed in the middle of this.
    write(&high, "max")?;
    outcome
}

/// A quota per period of real time.
pub(super) fn cpu(group: &Path, share: CpuShare) -> Result<Reading, CgroupError> {
    let (quota, period) = cpu_quota(share);
    let file = group.join("cpu.max");
    let controller = CpuController::new(group.to_owned(), group.to_owned(), true);
    set(
        group,
        controller.set_cfs_quota_and_period(i64::try_from(quota).ok(), Some(period)),
    )?;
    let text = read(&file)?;
    let mut numbers = text.split(' ').filter_map(number);
    match (numbers.next(), numbers.next()) {
        (Some(quota), Some(period)) => Ok(Reading::cpu(share, quota, period, "cpu.max")),
        _ => Err(CgroupError::Strange { path: file, text }),
    }
}

/// Bytes per second, read and written. Buffered writes count where the file system names the writer
/// (ext4, btrfs, XFS and f2fs do).
pub(super) fn io(group: &Path, rate: Bytes, device: &Device) -> Result<Reading, CgroupError> {
    let file = group.join("io.max");
    let controller = BlkIoController::new(group.to_owned(), group.to_owned(), true);
    let (major, minor) = device.number();
    set(
        group,
        controller.throttle_read_bps_for_device(major, minor, rate.0),
    )?;
    set(
        group,
        controller.throttle_write_bps_for_device(major, minor, rate.0),
    )?;
    let text = read(&file)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&device.to_string())?.strip_prefix(' '));
    let kept = |key: &str| line?.split(' ').find_map(|pair| number(pair.strip_prefix(key)?));
    let most = kept("rbps=")
        .unwrap_or(u64::MAX)
        .max(kept("wbps=").unwrap_or(u64::MAX));
    Ok(Reading::bytes(rate, most, &format!("io.max for {device}")))
}
