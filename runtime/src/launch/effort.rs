//! Pure: how much a program works, and what it is told for that: when to report, and when it is idle.
//!
//! All of it wakes the program, so none is said to one that does nothing: an idle Node-RED uses a millisecond of
//! processor time per minute, and a report a third of one.

use std::time::Duration;

use super::pulse::Word;

/// Looks that make a window; one look is a second.
const WINDOW: u32 = 10;
/// Share of a window below which the program counts as idle: a flow with a timer of one second uses a thousandth.
const IDLE: Duration = Duration::from_millis(200);
/// Windows in a row that must be idle.
const IDLE_WINDOWS: u32 = 2;
/// Work after which there may be garbage worth a collection; the program looks closer before it spends the time.
const LITTER: Duration = Duration::from_millis(50);
/// Work in a window that is worth a report at its end.
const ACTIVE: Duration = Duration::from_millis(5);
/// Work that is worth a report all the same after so many windows: single messages.
const SLOW: (Duration, u32) = (Duration::from_millis(2), 6);

/// What was seen so far. Times are of the program's main thread, since its start.
#[derive(Debug, Default)]
pub(super) struct Effort {
    looks: u32,
    /// At the last window's end.
    before: Duration,
    /// At the last report, and windows since then.
    reported: Duration,
    silent: u32,
    /// A report is due whatever happens: the first, or the one that says that it is over.
    due: bool,
    /// At the end of the window after it was told that it is idle.
    settled: Duration,
    settling: bool,
    quiet: u32,
}

impl Effort {
    /// The next window ends with a report.
    pub(super) fn report_soon(&mut self) {
        self.due = true;
        self.looks = WINDOW - 1;
    }

    /// One look later. `ran` is only called at a window's end; where the kernel does not tell, every window ends with a
    /// report, and the program is never taken for idle.
    pub(super) fn looked(&mut self, ran: impl FnOnce() -> Option<Duration>) -> Vec<Word> {
        self.looks += 1;
        if self.looks < WINDOW {
            return Vec::new();
        }
        self.looks = 0;
        let Some(ran) = ran() else {
            return vec![Word::Report];
        };
        let mut words = Vec::new();
        if self.is_worth_a_report(ran) {
            words.push(Word::Report);
            self.reported = ran;
            self.silent = 0;
        }
        if self.is_idle(ran) {
            words.push(Word::Idle);
            self.settling = true;
        }
        self.before = ran;
        words
    }

    fn is_worth_a_report(&mut self, ran: Duration) -> bool {
        self.silent += 1;
        let worked = ran.saturating_sub(self.reported);
        let active = worked >= ACTIVE;
        let (least, windows) = SLOW;
        let wanted = std::mem::replace(&mut self.due, active);
        active || wanted || (self.silent >= windows && worked >= least)
    }

    fn is_idle(&mut self, ran: Duration) -> bool {
        if std::mem::take(&mut self.settling) {
            // What the collection itself took is no new litter.
            self.settled = ran;
        }
        let idle = ran.saturating_sub(self.before) < IDLE;
        self.quiet = if idle { self.quiet + 1 } else { 0 };
        self.quiet >= IDLE_WINDOWS && ran.saturating_sub(self.settled) >= LITTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// What is said at the end of each window, when the thread had run for so long by then.
    fn said(effort: &mut Effort, ran: &[u64]) -> Vec<Vec<Word>> {
        let mut window = |ran: u64| {
            let looks = (0..WINDOW).map(|_| effort.looked(|| Some(ms(ran))));
            looks.last().unwrap_or_default()
        };
        ran.iter().map(|ran| window(*ran)).collect()
    }

    #[test]
    fn who_does_nothing_is_told_nothing() {
        let mut effort = Effort::default();
        let start = said(&mut effort, &[600, 601, 601, 601]);
        assert_eq!(
            start,
            [vec![Word::Report], vec![Word::Report], vec![Word::Idle], vec![]]
        );
        // A collection takes as long as it takes.
        assert_eq!(said(&mut effort, &[601, 601, 601]), vec![vec![]; 3]);
        let mut effort = Effort {
            reported: ms(700),
            settled: ms(700),
            before: ms(700),
            ..Effort::default()
        };
        assert_eq!(said(&mut effort, &[700; 30]), vec![vec![]; 30]);
    }

    #[test]
    fn work_is_reported_while_it_lasts_and_once_more() {
        let mut effort = Effort::default();
        let words = said(&mut effort, &[0, 6, 12, 12, 12]);
        let report = || vec![Word::Report];
        assert_eq!(words, [vec![], report(), report(), report(), vec![]]);
        // A few messages are told within a minute.
        let few = said(&mut effort, &[14, 14, 14, 14, 14, 14]);
        let told = few.iter().filter(|words| words.contains(&Word::Report));
        assert_eq!(told.count(), 1);
    }

    #[test]
    fn whoever_asks_hears_soon() {
        let mut effort = Effort::default();
        effort.report_soon();
        assert_eq!(effort.looked(|| Some(ms(0))), [Word::Report]);
        assert_eq!(effort.looked(|| None), []);
    }

    #[test]
    fn only_quiet_after_work_is_worth_a_collection() {
        let mut effort = Effort::default();
        let busy = said(&mut effort, &[5_000, 10_000, 15_000]);
        assert!(!busy.iter().any(|words| words.contains(&Word::Idle)));
        let quiet = said(&mut effort, &[15_010, 15_020, 15_150, 15_150, 15_150]);
        let told: Vec<bool> = quiet.iter().map(|words| words.contains(&Word::Idle)).collect();
        assert_eq!(told, [false, true, false, false, false]);
    }

    #[test]
    fn without_the_kernels_word_nobody_is_idle() {
        let mut effort = Effort::default();
        for _ in 0..5 {
            for _ in 1..WINDOW {
                assert_eq!(effort.looked(|| None), []);
            }
            assert_eq!(effort.looked(|| None), [Word::Report]);
        }
    }
}
