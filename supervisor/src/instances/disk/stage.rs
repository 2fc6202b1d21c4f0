//! Pure: when a disk counts as nearly full, as full, and as roomy again.

/// How full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::instances) enum Stage {
    /// There is room.
    #[default]
    Roomy,
    /// Four fifths are used.
    Near,
    /// It is used up.
    Full,
}

/// Where a stage begins and, lower, where it ends: a figure that trembles is told once.
const NEAR: (u64, u64) = (80, 75);
/// A file system that refuses to write has still some blocks that it keeps for itself.
const FULL: (u64, u64) = (99, 95);

impl Stage {
    /// What follows when so many percent are used.
    pub(in crate::instances) fn next(self, percent: u64) -> Self {
        let holds =
            |stage: Self, (begin, end): (u64, u64)| percent >= begin || (self >= stage && percent >= end);
        if holds(Self::Full, FULL) {
            Self::Full
        } else if holds(Self::Near, NEAR) {
            Self::Near
        } else {
            Self::Roomy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_ends_lower_than_it_begins() {
        let mut stage = Stage::default();
        for (percent, expected) in [
            (0, Stage::Roomy),
            (79, Stage::Roomy),
            (80, Stage::Near),
            (76, Stage::Near),
            (74, Stage::Roomy),
            (100, Stage::Full),
            (96, Stage::Full),
            (94, Stage::Near),
            (98, Stage::Near),
            (250, Stage::Full),
            (10, Stage::Roomy),
        ] {
            stage = stage.next(percent);
            assert_eq!(stage, expected, "{percent}");
        }
    }
}
