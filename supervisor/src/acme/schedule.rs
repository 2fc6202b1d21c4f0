//! Pure: when a certificate is ordered, and how often that may fail.
//!
//! Everything is in milliseconds since 1970, because it is kept on the disk: a host that is started again and again
//! must not ask an authority more often than one that runs.

use serde::{Deserialize, Serialize};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// Failed orders of one name in an hour. Let's Encrypt closes a name after five.
const PER_HOUR: usize = 4;

/// Longest wait that is chosen here.
const LONGEST: u64 = 6 * HOUR;

/// Longest wait that an authority may ask for. More is a mistake, or the clock was wrong when it was noted.
const OBEYED: u64 = 8 * 24 * HOUR;

/// Orders that did not lead to a certificate, and when the next one may be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Failures {
    /// When orders of the last hour were begun.
    begun: Vec<u64>,
    /// Orders in a row without a certificate.
    pub(super) count: u32,
    /// The wait after the last failure.
    pause_until: u64,
    /// What the authority asked for.
    held_until: u64,
}

impl Failures {
    /// Notes that an order begins. It counts until a certificate comes, also when nobody lives to see how it ends.
    pub(super) fn begin(&mut self, now: u64) {
        self.begun.retain(|at| *at <= now && now - at < HOUR);
        self.begun.push(now);
        self.pause_until = now + pause(self.count + 1, 0.5);
    }

    /// Notes a failure. `asked` is until when the authority wants to hear nothing; `chance` is from 0 to 1.
    pub(super) fn failed(&mut self, now: u64, asked: Option<u64>, chance: f64) {
        self.count = self.count.saturating_add(1);
        self.pause_until = now + pause(self.count, chance);
        if let Some(asked) = asked {
            self.held_until = asked.min(now + OBEYED);
        }
    }

    /// Notes a certificate.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Forgets the wait that was chosen here; what the authority asked for, and the bound per hour, stay.
    pub(super) fn hurry(&mut self) {
        self.pause_until = 0;
    }

    /// From when on an order may be made.
    pub(super) fn allowed_at(&self, now: u64) -> u64 {
        // What lies further ahead than anything noted here was noted by a wrong clock.
        let sane = |at: u64, longest: u64| if at > now + longest { 0 } else { at };
        let recent: Vec<u64> = self
            .begun
            .iter()
            .copied()
            .filter(|at| *at <= now && now - at < HOUR)
            .collect();
        let full = recent
            .len()
            .checked_sub(PER_HOUR)
            .map_or(0, |at| recent[at] + HOUR);
        sane(self.pause_until, LONGEST * 2)
            .max(sane(self.held_until, OBEYED))
            .max(full)
    }
}

/// Doubles from a minute to six hours, give or take a fifth.
fn pause(count: u32, chance: f64) -> u64 {
    let doubled = MINUTE << count.saturating_sub(1).min(12);
    let part = 0.8 + 0.4 * chance.clamp(0.0, 1.0);
    (doubled.min(LONGEST) as f64 * part) as u64
}

/// When a certificate is renewed: after two thirds of its life, or up to a twentieth of it before that, so that those
/// that were ordered together are not renewed together.
pub(super) fn renew_at(not_before: u64, not_after: u64, chance: f64) -> u64 {
    let life = not_after.saturating_sub(not_before);
    let early = (life as f64 / 20.0 * chance.clamp(0.0, 1.0)) as u64;
    not_before + life / 3 * 2 - early
}

/// The same by the window that the authority suggests (RFC 9773): any moment of it, at once when it has begun in the
/// past, and never in the last tenth of the certificate's life.
pub(super) fn renew_within(window: (u64, u64), (not_before, not_after): (u64, u64), chance: f64) -> u64 {
    let length = window.1.saturating_sub(window.0);
    let chosen = window.0 + (length as f64 * chance.clamp(0.0, 1.0)) as u64;
    chosen.min(not_after - not_after.saturating_sub(not_before) / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn failures_wait_longer_and_longer() {
        let mut failures = Failures::default();
        assert_eq!(failures.allowed_at(NOW), 0);
        let mut waits = Vec::new();
        for day in 0..12 {
            // Apart from each other, so that the bound per hour does not show.
            let now = NOW + day * 24 * HOUR;
            failures.begin(now);
            failures.failed(now, None, 0.5);
            waits.push((failures.allowed_at(now) - now) / MINUTE);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]);
        assert!(pause(1, 0.0) < pause(1, 1.0));
        failures.succeeded();
        assert_eq!(failures.allowed_at(NOW), 0);
    }

    #[test]
    fn no_hour_has_more_than_four_orders() {
        let mut failures = Failures::default();
        let mut orders = 0;
        for second in 0..3600 {
            let now = NOW + second * 1000;
            failures.hurry();
            if failures.allowed_at(now) <= now {
                failures.begin(now);
                failures.failed(now, None, 0.0);
                orders += 1;
            }
        }
        assert_eq!(orders, PER_HOUR);
        failures.hurry();
        assert_eq!(failures.allowed_at(NOW + HOUR), 0, "the first one is an hour ago");
    }

    #[test]
    fn an_order_that_nobody_saw_end_counts() {
        let mut failures = Failures::default();
        failures.begin(NOW);
        assert!(failures.allowed_at(NOW) > NOW);
    }

    #[test]
    fn the_authority_is_obeyed_and_a_wrong_clock_is_not() {
        let mut failures = Failures::default();
        failures.failed(NOW, Some(NOW + 24 * HOUR), 0.5);
        failures.hurry();
        assert_eq!(failures.allowed_at(NOW), NOW + 24 * HOUR);
        assert_eq!(
            failures.allowed_at(NOW - 400 * 24 * HOUR),
            0,
            "noted in a year that did not come"
        );
        failures.failed(NOW, Some(NOW + 1000 * 24 * HOUR), 0.5);
        assert_eq!(failures.allowed_at(NOW), NOW + OBEYED);
    }

    #[test]
    fn renewal_is_after_two_thirds_or_when_the_authority_says() {
        let (from, to) = (NOW, NOW + 90 * 24 * HOUR);
        assert_eq!(renew_at(from, to, 0.0), NOW + 60 * 24 * HOUR);
        assert_eq!(renew_at(from, to, 1.0), NOW + 60 * 24 * HOUR - 108 * HOUR);
        let window = (NOW + 10 * HOUR, NOW + 20 * HOUR);
        assert_eq!(renew_within(window, (from, to), 0.0), window.0);
        assert_eq!(renew_within(window, (from, to), 1.0), window.1);
        let late = (to, to + HOUR);
        assert_eq!(
            renew_within(late, (from, to), 0.5),
            NOW + 81 * 24 * HOUR,
            "before it ends"
        );
        // An end before its start must not wrap around.
        assert!(renew_at(to, from, 0.5) >= from);
        assert!(renew_within((to, from), (to, from), 0.5) > 0);
    }
}
