//! Pure: whether an instance that ended is started again, and what its person can do.

use std::time::Duration;

use runtime::record::ExitRecord;

/// Crashes within [`WINDOW`] after which it stays down: something crashes it every time.
const LOOP: usize = 4;
const WINDOW: Duration = Duration::from_secs(120);

/// What to do after an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Start it again after this wait.
    Restart(Duration),
    /// It would crash again.
    GiveUp,
}

/// The crashes of one `redhold dev`.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    at: Vec<Duration>,
}

impl Crashes {
    /// Decides after a crash at `now` (since any fixed moment). One that never got its flows running would not get
    /// further the next time; one that ran for long gets a fresh start.
    pub(super) fn next(&mut self, now: Duration, was_ready: bool) -> Next {
        if !was_ready {
            return Next::GiveUp;
        }
        self.at.retain(|at| now.saturating_sub(*at) < WINDOW);
        self.at.push(now);
        if self.at.len() >= LOOP {
            return Next::GiveUp;
        }
        let doubled = u32::try_from(self.at.len() - 1).unwrap_or(u32::MAX);
        Next::Restart(Duration::from_millis(500) * 2_u32.saturating_pow(doubled))
    }
}

/// What a person can do about it.
pub(super) fn advice(exit: &ExitRecord) -> &'static str {
    if exit.oom.is_some() || exit.signal == Some(6) || exit.code == Some(134) {
        "give it more with --memory, or start with --safe and look for the flow that needs so much"
    } else {
        "start with --safe to open the editor with the flows stopped"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_that_follow_each_other_end_it() {
        let mut crashes = Crashes::default();
        let at = Duration::from_secs;
        assert_eq!(
            crashes.next(at(0), true),
            Next::Restart(Duration::from_millis(500))
        );
        assert_eq!(crashes.next(at(5), true), Next::Restart(Duration::from_secs(1)));
        assert_eq!(crashes.next(at(9), true), Next::Restart(Duration::from_secs(2)));
        assert_eq!(crashes.next(at(20), true), Next::GiveUp);
        assert_eq!(
            crashes.next(at(900), true),
            Next::Restart(Duration::from_millis(500))
        );
        assert_eq!(crashes.next(at(1900), false), Next::GiveUp);
    }
}
