//! Pure: when an alert that did not arrive is tried again, and when no more.

use super::channel::Undelivered;
use super::record::{Delivery, DeliveryState};

/// The first wait, doubled each time, and the longest, in milliseconds.
const FIRST: u64 = 15_000;
const LONGEST: u64 = 3_600_000;

/// Older news is none, in milliseconds.
const OLD: u64 = 24 * 3_600_000;

/// Notes how a try went at `now_ms`; the alert was decided at `decided_ms`.
pub(super) fn tried(delivery: &mut Delivery, outcome: Result<(), Undelivered>, decided_ms: u64, now_ms: u64) {
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery.at_ms = now_ms;
    match outcome {
        Ok(()) => {
            delivery.state = DeliveryState::Sent;
            delivery.error = None;
        }
        Err(Undelivered { why, final_ }) => {
            delivery.error = Some(why);
            let wait = FIRST
                .saturating_mul(1 << (delivery.attempts - 1).min(16))
                .min(LONGEST);
            if final_ || now_ms.saturating_add(wait) > decided_ms.saturating_add(OLD) {
                delivery.state = DeliveryState::Failed;
            } else {
                delivery.at_ms = now_ms + wait;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Delivery {
        Delivery {
            to: "a@b.example".to_owned(),
            state: DeliveryState::Waiting,
            attempts: 0,
            at_ms: 0,
            error: None,
        }
    }

    fn failed(final_: bool) -> Result<(), Undelivered> {
        Err(Undelivered {
            why: "no".to_owned(),
            final_,
        })
    }

    #[test]
    fn it_is_tried_for_a_day_and_not_wildly() {
        let mut delivery = fresh();
        let mut now = 0;
        let mut waits = Vec::new();
        while delivery.state == DeliveryState::Waiting {
            tried(&mut delivery, failed(false), 0, now);
            waits.push(delivery.at_ms - now);
            now = delivery.at_ms;
        }
        assert_eq!(waits[..3], [15_000, 30_000, 60_000]);
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        assert_eq!(delivery.state, DeliveryState::Failed);
        assert!(
            (20..60).contains(&delivery.attempts) && now <= OLD,
            "{delivery:?}"
        );

        let mut refused = fresh();
        tried(&mut refused, failed(true), 0, 1);
        assert_eq!((refused.state, refused.attempts), (DeliveryState::Failed, 1));
        let mut sent = fresh();
        tried(&mut sent, failed(false), 0, 1);
        tried(&mut sent, Ok(()), 0, 20_000);
        assert_eq!((sent.state, sent.error), (DeliveryState::Sent, None));
    }
}
