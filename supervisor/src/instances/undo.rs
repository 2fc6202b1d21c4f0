//! How long a deleted instance can still be brought back.
//!
//! Counted while the machine runs, and not by the wall clock: one that jumps years ahead (a board without a battery, a
//! wrong time server) must not erase anything before its time, and one that is set back must not keep it for ever.
//! What a machine is off does not count, so a deletion takes longer there, never shorter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Shared;
use super::model::Instance;
use super::service::problems::stored;
use crate::clock::Uptime;
use crate::problem::Problem;
use crate::store::StoreError;
use crate::store::table::{Record, Table};

/// How long a deleted instance can be brought back.
pub(crate) const UNDO: Duration = Duration::from_hours(24);

/// How much of the time that has passed a reboot may forget.
pub(crate) const NOTED: Duration = Duration::from_mins(10);

/// The time that was left at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Undo {
    /// Milliseconds.
    left_ms: u64,
    /// The moment.
    at: Uptime,
}

impl Record for Undo {
    const TABLE: &'static str = "undo";
    const FORMAT: u32 = 1;
}

impl Undo {
    /// From now on, this long.
    pub(crate) fn from(now: Uptime, left: Duration) -> Self {
        Self {
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            at: now,
        }
    }

    /// What is left now. Of a boot that is over only what was noted counts.
    pub(crate) fn left(&self, now: &Uptime) -> Duration {
        let passed = if self.at.boot == now.boot {
            now.ms.saturating_sub(self.at.ms)
        } else {
            0
        };
        Duration::from_millis(self.left_ms.saturating_sub(passed))
    }
}

impl Shared {
    /// How long a deleted instance can still be brought back. Where that is not known, all of it: never early.
    pub(crate) fn undo_left(&self, id: &str) -> Duration {
        let undo = Table::<Undo>::of(&self.store).get(id);
        match (undo, Uptime::now()) {
            (Ok(Some(undo)), Ok(now)) => undo.record.left(&now),
            _ => UNDO,
        }
    }

    /// Notes how much of the time has passed, so that the next boot counts on from there; false when the instance is
    /// not deleted any more.
    ///
    /// # Errors
    /// When the store or `/proc` refuses.
    pub(crate) async fn note_undo(&self, id: &str) -> Result<bool, Problem> {
        let now =
            Uptime::now().map_err(|error| Problem::io("cannot read how long this machine is up", error))?;
        let instance = Table::<Instance>::of(&self.store).get(id).map_err(stored)?;
        if instance.is_none_or(|instance| instance.record.delete_at_ms.is_none()) {
            return Ok(false);
        }
        let undo = Table::<Undo>::of(&self.store).get(id).map_err(stored)?;
        let (left, revision) = undo.map_or((UNDO, 0), |undo| (undo.record.left(&now), undo.revision));
        let batch = Table::<Undo>::put(id, &Undo::from(now, left), revision).map_err(stored)?;
        match self.store.commit(batch).await {
            // Brought back, or deleted once more, in this moment: looked at again next time.
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(true),
            Err(error) => Err(stored(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(boot: u8, ms: u64) -> Uptime {
        Uptime {
            boot: boot.to_string(),
            ms,
        }
    }

    #[test]
    fn time_of_one_boot_counts_to_the_millisecond() {
        let undo = Undo::from(at(1, 5_000), Duration::from_secs(10));
        for (ms, left) in [(5_000, 10_000), (9_999, 5_001), (15_000, 0), (u64::MAX, 0)] {
            assert_eq!(undo.left(&at(1, ms)), Duration::from_millis(left));
        }
        // Another boot, however long it runs: nothing of it was noted yet.
        assert_eq!(undo.left(&at(2, u64::MAX)), Duration::from_secs(10));
    }

    proptest! {
        /// Whatever boots there are, and whenever it is noted: what counts is at most what has passed, and at least
        /// that without what was not noted before a boot ended.
        #[test]
        fn never_early_and_never_for_ever(boots in prop::collection::vec((0..5_000_u64, 0..700_u64), 1..20)) {
            let whole = 10_000;
            let mut undo = Undo::from(at(0, 0), Duration::from_millis(whole));
            let (mut passed, mut noted) = (0, 0);
            for (boot, (runs, after)) in (1..).zip(boots) {
                undo = Undo::from(at(boot, 0), undo.left(&at(boot, 0)));
                undo = Undo::from(at(boot, runs), undo.left(&at(boot, runs)));
                noted += runs;
                // The rest of this boot ends with it.
                passed += runs + after;
                let left = undo.left(&at(boot, runs)).as_millis();
                prop_assert!(left >= u128::from(whole_minus(whole, passed)));
                prop_assert_eq!(left, u128::from(whole_minus(whole, noted)));
            }
        }
    }

    fn whole_minus(whole: u64, part: u64) -> u64 {
        whole.saturating_sub(part)
    }
}
