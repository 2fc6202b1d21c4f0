//! `redhold vet`: judges packages without a server and without root. `redhold policy` and `redhold waiver`: what it
//! judges by.

pub mod bundle;
pub mod catalogue;
mod judging;
pub mod policy;
mod render;
pub mod waiver;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use node_vetting::policy::Decision;
use node_vetting::report::{Report, Verdict};
use node_vetting::sarif::sarif;
use node_vetting::schema::schema;
use serde_json::json;

use self::judging::{Judging, target};
use crate::cli::Global;
use crate::cli::output::Output;
use crate::problem::{Code, Problem};

const AFTER: &str = "\
Reports on packages of registries are kept in the data directory, where this account may write there; a kept one on
the same bytes by the same tools is used, with known flaws asked for again once a day.

Exit codes besides the usual: 10 when a package needs review, 11 when one is refused.";

/// Judge packages: what they are, what they do, and whether they may be installed
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Vet {
    /// Packages: NAME, NAME@VERSION, a folder with a package.json, or an archive (.tgz)
    #[arg(required_unless_present = "schema", value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Judge by this policy [default: policy.toml in the data directory's vetting folder, else the built-in one]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Show all reasons, also those that do not count
    #[arg(long)]
    explain: bool,
    /// Write the reasons as SARIF 2.1.0 to this file; with several packages one run each
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Ask no registry: what was fetched before has to do
    #[arg(long)]
    offline: bool,
    /// Vet anew, although a report on the same bytes by the same tools is kept
    #[arg(long)]
    fresh: bool,
    /// Print the JSON Schema of what --json prints, and do nothing else
    #[arg(long, exclusive = true)]
    schema: bool,
}

/// Runs the command.
///
/// # Errors
/// When a package cannot be judged, and when one is not trusted.
pub fn run(command: &Vet, global: &Global, output: &Output) -> Result<(), Problem> {
    if command.schema {
        output.document(&schema());
        return Ok(());
    }
    let judging = Judging::of(global, command.policy.as_deref())?;
    let targets = command
        .packages
        .iter()
        .map(|text| Ok((text.as_str(), target(text)?)))
        .collect::<Result<Vec<_>, Problem>>()?;
    let mut judged = Vec::new();
    let how = (!command.offline, command.fresh);
    judging.reports(&targets, how, output, |report| {
        let decision = judging.decide(&report, &[]);
        if !output.json() {
            render::report(&report, &decision, command.explain, output);
            output.line("");
        }
        judged.push((report, decision));
    })?;
    if output.json() {
        let list: Vec<_> = judged
            .iter()
            .map(|(report, decision)| json!({ "report": report, "decision": decision }))
            .collect();
        output.document(&list);
    }
    if let Some(file) = &command.sarif {
        write_sarif(file, &judged)?;
    }
    verdict(&judged)
}

fn write_sarif(file: &Path, judged: &[(Report, Decision)]) -> Result<(), Problem> {
    let mut documents = judged.iter().map(|(report, decision)| sarif(report, decision));
    let mut document = documents.next().unwrap_or_default();
    for more in documents {
        if let (Some(runs), Some(new)) = (document["runs"].as_array_mut(), more["runs"].as_array()) {
            runs.extend(new.iter().cloned());
        }
    }
    fs::write(file, format!("{document:#}\n"))
        .map_err(|error| Problem::io(format!("cannot write {}", file.display()), error))
}

/// The worst of the verdicts, as the exit code says it.
fn verdict(judged: &[(Report, Decision)]) -> Result<(), Problem> {
    let worst = judged.iter().max_by_key(|(_, decision)| decision.verdict);
    let Some((report, decision)) = worst else {
        return Ok(());
    };
    let code = match decision.verdict {
        Verdict::Trusted => return Ok(()),
        Verdict::Review => Code::Review,
        Verdict::Refused => Code::Refused,
    };
    let rule = decision
        .decided_by()
        .map_or("", |judged| judged.reason.rule.as_str());
    Err(Problem::new(code, format!("{} is not trusted: {rule}", report.facts.spec())).reported())
}
