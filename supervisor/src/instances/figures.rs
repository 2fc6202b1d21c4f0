//! Pure: what an instance says about itself, and what follows from two of its reports.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// For how long a delay is remembered: as long as a collector of figures waits at most between two looks, usually.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What Node-RED says about itself; taken for what it is, a stranger's word.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// JavaScript objects, in bytes.
    pub heap_bytes: u64,
    /// Longest delay of the event loop that was noticed in the minute before the last report, in milliseconds. It is
    /// looked at once per second.
    pub delay_ms: u32,
    /// Share of time in which the event loop worked, between the last two reports.
    pub utilization: f64,
    /// Messages that its nodes received since it was started.
    pub messages: u64,
    /// The same per second, between the last two reports.
    pub messages_per_second: f64,
}

/// The reports of one life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    last: Option<(Duration, Figures)>,
    delays: VecDeque<(Duration, u32)>,
}

impl Account {
    /// The last report, if there was one.
    pub(crate) fn figures(&self) -> Option<Figures> {
        self.last.map(|(_, figures)| figures)
    }

    /// Takes a message of kind `memory`, at `now` by a monotonic clock; one that makes no sense changes nothing.
    pub(crate) fn take(&mut self, message: &Value, now: Duration) {
        let Some(heap_bytes) = message["heapUsed"].as_u64() else {
            return;
        };
        let delay = message["delayMs"].as_u64().unwrap_or(0);
        self.delays
            .push_back((now, u32::try_from(delay).unwrap_or(u32::MAX)));
        while self
            .delays
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) > REMEMBERED || self.delays.len() > MOST)
        {
            self.delays.pop_front();
        }
        let messages = message["messages"].as_u64().unwrap_or(0);
        let rate = self.last.map_or(0.0, |(at, before)| {
            let more = messages.saturating_sub(before.messages);
            let time = now.saturating_sub(at).as_secs_f64();
            // Reports that come at once say nothing about a rate.
            if time < 0.5 {
                before.messages_per_second
            } else {
                more as f64 / time
            }
        });
        let figures = Figures {
            heap_bytes,
            delay_ms: self.delays.iter().map(|(_, delay)| *delay).max().unwrap_or(0),
            utilization: message["utilization"].as_f64().unwrap_or(0.0).clamp(0.0, 1.0),
            messages,
            messages_per_second: rate,
        };
        self.last = Some((now, figures));
    }
}

/// Delays that are remembered at most, whatever a program says how often.
const MOST: usize = 100;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(messages: u64, delay: u64) -> Value {
        json!({ "type": "memory", "heapUsed": 1000, "delayMs": delay, "utilization": 3, "messages": messages })
    }

    #[test]
    fn a_rate_is_what_came_in_between() {
        let mut account = Account::default();
        let at = Duration::from_secs;
        account.take(&json!({ "type": "memory" }), at(1));
        assert_eq!(account.figures(), None);
        for (time, messages, rate) in [(10, 100, 0.0), (20, 600, 50.0), (30, 600, 0.0), (40, 0, 0.0)] {
            account.take(&report(messages, 0), at(time));
            let figures = account.figures().expect("figures");
            assert_eq!(
                (figures.messages, figures.messages_per_second, figures.utilization),
                (messages, rate, 1.0)
            );
        }
    }

    #[test]
    fn a_delay_is_remembered_for_a_minute() {
        let mut account = Account::default();
        for (time, delay, longest) in [(0, 5, 5), (10, 900, 900), (60, 7, 900), (71, 1, 7)] {
            account.take(&report(0, delay), Duration::from_secs(time));
            assert_eq!(account.figures().map(|figures| figures.delay_ms), Some(longest));
        }
        for _ in 0..1000 {
            account.take(&report(0, u64::MAX), Duration::from_secs(71));
        }
        assert!(account.delays.len() <= MOST);
        assert_eq!(account.figures().map(|figures| figures.delay_ms), Some(u32::MAX));
    }
}
