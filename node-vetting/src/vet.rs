//! From a closure to a report: read, exercised, judged. What the policy makes of it comes after.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{About, Doing, Finding, Findings, Half};
use crate::closure::Closure;
use crate::exercise::Observations;
use crate::judge::{Evidence, judge, with_flaws};
use crate::package::Package;
use crate::report::{Facts, Flaws, Member, Report, Run, Tools, Tried};
use crate::resolve::{Listing, Resolved};
use crate::trace::{End, Site, What};
use crate::worker::WorkerError;

/// What is known of a closure that brought down the worker that looked at it: just that.
///
/// # Errors
/// The worker's own, where it may be the host's doing: then nothing is known.
pub fn broke(closure: &Closure, doing: Doing, error: WorkerError) -> Result<Finding, WorkerError> {
    let Some(why) = error.of_the_package() else {
        return Err(error);
    };
    let place = error
        .at()
        .and_then(|file| Some((closure.owner(file)?.0.spec(), file.to_owned(), 0)));
    let (package, file, line) = place.unwrap_or_else(|| {
        let manifest = format!("{}/package.json", closure.root_place());
        (closure.root().spec(), manifest, 1)
    });
    Ok(Finding {
        package,
        site: Site { file, line },
        reached: true,
        about: About::Broke { doing, why },
    })
}

/// The report about a closure from what was read and seen. Pure.
#[must_use]
pub fn report(resolved: &Resolved, findings: &Findings, observations: &Observations, tools: Tools) -> Report {
    let closure = &resolved.closure;
    let judgement = judge(&Evidence {
        closure,
        findings,
        observations,
    });
    let root = closure.root();
    Report {
        format: 1,
        facts: Facts {
            package: root.name.clone(),
            version: root.version.clone(),
            integrity: root.integrity.clone(),
            closure: closure.digest(),
            packages: members(closure),
            gaps: closure.gaps.clone(),
            unpacked: closure
                .places()
                .flat_map(|(_, package)| package.files())
                .map(|(_, file)| file.len() as u64)
                .sum(),
            published: published(&resolved.listings, &root.spec()),
            description: said(root, "description"),
            licence: licence(root),
            node_types: node_types(findings, observations),
            uses: judgement.uses,
            runs: observations
                .runs
                .iter()
                .map(|trace| Run {
                    name: trace.run.clone(),
                    end: trace.end.clone(),
                    fuel: trace.fuel,
                    memory: trace.memory,
                    events: trace.events.len(),
                })
                .collect(),
            tried: Tried {
                registered: observations.driven.types.len(),
                constructed: observations.driven.constructed.len(),
                fed: observations.driven.fed,
                sent: observations.driven.sent,
            },
            coverage: coverage(closure, findings, observations),
            tools,
        },
        reasons: judgement.reasons,
    }
}

/// A report with what is known of flaws now, as `flaws` tells it. Pure, and without a run: the bytes are the same.
#[must_use]
pub fn renewed(report: &Report, known: &[Finding], flaws: Flaws) -> Report {
    let mut renewed = report.clone();
    renewed.facts.tools.flaws = flaws;
    renewed.reasons = with_flaws(renewed.reasons, known);
    renewed
}

fn members(closure: &Closure) -> Vec<Member> {
    let places = closure.places().map(|(place, package)| Member {
        place: place.to_owned(),
        package: package.spec(),
        integrity: package.integrity.clone(),
        licence: licence(package),
    });
    places.collect()
}

fn said(package: &Package, key: &str) -> String {
    let text = package.manifest[key].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The licence as it is said: a text, or in old packages an object or a list of them.
fn licence(package: &Package) -> String {
    let manifest = &package.manifest;
    let one = |value: &serde_json::Value| {
        value
            .as_str()
            .or_else(|| value["type"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    match one(&manifest["license"]) {
        said if said.is_empty() => one(&manifest["licenses"][0]),
        said => said,
    }
}

fn published(listings: &BTreeMap<String, Listing>, spec: &str) -> Option<i64> {
    let said = listings.get(spec)?.published.as_deref()?;
    Some(said.parse::<jiff::Timestamp>().ok()?.as_second())
}

/// Types that were registered, and those that the code names.
fn node_types(findings: &Findings, observations: &Observations) -> Vec<String> {
    let seen = observations
        .runs
        .iter()
        .flat_map(|trace| &trace.events)
        .filter_map(|event| match &event.what {
            What::RedRegister { node_type, .. } => Some(node_type.clone()),
            _ => None,
        });
    let named = findings.nodes.iter().flat_map(|node| node.types.iter().cloned());
    let types: BTreeSet<String> = seen.chain(named).collect();
    types.into_iter().collect()
}

/// The share of files with code of the package itself that ran in some run.
fn coverage(closure: &Closure, findings: &Findings, observations: &Observations) -> Option<u8> {
    let ended = observations.runs.iter().any(|trace| trace.end == End::Done);
    let own = format!("{}/", closure.root_place());
    let of_root = |file: &str| file.starts_with(&own) && !file[own.len()..].starts_with("node_modules/");
    let functions: BTreeSet<(&str, u32)> = findings
        .sites
        .iter()
        .filter(|said| said.half == Half::Runtime && of_root(&said.site.file))
        .map(|said| (said.site.file.as_str(), said.function))
        .collect();
    if !ended || functions.is_empty() {
        return None;
    }
    let ran: BTreeSet<(&str, u32)> = observations
        .runs
        .iter()
        .flat_map(|trace| &trace.covered)
        .flat_map(|(file, starts)| starts.iter().map(move |start| (file.as_str(), *start)))
        .collect();
    // No run was watched for it, for instance because the budget did not suffice: that is not to say that nothing ran.
    if ran.is_empty() {
        return None;
    }
    let hit = functions.iter().filter(|function| ran.contains(function)).count();
    u8::try_from(hit * 100 / functions.len()).ok()
}
