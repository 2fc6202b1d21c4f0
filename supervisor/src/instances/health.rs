//! Pure: what is known of a living instance, and when that is a reason to act.
//!
//! Four facts that are not the same. Alive is the kernel's word and the keeper's. Turning is a byte per second from
//! the event loop: a loop that is blocked still has its connections accepted by the kernel and never hears SIGTERM.
//! Serving is an answer to a request. Flows running is what Node-RED says itself.

use std::time::Duration;

use super::model::HealthSettings;

/// Something to tell, or to act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The event loop has stood still for this long.
    Blocked(Duration),
    /// It turns again, after this long.
    Unblocked(Duration),
    /// It has not answered so often in a row that it counts as not serving.
    NotServing,
    /// It answers again.
    ServingAgain,
    /// It must be ended: its event loop has stood still too long.
    Hung(Duration),
    /// It must be ended: its start takes too long.
    TooSlow(Duration),
}

/// What is known, by a monotonic clock.
#[derive(Clone, Debug, Default)]
pub struct Health {
    starting: Option<Duration>,
    silent: Option<Duration>,
    told: bool,
    failures: u32,
    serving: Option<bool>,
}

impl Health {
    /// Of one that was started at `now`.
    #[must_use]
    pub fn starting(now: Duration) -> Self {
        Self {
            starting: Some(now),
            ..Self::default()
        }
    }

    /// Whether the event loop turns, as far as is known.
    #[must_use]
    pub const fn turning(&self) -> bool {
        self.silent.is_none()
    }

    /// Whether it answers, once it was asked.
    #[must_use]
    pub const fn serving(&self) -> Option<bool> {
        self.serving
    }

    /// Its flows run, or never will by themselves: the start is over.
    pub fn started(&mut self) {
        self.starting = None;
    }

    /// The keeper says that the loop has been silent for so long; none means that it turns again.
    pub fn beat(&mut self, now: Duration, silent: Option<Duration>) -> Option<Alarm> {
        match silent {
            Some(silent) => {
                self.silent.get_or_insert_with(|| now.saturating_sub(silent));
                None
            }
            None => {
                let since = self.silent.take()?;
                std::mem::take(&mut self.told).then(|| Alarm::Unblocked(now.saturating_sub(since)))
            }
        }
    }

    /// A request was answered, or was not in time.
    pub fn probed(&mut self, answered: bool, settings: &HealthSettings) -> Option<Alarm> {
        if answered {
            self.failures = 0;
            let before = self.serving.replace(true);
            return (before == Some(false)).then_some(Alarm::ServingAgain);
        }
        self.failures += 1;
        if self.failures < settings.probe_failures.max(1) || self.serving == Some(false) {
            return None;
        }
        self.serving = Some(false);
        Some(Alarm::NotServing)
    }

    /// What is due at `now`. A hang and a slow start are said each time, until something was done about them.
    pub fn due(&mut self, now: Duration, settings: &HealthSettings) -> Option<Alarm> {
        if let Some(since) = self.silent {
            let silent = now.saturating_sub(since);
            if settings.hang_after_ms > 0 && silent >= ms(settings.hang_after_ms) {
                return Some(Alarm::Hung(silent));
            }
            if !self.told && silent >= ms(settings.blocked_after_ms) {
                self.told = true;
                return Some(Alarm::Blocked(silent));
            }
        }
        let starting = now.saturating_sub(self.starting?);
        (starting >= ms(settings.start_timeout_ms)).then_some(Alarm::TooSlow(starting))
    }

    /// When something will be due, if nothing else happens.
    #[must_use]
    pub fn deadline(&self, settings: &HealthSettings) -> Option<Duration> {
        let silent = self.silent.and_then(|since| {
            let blocked = (!self.told).then(|| since + ms(settings.blocked_after_ms));
            let hung = (settings.hang_after_ms > 0).then(|| since + ms(settings.hang_after_ms));
            blocked.into_iter().chain(hung).min()
        });
        let starting = self.starting.map(|since| since + ms(settings.start_timeout_ms));
        silent.into_iter().chain(starting).min()
    }
}

fn ms(milliseconds: u32) -> Duration {
    Duration::from_millis(milliseconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_silent_loop_is_told_once_and_ended_in_time() {
        let settings = HealthSettings::default();
        let mut health = Health::starting(at(0));
        health.started();
        assert_eq!(health.deadline(&settings), None);
        assert_eq!(health.beat(at(100), Some(at(5))), None);
        assert!(!health.turning());
        assert_eq!(health.deadline(&settings), Some(at(103)));
        assert_eq!(health.due(at(102), &settings), None);
        assert_eq!(health.due(at(103), &settings), Some(Alarm::Blocked(at(8))));
        assert_eq!(health.due(at(104), &settings), None);
        assert_eq!(health.deadline(&settings), Some(at(115)));
        assert_eq!(health.due(at(115), &settings), Some(Alarm::Hung(at(20))));
        assert_eq!(health.beat(at(116), None), Some(Alarm::Unblocked(at(21))));
        assert!(health.turning());
        // Short ones are nobody's business.
        assert_eq!(health.beat(at(200), Some(at(5))), None);
        assert_eq!(health.beat(at(201), None), None);
    }

    #[test]
    fn a_start_has_its_own_time() {
        let settings = HealthSettings::default();
        let mut health = Health::starting(at(10));
        assert_eq!(health.due(at(69), &settings), None);
        assert_eq!(health.due(at(70), &settings), Some(Alarm::TooSlow(at(60))));
        health.started();
        assert_eq!(health.due(at(1000), &settings), None);
    }

    #[test]
    fn one_missing_answer_is_none() {
        let settings = HealthSettings::default();
        let mut health = Health::default();
        assert_eq!(health.serving(), None);
        assert_eq!(health.probed(true, &settings), None);
        assert_eq!(health.probed(false, &settings), None);
        assert_eq!(health.probed(false, &settings), None);
        assert_eq!(health.serving(), Some(true));
        assert_eq!(health.probed(false, &settings), Some(Alarm::NotServing));
        assert_eq!(health.probed(false, &settings), None);
        assert_eq!(health.probed(true, &settings), Some(Alarm::ServingAgain));
    }
}
