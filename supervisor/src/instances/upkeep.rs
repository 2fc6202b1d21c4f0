//! Pure: when something is done to an instance by itself, and whether it took an upgrade well.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::machine::Phase as State;
use super::model::{Desired, Upkeep, Weekday, Windows};
use super::observed::Observed;
use crate::store::table::Record;

/// How far windows are looked for behind now: a week, and a day for time zones.
const DAYS: i64 = 8;

/// A note about a window that is so far ahead was made by a clock that was wrong, in milliseconds.
const WRONG_CLOCK: i64 = 24 * 3600 * 1000;

/// For how long flows must run on a new stack before it counts as taken, in milliseconds.
const SETTLED: u64 = 30_000;

/// Time for everything but Node-RED's own start: waiting for a place among those that start, and for npm, in milliseconds.
const PATIENCE: u64 = 15 * 60_000;

/// What is remembered of an instance's windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintained {
    /// Beginning of the last window that was dealt with, in milliseconds since 1970.
    #[serde(default)]
    pub last_ms: i64,
    /// When was last looked, or not long before, in milliseconds since 1970.
    #[serde(default)]
    pub checked_ms: i64,
    /// An upgrade whose outcome is not known yet.
    #[serde(default)]
    pub pending: Option<Pending>,
    /// The stack of the last upgrade that was undone: it is not tried again by itself.
    #[serde(default)]
    pub undone: Option<String>,
}

impl Record for Maintained {
    const TABLE: &'static str = "maintained";
    const FORMAT: u32 = 1;
}

/// An upgrade whose outcome is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The stack that it had.
    pub from: String,
    /// The stack that it gets.
    pub to: String,
    /// When it was begun, in milliseconds since 1970.
    pub begun_ms: u64,
    /// Its flows ran before.
    pub flows: bool,
}

/// One window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occurrence {
    /// Its beginning, in milliseconds since 1970.
    pub(super) begin_ms: i64,
    /// What is to be done.
    pub(super) action: Upkeep,
}

/// What there is to do about windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The last one that nobody was there for.
    pub(super) missed: Option<Occurrence>,
    /// The one that is open.
    pub(super) open: Option<Occurrence>,
}

/// Which window is open at `now`, and which went by unseen. An hour that the clocks skip begins when they have been put
/// forward, and one that they repeat is the first of the two. A window that was dealt with is not open again when the
/// clock is set back.
pub(super) fn due(now: Timestamp, kept: &Maintained, windows: &Windows, zone: &TimeZone) -> Due {
    let now_ms = now.as_millisecond();
    let credible = |ms: i64| if ms > now_ms + WRONG_CLOCK { 0 } else { ms };
    let (last, checked) = (credible(kept.last_ms), credible(kept.checked_ms));
    let today = zone.to_datetime(now).date();
    let mut due = Due::default();
    for back in (-1..=DAYS).rev() {
        let Ok(day) = today.checked_sub(back.days()) else {
            continue;
        };
        let Some(window) = windows.get(&weekday(day.weekday())) else {
            continue;
        };
        let Ok(hour) = i8::try_from(window.hour) else {
            continue;
        };
        let Ok(begin) = day.at(hour, 0, 0, 0).to_zoned(zone.clone()) else {
            continue;
        };
        let begin_ms = begin.timestamp().as_millisecond();
        let occurrence = Occurrence {
            begin_ms,
            action: window.action,
        };
        if begin_ms > now_ms || begin_ms <= last {
            continue;
        }
        if now_ms < begin_ms + 3_600_000 {
            due.open = Some(occurrence);
        } else if begin_ms > checked {
            due.missed = Some(occurrence);
        }
    }
    due
}

fn weekday(day: jiff::civil::Weekday) -> Weekday {
    match day {
        jiff::civil::Weekday::Monday => Weekday::Monday,
        jiff::civil::Weekday::Tuesday => Weekday::Tuesday,
        jiff::civil::Weekday::Wednesday => Weekday::Wednesday,
        jiff::civil::Weekday::Thursday => Weekday::Thursday,
        jiff::civil::Weekday::Friday => Weekday::Friday,
        jiff::civil::Weekday::Saturday => Weekday::Saturday,
        jiff::civil::Weekday::Sunday => Weekday::Sunday,
    }
}

/// What is known of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing yet.
    Open,
    /// The old process runs: whoever should have ended it did not live to do it.
    NotBegun,
    /// A person decided something else meanwhile.
    Overruled,
    /// It runs well.
    Taken,
    /// It does not, and why.
    Failed(String),
}

/// How an upgrade went; `stack` and `desired` are what the instance should be now, `start_ms` how long a start may take.
pub(super) fn judge(
    pending: &Pending,
    stack: &str,
    desired: Desired,
    observed: &Observed,
    now_ms: u64,
    start_ms: u64,
) -> Outcome {
    if stack != pending.to || desired != Desired::Running {
        return Outcome::Overruled;
    }
    let why = || {
        observed
            .reason
            .clone()
            .unwrap_or_else(|| "gave no reason".to_owned())
    };
    let new = observed.started_ms.is_some_and(|at| at >= pending.begun_ms);
    match observed.state {
        State::Waiting | State::Down => return Outcome::Failed(why()),
        State::Running if !new => return Outcome::NotBegun,
        _ if observed.crashes > 0 || observed.safe_mode => return Outcome::Failed(why()),
        _ => {}
    }
    if now_ms >= pending.begun_ms + PATIENCE + start_ms {
        let reason = observed.reason.as_ref();
        let more = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        return Outcome::Failed(format!("did not become healthy in time{more}"));
    }
    let well = observed.health.as_ref().is_some_and(|facts| {
        facts.turning && facts.serving != Some(false) && (facts.flows || !pending.flows)
    });
    if observed.state == State::Running && well && now_ms >= observed.since_ms + SETTLED {
        return Outcome::Taken;
    }
    // Flows that ran on the old stack and do not on the new one will not begin to by waiting.
    let stands = observed.state == State::Running
        && pending.flows
        && observed.health.as_ref().is_some_and(|facts| !facts.flows)
        && now_ms >= observed.since_ms + SETTLED;
    if stands {
        return Outcome::Failed(why());
    }
    Outcome::Open
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::model::Window;
    use super::super::observed::Facts;
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn every_day(hour: u8) -> Windows {
        use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
        let window = Window {
            hour,
            action: Upkeep::Restart,
        };
        [Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday]
            .map(|day| (day, window))
            .into()
    }

    fn kept(last: &str, checked: &str) -> Maintained {
        Maintained {
            last_ms: at(last).as_millisecond(),
            checked_ms: at(checked).as_millisecond(),
            ..Maintained::default()
        }
    }

    /// Open and missed, as times.
    fn found(now: &str, kept: &Maintained, windows: &Windows, zone: &str) -> [String; 2] {
        let zone = TimeZone::get(zone).expect("a zone");
        let due = due(at(now), kept, windows, &zone);
        [due.open, due.missed].map(|found| {
            let begin = found.map(|found| Timestamp::from_millisecond(found.begin_ms));
            begin.map_or_else(String::new, |begin| begin.expect("a time").to_string())
        })
    }

    #[test]
    fn an_hour_is_open_once_and_what_nobody_saw_is_missed() {
        // 2026-11-27 is a Friday.
        let friday = Windows::from([(
            Weekday::Friday,
            Window {
                hour: 3,
                action: Upkeep::Upgrade,
            },
        )]);
        let fresh = kept("1970-01-01T00:00:00Z", "2026-11-26T00:00:00Z");
        for (now, expected) in [
            ("2026-11-27T02:59:59Z", ["", ""]),
            ("2026-11-27T03:00:00Z", ["2026-11-27T03:00:00Z", ""]),
            ("2026-11-27T03:59:59Z", ["2026-11-27T03:00:00Z", ""]),
            ("2026-11-27T04:00:00Z", ["", "2026-11-27T03:00:00Z"]),
        ] {
            assert_eq!(found(now, &fresh, &friday, "UTC"), expected, "{now}");
        }
        let done = kept("2026-11-27T03:00:00Z", "2026-11-27T03:00:00Z");
        assert_eq!(found("2026-11-27T03:30:00Z", &done, &friday, "UTC"), ["", ""]);
        // A week away: the last one is told, and it is not made up for.
        assert_eq!(
            found("2026-12-05T12:00:00Z", &done, &friday, "UTC"),
            ["", "2026-12-04T03:00:00Z"]
        );
        // One that was set after its hour was never missed.
        let looked = kept("1970-01-01T00:00:00Z", "2026-11-27T05:00:00Z");
        assert_eq!(found("2026-11-27T05:00:01Z", &looked, &friday, "UTC"), ["", ""]);
        assert_eq!(
            found("2026-11-27T03:30:00Z", &fresh, &BTreeMap::new(), "UTC"),
            ["", ""]
        );
    }

    #[test]
    fn a_clock_that_jumps_repeats_nothing_and_blocks_nothing() {
        let windows = every_day(3);
        let done = kept("2026-11-27T03:00:00Z", "2026-11-27T03:10:00Z");
        // Set back by two hours, the hour comes once more.
        assert_eq!(found("2026-11-27T03:20:00Z", &done, &windows, "UTC"), ["", ""]);
        // Forward by two days.
        assert_eq!(
            found("2026-11-29T12:00:00Z", &done, &windows, "UTC"),
            ["", "2026-11-29T03:00:00Z"]
        );
        // Once it stood at 2040, and was put right.
        let future = kept("2040-01-01T03:00:00Z", "2040-01-01T03:00:00Z");
        assert_eq!(
            found("2026-11-27T03:20:00Z", &future, &windows, "UTC")[0],
            "2026-11-27T03:00:00Z"
        );
    }

    #[test]
    fn hours_are_those_of_the_zone_also_when_clocks_change() {
        let zone = "Europe/Berlin";
        let long_ago = kept("1970-01-01T00:00:00Z", "2026-03-28T12:00:00Z");
        // 29 March 2026: 02:00 becomes 03:00, so the hour from 2 is the one from 3, 01:00 UTC.
        let two = every_day(2);
        assert_eq!(found("2026-03-29T00:59:59Z", &long_ago, &two, zone), ["", ""]);
        assert_eq!(
            found("2026-03-29T01:30:00Z", &long_ago, &two, zone),
            ["2026-03-29T01:00:00Z", ""]
        );
        // 25 October 2026: the hour from 2 comes twice; it is open in the first, and dealt with in the second.
        let before = kept("1970-01-01T00:00:00Z", "2026-10-24T12:00:00Z");
        assert_eq!(
            found("2026-10-25T00:30:00Z", &before, &two, zone),
            ["2026-10-25T00:00:00Z", ""]
        );
        let done = kept("2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z");
        assert_eq!(found("2026-10-25T01:30:00Z", &done, &two, zone), ["", ""]);
        // Another day there than in UTC.
        let sunday = Windows::from([(
            Weekday::Sunday,
            Window {
                hour: 0,
                action: Upkeep::Restart,
            },
        )]);
        assert_eq!(
            found("2026-11-28T11:30:00Z", &long_ago, &sunday, "Pacific/Auckland")[0],
            "2026-11-28T11:00:00Z"
        );
    }

    #[test]
    fn an_upgrade_is_taken_when_what_ran_runs() {
        let pending = Pending {
            from: "old".to_owned(),
            to: "new".to_owned(),
            begun_ms: 1_000,
            flows: true,
        };
        let facts = |flows| Facts {
            alive: true,
            turning: true,
            serving: Some(true),
            flows,
        };
        let seen = |state, started_ms, flows| Observed {
            state,
            started_ms,
            health: Some(facts(flows)),
            reason: Some("ended with exit code 1".to_owned()),
            ..Observed::stopped(2_000)
        };
        let judged =
            |observed: &Observed, now| judge(&pending, "new", Desired::Running, observed, now, 5_000);
        let failed = |why: &str| Outcome::Failed(why.to_owned());
        let good = seen(State::Running, Some(1_500), true);
        assert_eq!(judged(&good, 3_000), Outcome::Open, "not for long enough yet");
        assert_eq!(judged(&good, 32_000), Outcome::Taken);
        assert_eq!(
            judged(&seen(State::Running, Some(1_500), false), 32_000),
            failed("ended with exit code 1")
        );
        assert_eq!(
            judged(&seen(State::Running, Some(500), true), 3_000),
            Outcome::NotBegun
        );
        assert_eq!(
            judged(&seen(State::Starting, Some(1_500), false), 3_000),
            Outcome::Open
        );
        for state in [State::Waiting, State::Down] {
            assert_eq!(
                judged(&seen(state, None, false), 3_000),
                failed("ended with exit code 1")
            );
        }
        let mut crashed = seen(State::Queued, None, false);
        crashed.crashes = 1;
        assert_eq!(judged(&crashed, 3_000), failed("ended with exit code 1"));
        let late = judged(
            &seen(State::Starting, Some(1_500), false),
            1_000 + PATIENCE + 5_000,
        );
        assert!(matches!(late, Outcome::Failed(why) if why.contains("in time")));
        let overruled = judge(&pending, "other", Desired::Running, &good, 32_000, 5_000);
        assert_eq!(overruled, Outcome::Overruled);
        let stopped = judge(&pending, "new", Desired::Stopped, &good, 32_000, 5_000);
        assert_eq!(stopped, Outcome::Overruled);
    }
}
