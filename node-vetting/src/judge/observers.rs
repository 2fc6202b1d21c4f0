//! What is a question by itself, and an answer together: seeing what belongs to others and talking to a host that nobody
//! configured; code made not to be read of which a part never ran.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{About, Half};
use crate::capability::Kind;
use crate::judge::{Evidence, owner};
use crate::report::{Reason, Verdict};
use crate::rewrite::{Cell, cells};
use crate::trace::What;

/// Rules about seeing what others do.
const OBSERVING: [&str; 6] = [
    "red.hooks",
    "red.log-handler",
    "admin.middleware",
    "rt.require-cache",
    "rt.module-hook",
    "rt.prototype",
];

/// Makes questions that answer each other grave.
pub(super) fn raise(evidence: &Evidence<'_>, reasons: &mut [Reason]) {
    let talking: BTreeSet<String> = talking(evidence)
        .into_iter()
        .chain(could_talk(evidence))
        .collect();
    for reason in reasons.iter_mut() {
        if OBSERVING.contains(&reason.rule.as_str()) && talking.contains(&reason.package) {
            reason.severity = Verdict::Refused;
            reason.says = format!(
                "{} It also talks to a host that nobody configured, or could.",
                reason.says
            );
        }
    }
    // One that nobody uses is a carrier when there is something to carry. Old lists of dependencies have many.
    let grave: BTreeSet<String> = reasons
        .iter()
        .filter(|reason| reason.severity == Verdict::Refused)
        .map(|reason| reason.package.clone())
        .collect();
    for reason in reasons
        .iter_mut()
        .filter(|reason| reason.rule == "install.phantom")
    {
        let unused = reason
            .fact
            .get("what")
            .and_then(|name| name.as_str())
            .unwrap_or_default();
        if grave
            .iter()
            .any(|spec| spec.rsplit_once('@').is_some_and(|(name, _)| name == unused))
        {
            reason.severity = Verdict::Refused;
        }
    }
    let unread = unread(evidence);
    for reason in reasons
        .iter_mut()
        .filter(|reason| reason.rule == "code.obfuscated")
    {
        let file = reason.site.as_ref().map(|site| site.file.as_str());
        if file.is_some_and(|file| unread.contains(file)) {
            reason.severity = Verdict::Refused;
            reason.says = format!(
                "{} Part of it never ran here, and loads modules or runs text by names that it hides.",
                reason.says
            );
        }
    }
}

/// Packages that were seen to talk to somebody whom no configuration names.
fn talking(evidence: &Evidence<'_>) -> BTreeSet<String> {
    let events = evidence.observations.runs.iter().flat_map(|trace| &trace.events);
    let talking = events.filter(|event| match &event.what {
        What::Connect { peer } | What::Send { peer, .. } => !peer.configured && !is_loopback(&peer.host),
        _ => false,
    });
    talking
        .map(|event| owner(evidence.closure, event.site.as_ref()))
        .collect()
}

/// Packages whose code could talk to somebody in a file that was never seen to, however often it was tried: what waits
/// for others' messages or requests, of which there are none here.
fn could_talk(evidence: &Evidence<'_>) -> BTreeSet<String> {
    let events = evidence.observations.runs.iter().flat_map(|trace| &trace.events);
    let seen: BTreeSet<&str> = events
        .filter(|event| matches!(event.what, What::Connect { .. } | What::Send { .. }))
        .filter_map(|event| Some(event.site.as_ref()?.file.as_str()))
        .collect();
    let sites = evidence.findings.sites.iter().filter(|said| {
        let talks = matches!(
            said.capability.kind,
            Kind::NetConnect | Kind::NetUdp | Kind::NetDns
        );
        talks && said.half == Half::Runtime && said.reached && !seen.contains(said.site.file.as_str())
    });
    sites.map(|said| said.package.clone()).collect()
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1" | "0.0.0.0")
}

/// Files made not to be read in which a place never ran that loads or runs something by a hidden name.
fn unread<'a>(evidence: &Evidence<'a>) -> BTreeSet<&'a str> {
    let hidden: BTreeSet<&str> = evidence
        .findings
        .findings
        .iter()
        // Charts turn lists of colours as hidden code turns its lists of words: no proof by itself.
        .filter(|finding| matches!(&finding.about, About::Obfuscated { how, .. } if how != "string-rotator"))
        .map(|finding| finding.site.file.as_str())
        .collect();
    let ran: BTreeSet<(&str, u32)> = evidence
        .observations
        .runs
        .iter()
        .flat_map(|trace| &trace.covered)
        .flat_map(|(file, starts)| starts.iter().map(move |start| (file.as_str(), *start)))
        .collect();
    let mut unread = BTreeSet::new();
    let mut cells: BTreeMap<&str, Vec<Cell>> = BTreeMap::new();
    for said in &evidence.findings.sites {
        let file = said.site.file.as_str();
        let strong = matches!(
            said.capability.kind,
            Kind::CodeDynamicRequire | Kind::CodeEval | Kind::CodeVm | Kind::ProcSpawn
        );
        if !strong || !hidden.contains(file) || unread.contains(file) {
            continue;
        }
        let cells = cells.entry(file).or_insert_with(|| cells_of(evidence, file));
        if !ran.contains(&(file, innermost(cells, said.offset))) {
            unread.insert(file);
        }
    }
    unread
}

fn cells_of(evidence: &Evidence<'_>, file: &str) -> Vec<Cell> {
    let text = evidence
        .closure
        .owner(file)
        .and_then(|(package, inner)| package.file(inner));
    text.and_then(|text| std::str::from_utf8(text).ok())
        .and_then(cells)
        .unwrap_or_default()
}

/// The smallest part of a file that runs as a whole, around a place of it, as coverage tells it.
fn innermost(cells: &[Cell], offset: u32) -> u32 {
    let around = cells
        .iter()
        .filter(|cell| cell.start <= offset && offset < cell.end);
    around
        .min_by_key(|cell| cell.end - cell.start)
        .map_or(0, |cell| cell.told)
}
