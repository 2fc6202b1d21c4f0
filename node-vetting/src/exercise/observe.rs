//! What the traces of all runs show together: facts with their evidence. Nobody is judged here.

use serde::{Deserialize, Serialize};

use crate::exercise::compare::{act, changed_bytes, differences, payload};
use crate::trace::{End, Origin, Trace, What};

/// An event, by the number of its run and its number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// Which of [`Observations::runs`].
    pub run: usize,
    /// Which of its events.
    pub event: usize,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observations {
    /// The runs, the base first.
    pub runs: Vec<Trace>,
    /// What they show.
    pub seen: Vec<Observation>,
    /// How far the base run got.
    pub driven: Driven,
}

/// How far the base run got with the package, as the driver tells it. For a reader: the driver is in the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Driven {
    /// Types of nodes that registered.
    pub types: Vec<String>,
    /// Those of which a node was constructed.
    pub constructed: Vec<String>,
    /// Nodes that were sent messages.
    pub fed: u64,
    /// Messages that came out of them.
    pub sent: u64,
    /// Routes that were asked.
    pub routes: u64,
}

/// Something that the runs show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// What it is.
    pub fact: Fact,
    /// Where it shows. Empty only for what did not happen.
    pub evidence: Vec<Evidence>,
}

/// Kinds of observations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Fact {
    /// A planted secret is in what leaves.
    SecretSent {
        /// Its class.
        secret: String,
        /// What was done with it, as in [`act`](super::compare): `send https api.example:443`.
        act: String,
        /// Whether it went to a peer that the configuration names.
        configured: bool,
    },
    /// What leaves is different when nothing but the planted secrets is.
    SecretDependent {
        /// What was done with the bytes.
        act: String,
        /// Whether it went to a peer that the configuration names.
        configured: bool,
    },
    /// What is done is different when nothing but the planted secrets is.
    SecretDecides {
        /// What was done in one run and not, or not as often, in the other.
        act: String,
        /// How often with the usual secrets.
        usual: usize,
        /// How often with the others.
        other: usize,
    },
    /// What is done is different at another date.
    DateDecides {
        /// The run at that date.
        run: String,
        /// What was done.
        act: String,
        /// How often at the usual date.
        usual: usize,
        /// How often at the other.
        other: usize,
    },
    /// What is done is different under other conditions: another environment, machine, network or chance.
    ConditionDecides {
        /// The run under those conditions.
        run: String,
        /// What was done.
        act: String,
        /// How often under the usual conditions.
        usual: usize,
        /// How often under the others.
        other: usize,
    },
    /// Something that came from the network was run, written or started.
    RemoteUsed {
        /// What was done with it.
        act: String,
        /// Whether it was run as code or as a program.
        run: bool,
    },
    /// A run did not come to its end.
    Exhausted {
        /// Which.
        run: String,
        /// How it ended.
        end: End,
    },
    /// Two equal runs were not equal, or an instrumented one did something else: the code looks at how it is run.
    Unrepeatable {
        /// The run that differs from the base.
        run: String,
        /// What was done.
        act: String,
    },
    /// A run did not take place, because the budget of all runs was spent.
    NotRun {
        /// Which.
        run: String,
    },
}

/// What two runs that differ in one thing are compared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Secrets.
    Secrets,
    /// The date.
    Date,
    /// The network, without which less is expected to happen.
    Network,
    /// Anything else.
    Conditions,
    /// Nothing: whatever is different is so by itself.
    Nothing,
    /// Not compared: the run tries more than the base does.
    More,
}

impl Observations {
    /// What the runs show; each with the question that it was made for.
    pub(super) fn of(runs: Vec<(Trace, Question)>, driven: Driven, not_run: Vec<String>) -> Self {
        let mut seen = Vec::new();
        for (index, (trace, question)) in runs.iter().enumerate() {
            within(index, trace, &mut seen);
            if index > 0 && trace.end == End::Done && runs[0].0.end == End::Done {
                between(&runs[0].0, index, trace, *question, &mut seen);
            }
        }
        seen.extend(not_run.into_iter().map(|run| Observation {
            fact: Fact::NotRun { run },
            evidence: Vec::new(),
        }));
        Self {
            runs: runs.into_iter().map(|(trace, _)| trace).collect(),
            seen,
            driven,
        }
    }

    /// The run under the usual conditions.
    #[must_use]
    pub fn base(&self) -> Option<&Trace> {
        self.runs.first()
    }

    /// The event that a piece of evidence names, with who did it.
    #[must_use]
    pub fn event(&self, evidence: Evidence) -> Option<&crate::trace::Event> {
        self.runs.get(evidence.run)?.events.get(evidence.event)
    }

    /// Who is to answer for an observation: where its first evidence stands.
    #[must_use]
    pub fn origin(&self, observation: &Observation) -> Origin {
        observation
            .evidence
            .first()
            .and_then(|evidence| self.event(*evidence))
            .map(|event| Origin {
                site: event.site.clone(),
                callers: event.callers.clone(),
            })
            .unwrap_or_default()
    }
}

/// Whether bytes go to a peer that the configuration names.
fn configured(what: &What) -> bool {
    match what {
        What::Send { peer, .. } => peer.configured,
        What::FsWrite { class, .. } => class == "configured",
        _ => false,
    }
}

/// What one run shows by itself. Each fact is told once, with all its events.
fn within(run: usize, trace: &Trace, seen: &mut Vec<Observation>) {
    let mut add = |fact: Fact, event: usize| {
        let evidence = Evidence { run, event };
        match seen.iter_mut().find(|observation| observation.fact == fact) {
            // A few places are as good as all.
            Some(known) if known.evidence.len() < 8 => known.evidence.push(evidence),
            Some(_) => {}
            None => seen.push(Observation {
                fact,
                evidence: vec![evidence],
            }),
        }
    };
    for (event, what) in trace.events.iter().map(|event| &event.what).enumerate() {
        let (Some(payload), Some(act)) = (payload(what), act(what)) else {
            continue;
        };
        for secret in &payload.secrets {
            add(
                Fact::SecretSent {
                    secret: secret.clone(),
                    act: act.clone(),
                    configured: configured(what),
                },
                event,
            );
        }
        let runs = matches!(
            what,
            What::Eval { .. } | What::Spawn { .. } | What::Worker { .. } | What::Wasm { .. }
        );
        if payload.remote && (runs || matches!(what, What::FsWrite { .. })) {
            add(Fact::RemoteUsed { act, run: runs }, event);
        }
    }
    if trace.end != End::Done {
        seen.push(Observation {
            fact: Fact::Exhausted {
                run: trace.run.clone(),
                end: trace.end.clone(),
            },
            evidence: trace
                .events
                .len()
                .checked_sub(1)
                .map(|event| Evidence { run, event })
                .into_iter()
                .collect(),
        });
    }
}

/// What a run shows against the base.
fn between(base: &Trace, run: usize, trace: &Trace, question: Question, seen: &mut Vec<Observation>) {
    for difference in differences(base, trace) {
        let (usual, other) = (difference.one.len(), difference.other.len());
        if question == Question::Network && usual > 0 {
            continue;
        }
        // The run in which it happens more often has the event that the other one lacks.
        let evidence = if usual > other {
            Evidence {
                run: 0,
                event: difference.one[other],
            }
        } else {
            Evidence {
                run,
                event: difference.other[usual],
            }
        };
        let (name, act) = (trace.run.clone(), difference.act);
        let fact = match question {
            Question::Secrets => Fact::SecretDecides { act, usual, other },
            Question::Date => Fact::DateDecides {
                run: name,
                act,
                usual,
                other,
            },
            Question::Conditions | Question::Network => Fact::ConditionDecides {
                run: name,
                act,
                usual,
                other,
            },
            Question::Nothing => Fact::Unrepeatable { run: name, act },
            Question::More => continue,
        };
        seen.push(Observation {
            fact,
            evidence: vec![evidence],
        });
    }
    if question != Question::Secrets {
        return;
    }
    for (act, usual, other) in changed_bytes(base, trace) {
        seen.push(Observation {
            fact: Fact::SecretDependent {
                configured: configured(&base.events[usual].what),
                act,
            },
            evidence: vec![Evidence { run: 0, event: usual }, Evidence { run, event: other }],
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Event, Payload, Peer, Phase};

    fn sent(host: &str, configured: bool, digest: &str, secrets: &[&str]) -> What {
        What::Send {
            peer: Peer {
                protocol: "https".to_owned(),
                host: host.to_owned(),
                port: 443,
                configured,
            },
            payload: Payload {
                bytes: 1,
                digest: digest.to_owned(),
                shown: String::new(),
                secrets: secrets.iter().map(|secret| (*secret).to_owned()).collect(),
                remote: false,
            },
        }
    }

    fn trace(run: &str, whats: Vec<What>) -> Trace {
        Trace {
            run: run.to_owned(),
            events: whats
                .into_iter()
                .map(|what| Event {
                    at: 0,
                    phase: Phase::Register,
                    site: None,
                    callers: Vec::new(),
                    what,
                })
                .collect(),
            end: End::Done,
            fuel: 1,
            memory: 1,
            loaded: Vec::new(),
            covered: Vec::new(),
        }
    }

    fn facts(base: Vec<What>, other: Vec<What>, question: Question) -> Vec<Fact> {
        let runs = vec![
            (trace("base", base), Question::Nothing),
            (trace("other", other), question),
        ];
        let seen = Observations::of(runs, Driven::default(), Vec::new()).seen;
        seen.into_iter().map(|observation| observation.fact).collect()
    }

    #[test]
    fn equal_runs_show_nothing() {
        let run = || vec![sent("a.example", false, "1", &[])];
        assert!(facts(run(), run(), Question::Secrets).is_empty());
    }

    #[test]
    fn other_bytes_under_other_secrets_are_a_flow() {
        let found = facts(
            vec![
                sent("a.example", false, "1", &[]),
                sent("plc.line3.example", true, "1", &[]),
            ],
            vec![
                sent("a.example", false, "2", &[]),
                sent("plc.line3.example", true, "2", &[]),
            ],
            Question::Secrets,
        );
        let expected = |act: &str, configured| Fact::SecretDependent {
            act: act.to_owned(),
            configured,
        };
        assert_eq!(
            found,
            [
                expected("send https a.example:443", false),
                expected("send https plc.line3.example:443", true)
            ]
        );
    }

    #[test]
    fn at_another_date_only_acts_count() {
        let found = facts(
            vec![
                sent("a.example", false, "1", &[]),
                sent("a.example", false, "1", &[]),
            ],
            vec![sent("a.example", false, "2", &[])],
            Question::Date,
        );
        assert_eq!(
            found,
            [Fact::DateDecides {
                run: "other".to_owned(),
                act: "send https a.example:443".to_owned(),
                usual: 2,
                other: 1
            }]
        );
    }

    #[test]
    fn what_is_found_in_bytes_is_told_once_with_its_places() {
        let run = vec![sent("a.example", false, "1", &["npm-token"]); 20];
        let runs = vec![(trace("base", run), Question::Nothing)];
        let seen = Observations::of(runs, Driven::default(), Vec::new()).seen;
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].evidence.len(), 8);
    }

    #[test]
    fn a_run_without_an_end_is_told_and_not_compared() {
        let mut broken = trace("secrets-b", Vec::new());
        broken.end = End::Spent("fuel".to_owned());
        let base = trace("base", vec![sent("a.example", false, "1", &[])]);
        let seen = Observations::of(
            vec![(base, Question::Nothing), (broken, Question::Secrets)],
            Driven::default(),
            Vec::new(),
        )
        .seen;
        assert!(
            matches!(
                &seen[..],
                [Observation {
                    fact: Fact::Exhausted { .. },
                    ..
                }]
            ),
            "{seen:?}"
        );
    }
}
