//! Pure: when an instance has used much of a limit for so long that somebody should know.

use std::collections::VecDeque;
use std::time::Duration;

/// Samples in a window. More would not make the average much better.
const SAMPLES: u32 = 30;

/// A load that was high is normal again only when it has come down this far below the line, so that one that moves along
/// it is not told again and again.
const BELOW: f64 = 0.9;

/// Where the line is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// Percent of the limit.
    pub(super) percent: f64,
    /// For how long, on average.
    pub(super) window: Duration,
}

impl Line {
    /// Time between two samples.
    pub(super) fn every(self) -> Duration {
        self.window / SAMPLES
    }
}

/// A change that somebody should know of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turn {
    /// It is over the line, by this average in percent.
    High(f64),
    /// It is well below again.
    Normal(f64),
}

/// The load of one resource, by a monotonic clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    samples: VecDeque<(Duration, f64)>,
    high: bool,
}

impl Load {
    /// One that was `high` when that was last told.
    pub(super) fn new(high: bool) -> Self {
        Self {
            samples: VecDeque::new(),
            high,
        }
    }

    /// Takes what was used since the last sample, in percent of the limit. The verdict is about whole windows: a short
    /// burst, however high, is none.
    pub(super) fn sample(&mut self, now: Duration, percent: f64, line: Line) -> Option<Turn> {
        self.samples.push_back((now, percent));
        let begin = now.checked_sub(line.window)?;
        // The one at the beginning of the window stays: it says that all of it was seen.
        while self.samples.get(1).is_some_and(|(at, _)| *at <= begin) {
            self.samples.pop_front();
        }
        if self.samples.front().is_none_or(|(at, _)| *at > begin) {
            return None;
        }
        let within = self.samples.iter().skip(1);
        let (sum, count) = within.fold((0.0, 0.0), |(sum, count), (_, percent)| {
            (sum + percent, count + 1.0)
        });
        if count == 0.0 {
            return None;
        }
        let average = sum / count;
        if !self.high && average >= line.percent {
            self.high = true;
            return Some(Turn::High(average));
        }
        if self.high && average < line.percent * BELOW {
            self.high = false;
            return Some(Turn::Normal(average));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = Line {
        percent: 75.0,
        window: Duration::from_secs(300),
    };

    /// Samples every ten seconds; when something was told, in seconds, and what.
    fn told(load: &mut Load, from: u64, percents: impl Iterator<Item = f64>) -> Vec<(u64, Turn)> {
        let mut all = Vec::new();
        for (at, percent) in (from..).step_by(10).zip(percents) {
            let turn = load.sample(Duration::from_secs(at), percent, LINE);
            all.extend(turn.map(|turn| (at, turn)));
        }
        all
    }

    #[test]
    fn five_minutes_count_and_a_burst_does_not() {
        assert_eq!(LINE.every(), Duration::from_secs(10));
        let mut load = Load::default();
        let burst = (0..60).map(|number| if number % 6 == 0 { 100.0 } else { 5.0 });
        assert_eq!(told(&mut load, 0, burst), []);

        let mut load = Load::default();
        let steady = std::iter::repeat_n(80.0, 100);
        assert_eq!(told(&mut load, 0, steady), [(300, Turn::High(80.0))]);
        // On the line it stays as it is; well below it is told once.
        assert_eq!(told(&mut load, 1000, std::iter::repeat_n(74.0, 100)), []);
        let after = told(&mut load, 2000, std::iter::repeat_n(10.0, 100));
        assert!(matches!(after[..], [(_, Turn::Normal(_))]), "{after:?}");
    }

    #[test]
    fn what_was_told_before_a_new_supervisor_is_not_told_again() {
        let mut load = Load::new(true);
        assert_eq!(told(&mut load, 0, std::iter::repeat_n(90.0, 50)), []);
        let after = told(&mut load, 500, std::iter::repeat_n(0.0, 50));
        assert!(matches!(after[..], [(_, Turn::Normal(_))]), "{after:?}");
    }

    #[test]
    fn a_gap_is_no_window() {
        let mut load = Load::default();
        assert_eq!(load.sample(Duration::from_secs(0), 100.0, LINE), None);
        // The host slept: what one sample says of an hour is an average of it.
        assert_eq!(load.sample(Duration::from_secs(3600), 10.0, LINE), None);
    }
}
