//! `redhold waiver`: a person's exceptions. Each has who, why and until when, and is for exact bytes.

use clap::{Args, Subcommand};
use node_vetting::policy::{self, Day, Decision};
use node_vetting::report::{Reason, Report, Verdict};
use node_vetting::resolve::Target;
use npm::{PackageName, Version};

use super::judging::Judging;
use super::render;
use crate::cli::Global;
use crate::cli::client::table::table;
use crate::cli::output::{Output, Style, harmless};
use crate::clock;
use crate::problem::{Code, Problem};

/// Exceptions from the policy: rules that do not count against a package, because a person looked
#[derive(Debug, Args)]
pub struct Waiver {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(Add),
    /// All waivers of this host, also those that have ended
    List,
    /// Take back the waivers of a package
    Remove {
        /// NAME@VERSION
        #[arg(value_name = "PACKAGE")]
        package: String,
    },
}

/// Waive rules for a package: it is vetted first, and the waiver is for exactly the bytes that were looked at
#[derive(Debug, Args)]
struct Add {
    /// NAME@VERSION
    #[arg(value_name = "PACKAGE")]
    package: String,
    /// A rule that is not to count, as the report names it: `editor.network`, or `grant{proc.spawn{ping}}`
    #[arg(long = "rule", value_name = "RULE", required = true)]
    rules: Vec<String>,
    /// Why it is right
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// The last day on which it counts, such as 2027-05-01
    #[arg(long, value_name = "DAY")]
    until: Day,
    /// Who says so [default: the account that runs this]
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Ask no registry: what was fetched before has to do
    #[arg(long)]
    offline: bool,
}

/// Runs the command.
///
/// # Errors
/// When the package cannot be vetted, or there is nothing to waive.
pub fn run(command: &Waiver, global: &Global, output: &Output) -> Result<(), Problem> {
    match &command.command {
        Command::Add(add) => run_add(add, global, output),
        Command::List => list(&Judging::of(global, None)?, output),
        Command::Remove { package } => remove(package, &Judging::of(global, None)?, output),
    }
}

fn run_add(command: &Add, global: &Global, output: &Output) -> Result<(), Problem> {
    exact(&command.package)?;
    if command.why.trim().is_empty() {
        return Err(Problem::new(Code::Usage, "a waiver without a reason is none").hint("say why with --why"));
    }
    if command.until < Day::of(clock::now_s()) {
        return Err(Problem::new(Code::Usage, format!("{} is over", command.until))
            .hint("name the last day on which the waiver is to count with --until"));
    }
    let who = match &command.who {
        Some(who) => who.clone(),
        None => account()?,
    };
    let judging = Judging::of(global, None)?;
    let target = Target::parse(&command.package)
        .map_err(|error| Problem::new(Code::Usage, "no package is named").because(error))?;
    let mut seen = None;
    judging.reports(
        &[(&command.package, target)],
        (!command.offline, false),
        output,
        |report| seen = Some(report),
    )?;
    let report = seen.ok_or_else(|| Problem::new(Code::Failed, "the package was not vetted"))?;
    let waiver = policy::Waiver {
        package: report.facts.package.clone(),
        version: report.facts.version.clone(),
        integrity: Some(report.facts.integrity.clone()),
        rules: command.rules.clone(),
        who,
        why: command.why.clone(),
        until: command.until,
    };
    every_rule_has_a_reason(&report, &judging.decide(&report, &[]), &waiver)?;
    let decision = judging.decide(&report, std::slice::from_ref(&waiver));
    judging.add(waiver)?;
    if output.json() {
        output.document(&decision);
    } else {
        said(&report, &decision, command.until, output);
    }
    Ok(())
}

/// `NAME@VERSION`, with nothing left to be chosen.
fn exact(text: &str) -> Result<(PackageName, Version), Problem> {
    let parts = text.rsplit_once('@').filter(|(name, _)| !name.is_empty());
    let parsed = parts.and_then(|(name, version)| Some((name.parse().ok()?, Version::parse(version).ok()?)));
    parsed.ok_or_else(|| {
        Problem::new(
            Code::Usage,
            format!("`{text}` does not name one version of a package"),
        )
        .hint("write NAME@VERSION, as `redhold vet NAME` shows it in its first line")
    })
}

/// A waiver that waives nothing is a mistake: of a name, most often.
fn every_rule_has_a_reason(
    report: &Report,
    decision: &Decision,
    waiver: &policy::Waiver,
) -> Result<(), Problem> {
    let counting = || {
        let counts = decision
            .reasons
            .iter()
            .filter(|judged| judged.counts_as > Verdict::Trusted);
        counts.map(|judged| &judged.reason)
    };
    for rule in &waiver.rules {
        let alone = policy::Waiver {
            rules: vec![rule.clone()],
            ..waiver.clone()
        };
        if !decision.reasons.iter().any(|judged| alone.names(&judged.reason)) {
            let mut names: Vec<String> = counting().map(name).collect();
            names.dedup();
            let hint = match names.as_slice() {
                [] => "nothing counts against it: there is nothing to waive".to_owned(),
                names => format!("what counts against it: {}", names.join(", ")),
            };
            return Err(Problem::new(
                Code::Usage,
                format!(
                    "`{rule}` is not among the reasons against {}",
                    report.facts.spec()
                ),
            )
            .hint(hint));
        }
    }
    Ok(())
}

/// A reason as a waiver names it.
fn name(reason: &Reason) -> String {
    match reason.fact.get("capability").and_then(|value| value.as_str()) {
        Some(capability) => format!("{}{{{capability}}}", reason.rule),
        None => reason.rule.clone(),
    }
}

fn said(report: &Report, decision: &Decision, until: Day, output: &Output) {
    let (word, style) = render::verdict(decision.verdict);
    let end = match decision.verdict {
        Verdict::Trusted => format!(" until {until}"),
        Verdict::Review | Verdict::Refused => String::new(),
    };
    output.line(&format!(
        "{}  {}{end}",
        output.paint(Style::Bold, &report.facts.spec()),
        output.paint(style, word)
    ));
    let left = decision
        .reasons
        .iter()
        .filter(|judged| judged.counts_as > Verdict::Trusted);
    for judged in left {
        output.line(&format!(
            "  still counts: {}  {}",
            harmless(&name(&judged.reason)),
            harmless(&judged.reason.says)
        ));
    }
}

fn account() -> Result<String, Problem> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    user.map(|user| user.name).ok_or_else(|| {
        Problem::new(Code::Usage, "this account has no name").hint("say who waives with --who")
    })
}

fn list(judging: &Judging, output: &Output) -> Result<(), Problem> {
    let all = judging.waivers();
    if output.json() {
        output.document(&all);
        return Ok(());
    }
    let today = Day::of(clock::now_s());
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|waiver| {
            let until = match waiver.until >= today {
                true => waiver.until.to_string(),
                false => format!("{} (over)", waiver.until),
            };
            vec![
                format!("{}@{}", waiver.package, waiver.version),
                waiver.rules.join(" "),
                until,
                waiver.who.clone(),
                waiver.why.clone(),
            ]
        })
        .collect();
    if rows.is_empty() {
        output.note("no waivers: the policy counts as it is written");
    } else {
        for line in table(&["PACKAGE", "RULES", "UNTIL", "WHO", "WHY"], &rows) {
            output.line(&harmless(&line));
        }
    }
    Ok(())
}

fn remove(package: &str, judging: &Judging, output: &Output) -> Result<(), Problem> {
    let (name, version) = exact(package)?;
    let count = judging.remove(&name, &version)?;
    if output.json() {
        output.document(&serde_json::json!({ "removed": count }));
    } else {
        output.line(&format!(
            "{count} taken back: {package} is judged by the policy again"
        ));
    }
    Ok(())
}
