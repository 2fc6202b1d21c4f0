//! Numbers that carry their unit, as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A count of bytes. Written `512`, `64K`, `256M`, `1.5G` (powers of 1024, an optional `B` or `iB` at the end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A share of processor time in thousandths of one core: 1500 is one core and a half.
/// Written in cores: `0.5`, `2`; or as a percentage of one core: `50%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuShare(pub u32);

/// A count of tasks as the kernel counts them: every thread is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pids(pub u32);

/// A number that could not be read, with the form that would have been.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{given}` is not {expected}")]
pub struct UnitError {
    given: String,
    expected: &'static str,
}

impl Bytes {
    /// `count` binary kilobytes (1024 bytes).
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }

    /// `count` binary megabytes (1024 * 1024 bytes).
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// Whole binary megabytes, rounded down.
    #[must_use]
    pub const fn as_mib(self) -> u64 {
        self.0 / (1024 * 1024)
    }
}

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            given: text.to_owned(),
            expected: "a size such as 256M or 1.5G",
        };
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(lower.len());
        let (number, suffix) = lower.split_at(digits);
        let factor: u64 = match suffix.trim().trim_end_matches("ib").trim_end_matches('b') {
            "" => 1,
            "k" => 1 << 10,
            "m" => 1 << 20,
            "g" => 1 << 30,
            "t" => 1 << 40,
            _ => return Err(error()),
        };
        scaled(number, factor).map(Bytes).ok_or_else(error)
    }
}

impl FromStr for CpuShare {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            given: text.to_owned(),
            expected: "a number of cores such as 0.5 or 2, or 50%",
        };
        let trimmed = text.trim();
        let share = match trimmed.strip_suffix('%') {
            Some(percent) => scaled(percent.trim(), 10),
            None => scaled(trimmed, 1000),
        };
        share
            .and_then(|share| u32::try_from(share).ok())
            .filter(|share| *share > 0)
            .map(Self)
            .ok_or_else(error)
    }
}

/// A decimal number of at least zero times `factor`, in integer arithmetic: floats round 1.5G wrongly at the edges.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let parts: u64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let total = u128::from(whole) * u128::from(factor) + u128::from(parts) * u128::from(factor) / scale;
    u64::try_from(total).ok()
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: [(u64, &str); 4] = [
            (1 << 40, "TiB"),
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
        ];
        for (size, name) in STEPS {
            if self.0 >= size {
                let tenths = u128::from(self.0) * 10 / u128::from(size);
                return if tenths.is_multiple_of(10) {
                    write!(f, "{} {name}", tenths / 10)
                } else {
                    write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
                };
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl fmt::Display for CpuShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        let text = if rest == 0 {
            whole.to_string()
        } else {
            format!("{whole}.{rest:03}").trim_end_matches('0').to_owned()
        };
        write!(f, "{text} {}", if self.0 == 1000 { "core" } else { "cores" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("64k", 64 << 10),
            ("256M", 256 << 20),
            ("256MiB", 256 << 20),
            ("1.5G", 3 << 29),
            (" 2 gb ", 2 << 30),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", ".", "M", "-1", "1e9", "12X", "99999999999T", "1.0000000001G"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_cores_or_percent() {
        for (text, share) in [("1", 1000), ("0.5", 500), ("50%", 500), ("250%", 2500)] {
            assert_eq!(text.parse(), Ok(CpuShare(share)), "{text}");
        }
        for text in ["0", "", "%", "-1", "many"] {
            assert!(text.parse::<CpuShare>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_in_the_largest_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1024, "1 KiB"),
            (256 << 20, "256 MiB"),
            (3 << 29, "1.5 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
