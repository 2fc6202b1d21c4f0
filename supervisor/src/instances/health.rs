//! Pure: what is known of a living instance, and when that is a reason to act.
//!
//! Four facts that are not the same. Alive is the kernel's word and the keeper's. Turning is what the keeper sees once
//! per second: a loop that is blocked still has its connections accepted by the kernel and never hears SIGTERM.
//! Serving is an answer to a request. Flows running is what Node-RED says itself.

use std::time::Duration;

use super::model::HealthSettings;

/// How long before its end a loop that stands still is asked at the latest what holds it. The answer comes within
/// milliseconds where there is processor time.
pub const ANSWER: Duration = Duration::from_secs(2);

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
    /// When it was told that it is.
    told: Option<Duration>,
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
                self.told
                    .take()
                    .map(|_| Alarm::Unblocked(now.saturating_sub(since)))
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
            match self.told {
                None if now >= blocked_at(since, settings) => {
                    self.told = Some(now);
                    return Some(Alarm::Blocked(silent));
                }
                Some(told) if hung_at(since, told, settings).is_some_and(|at| now >= at) => {
                    return Some(Alarm::Hung(silent));
                }
                _ => {}
            }
        }
        let starting = now.saturating_sub(self.starting?);
        (starting >= ms(settings.start_timeout_ms)).then_some(Alarm::TooSlow(starting))
    }

    /// When something will be due, if nothing else happens.
    #[must_use]
    pub fn deadline(&self, settings: &HealthSettings) -> Option<Duration> {
        let silent = self.silent.and_then(|since| match self.told {
            None => Some(blocked_at(since, settings)),
            Some(told) => hung_at(since, told, settings),
        });
        let starting = self.starting.map(|since| since + ms(settings.start_timeout_ms));
        silent.into_iter().chain(starting).min()
    }
}

/// When a loop that is silent `since` then counts as blocked.
fn blocked_at(since: Duration, settings: &HealthSettings) -> Duration {
    let blocked = ms(settings.blocked_after_ms);
    let hung = match settings.hang_after_ms {
        0 => Duration::MAX,
        after => ms(after).saturating_sub(ANSWER),
    };
    since + blocked.min(hung)
}

/// When it counts as hung, if ever. One that was found so by a new supervisor still has its time to answer.
fn hung_at(since: Duration, told: Duration, settings: &HealthSettings) -> Option<Duration> {
    let after = settings.hang_after_ms;
    (after > 0).then(|| (since + ms(after)).max(told + ANSWER))
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
    fn one_that_hangs_when_it_is_found_is_asked_first() {
        let settings = HealthSettings::default();
        let mut health = Health::default();
        assert_eq!(health.beat(at(1000), Some(at(500))), None);
        assert_eq!(health.due(at(1000), &settings), Some(Alarm::Blocked(at(500))));
        assert_eq!(health.due(at(1001), &settings), None);
        assert_eq!(health.deadline(&settings), Some(at(1002)));
        assert_eq!(health.due(at(1002), &settings), Some(Alarm::Hung(at(502))));
    }

    #[test]
    fn one_that_may_not_hang_for_long_is_asked_in_time() {
        let settings = HealthSettings {
            blocked_after_ms: 8000,
            hang_after_ms: 6000,
            ..HealthSettings::default()
        };
        let mut health = Health::default();
        assert_eq!(health.beat(at(105), Some(at(5))), None);
        assert_eq!(health.due(at(105), &settings), Some(Alarm::Blocked(at(5))));
        assert_eq!(health.due(at(107), &settings), Some(Alarm::Hung(at(7))));
        let never = HealthSettings {
            hang_after_ms: 0,
            ..settings
        };
        let mut health = Health::default();
        assert_eq!(health.beat(at(105), Some(at(5))), None);
        assert_eq!(health.due(at(107), &never), None);
        assert_eq!(health.due(at(108), &never), Some(Alarm::Blocked(at(8))));
        assert_eq!(health.deadline(&never), None);
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
