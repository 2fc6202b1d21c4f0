//! The wall clock, for what people read. Decisions run on a monotonic clock that is handed to them, and those that
//! outlast this program on the time since the machine was started: nobody can set that.

use std::fs;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970.
#[must_use]
pub fn now_s() -> i64 {
    i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX)
}

/// A moment of one boot of the machine; moments of two boots cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uptime {
    /// Which boot.
    pub boot: String,
    /// Milliseconds since it began, time asleep included.
    pub ms: u64,
}

impl Uptime {
    /// Now.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn now() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let text = fs::read_to_string("/proc/uptime")?;
        let ms = milliseconds(&text).ok_or_else(|| io::Error::other("/proc/uptime is no number"))?;
        Ok(Self {
            boot: boot.trim().to_owned(),
            ms,
        })
    }
}

/// Seconds with two decimals, as `proc_uptime(5)` has them.
fn milliseconds(text: &str) -> Option<u64> {
    let (whole, part) = text.split_whitespace().next()?.split_once('.')?;
    let (whole, part): (u64, u64) = (whole.parse().ok()?, part.parse().ok()?);
    whole.checked_mul(1000)?.checked_add(part * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uptime_is_read_and_goes_on() {
        assert_eq!(milliseconds("350735.47 234388.90"), Some(350_735_470));
        assert_eq!(milliseconds("12"), None);
        let (one, other) = (Uptime::now().expect("/proc"), Uptime::now().expect("/proc"));
        assert_eq!(one.boot, other.boot);
        assert!(one.ms > 0 && one.ms <= other.ms);
    }
}
