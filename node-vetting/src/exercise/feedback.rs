//! What code compares the guest's names with becomes the names of the next runs: behaviour that waits for one host, one
//! user, one value of the environment or one word in a message then shows.

use std::collections::{BTreeMap, BTreeSet};

use crate::closure::{Closure, hex};
use crate::exercise::observe::Question;
use crate::exercise::{Run, guesses};
use crate::trace::{Trace, What};
use crate::world::{Conditions, Machine};

use sha2::{Digest, Sha256};

/// Keys of the environment that say who and where one is.
const NAMING: [&str; 6] = [
    "HOSTNAME",
    "USER",
    "LOGNAME",
    "COMPUTERNAME",
    "USERDOMAIN",
    "USERNAME",
];
/// Runs in which names are others because code compares something with them.
const MOST_ROUNDS: usize = 6;
/// Keys of the environment that one persona sets.
const MOST_ASKED: usize = 64;
/// Words that nodes are sent.
const MOST_WORDS: usize = 24;
/// Texts in the messages that nodes are sent, as `drive/messages.js` has them.
const MESSAGE: [&str; 2] = ["hello", "plant/line1/temperature"];

/// Texts to watch in comparisons, by what they are.
pub(super) fn probes(conditions: &Conditions) -> BTreeMap<String, String> {
    if !conditions.coverage {
        return BTreeMap::new();
    }
    let mut probes: BTreeMap<String, String> = [
        ("host", conditions.machine.host.as_str()),
        ("user", conditions.machine.user.as_str()),
        ("message", MESSAGE[0]),
        ("topic", MESSAGE[1]),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .collect();
    for (key, value) in &conditions.environment {
        if *value == word(key) {
            probes.insert(format!("env:{key}"), value.clone());
        }
    }
    probes
}

/// The keys that were asked for and were not there, each with a word that nothing else holds.
pub(super) fn asked_for(trace: &Trace) -> BTreeMap<String, String> {
    let asked = trace.events.iter().filter_map(|event| match &event.what {
        What::EnvRead { key, present: false } => Some(key),
        _ => None,
    });
    let asked: BTreeSet<&String> = asked.collect();
    let words = asked.into_iter().map(|key| (key.clone(), word(key)));
    words.take(MOST_ASKED).collect()
}

/// A word for a key: true where it is taken for a switch, one where it is read as a number.
fn word(key: &str) -> String {
    format!("1{}", &hex(&Sha256::digest(key))[..9])
}

/// The runs that answer what the runs so far compared, and what the files of those who asked for names compare.
pub(super) fn answers(usual: &Conditions, traces: &[&Trace], closure: &Closure) -> Vec<Run> {
    let mut wanted = compared(traces);
    for name in written(traces, closure) {
        for probe in ["host", "user"] {
            let names = wanted.entry(probe.to_owned()).or_default();
            if !names.contains(&name) {
                names.push(name.clone());
            }
        }
    }
    let mut words: Vec<String> = Vec::new();
    for probe in ["message", "topic"] {
        words.extend(wanted.remove(probe).unwrap_or_default());
    }
    words.dedup();
    words.truncate(MOST_WORDS);
    let rounds = wanted.values().map(Vec::len).max().unwrap_or(0).min(MOST_ROUNDS);
    let mut runs: Vec<Run> = (0..rounds).map(|round| named(usual, &wanted, round)).collect();
    if !words.is_empty() {
        runs.push(Run {
            conditions: Conditions {
                run: "more words".to_owned(),
                ..usual.clone()
            },
            question: Question::More,
            words,
        });
    }
    runs
}

/// One run: every probe is what it was compared with in its turn.
fn named(usual: &Conditions, wanted: &BTreeMap<String, Vec<String>>, round: usize) -> Run {
    let mut conditions = usual.clone();
    let mut said = Vec::new();
    for (probe, names) in wanted {
        let Some(name) = names.get(round) else { continue };
        let machine = &mut conditions.machine;
        match probe.strip_prefix("env:") {
            Some(key) => {
                conditions.environment.insert(key.to_owned(), name.clone());
                said.push(format!("{key}={name}"));
            }
            None if probe == "host" => {
                *machine = Machine {
                    host: name.clone(),
                    ..machine.clone()
                };
                said.push(format!("host {name}"));
            }
            None => {
                *machine = Machine {
                    user: name.clone(),
                    ..machine.clone()
                };
                said.push(format!("user {name}"));
            }
        }
    }
    conditions.run = format!("called [{}]", said.join(", "));
    Run {
        conditions,
        question: Question::Conditions,
        words: Vec::new(),
    }
}

/// What each probe was compared with, in order.
fn compared(traces: &[&Trace]) -> BTreeMap<String, Vec<String>> {
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in traces.iter().flat_map(|trace| &trace.events) {
        let What::Compared { probe, with } = &event.what else {
            continue;
        };
        let pattern = with.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let name = match pattern {
            Some(pattern) => guesses::sample(pattern),
            None => Some(with.clone()),
        };
        // Values of the environment may be as short as a switch; names are not.
        let name = name.filter(|name| probe.starts_with("env:") || guesses::says_something(name));
        let names = wanted.entry(probe.clone()).or_default();
        names.extend(name.filter(|name| !names.contains(name)));
    }
    wanted
}

/// What the files that ask for names compare something with: a comparison that never took place counts too.
fn written(traces: &[&Trace], closure: &Closure) -> Vec<String> {
    let events = traces.iter().flat_map(|trace| &trace.events);
    let asking: BTreeSet<&str> = events
        .filter(|event| match &event.what {
            What::Identity { .. } => true,
            What::EnvRead { key, .. } => NAMING.contains(&key.as_str()),
            _ => false,
        })
        .filter_map(|event| Some(event.site.as_ref()?.file.as_str()))
        .collect();
    let mut names: Vec<String> = Vec::new();
    for file in asking {
        let text = closure
            .owner(file)
            .and_then(|(package, inner)| package.file(inner));
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        names.extend(text.map(guesses::guesses).unwrap_or_default());
    }
    names.dedup();
    names
}
