//! Reasons in how runs differ: what only secrets, dates, hosts or chance decide.

use crate::exercise::{Fact, Observation, Observations};
use crate::judge::{Evidence, owner};
use crate::report::{Reason, Verdict};
use crate::trace::{End, What};

pub(super) fn reasons(evidence: &Evidence<'_>) -> Vec<Reason> {
    let told = evidence.observations.seen.iter().filter_map(|observation| {
        let origin = evidence.observations.origin(observation);
        let package = owner(evidence.closure, origin.site.as_ref());
        let reason = reason(evidence.observations, observation, &package)?;
        Some(Reason {
            run: run_of(&observation.fact).or_else(|| reason.run.clone()),
            ..reason.in_place(origin.site)
        })
    });
    told.collect()
}

/// Runs at other dates are named by how far away these are: `+400d`.
fn is_of_another_date(run: &str) -> bool {
    run.starts_with(['+', '-'])
}

fn run_of(fact: &Fact) -> Option<String> {
    match fact {
        Fact::DateDecides { run, .. }
        | Fact::ConditionDecides { run, .. }
        | Fact::Unrepeatable { run, .. }
        | Fact::Exhausted { run, .. } => Some(run.clone()),
        _ => None,
    }
}

fn reason(observations: &Observations, observation: &Observation, package: &str) -> Option<Reason> {
    let of =
        |rule: &str, what: &str, says: String| Reason::about(rule, package).says(says).fact("what", what);
    let harmful = || {
        let event = observation
            .evidence
            .first()
            .and_then(|first| observations.event(*first));
        event.is_some_and(|event| is_harmful(&event.what))
    };
    Some(match &observation.fact {
        Fact::SecretDependent {
            act,
            configured: false,
        } => of(
            "flow.secret.hidden",
            act,
            format!("What it does ({act}) carries other bytes when only secrets are different."),
        ),
        Fact::SecretDecides { act, .. } if harmful() => softer(of(
            "flow.secret.hidden",
            act,
            format!("Whether it does this ({act}) depends on a secret."),
        )),
        Fact::DateDecides {
            run,
            act,
            usual,
            other,
        } if decides(*usual, *other) => {
            let reason = of("gate.date", act, told(run, act, *usual, *other));
            // Fewer of what the node is there for is sabotage; more of something harmless is a calendar.
            if harmful() || fades(*usual, *other) {
                reason
            } else {
                return None;
            }
        }
        Fact::ConditionDecides {
            run,
            act,
            usual,
            other,
        } if decides(*usual, *other) && harmful() => {
            let rule = if run.starts_with("rng") {
                "gate.chance"
            } else {
                "gate.host"
            };
            let reason = of(rule, act, told(run, act, *usual, *other));
            // Without a network a node may well try something else.
            if run == "offline" { softer(reason) } else { reason }
        }
        Fact::RemoteUsed { act, run: false } if !act.contains("/configured/") => softer(of(
            "code.remote",
            act,
            format!("It keeps what came from the network ({act})."),
        )),
        Fact::Exhausted { run, end } if is_of_another_date(run) && !matches!(end, End::Done) => of(
            "gate.date",
            run,
            format!("At another date ({run}) it does not come to an end."),
        ),
        Fact::Unrepeatable { run, act } => of(
            "code.probing",
            act,
            format!("Under equal conditions ({run}) it does something else: {act}."),
        ),
        Fact::NotRun { run } => of(
            "resource.spent",
            run,
            format!("The run `{run}` was left out: the budget was spent."),
        ),
        _ => return None,
    })
}

fn told(run: &str, act: &str, usual: usize, other: usize) -> String {
    format!("In run {run} it does this {other} times instead of {usual}: {act}.")
}

fn softer(mut reason: Reason) -> Reason {
    reason.severity = Verdict::Review;
    reason
}

/// Whether two counts differ by more than where a calendar happens to begin.
const fn decides(usual: usize, other: usize) -> bool {
    usual == 0 || other == 0 || usual >= other * 3 || other >= usual * 3
}

/// Whether something that is usually done mostly is not.
const fn fades(usual: usize, other: usize) -> bool {
    usual >= 3 && other * 3 <= usual
}

/// Whether an act by itself reaches beyond what the configuration names.
fn is_harmful(what: &What) -> bool {
    match what {
        What::Connect { peer } | What::Send { peer, .. } => !peer.configured,
        What::FsWrite { class, .. } | What::FsDelete { class, .. } => class != "own" && class != "configured",
        What::FsRead { class, .. } => class == "secret",
        What::Resolve { .. }
        | What::Spawn { .. }
        | What::Worker { .. }
        | What::Eval { literal: false, .. }
        | What::Native { .. }
        | What::RedFlows { write: true }
        | What::RedCredentials { own: false }
        | What::EditorNetwork { .. }
        | What::EditorScript { .. }
        | What::EditorToken => true,
        _ => false,
    }
}
