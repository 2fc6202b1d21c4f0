//! Pure: what is remembered of the verdicts on an instance's packages, and what of a change somebody is told.
//!
//! A verdict falls when the package is judged worse than before, or when a flaw of it has become known; it rises when it is
//! judged better. Of a package that is seen for the first time only what the gate would not let through is news: whoever
//! installed it was told the rest.

use std::collections::{BTreeMap, BTreeSet};

use node_vetting::policy::Gate;
use node_vetting::report::{Report, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gate::Judgement;
use crate::store::table::Record;

/// The rule on known flaws.
const FLAW: &str = "advisory.known";

/// Packages that are spelled out in a sentence.
const SPELLED: usize = 3;

/// Packages that an event lists.
const LISTED: usize = 50;

/// What was last seen of an instance's packages, by `name@version`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// By package.
    pub(super) packages: BTreeMap<String, Standing>,
}

impl Record for Verdicts {
    const TABLE: &'static str = "verdicts";
    const FORMAT: u32 = 1;
}

/// How a package stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    verdict: Verdict,
    /// With which engine it was looked at.
    engine: String,
    /// By which policies and waivers it was judged.
    rules: String,
    /// Known flaws of it and of what it brings.
    #[serde(default)]
    flaws: BTreeSet<String>,
    /// People were told that it fell, and it has not risen to trusted since.
    #[serde(default)]
    fallen: bool,
}

/// How a package stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) judgement: Judgement,
    engine: String,
    flaws: BTreeSet<String>,
}

impl Seen {
    pub(super) fn of(report: &Report, judgement: Judgement) -> Self {
        let flaws = report.reasons.iter().filter(|reason| reason.rule == FLAW);
        let names = flaws.filter_map(|reason| Some(reason.fact.get("what")?.as_str()?.to_owned()));
        Self {
            judgement,
            engine: report.facts.tools.engine.clone(),
            flaws: names.collect(),
        }
    }
}

/// What a verdict changed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Cause {
    /// It was not looked at before.
    First,
    /// Another engine saw something else.
    Engine,
    /// Policies or waivers were changed.
    Rules,
    /// Known flaws.
    Flaws,
    /// A day that a policy or a waiver names has passed.
    Time,
}

/// A verdict that is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    #[serde(flatten)]
    judgement: Judgement,
    was: Option<Verdict>,
    cause: Cause,
}

/// What is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) fell: Vec<Change>,
    pub(super) rose: Vec<Change>,
    /// What had fallen and is not installed any more.
    pub(super) gone: Vec<String>,
    /// How many stand lower than they did.
    pub(super) left: usize,
}

impl Verdicts {
    /// What is remembered from now on, and what is news of it. `rules` names what `now` was judged by, and `mode` what the
    /// gate lets through.
    pub(super) fn turn(&self, now: &[Seen], rules: &str, mode: Gate) -> (Self, News) {
        let (mut after, mut news) = (Self::default(), News::default());
        for seen in now {
            let verdict = seen.judgement.verdict;
            let before = self.packages.get(&seen.judgement.package);
            let fell = match before {
                None => !mode.lets(verdict),
                Some(before) => {
                    let flawed = verdict > Verdict::Trusted && !seen.flaws.is_subset(&before.flaws);
                    verdict > before.verdict || flawed
                }
            };
            let rose = before.is_some_and(|before| verdict < before.verdict);
            let change = || Change {
                judgement: seen.judgement.clone(),
                was: before.map(|before| before.verdict),
                cause: before.map_or(Cause::First, |before| before.cause(seen, rules)),
            };
            if fell {
                news.fell.push(change());
            } else if rose {
                news.rose.push(change());
            }
            let fallen = fell || (verdict > Verdict::Trusted && before.is_some_and(|before| before.fallen));
            let standing = Standing {
                verdict,
                engine: seen.engine.clone(),
                rules: rules.to_owned(),
                flaws: seen.flaws.clone(),
                fallen,
            };
            after.packages.insert(seen.judgement.package.clone(), standing);
        }
        let gone = self
            .packages
            .iter()
            .filter(|(package, _)| !after.packages.contains_key(*package));
        news.gone = gone
            .filter(|(_, before)| before.fallen)
            .map(|(package, _)| package.clone())
            .collect();
        news.left = after.packages.values().filter(|standing| standing.fallen).count();
        (after, news)
    }
}

impl Standing {
    fn cause(&self, now: &Seen, rules: &str) -> Cause {
        if self.engine != now.engine {
            Cause::Engine
        } else if self.flaws != now.flaws {
            Cause::Flaws
        } else if self.rules != rules {
            Cause::Rules
        } else {
            Cause::Time
        }
    }
}

impl Cause {
    const fn words(self) -> &'static str {
        match self {
            Self::First => "it was not looked at before",
            Self::Engine => "a newer engine looked at it",
            Self::Rules => "the policy or its waivers were changed",
            Self::Flaws => "what is known of its flaws has changed",
            Self::Time => "a day has passed that the policy or a waiver names",
        }
    }
}

impl Change {
    fn words(&self) -> String {
        let Judgement {
            package,
            verdict,
            reason,
        } = &self.judgement;
        let now = match verdict {
            Verdict::Trusted => "is trusted",
            Verdict::Review => "needs a person's review",
            Verdict::Refused => "is refused",
        };
        let was = self
            .was
            .map_or_else(String::new, |was| format!(" (it was {})", was.name()));
        let why = reason.as_ref().map_or_else(String::new, |reason| {
            let at = reason
                .at
                .as_ref()
                .map_or_else(String::new, |at| format!(" ({at})"));
            format!(", by rule {}: {}{at}", reason.rule, reason.says)
        });
        let why = why.trim_end_matches('.');
        format!("{package} {now}{was}{why}; {}", self.cause.words())
    }
}

impl News {
    /// The sentence and the detail of an event about what fell, if anything did.
    pub(super) fn fallen(&self) -> Option<(String, Value)> {
        let first = self.fell.first()?;
        let next = first
            .judgement
            .reason
            .as_ref()
            .map_or("", |reason| reason.next.as_str());
        let next = match next {
            "" => String::new(),
            next => format!(" What to do: {next}."),
        };
        let text = format!(
            "{}. Nothing was removed, and nothing is stopped.{next}",
            listed(&self.fell)
        );
        let fell = &self.fell[..self.fell.len().min(LISTED)];
        Some((
            text,
            json!({ "fell": fell, "count": self.fell.len(), "left": self.left }),
        ))
    }

    /// The sentence and the detail of an event about what is better than it was, if anything is.
    pub(super) fn risen(&self) -> Option<(String, Value)> {
        if self.rose.is_empty() && self.gone.is_empty() {
            return None;
        }
        let gone = match self.gone.as_slice() {
            [] => None,
            all => Some(format!("{} is not installed any more", all.join(", "))),
        };
        let rose = Some(listed(&self.rose)).filter(|text| !text.is_empty());
        let text: Vec<String> = rose.into_iter().chain(gone).collect();
        let rose = &self.rose[..self.rose.len().min(LISTED)];
        let detail = json!({ "rose": rose, "gone": self.gone, "left": self.left });
        Some((text.join("; "), detail))
    }

    /// Verdicts before and after, for the audit log.
    pub(super) fn differences(&self) -> (Value, Value) {
        let all = || self.fell.iter().chain(&self.rose);
        let before = all().map(|change| (change.judgement.package.clone(), json!(change.was)));
        let after = all().map(|change| (change.judgement.package.clone(), json!(change.judgement)));
        let collected = |pairs: &mut dyn Iterator<Item = (String, Value)>| Value::Object(pairs.collect());
        (collected(&mut { before }), collected(&mut { after }))
    }
}

fn listed(changes: &[Change]) -> String {
    let mut parts: Vec<String> = changes.iter().take(SPELLED).map(Change::words).collect();
    if changes.len() > SPELLED {
        parts.push(format!("and {} more packages", changes.len() - SPELLED));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use Verdict::{Refused, Review, Trusted};

    use super::*;
    use crate::gate::Said;

    fn seen(package: &str, verdict: Verdict, engine: &str, flaws: &[&str]) -> Seen {
        let reason = (verdict > Trusted).then(|| Said {
            rule: "some.rule".to_owned(),
            by: package.to_owned(),
            says: "It does something.".to_owned(),
            at: Some("x.js:3".to_owned()),
            next: "read it".to_owned(),
        });
        Seen {
            judgement: Judgement {
                package: package.to_owned(),
                verdict,
                reason,
            },
            engine: engine.to_owned(),
            flaws: flaws.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    /// Fell, rose and left after `now`.
    fn told(verdicts: &mut Verdicts, now: &[Seen], rules: &str) -> (Vec<Cause>, Vec<Cause>, usize) {
        let (after, news) = verdicts.turn(now, rules, Gate::Enforce);
        *verdicts = after;
        let causes = |all: &[Change]| all.iter().map(|change| change.cause).collect::<Vec<_>>();
        (causes(&news.fell), causes(&news.rose), news.left)
    }

    #[test]
    fn what_falls_is_told_once_with_its_cause_and_so_is_its_end() {
        let mut verdicts = Verdicts::default();
        let one = |verdict, engine: &str, flaws: &[&str]| [seen("a@1.0.0", verdict, engine, flaws)];
        let nothing = (vec![], vec![], 0);
        assert_eq!(told(&mut verdicts, &one(Trusted, "e", &[]), "r"), nothing);
        assert_eq!(told(&mut verdicts, &one(Trusted, "e", &[]), "s"), nothing);
        for (verdict, engine, flaws, rules, expected) in [
            (Review, "e", &[][..], "t", (vec![Cause::Rules], vec![], 1)),
            (Review, "e", &[], "u", (vec![], vec![], 1)),
            (Review, "e", &["X-1"], "u", (vec![Cause::Flaws], vec![], 1)),
            (Refused, "f", &["X-1"], "u", (vec![Cause::Engine], vec![], 1)),
            (Review, "f", &["X-1"], "v", (vec![], vec![Cause::Rules], 1)),
            (Trusted, "f", &["X-1"], "v", (vec![], vec![Cause::Time], 0)),
            (Trusted, "f", &["X-1", "X-2"], "v", (vec![], vec![], 0)),
        ] {
            let said = told(&mut verdicts, &one(verdict, engine, flaws), rules);
            assert_eq!(said, expected, "{verdict:?} {engine} {flaws:?} {rules}");
        }
    }

    #[test]
    fn at_first_sight_only_what_the_gate_would_stop_is_told() {
        for (mode, verdict, told) in [
            (Gate::Enforce, Trusted, 0),
            (Gate::Enforce, Review, 1),
            (Gate::Warn, Review, 0),
            (Gate::Warn, Refused, 1),
        ] {
            let (after, news) = Verdicts::default().turn(&[seen("a@1.0.0", verdict, "e", &[])], "r", mode);
            assert_eq!(news.fell.len(), told, "{mode:?} {verdict:?}");
            let (_, again) = after.turn(&[seen("a@1.0.0", verdict, "e", &[])], "r", mode);
            assert_eq!(again.fell.len(), 0);
        }
    }

    #[test]
    fn what_had_fallen_and_was_removed_is_over() {
        let both = [
            seen("a@1.0.0", Refused, "e", &[]),
            seen("b@1.0.0", Trusted, "e", &[]),
        ];
        let (before, news) = Verdicts::default().turn(&both, "r", Gate::Enforce);
        let (text, detail) = news.fallen().expect("news");
        assert_eq!(
            text,
            "a@1.0.0 is refused, by rule some.rule: It does something. (x.js:3); it was not looked at before. Nothing was \
             removed, and nothing is stopped. What to do: read it."
        );
        assert_eq!(detail["fell"][0]["package"], "a@1.0.0");
        assert_eq!(news.risen(), None);
        let (after, news) = before.turn(&both[1..], "r", Gate::Enforce);
        let (text, detail) = news.risen().expect("news");
        assert_eq!(
            (text.as_str(), &detail["left"]),
            ("a@1.0.0 is not installed any more", &json!(0))
        );
        let (_, news) = after.turn(&[], "r", Gate::Enforce);
        assert_eq!(news.risen(), None, "nobody was told of it");
    }
}
