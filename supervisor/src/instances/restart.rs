//! Pure: when an instance that ended by itself starts again, and when it does not.

use std::collections::VecDeque;
use std::time::Duration;

use super::model::RestartSettings;

/// The first wait that is not none, and the least time between two starts after it.
const FLOOR: Duration = Duration::from_secs(1);

/// What to do after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start again after this wait.
    Again(Duration),
    /// Start again after this wait with the flows stopped.
    Safe(Duration),
    /// Leave it down: it would crash again.
    Down,
}

/// The crashes of one instance, by a monotonic clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crashes {
    at: VecDeque<Duration>,
}

impl Crashes {
    /// Crashes that count at the moment.
    #[must_use]
    pub fn count(&self) -> usize {
        self.at.len()
    }

    /// Forgets: a person acted, or a deploy changed the flows.
    pub fn forget(&mut self) {
        self.at.clear();
    }

    /// Judges a crash at `now`; `seed` spreads the waits of instances that crashed together by up to a fifth.
    pub fn judge(&mut self, now: Duration, safe: bool, settings: &RestartSettings, seed: u32) -> Verdict {
        let window = Duration::from_millis(settings.window_ms.into());
        self.at.retain(|at| now.saturating_sub(*at) < window);
        self.at.push_back(now);
        if !settings.enabled {
            return Verdict::Down;
        }
        let count = self.at.len();
        let wait = wait(count, settings, seed);
        if safe {
            return if count >= settings.safe_crashes as usize {
                Verdict::Down
            } else {
                Verdict::Safe(wait)
            };
        }
        if count < settings.crashes as usize {
            return Verdict::Again(wait);
        }
        if settings.safe_mode {
            // Safe mode has crashes of its own to count.
            self.at.clear();
            Verdict::Safe(FLOOR)
        } else {
            Verdict::Down
        }
    }
}

/// None after the first crash, then a second, doubled each time.
fn wait(count: usize, settings: &RestartSettings, seed: u32) -> Duration {
    let Some(doublings) = count.checked_sub(2) else {
        return Duration::ZERO;
    };
    let longest = Duration::from_millis(settings.longest_wait_ms.into()).max(FLOOR);
    let doubled = FLOOR.saturating_mul(1 << doublings.min(16));
    // A multiplicative hash (Knuth) of who and which, as a fraction of a fifth more or less.
    let mixed = seed
        .wrapping_add(u32::try_from(count).unwrap_or(0))
        .wrapping_mul(2_654_435_761);
    let spread = 0.8 + 0.4 * f64::from(mixed) / f64::from(u32::MAX);
    doubled.min(longest).mul_f64(spread).max(FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_loop_ends_in_safe_mode_and_then_down() {
        let settings = RestartSettings::default();
        let mut crashes = Crashes::default();
        assert_eq!(
            crashes.judge(at(0), false, &settings, 7),
            Verdict::Again(Duration::ZERO)
        );
        let mut last = Duration::ZERO;
        for second in [5, 10, 15] {
            let Verdict::Again(wait) = crashes.judge(at(second), false, &settings, 7) else {
                panic!("again");
            };
            assert!(wait >= FLOOR && wait > last, "{wait:?} after {last:?}");
            last = wait;
        }
        assert_eq!(crashes.judge(at(20), false, &settings, 7), Verdict::Safe(FLOOR));
        assert!(matches!(
            crashes.judge(at(22), true, &settings, 7),
            Verdict::Safe(_)
        ));
        assert!(matches!(
            crashes.judge(at(24), true, &settings, 7),
            Verdict::Safe(_)
        ));
        assert_eq!(crashes.judge(at(26), true, &settings, 7), Verdict::Down);
    }

    #[test]
    fn one_that_ran_long_enough_starts_anew() {
        let settings = RestartSettings::default();
        let mut crashes = Crashes::default();
        for day in 0..20 {
            let verdict = crashes.judge(at(day * 86_400), false, &settings, 1);
            assert_eq!(verdict, Verdict::Again(Duration::ZERO));
        }
    }

    #[test]
    fn settings_are_obeyed() {
        let never = RestartSettings {
            enabled: false,
            ..RestartSettings::default()
        };
        assert_eq!(Crashes::default().judge(at(0), false, &never, 1), Verdict::Down);
        let bold = RestartSettings {
            safe_mode: false,
            crashes: 2,
            ..RestartSettings::default()
        };
        let mut crashes = Crashes::default();
        assert!(matches!(crashes.judge(at(0), false, &bold, 1), Verdict::Again(_)));
        assert_eq!(crashes.judge(at(1), false, &bold, 1), Verdict::Down);
    }

    #[test]
    fn waits_are_spread_and_bounded() {
        let settings = RestartSettings {
            crashes: 1000,
            ..RestartSettings::default()
        };
        for seed in 0..200 {
            for count in 0..60 {
                let wait = wait(count, &settings, seed);
                assert!(wait <= Duration::from_secs(72), "{wait:?}");
                assert!(count < 2 || wait >= FLOOR);
            }
        }
        let waits: std::collections::BTreeSet<Duration> =
            (0..50).map(|seed| wait(6, &settings, seed)).collect();
        assert!(
            waits.len() > 30,
            "fifty that crash together do not start together"
        );
    }
}
