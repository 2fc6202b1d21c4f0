//! `redhold policy`: check a policy file, show the rules and the built-in policy.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use node_vetting::policy;
use node_vetting::report::rules::RULES;
use serde_json::json;

use super::render;
use crate::cli::Global;
use crate::cli::output::{Output, Style};
use crate::problem::Problem;
use crate::vetting::read_policy;

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
