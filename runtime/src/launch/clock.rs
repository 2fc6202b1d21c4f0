//! Time as the records carry it, and identities of processes that survive the reuse of their numbers.

use std::fs;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::record::ProcessRef;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Which boot of the machine this is.
///
/// # Errors
/// When `/proc` is not there.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// The process that has this number now.
///
/// # Errors
/// `NotFound` when there is none.
pub(crate) fn process(pid: i32) -> io::Result<ProcessRef> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let start_ticks = start_ticks(&text).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "/proc/[pid]/stat without a start time",
        )
    })?;
    Ok(ProcessRef { pid, start_ticks })
}

/// Field 22; the second field is a name in parentheses that may hold anything, parentheses and spaces included.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_start_time() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("7 (evil) S 1 (x) {}", fields.join(" "));
        assert_eq!(start_ticks(&stat), Some(22));
        assert_eq!(start_ticks("nonsense"), None);
    }
}
