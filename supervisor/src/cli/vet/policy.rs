//! `redhold policy`: check a policy file, show the rules and the built-in policy.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use node_vetting::policy;
use node_vetting::report::rules::RULES;
use serde_json::json;

use super::render;
use crate::cli::Global;
use crate::cli::output::{Output, Style};
use crate::problem::{Code, Problem};

/// What packages are judged by: check a policy, list the rules
#[derive(Debug, Args)]
pub struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a policy file; every mistake is told at once
    Check {
        /// The file
        file: PathBuf,
    },
    /// The rules by which facts count, with what to do about each
    Rules,
    /// The built-in policy, to start one's own from
    Show,
}

/// Runs the command.
///
/// # Errors
/// When the policy has mistakes.
pub fn run(command: &Policy, _: &Global, output: &Output) -> Result<(), Problem> {
    match &command.command {
        Command::Check { file } => {
            let policy = read(file)?;
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

/// The policy that holds: the file that is named, else the data directory's own, else the built-in one.
///
/// # Errors
/// When a file cannot be read or has mistakes.
pub(super) fn load(named: Option<&Path>, data_dir: &Path) -> Result<policy::Policy, Problem> {
    if let Some(file) = named {
        return read(file);
    }
    let own = data_dir.join("vetting/policy.toml");
    if own.exists() {
        read(&own)
    } else {
        Ok(policy::Policy::default())
    }
}

fn read(file: &Path) -> Result<policy::Policy, Problem> {
    let text = fs::read_to_string(file)
        .map_err(|error| Problem::io(format!("cannot read {}", file.display()), error))?;
    policy::Policy::parse(&file.display().to_string(), &text)
        .map_err(|mistakes| Problem::new(Code::Usage, mistakes.to_string()))
}
