//! `redhold vet`: judges packages without a server and without root. `redhold policy`: what it judges by.

pub mod policy;
mod render;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use node_vetting::policy::{Decision, Policy, Scene, Waiver, decide};
use node_vetting::report::{Report, Verdict};
use node_vetting::resolve::{Progress, Target};
use node_vetting::sarif::sarif;
use serde_json::json;

use crate::cli::Global;
use crate::cli::output::{Output, harmless};
use crate::paths;
use crate::problem::{Code, Problem};
use crate::vetting::Vetting;

const AFTER: &str = "\
Exit codes besides the usual: 10 when a package needs review, 11 when one is refused.";

/// Judge packages: what they are, what they do, and whether they may be installed
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Vet {
    /// Packages: NAME, NAME@VERSION, a folder with a package.json, or an archive (.tgz)
    #[arg(required = true, value_name = "PACKAGE")]
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
}

/// Runs the command.
///
/// # Errors
/// When a package cannot be judged, and when one is not trusted.
pub fn run(command: &Vet, global: &Global, output: &Output) -> Result<(), Problem> {
    let data_dir = paths::data_dir(global.data_dir.as_deref())?;
    let policy = policy::load(command.policy.as_deref(), &data_dir)?;
    let waivers = policy::waivers(&data_dir)?;
    let targets = command
        .packages
        .iter()
        .map(|text| target(text))
        .collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Failed, "cannot start the network machinery").because(error))?;
    let judged = runtime.block_on(async {
        tokio::select! {
            judged = judge_all(command, &data_dir, &policy, &waivers, targets, output) => judged,
            Ok(()) = tokio::signal::ctrl_c() => Err(Problem::new(Code::Interrupted, "broken off")),
        }
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

/// A package as it is named on the command line. What exists as a path is one.
fn target(text: &str) -> Result<Target, Problem> {
    let path = Path::new(text);
    if path.is_dir() {
        return Ok(Target::Folder(path.to_owned()));
    }
    if path.is_file() {
        return Ok(Target::Archive(path.to_owned()));
    }
    Target::parse(text).map_err(|error| {
        Problem::new(
            Code::Usage,
            format!("`{text}` is neither a file, nor a folder, nor a package"),
        )
        .because(error)
        .hint("write a name, name@version, or a path to a folder or an archive")
    })
}

async fn judge_all(
    command: &Vet,
    data_dir: &Path,
    policy: &Policy,
    waivers: &[Waiver],
    targets: Vec<Target>,
    output: &Output,
) -> Result<Vec<(Report, Decision)>, Problem> {
    let vetting = Vetting::open(data_dir, !command.offline).await?;
    let waivers: Vec<(&str, &Waiver)> = waivers.iter().map(|waiver| ("host", waiver)).collect();
    let mut judged = Vec::new();
    for (target, text) in targets.iter().zip(&command.packages) {
        let progress: Arc<dyn Progress> = Arc::new(Said(*output));
        output.note(&format!("looking at {}", harmless(text)));
        let report = vetting.vet(target, policy.budget, progress).await?;
        let scene = Scene {
            now: now(),
            policies: &[("host", policy)],
            waivers: &waivers,
        };
        let decision = decide(&report, &scene);
        if !output.json() {
            render::report(&report, &decision, command.explain, output);
            output.line("");
        }
        judged.push((report, decision));
    }
    Ok(judged)
}

/// Tells nothing but what takes long.
struct Said(Output);

impl Progress for Said {
    fn counted(&self, packages: usize) {
        if packages > 0 && packages.is_multiple_of(200) {
            self.0.note(&format!("{packages} packages so far"));
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
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
