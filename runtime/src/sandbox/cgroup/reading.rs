//! Limits as the kernel gives them back, compared with what was asked for.

use crate::record::Strength;
use crate::units::{Bytes, CpuShare, Pids};

/// A limit as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) strength: Strength,
    pub(super) detail: String,
}

impl Reading {
    pub(super) fn off() -> Self {
        Self {
            strength: Strength::Off,
            detail: "no limit was asked for".to_owned(),
        }
    }

    pub(super) fn none(why: &str) -> Self {
        Self {
            strength: Strength::None,
            detail: why.to_owned(),
        }
    }

    fn new(kept: bool, asked: &str, set: &str, file: &str) -> Self {
        match kept {
            true => Self {
                strength: Strength::Hard,
                detail: format!("{set} ({file})"),
            },
            false => Self {
                strength: Strength::Partial,
                detail: format!("{set} instead of {asked} ({file})"),
            },
        }
    }

    /// The kernel rounds down to whole pages, of at most 64 KiB.
    pub(super) fn bytes(asked: Bytes, set: u64, file: &str) -> Self {
        let kept = set <= asked.0 && asked.0 - set < Bytes::kib(64).0;
        let words = match set {
            // v1 prints "no limit" as the largest whole number of pages.
            set if set > u64::MAX / 4 => "unlimited".to_owned(),
            set => Bytes(set).to_string(),
        };
        Self::new(kept, &asked.to_string(), &words, file)
    }

    pub(super) fn cpu(asked: CpuShare, quota: u64, period: u64, file: &str) -> Self {
        let kept = u128::from(quota) * 1000 == u128::from(period) * u128::from(asked.0);
        let words = match u32::try_from(u128::from(quota) * 1000 / u128::from(period.max(1))) {
            Ok(share) if quota != u64::MAX => CpuShare(share).to_string(),
            _ => "unlimited".to_owned(),
        };
        Self::new(kept, &asked.to_string(), &words, file)
    }

    pub(super) fn count(asked: Pids, set: u64, file: &str) -> Self {
        let words = match set {
            u64::MAX => "unlimited".to_owned(),
            set => format!("{set} tasks"),
        };
        Self::new(
            set == u64::from(asked.0),
            &format!("{} tasks", asked.0),
            &words,
            file,
        )
    }

    /// The same, of a limit that stays as it was because more is used.
    pub(super) fn in_use(self, used: u64) -> Self {
        self.lesser(&format!(
            "it uses {} now, and is held to less from its next start",
            Bytes(used)
        ))
    }

    /// The same, weaker than it looks.
    pub(super) fn lesser(mut self, why: &str) -> Self {
        if self.strength == Strength::Hard {
            self.strength = Strength::Partial;
        }
        self.detail = format!("{}; {why}", self.detail);
        self
    }
}

/// Quota and period in microseconds. The kernel takes quotas of at least a millisecond, so tiny shares need the
/// longest period, a second; longer periods mean longer stalls, so others have the usual tenth.
pub(super) fn cpu_quota(share: CpuShare) -> (u64, u64) {
    let period = if share.0 < 10 { 1_000_000 } else { 100_000 };
    (u64::from(share.0) * period / 1000, period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_hard_only_when_the_kernel_kept_it() {
        let asked = Bytes::mib(100);
        for (set, strength) in [
            (asked.0, Strength::Hard),
            (asked.0 - 4096, Strength::Hard),
            (asked.0 + 1, Strength::Partial),
            (asked.0 / 2, Strength::Partial),
            (0x7fff_ffff_ffff_f000, Strength::Partial),
            (u64::MAX, Strength::Partial),
        ] {
            assert_eq!(Reading::bytes(asked, set, "f").strength, strength, "{set}");
        }
        assert_eq!(
            Reading::bytes(asked, u64::MAX, "f").detail,
            "unlimited instead of 100 MiB (f)"
        );
        assert_eq!(
            Reading::count(Pids(64), 64, "pids.max").detail,
            "64 tasks (pids.max)"
        );
        let cpu = Reading::cpu(CpuShare(500), 50_000, 100_000, "cpu.max");
        assert_eq!(
            (cpu.strength, cpu.detail.as_str()),
            (Strength::Hard, "0.5 cores (cpu.max)")
        );
        assert_eq!(
            Reading::cpu(CpuShare(500), u64::MAX, 100_000, "f").strength,
            Strength::Partial
        );
        assert_eq!(cpu.lesser("but").strength, Strength::Partial);
        assert_eq!(Reading::none("no").lesser("but").strength, Strength::None);
    }

    #[test]
    fn every_share_gives_a_quota_that_the_kernel_takes() {
        for share in [1, 9, 10, 250, 1000, 64_000] {
            let (quota, period) = cpu_quota(CpuShare(share));
            assert!(quota >= 1000 && period <= 1_000_000, "{share}");
            assert_eq!(quota * 1000, period * u64::from(share));
        }
    }
}
