//! `redhold bundle`: packages with all that they bring in one file, for hosts without a registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use node_vetting::policy;
use node_vetting::report::Verdict;
use node_vetting::resolve::{Progress, Silent, Target};
use serde_json::json;

use super::render;
use crate::cli::Global;
use crate::cli::client::table::table;
use crate::cli::output::{Output, harmless};
use crate::gate::NpmGate;
use crate::paths;
use crate::problem::{Code, Problem};

const AFTER: &str = "\
On a machine with a registry:   redhold bundle create node-red-dashboard@3.6.5 -o dashboard.bundle
On the host without one:        sudo redhold bundle add dashboard.bundle

The host believes nothing of it: every byte is checked, the packages are vetted again there, and its own policy decides. \
From then on its gate has them, for the palette manager, `redhold npm` and settings alike.";

/// Packages with all that they bring in one file, for hosts without a registry
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub struct Bundle {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a bundle: packages, what they bring, what the registry says of them, reports
    Create {
        /// NAME or NAME@VERSION
        #[arg(required = true, value_name = "PACKAGE")]
        packages: Vec<String>,
        /// The file to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Take a bundle into this host's gate: checked, vetted again, judged by its own policy
    #[command(
        after_help = "Exit codes besides the usual: 10 when a package needs review, 11 when one is refused."
    )]
    Add {
        /// The bundle
        file: PathBuf,
    },
    /// What bundles brought to this host
    List,
    /// What a bundle holds, and what its maker thought of it; nothing is taken from it
    Show {
        /// The bundle
        file: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// When the bundle cannot be made or used, and when a package is not trusted.
pub fn run(command: &Bundle, global: &Global, output: &Output) -> Result<(), Problem> {
    let data_dir = paths::host_data_dir(global.data_dir.as_deref())?;
    let gate = NpmGate::of(&data_dir, policy::Gate::Enforce);
    match &command.verb {
        Verb::Create { packages, output: to } => create(&gate, packages, to, output),
        Verb::Add { file } => add(&gate, file, output),
        Verb::List => list(&gate, output),
        Verb::Show { file } => show(file, output),
    }
}

fn create(gate: &NpmGate, packages: &[String], to: &Path, output: &Output) -> Result<(), Problem> {
    let targets = packages
        .iter()
        .map(|text| match Target::parse(text) {
            Ok(target @ Target::Registry { .. }) => Ok(target),
            _ => Err(
                Problem::new(Code::Usage, format!("`{text}` is no package of a registry"))
                    .hint("write NAME or NAME@VERSION"),
            ),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let judged = waited(gate.pack(&targets, to, &progress))?;
    if output.json() {
        let list: Vec<_> = judged
            .iter()
            .map(|(report, decision)| json!({ "package": report.facts.spec(), "verdict": decision.verdict }))
            .collect();
        output.document(&list);
        return Ok(());
    }
    for (report, decision) in &judged {
        output.line(&format!(
            "{}  {}",
            report.facts.spec(),
            render::verdict(decision.verdict).0
        ));
    }
    output.note(&format!("wrote {}", to.display()));
    Ok(())
}

fn add(gate: &NpmGate, file: &Path, output: &Output) -> Result<(), Problem> {
    let judged = waited(gate.unpack(file))?;
    if output.json() {
        let list: Vec<_> = judged
            .iter()
            .map(|one| json!({ "report": one.report, "decision": one.decision, "differs": one.differs }))
            .collect();
        output.document(&list);
    } else {
        for one in &judged {
            let (spec, verdict) = (one.report.facts.spec(), render::verdict(one.decision.verdict).0);
            output.line(&format!("{spec}  {verdict}"));
            for differs in &one.differs {
                output.note(&format!("  {}", harmless(differs)));
            }
        }
    }
    match judged.iter().map(|one| one.decision.verdict).max() {
        Some(Verdict::Refused) => Err(Problem::new(Code::Refused, "a package of the bundle is refused here")
            .hint("the gate does not give it; `redhold vet NAME@VERSION --offline --explain` says why")),
        Some(Verdict::Review) => Err(Problem::new(Code::Review, "a package of the bundle needs review here")
            .hint("`redhold vet NAME@VERSION --offline --explain` says why, `redhold waiver add` lets it through")),
        _ => Ok(()),
    }
}

fn list(gate: &NpmGate, output: &Output) -> Result<(), Problem> {
    let bundles = gate.bundles();
    if output.json() {
        output.document(&bundles);
        return Ok(());
    }
    let judged = gate.judged()?;
    let now = |package: &str| {
        let found = judged.iter().find(|(report, _)| report.facts.spec() == package);
        found.map_or("not kept any more", |(_, decision)| {
            render::verdict(decision.verdict).0
        })
    };
    let rows: Vec<Vec<String>> = bundles
        .iter()
        .flat_map(|bundle| {
            bundle.packages.iter().map(|claim| {
                vec![
                    harmless(&claim.package),
                    now(&claim.package).to_owned(),
                    render::verdict(claim.verdict).0.to_owned(),
                    harmless(&bundle.file),
                ]
            })
        })
        .collect();
    if rows.is_empty() {
        output.note("no bundle was added to this host yet");
    } else {
        print(&["PACKAGE", "VERDICT", "ITS MAKER'S", "BUNDLE"], &rows, output);
    }
    Ok(())
}

fn show(file: &Path, output: &Output) -> Result<(), Problem> {
    let list = NpmGate::listed(file)?;
    if output.json() {
        output.document(&list);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = list
        .packages
        .iter()
        .map(|claim| {
            vec![
                harmless(&claim.package),
                render::verdict(claim.verdict).0.to_owned(),
                claim.rule.as_deref().map(harmless).unwrap_or_default(),
            ]
        })
        .collect();
    print(&["PACKAGE", "ITS MAKER'S VERDICT", "RULE"], &rows, output);
    let size: u64 = list.contents.iter().map(|content| content.size).sum();
    output.note(&format!(
        "{} files, {} KiB, whole",
        list.contents.len(),
        size.div_ceil(1024)
    ));
    Ok(())
}

fn print(head: &[&str], rows: &[Vec<String>], output: &Output) {
    for line in table(head, rows) {
        output.line(&line);
    }
}

/// Ctrl-C breaks it off.
fn waited<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Failed, "cannot start the network machinery").because(error))?;
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            Ok(()) = tokio::signal::ctrl_c() => Err(Problem::new(Code::Interrupted, "broken off")),
        }
    })
}
