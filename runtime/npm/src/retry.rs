//! Bounded repetition with growing, jittered pauses.

use std::time::Duration;

use crate::error::FetchError;

/// First pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(200);
/// No pause is longer, unless the server asks for it.
const LONGEST: Duration = Duration::from_secs(10);
/// A server that wants to be left alone for longer than this gets its way: the fetch fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts failures of one piece of work. Progress between two failures starts the count anew, because a long
/// download over a bad link is not a dead server; the total is bounded too.
#[derive(Debug)]
pub struct Retry {
    allowed: u32,
    in_a_row: u32,
    total: u32,
}

impl Retry {
    /// At most `allowed` repetitions without progress between them, and ten times as many in all.
    #[must_use]
    pub const fn new(allowed: u32) -> Self {
        Self {
            allowed,
            in_a_row: 0,
            total: 0,
        }
    }

    /// Bytes came: failures from here on are counted anew.
    pub const fn progressed(&mut self) {
        self.in_a_row = 0;
    }

    /// How long to pause before trying again; none when trying again is useless or has been done enough.
    /// `dice` is a random number that spreads clients which failed together.
    #[must_use]
    pub fn pause(&mut self, error: &FetchError, dice: u32) -> Option<Duration> {
        if !error.passing() || self.in_a_row >= self.allowed || self.total >= self.allowed.saturating_mul(10)
        {
            return None;
        }
        let asked = error.asked_to_wait().unwrap_or_default();
        if asked > PATIENCE {
            return None;
        }
        let growing = FIRST
            .saturating_mul(2u32.saturating_pow(self.in_a_row))
            .min(LONGEST);
        self.in_a_row += 1;
        self.total += 1;
        // Between half and the whole of it.
        let jittered = growing / 2 + (growing / 2).mul_f64(f64::from(dice) / f64::from(u32::MAX));
        Some(jittered.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, after: Option<u64>) -> FetchError {
        FetchError::Status {
            package: "a".to_owned(),
            url: "http://r.test/a".to_owned(),
            status,
            after: after.map(Duration::from_secs),
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut retry = Retry::new(3);
        let pauses: Vec<_> = (0..5)
            .map(|_| {
                retry
                    .pause(&failure(500, None), u32::MAX)
                    .map(|pause| pause.as_millis())
            })
            .collect();
        assert_eq!(pauses, [Some(200), Some(400), Some(800), None, None]);
        assert_eq!(
            Retry::new(3).pause(&failure(500, None), 0).unwrap().as_millis(),
            100
        );
    }

    #[test]
    fn progress_starts_the_count_anew_within_bounds() {
        let mut retry = Retry::new(2);
        let repeats = (0..100)
            .take_while(|_| {
                retry.progressed();
                retry.pause(&failure(503, None), 0).is_some()
            })
            .count();
        assert_eq!(repeats, 20);
    }

    #[test]
    fn servers_are_heard() {
        let mut retry = Retry::new(3);
        assert_eq!(
            retry.pause(&failure(429, Some(2)), 0),
            Some(Duration::from_secs(2))
        );
        assert_eq!(retry.pause(&failure(429, Some(3600)), 0), None);
        assert_eq!(retry.pause(&failure(404, None), 0), None);
    }
}
