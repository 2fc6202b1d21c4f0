//! Pure: which events people are told of, and when they are told that all is well again.
//!
//! A trouble is told when it begins, counted while it lasts, and told once more when it is over: a crash loop is one
//! alert. The troubles of a process are over when its flows have run for a while; those of a resource when the event
//! that says so comes. What a person stopped is no trouble any more, and nobody is told of that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::record::Troubles;
use crate::instances::events::{Event, Kind};
use crate::instances::model::AlertSettings;

/// Alerts of one instance in an hour; what is more is noted and not sent.
const MOST_PER_HOUR: usize = 12;

const HOUR: u64 = 3_600_000;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// It ended by itself, or could not be started.
    Crash,
    /// It crashed too often and stays down.
    Down,
    /// It crashed too often and starts with its flows stopped.
    SafeMode,
    /// It was killed because its event loop stood still, or its start took too long.
    Hang,
    /// The kernel killed it for memory.
    OutOfMemory,
    /// It uses much of its processor limit.
    Cpu,
    /// It uses much of its memory limit.
    Memory,
    /// Its disk space is nearly or wholly used up.
    Disk,
    /// It did, or tried, what none of its capabilities covers; told once per start.
    Capabilities,
    /// A package that it has installed is judged worse than before.
    Packages,
}

/// A trouble that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trouble {
    /// When it began, in milliseconds since 1970.
    pub(super) since_ms: u64,
    /// How often it happened.
    pub(super) count: u32,
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// This is wrong.
    Trouble(Topic),
    /// This is well again.
    Recovery(Over),
}

/// Troubles that are over.
pub(super) type Over = Vec<(Topic, Trouble)>;

impl Topic {
    /// Whether it is a matter of the process: over when its flows run.
    const fn is_of_process(self) -> bool {
        !matches!(
            self,
            Self::Cpu | Self::Memory | Self::Disk | Self::Capabilities | Self::Packages
        )
    }

    fn is_wanted(self, wanted: &AlertSettings) -> bool {
        match self {
            Self::Crash | Self::Down => wanted.crash,
            Self::SafeMode => wanted.safe_mode,
            Self::Hang => wanted.hang,
            Self::OutOfMemory => wanted.out_of_memory,
            Self::Cpu => wanted.cpu,
            Self::Memory => wanted.memory,
            Self::Disk => wanted.disk,
            Self::Capabilities => wanted.capabilities,
            Self::Packages => wanted.packages,
        }
    }
}

impl Troubles {
    /// Takes an event in; `runs` is whether the instance is meant to run.
    pub(super) fn hear(&mut self, event: &Event, wanted: &AlertSettings, runs: bool) -> Option<Told> {
        let detail = |name: &str| event.detail.as_ref().map(|detail| &detail[name]);
        let high = detail("high")
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(false);
        let near = detail("percent").and_then(serde_json::Value::as_u64).unwrap_or(0) >= 90;
        match event.kind {
            Kind::Crashed | Kind::StartFailed => self.trouble(Topic::Crash, event, wanted),
            Kind::Down => self.trouble(Topic::Down, event, wanted),
            Kind::SafeMode => self.trouble(Topic::SafeMode, event, wanted),
            Kind::Hung => self.trouble(Topic::Hang, event, wanted),
            Kind::OutOfMemory => self.trouble(Topic::OutOfMemory, event, wanted),
            Kind::Cpu if high => self.trouble(Topic::Cpu, event, wanted),
            Kind::Cpu => self.over(|topic| topic == Topic::Cpu).map(Told::Recovery),
            Kind::Memory if high => self.trouble(Topic::Memory, event, wanted),
            Kind::Memory => self.over(|topic| topic == Topic::Memory).map(Told::Recovery),
            Kind::Attempted => self.trouble(Topic::Capabilities, event, wanted),
            Kind::VerdictFell => {
                // Each is another package, or another flaw: nobody was told of it yet.
                let known = self.open.remove(&Topic::Packages);
                let told = self.trouble(Topic::Packages, event, wanted);
                if let (Some(new), Some(known)) = (self.open.get_mut(&Topic::Packages), known) {
                    *new = Trouble {
                        count: known.count.saturating_add(1),
                        ..known
                    };
                }
                told
            }
            Kind::VerdictRose if detail("left").is_some_and(|left| *left == 0) => {
                self.over(|topic| topic == Topic::Packages).map(Told::Recovery)
            }
            Kind::Disk if near => self.trouble(Topic::Disk, event, wanted),
            Kind::Disk => self.over(|topic| topic == Topic::Disk).map(Told::Recovery),
            Kind::Ready => {
                let any = self.open.keys().any(|topic| topic.is_of_process());
                if any && self.well_since_ms.is_none() {
                    self.well_since_ms = Some(event.at_ms);
                }
                None
            }
            Kind::NotReady => {
                self.well_since_ms = None;
                None
            }
            Kind::Started => {
                self.open
                    .retain(|topic, _| !matches!(topic, Topic::Cpu | Topic::Memory | Topic::Capabilities));
                None
            }
            Kind::Stopped | Kind::Suspended if !runs => {
                self.open
                    .retain(|topic, _| matches!(topic, Topic::Disk | Topic::Packages));
                self.well_since_ms = None;
                None
            }
            _ => None,
        }
    }

    fn trouble(&mut self, topic: Topic, event: &Event, wanted: &AlertSettings) -> Option<Told> {
        if topic.is_of_process() {
            self.well_since_ms = None;
        }
        if let Some(known) = self.open.get_mut(&topic) {
            known.count = known.count.saturating_add(1);
            return None;
        }
        if !topic.is_wanted(wanted) {
            return None;
        }
        let trouble = Trouble {
            since_ms: event.at_ms,
            count: 1,
        };
        self.open.insert(topic, trouble);
        Some(Told::Trouble(topic))
    }

    fn over(&mut self, which: impl Fn(Topic) -> bool) -> Option<Over> {
        let topics: Vec<Topic> = self.open.keys().copied().filter(|topic| which(*topic)).collect();
        let take = |topic: Topic| Some((topic, self.open.remove(&topic)?));
        let all: Over = topics.into_iter().filter_map(take).collect();
        (!all.is_empty()).then_some(all)
    }

    /// When it may be well again, if nothing happens until then, in milliseconds since 1970.
    pub(super) fn due_ms(&self, wanted: &AlertSettings) -> Option<u64> {
        Some(self.well_since_ms? + u64::from(wanted.recovered_after_s) * 1000)
    }

    /// What is well again at `now_ms`.
    pub(super) fn due(&mut self, now_ms: u64, wanted: &AlertSettings) -> Option<Over> {
        if self.due_ms(wanted)? > now_ms {
            return None;
        }
        self.well_since_ms = None;
        self.over(Topic::is_of_process)
    }

    /// Whether one more may be sent at `now_ms`; counts it then.
    pub(super) fn may_send(&mut self, now_ms: u64) -> bool {
        // A clock that was set back forgets what it has yet to see.
        self.told_ms.retain(|at| *at <= now_ms && now_ms - at < HOUR);
        let may = self.told_ms.len() < MOST_PER_HOUR;
        if may {
            self.told_ms.push(now_ms);
        }
        may
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.told_ms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(at_ms: u64, kind: Kind, detail: Value) -> Event {
        Event {
            at_ms,
            kind,
            text: String::new(),
            detail: Some(detail),
        }
    }

    fn hear(troubles: &mut Troubles, at_ms: u64, kind: Kind) -> Option<Told> {
        troubles.hear(&event(at_ms, kind, Value::Null), &AlertSettings::default(), true)
    }

    #[test]
    fn a_crash_loop_is_told_once_per_thing_that_is_new() {
        let mut troubles = Troubles::default();
        let mut told = Vec::new();
        for (at, kind) in [
            (0, Kind::Crashed),
            (1, Kind::Started),
            (2, Kind::Ready),
            (3, Kind::Crashed),
            (4, Kind::Ready),
            (5, Kind::Crashed),
            (6, Kind::SafeMode),
            (7, Kind::Crashed),
            (8, Kind::Down),
            (9, Kind::Down),
        ] {
            told.extend(hear(&mut troubles, at, kind));
        }
        let trouble = Told::Trouble;
        assert_eq!(
            told,
            [
                trouble(Topic::Crash),
                trouble(Topic::SafeMode),
                trouble(Topic::Down)
            ]
        );
        assert_eq!(troubles.open[&Topic::Crash].count, 4);
        assert_eq!(
            troubles.due_ms(&AlertSettings::default()),
            None,
            "it does not run"
        );
    }

    #[test]
    fn it_is_well_when_its_flows_have_run_for_a_while() {
        let wanted = AlertSettings::default();
        let wait = u64::from(wanted.recovered_after_s) * 1000;
        let mut troubles = Troubles::default();
        hear(&mut troubles, 0, Kind::OutOfMemory);
        hear(&mut troubles, 10, Kind::Ready);
        assert_eq!(troubles.due(9 + wait, &wanted), None);
        hear(&mut troubles, 20, Kind::Hung);
        assert_eq!(
            troubles.due(10 + wait, &wanted),
            None,
            "something happened meanwhile"
        );
        // Killed because it hung: nobody stopped it.
        hear(&mut troubles, 21, Kind::Stopped);
        hear(&mut troubles, 30, Kind::Ready);
        hear(&mut troubles, 40, Kind::Ready);
        let Some(all) = troubles.due(30 + wait, &wanted) else {
            panic!("{troubles:?}");
        };
        let topics: Vec<Topic> = all.iter().map(|(topic, _)| *topic).collect();
        assert_eq!(topics, [Topic::Hang, Topic::OutOfMemory]);
        assert_eq!(troubles.due(40 + 2 * wait, &wanted), None, "once");
    }

    #[test]
    fn what_a_person_stopped_and_what_nobody_wants_is_not_told() {
        let mut troubles = Troubles::default();
        hear(&mut troubles, 0, Kind::Crashed);
        let wanted = AlertSettings::default();
        let stopped = event(1, Kind::Stopped, Value::Null);
        assert_eq!(troubles.hear(&stopped, &wanted, false), None);
        assert!(troubles.open.is_empty());

        let silent = AlertSettings {
            crash: false,
            ..AlertSettings::default()
        };
        for kind in [Kind::Crashed, Kind::StartFailed, Kind::Down] {
            assert_eq!(troubles.hear(&event(2, kind, Value::Null), &silent, true), None);
        }
        assert!(troubles.is_empty());
    }

    #[test]
    fn resources_say_themselves_when_they_are_well() {
        let wanted = AlertSettings::default();
        let mut troubles = Troubles::default();
        let mut hear = |at, kind, detail| troubles.hear(&event(at, kind, detail), &wanted, true);
        for (kind, topic, bad, good) in [
            (
                Kind::Cpu,
                Topic::Cpu,
                json!({ "high": true }),
                json!({ "high": false }),
            ),
            (
                Kind::Memory,
                Topic::Memory,
                json!({ "high": true }),
                json!({ "high": false }),
            ),
            (
                Kind::Disk,
                Topic::Disk,
                json!({ "percent": 91 }),
                json!({ "percent": 50 }),
            ),
        ] {
            assert_eq!(hear(0, kind, good.clone()), None);
            assert_eq!(hear(1, kind, bad.clone()), Some(Told::Trouble(topic)));
            assert_eq!(hear(2, kind, bad), None);
            let over = hear(3, kind, good);
            assert!(matches!(over, Some(Told::Recovery(all)) if all[0].0 == topic && all[0].1.count == 2));
        }
        // Its load ends with the process.
        hear(4, Kind::Cpu, json!({ "high": true }));
        hear(5, Kind::Started, Value::Null);
        assert_eq!(hear(6, Kind::Cpu, json!({ "high": false })), None);
    }

    #[test]
    fn each_verdict_that_falls_is_told_and_their_end_once() {
        let wanted = AlertSettings::default();
        let mut troubles = Troubles::default();
        let mut hear = |at, kind, left: u64| {
            let event = event(at, kind, json!({ "left": left }));
            troubles.hear(&event, &wanted, false)
        };
        let fell = Some(Told::Trouble(Topic::Packages));
        assert_eq!(hear(0, Kind::VerdictFell, 1), fell);
        // A person may stop it for that.
        assert_eq!(hear(1, Kind::Stopped, 0), None);
        assert_eq!(hear(2, Kind::VerdictFell, 2), fell);
        assert_eq!(hear(3, Kind::VerdictRose, 1), None);
        let over = hear(4, Kind::VerdictRose, 0);
        assert!(
            matches!(&over, Some(Told::Recovery(all)) if all[0].1.count == 2 && all[0].1.since_ms == 0),
            "{over:?}"
        );
        assert_eq!(hear(5, Kind::VerdictRose, 0), None);
    }

    #[test]
    fn an_hour_has_a_bound() {
        let mut troubles = Troubles::default();
        let sent = (0..100).filter(|at| troubles.may_send(*at)).count();
        assert_eq!(sent, MOST_PER_HOUR);
        assert!(troubles.may_send(HOUR + 50));
    }
}
