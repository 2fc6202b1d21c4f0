//! Pure: what became of waivers since the audit log last knew of them, and which could never count.

use std::collections::BTreeMap;

use node_vetting::policy::{Day, Waiver};
use node_vetting::report::rules;
use serde::{Deserialize, Serialize};

use crate::problem::{Code, Problem};
use crate::store::table::Record;
use crate::vetting::Waivers;

/// A waiver as the audit log knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Noted {
    pub(super) waiver: Waiver,
    /// It is in the audit log that it has ended.
    pub(super) over: bool,
}

impl Record for Noted {
    const TABLE: &'static str = "waivers";
    const FORMAT: u32 = 1;
}

/// Something that became of a waiver.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Turn {
    Added(Waiver),
    Removed(Waiver),
    /// The last day on which it counted has passed.
    Over(Waiver),
    /// The clock was set back: it counts once more.
    Counts(Waiver),
}

/// A waiver that could never count is a mistake.
pub(super) fn fits(waiver: &Waiver, today: Day) -> Result<(), Problem> {
    let wrong = |what: String, hint: &str| Err(Problem::new(Code::Usage, what).hint(hint));
    if waiver.why.trim().is_empty() || waiver.who.trim().is_empty() {
        return wrong(
            "a waiver without a reason, or by nobody, is none".to_owned(),
            "say who waives, and why",
        );
    }
    if waiver.until < today {
        return wrong(
            format!("{} is over", waiver.until),
            "name the last day on which the waiver is to count",
        );
    }
    let unknown = waiver.rules.iter().find(|rule| {
        let id = rule.split_once('{').map_or(rule.as_str(), |(id, _)| id);
        rules::find(id).is_none()
    });
    match unknown {
        Some(rule) => wrong(
            format!("`{rule}` is no rule"),
            "`redhold policy rules` lists them",
        ),
        None if waiver.rules.is_empty() => wrong(
            "no rule is named".to_owned(),
            "name the rules that are not to count, as the report names them",
        ),
        None => Ok(()),
    }
}

/// What became of waivers since they were noted.
pub(super) fn turns(known: &BTreeMap<String, Noted>, all: Vec<Waiver>, today: Day) -> Vec<(String, Turn)> {
    let now: BTreeMap<String, Waiver> = all.into_iter().map(|waiver| (key(&waiver), waiver)).collect();
    let gone = known.iter().filter(|(key, _)| !now.contains_key(*key));
    let mut turns: Vec<(String, Turn)> = gone
        .map(|(key, noted)| (key.clone(), Turn::Removed(noted.waiver.clone())))
        .collect();
    for (key, waiver) in now {
        let over = waiver.until < today;
        match known.get(&key) {
            // What ended before it was seen was never in force here; its end is told with the next look.
            None => turns.push((key, Turn::Added(waiver))),
            Some(noted) if over && !noted.over => turns.push((key, Turn::Over(waiver))),
            Some(noted) if !over && noted.over => turns.push((key, Turn::Counts(waiver))),
            Some(_) => {}
        }
    }
    turns
}

/// Names a waiver by content.
fn key(waiver: &Waiver) -> String {
    let mut digest = Waivers::digest(std::slice::from_ref(waiver));
    digest.truncate(32);
    digest
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::exceptions) const DAY: i64 = 86_400;

    pub(in crate::exceptions) fn waiver(until: i64) -> Waiver {
        Waiver {
            package: "node-red-contrib-pump".parse().expect("a name"),
            version: "1.0.0".parse().expect("a version"),
            integrity: None,
            rules: vec!["grant{proc.spawn{ping}}".to_owned()],
            who: "kim".to_owned(),
            why: "read it".to_owned(),
            until: Day::of(until),
        }
    }

    #[test]
    fn its_end_is_told_once() {
        let today = Day::of(20_000 * DAY);
        let waiver = waiver(20_000 * DAY);
        let noted = |over| {
            BTreeMap::from([(
                key(&waiver),
                Noted {
                    waiver: waiver.clone(),
                    over,
                },
            )])
        };
        let turn = |known: &BTreeMap<String, Noted>, day: i64| {
            let turns = turns(known, vec![waiver.clone()], Day::of((20_000 + day) * DAY));
            turns.into_iter().map(|(_, turn)| turn).collect::<Vec<_>>()
        };
        assert_eq!(turn(&BTreeMap::new(), 0), [Turn::Added(waiver.clone())]);
        assert_eq!(turn(&noted(false), 0), []);
        assert_eq!(turn(&noted(false), 1), [Turn::Over(waiver.clone())]);
        assert_eq!(turn(&noted(true), 1), []);
        assert_eq!(turn(&noted(true), 0), [Turn::Counts(waiver.clone())]);
        assert!(fits(&waiver, today).is_ok());
        for (bad, part) in [
            (
                Waiver {
                    why: " ".to_owned(),
                    ..waiver.clone()
                },
                "reason",
            ),
            (
                Waiver {
                    rules: vec!["no.rule{x}".to_owned()],
                    ..waiver.clone()
                },
                "no.rule",
            ),
            (
                Waiver {
                    rules: Vec::new(),
                    ..waiver.clone()
                },
                "no rule",
            ),
            (
                Waiver {
                    until: Day::of(0),
                    ..waiver.clone()
                },
                "is over",
            ),
        ] {
            let problem = fits(&bad, today).expect_err("a refusal");
            assert!(problem.to_string().contains(part), "{problem}");
        }
    }
}
