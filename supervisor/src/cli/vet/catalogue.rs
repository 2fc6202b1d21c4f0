//! `redhold catalogue`: what was vetted on this host, with verdicts.

use clap::Args;
use node_vetting::policy;
use node_vetting::report::Verdict;

use super::render;
use crate::cli::Global;
use crate::cli::client::table::table;
use crate::cli::output::{Output, harmless};
use crate::gate::NpmGate;
use crate::paths;
use crate::problem::Problem;

/// What was vetted on this host, with the verdicts of its policy and waivers as they are today
#[derive(Debug, Args)]
#[command(
    after_help = "With --json it is a catalogue as Node-RED's palette manager reads it, without what is refused."
)]
pub struct Catalogue {}

/// Runs the command.
///
/// # Errors
/// When the policy or the waivers cannot be used.
pub fn run(_: &Catalogue, global: &Global, output: &Output) -> Result<(), Problem> {
    let data_dir = paths::host_data_dir(global.data_dir.as_deref())?;
    let gate = NpmGate::of(&data_dir, policy::Gate::Enforce);
    if output.json() {
        output.document(&gate.catalogue()?);
        return Ok(());
    }
    let mut judged = gate.judged()?;
    judged.sort_by(|(a, one), (b, other)| {
        (one.verdict, &a.facts.package, &b.facts.version).cmp(&(
            other.verdict,
            &b.facts.package,
            &a.facts.version,
        ))
    });
    let rows: Vec<Vec<String>> = judged
        .iter()
        .map(|(report, decision)| {
            let why = decision
                .decided_by()
                .map_or("", |judged| judged.reason.rule.as_str());
            let types = match decision.verdict {
                Verdict::Refused => String::new(),
                _ => report.facts.node_types.join(", "),
            };
            vec![
                report.facts.spec(),
                render::verdict(decision.verdict).0.to_owned(),
                why.to_owned(),
                types,
            ]
        })
        .collect();
    if rows.is_empty() {
        output.note("nothing was vetted on this host yet: an installation does it");
        return Ok(());
    }
    for line in table(&["PACKAGE", "VERDICT", "RULE", "NODES"], &rows) {
        output.line(&harmless(&line));
    }
    Ok(())
}
