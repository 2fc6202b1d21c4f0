//! Code that never ran here, with what it could do: the part of a package that nobody has seen.

use std::collections::{BTreeSet, HashSet};

use crate::analysis::{Half, Said};
use crate::capability::Kind;
use crate::judge::{Evidence, uses};
use crate::report::Reason;

/// What must have been seen, or be looked at by a person. Milder things are told as capabilities only.
const fn is_strong(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ProcSpawn | Kind::Worker | Kind::CodeVm | Kind::ProcUid | Kind::RedFlowsWrite
    )
}

pub(super) fn reasons(evidence: &Evidence<'_>) -> Vec<Reason> {
    let ran: HashSet<(&str, u32)> = evidence
        .observations
        .runs
        .iter()
        .flat_map(|trace| &trace.covered)
        .flat_map(|(file, starts)| starts.iter().map(move |start| (file.as_str(), *start)))
        .collect();
    let seen: BTreeSet<(Kind, String)> = evidence
        .observations
        .runs
        .iter()
        .flat_map(|trace| &trace.events)
        .filter_map(|event| {
            let kind = uses::of(evidence.closure, &event.what)?.kind;
            Some((kind, event.site.as_ref()?.file.clone()))
        })
        .collect();
    let fed = fed(&evidence.findings.sites);
    let cold = |said: &&Said| {
        said.half == Half::Runtime
            && said.reached
            && (is_strong(said.capability.kind)
                || is_computed_eval(said) && fed.contains(said.site.file.as_str()))
            && !ran.contains(&(said.site.file.as_str(), said.function))
            && !seen.contains(&(said.capability.kind, said.site.file.clone()))
    };
    let told = evidence.findings.sites.iter().filter(cold).map(|said| {
        Reason::about("code.cold", &said.package)
            .says(format!(
                "It could use {} ({}) in code that never ran here.",
                said.capability, said.via
            ))
            .in_place(Some(said.site.clone()))
            .fact("capability", said.capability.to_string())
            .fact("what", said.via.as_str())
    });
    told.collect()
}

fn is_computed_eval(said: &Said) -> bool {
    said.capability.kind == Kind::CodeEval && said.capability.scope == "computed"
}

/// Files whose code can get text from somewhere: only there is text that is run as code anybody's but the package's own.
/// Templates and parsers that write functions for themselves are in half of all closures.
fn fed(sites: &[Said]) -> BTreeSet<&str> {
    let feeding = sites.iter().filter(|said| {
        matches!(
            said.capability.kind,
            Kind::NetConnect
                | Kind::NetUdp
                | Kind::NetDns
                | Kind::FsRead
                | Kind::EnvRead
                | Kind::EnvEnumerate
                | Kind::CodeDynamicRequire
                | Kind::RedAdminRoute
                | Kind::RedHttpRoute
        )
    });
    feeding.map(|said| said.site.file.as_str()).collect()
}
