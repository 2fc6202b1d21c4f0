//! The results: a line for each package, a row for each behaviour, and what is aimed at.

use std::collections::BTreeMap;

use serde_json::json;
use test_support::bench::median;

use crate::case::{Case, Kind};
use crate::vet::Looked;

/// What came of a case, against what should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Right,
    /// Refused, but for another reason than its own.
    OtherReason,
    Review,
    Missed,
}

fn outcome(case: &Case, looked: &Looked) -> Outcome {
    let by_right = looked
        .reasons
        .iter()
        .any(|reason| reason.counts_as == "refused" && case.right.contains(&reason.rule));
    match (case.kind, looked.verdict.as_str()) {
        (Kind::Attack, "refused") if by_right => Outcome::Right,
        (Kind::Attack, "refused") => Outcome::OtherReason,
        // A blob that only the right host can decrypt is right to be looked at.
        (Kind::Attack, "review")
            if case.id == "A03"
                && looked
                    .reasons
                    .iter()
                    .any(|reason| case.right.contains(&reason.rule)) =>
        {
            Outcome::Right
        }
        (Kind::Attack, "review") => Outcome::Review,
        (Kind::Attack, _) => Outcome::Missed,
        (_, "trusted") => Outcome::Right,
        (_, "review") => Outcome::Review,
        (_, "refused") if refused_as_listed(case, looked) => Outcome::Right,
        _ => Outcome::Missed,
    }
}

/// Whether a real package is refused for nothing but what the list says.
fn refused_as_listed(case: &Case, looked: &Looked) -> bool {
    case.refused_by.as_ref().is_some_and(|rule| {
        looked
            .reasons
            .iter()
            .filter(|reason| reason.counts_as == "refused")
            .all(|reason| reason.rule == *rule)
    })
}

/// One package.
pub(crate) fn line(case: &Case, looked: &Looked) {
    let good = outcome(case, looked) == Outcome::Right;
    println!(
        "{} {:8} {:5.2} s {:4.0} MiB{} {} {}",
        if good { "  " } else { "! " },
        looked.verdict.chars().take(300).collect::<String>(),
        looked.seconds,
        looked.mebibytes,
        if looked.equal { "" } else { "  NOT REPEATED" },
        case.spec,
        if case.kind == Kind::Real {
            ""
        } else {
            case.title.as_str()
        },
    );
    if good {
        return;
    }
    for reason in looked.reasons.iter().take(8) {
        println!(
            "      {} {}: {}",
            reason.counts_as,
            reason.rule,
            reason.says.chars().take(200).collect::<String>()
        );
    }
}

fn share(part: usize, all: usize) -> f64 {
    if all == 0 {
        100.0
    } else {
        part as f64 * 100.0 / all as f64
    }
}

/// The tables; whether every bound of correctness is met.
pub(crate) fn all(cases: &[Case], results: &[Looked]) -> bool {
    let pairs: Vec<(&Case, &Looked)> = cases.iter().zip(results).collect();
    let mut behaviours: BTreeMap<&str, Vec<Outcome>> = BTreeMap::new();
    for (case, looked) in pairs.iter().filter(|(case, _)| case.kind == Kind::Attack) {
        behaviours
            .entry(&case.id)
            .or_default()
            .push(outcome(case, looked));
    }
    println!("\nbehaviour  samples  refused  right reason");
    for (id, outcomes) in &behaviours {
        let right = outcomes.iter().filter(|one| **one == Outcome::Right).count();
        let refused = outcomes
            .iter()
            .filter(|one| **one <= Outcome::OtherReason)
            .count();
        println!("{id:9}  {:7}  {refused:7}  {right:12}", outcomes.len());
    }
    let attacks: Vec<Outcome> = behaviours.into_values().flatten().collect();
    let benign = |kind| pairs.iter().filter(move |(case, _)| case.kind == kind);
    let count = |kind, wanted: Outcome| {
        benign(kind)
            .filter(|(case, looked)| outcome(case, looked) == wanted)
            .count()
    };
    let real = benign(Kind::Real).count();
    let all_benign = real + benign(Kind::Twin).count();
    let reviewed = count(Kind::Real, Outcome::Review) + count(Kind::Twin, Outcome::Review);
    let refused = count(Kind::Real, Outcome::Missed) + count(Kind::Twin, Outcome::Missed);
    let working = benign(Kind::Real)
        .filter(|(_, looked)| looked.registered > 0 && looked.fed > 0)
        .count();
    let repeated = results.iter().filter(|looked| looked.equal).count();
    let unpinned = benign(Kind::Real)
        .filter(|(case, looked)| {
            case.integrity
                .as_ref()
                .is_some_and(|pinned| *pinned != looked.integrity)
        })
        .count();
    let found = attacks.iter().filter(|one| **one <= Outcome::OtherReason).count();
    let right = attacks.iter().filter(|one| **one == Outcome::Right).count();
    let trusted = attacks.iter().filter(|one| **one == Outcome::Missed).count();
    let mut met = true;
    let mut bound = |figure: &str, value: String, aim: &str, holds: bool, correctness: bool| {
        met &= holds || !correctness;
        println!(
            "{figure:48} {value:>16}  {aim:8} {}",
            if holds { "met" } else { "missed" }
        );
    };
    println!();
    bound(
        "attacks refused",
        format!("{found} of {}", attacks.len()),
        "all",
        found == attacks.len(),
        true,
    );
    bound(
        "  for the right reason",
        format!("{:.1} %", share(right, attacks.len())),
        ">= 90 %",
        share(right, attacks.len()) >= 90.0,
        true,
    );
    bound("  trusted", trusted.to_string(), "0", trusted == 0, true);
    bound(
        "benign refused (but by a listed rule)",
        format!("{refused} of {all_benign}"),
        "0",
        refused == 0,
        true,
    );
    bound(
        "benign sent to review",
        format!("{reviewed} of {all_benign}"),
        "< 10 %",
        share(reviewed, all_benign.max(1)) < 10.0,
        true,
    );
    bound(
        "real: types register and nodes take a message",
        format!("{working} of {real}"),
        "> 90 %",
        share(working, real) > 90.0,
        true,
    );
    bound(
        "real: archives other than pinned",
        unpinned.to_string(),
        "0",
        unpinned == 0,
        true,
    );
    bound(
        "reports equal when repeated",
        format!("{repeated} of {}", results.len()),
        "all",
        repeated == results.len(),
        true,
    );
    for (name, kinds) in [
        ("real", &[Kind::Real][..]),
        ("generated", &[Kind::Attack, Kind::Twin]),
    ] {
        let of = |figure: &dyn Fn(&Looked) -> f64| {
            let mut values: Vec<f64> = pairs
                .iter()
                .filter(|(case, _)| kinds.contains(&case.kind))
                .map(|(_, looked)| figure(looked))
                .collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (seconds, memory) = (of(&|looked| looked.seconds), of(&|looked| looked.mebibytes));
        if seconds.is_empty() {
            continue;
        }
        let p95 = |values: &[f64]| values[(values.len() * 95).div_ceil(100).max(1) - 1];
        let (middle, high) = (median(seconds.clone()), p95(&seconds));
        bound(
            &format!("{name}: time, median"),
            format!("{middle:.2} s"),
            "< 2 s",
            middle < 2.0,
            false,
        );
        bound(
            &format!("{name}: time, p95"),
            format!("{high:.2} s"),
            "< 15 s",
            high < 15.0,
            false,
        );
        println!(
            "{:48} {:>12.0} MiB",
            format!("{name}: peak memory, median"),
            median(memory.clone())
        );
        println!(
            "{:48} {:>12.0} MiB",
            format!("{name}: peak memory, p95"),
            p95(&memory)
        );
        println!(
            "{:48} {:>16.1}",
            format!("{name}: packages a minute and core"),
            seconds.len() as f64 * 60.0 / seconds.iter().sum::<f64>()
        );
    }
    met
}

/// Everything, for programs.
pub(crate) fn json(cases: &[Case], results: &[Looked]) -> String {
    let list: Vec<_> = cases
        .iter()
        .zip(results)
        .map(|(case, looked)| {
            json!({
                "package": case.spec, "id": case.id, "kind": format!("{:?}", case.kind).to_lowercase(), "about": case.title,
                "verdict": looked.verdict, "outcome": format!("{:?}", outcome(case, looked)), "seconds": looked.seconds,
                "peak_mib": looked.mebibytes, "repeated": looked.equal, "registered": looked.registered, "fed": looked.fed,
                "coverage": looked.coverage, "integrity": looked.integrity,
                "reasons": looked.reasons.iter().map(|reason| json!({ "rule": reason.rule, "counts_as": reason.counts_as,
                    "says": reason.says })).collect::<Vec<_>>(),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(list))
}
