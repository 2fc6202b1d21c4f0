//! `redhold policy`: check policies, show what they come to, the rules, and the built-in policy.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use node_vetting::policy::{self, Setting};
use node_vetting::report::rules::RULES;
use serde_json::json;

use super::render;
use crate::cli::Global;
use crate::cli::client::table::table;
use crate::cli::output::{Output, Style, harmless};
use crate::paths;
use crate::problem::Problem;
use crate::team::Team;
use crate::vetting::{Rules, check_all, read_policy};

/// What packages are judged by: check a policy, list the rules
#[derive(Debug, Args)]
pub struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a policy file, or all of this host; every mistake is told at once, with its line
    #[command(after_help = FILES)]
    Check {
        /// The file [default: those of the data directory]
        file: Option<PathBuf>,
    },
    /// What the policies of this host come to, with the file that each value comes from
    #[command(after_help = FILES)]
    Effective {
        /// For this team; without it for what belongs to none
        #[arg(long, value_name = "ORGANIZATION/TEAM")]
        team: Option<Team>,
    },
    /// The rules by which facts count, with what to do about each
    Rules,
    /// The built-in policy, to start one's own from
    Show,
}

/// Where policies stand.
const FILES: &str = "\
In the data directory: vetting/policy.toml is the host's, vetting/organizations/NAME.toml an organization's, and
vetting/organizations/NAME/TEAM.toml a team's. A narrower one holds where it is stricter; where it is not, only if the
host's names it, as in delegate = [\"acme\", \"acme/line-3\"]. What it does not say is as the wider one has it.";

/// Runs the command.
///
/// # Errors
/// When a policy has mistakes.
pub fn run(command: &Policy, global: &Global, output: &Output) -> Result<(), Problem> {
    match &command.command {
        Command::Check { file: None } => check_all_of(global, output)?,
        Command::Effective { team } => effective(global, team.as_ref(), output)?,
        Command::Check { file: Some(file) } => {
            let policy = read_policy(file)?;
            if output.json() {
                output.document(&json!({ "file": file, "digest": policy.digest() }));
            } else {
                output.line(&format!(
                    "{} is a policy with {} grants",
                    file.display(),
                    policy.grants.len()
                ));
            }
        }
        Command::Rules if output.json() => {
            let rules: Vec<_> = RULES
                .iter()
                .map(|rule| {
                    json!({ "id": rule.id, "severity": rule.severity, "finds": rule.finds, "next": rule.next })
                })
                .collect();
            output.document(&rules);
        }
        Command::Rules => {
            for rule in RULES {
                let (word, style) = render::verdict(rule.severity);
                output.line(&format!(
                    "{} {}",
                    output.paint(style, &format!("{word:<8}")),
                    output.paint(Style::Bold, rule.id)
                ));
                output.line(&format!("         {}; {}", rule.finds, rule.next));
            }
        }
        Command::Show => output.line(policy::DEFAULT.trim_end()),
    }
    Ok(())
}

fn check_all_of(global: &Global, output: &Output) -> Result<(), Problem> {
    let good = check_all(&paths::host_data_dir(global.data_dir.as_deref())?)?;
    if output.json() {
        let list: Vec<_> = good
            .iter()
            .map(|(level, file)| json!({ "level": level, "file": file }))
            .collect();
        output.document(&list);
    } else if good.is_empty() {
        output.note(
            "this host has no policy of its own: the built-in one holds, which `redhold policy show` prints",
        );
    } else {
        let rows: Vec<Vec<String>> = good
            .iter()
            .map(|(level, file)| vec![level.clone(), file.display().to_string()])
            .collect();
        for line in table(&["LEVEL", "FILE"], &rows) {
            output.line(&harmless(&line));
        }
    }
    Ok(())
}

fn effective(global: &Global, team: Option<&Team>, output: &Output) -> Result<(), Problem> {
    let data_dir = paths::host_data_dir(global.data_dir.as_deref())?;
    let effective = Rules::of_team(&data_dir, team)?.effective(policy::Gate::Enforce);
    if output.json() {
        output.document(&effective);
        return Ok(());
    }
    let row = |setting: &Setting| {
        vec![
            setting.from.clone(),
            format!("{} = {}", setting.key, setting.value),
        ]
    };
    let rows: Vec<Vec<String>> = effective.settings.iter().map(row).collect();
    for line in table(&["FROM", "VALUE"], &rows) {
        output.line(&harmless(&line));
    }
    for Setting { key, value, from } in &effective.ignored {
        let line = format!("does not hold: {key} of {from}: it is less strict, and {value}");
        output.line(&output.paint(Style::Yellow, &harmless(&line)));
    }
    Ok(())
}
