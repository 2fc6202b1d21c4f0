//! From facts to reasons: which of the things that were read and seen stand in the way of trust.
//!
//! Pure, and the only place that holds an opinion about facts; the policy then weighs reasons. Every reason names a rule, a
//! package and, where there is one, a place. Equal facts give equal reasons in equal order.

mod between;
mod cold;
mod command;
mod gaps;
mod observers;
mod routes;
mod said;
mod seen;
mod uses;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::analysis::{Finding, Findings};
use crate::closure::Closure;
use crate::exercise::Observations;
use crate::report::{Reason, Use};
use crate::trace::Site;

/// What is known of a closure before anybody judges.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What is judged.
    pub closure: &'a Closure,
    /// What its code and manifests say.
    pub findings: &'a Findings,
    /// What it did, run by run, and what the runs show together.
    pub observations: &'a Observations,
}

/// What follows from the evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// What it can do to the world.
    pub uses: Vec<Use>,
    /// What stands in the way of trust.
    pub reasons: Vec<Reason>,
}

/// Most reasons of one rule about one package that are kept: more of the same tell nobody more.
const MOST_ALIKE: usize = 5;

/// Judges.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Judgement {
    let mut reasons = gaps::reasons(evidence.closure);
    reasons.extend(said::reasons(evidence));
    reasons.extend(seen::reasons(evidence));
    reasons.extend(between::reasons(evidence));
    reasons.extend(cold::reasons(evidence));
    observers::raise(evidence, &mut reasons);
    Judgement {
        uses: uses::uses(evidence),
        reasons: few(reasons),
    }
}

/// Reasons as they are with what is known of flaws now, in the place of what was known then. The bytes are the same, so
/// nothing else changes.
#[must_use]
pub fn with_flaws(mut reasons: Vec<Reason>, known: &[Finding]) -> Vec<Reason> {
    reasons.retain(|reason| reason.rule != said::FLAW);
    reasons.extend(known.iter().filter_map(said::flaw));
    few(reasons)
}

/// The same without repetitions: one of a rule for each place, and not more than [`MOST_ALIKE`] for each package.
///
/// The gravest come first: what was seen must not give way to the same thing said more mildly.
fn few(mut reasons: Vec<Reason>) -> Vec<Reason> {
    reasons.sort_by_key(|reason| Reverse(reason.severity));
    let mut places = HashSet::new();
    let mut alike = HashMap::new();
    let kept = reasons.into_iter().filter(|reason| {
        let fact = reason.fact.get("what").map(ToString::to_string);
        if !places.insert((
            reason.rule.clone(),
            reason.package.clone(),
            reason.site.clone(),
            fact,
        )) {
            return false;
        }
        let count = alike
            .entry((reason.rule.clone(), reason.package.clone()))
            .or_insert(0);
        *count += 1;
        *count <= MOST_ALIKE
    });
    kept.collect()
}

/// The package that a place belongs to, `name@version`; the root where there is no place.
fn owner(closure: &Closure, site: Option<&Site>) -> String {
    site.and_then(|site| closure.owner(&site.file))
        .map_or_else(|| closure.root().spec(), |(package, _)| package.spec())
}
