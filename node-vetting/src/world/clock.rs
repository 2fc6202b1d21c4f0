//! Virtual time: it passes when the guest's driver says so, and a little when somebody waits for it in a loop.

/// Readings at one moment after which each further one takes a millisecond: so that a loop that waits for the time
/// comes to its end, while code that only reads it sees the same time in every run.
const PATIENCE: u32 = 10_000;

/// The clock of one run.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// Milliseconds since 1970 at the start of the run.
    start: i64,
    passed: u64,
    readings: u32,
}

impl Clock {
    pub(super) const fn new(start: i64) -> Self {
        Self {
            start,
            passed: 0,
            readings: 0,
        }
    }

    /// Milliseconds since the start of the run.
    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    /// Milliseconds since 1970.
    pub(super) const fn now(&self) -> i64 {
        self.start.saturating_add_unsigned(self.passed)
    }

    pub(super) const fn advance(&mut self, milliseconds: u64) {
        self.passed = self.passed.saturating_add(milliseconds);
        self.readings = 0;
    }

    /// Nanoseconds since 1970, or since the machine started, half a day before the run.
    pub(super) fn read(&mut self, of_the_day: bool) -> u64 {
        self.readings += 1;
        if self.readings > PATIENCE {
            self.passed += 1;
        }
        let milliseconds = if of_the_day {
            u64::try_from(self.now()).unwrap_or(0)
        } else {
            43_200_000 + self.passed
        };
        milliseconds.saturating_mul(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_still_until_somebody_waits() {
        let mut clock = Clock::new(1000);
        let first = clock.read(true);
        for _ in 1..PATIENCE {
            assert_eq!(clock.read(true), first);
        }
        assert_eq!(clock.read(true), first + 1_000_000);
        clock.advance(5);
        assert_eq!(clock.now(), 1006);
        assert_eq!(clock.read(true), 1_006_000_000);
    }
}
