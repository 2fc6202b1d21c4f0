//! `redhold doctor`.

use clap::Args;

use crate::cli::Global;
use crate::cli::output::Output;
use crate::problem::{Code, Problem};

/// What this machine offers, what is missing, what that costs, and the command that mends it
#[derive(Debug, Args)]
pub struct Doctor {}

/// Runs the command.
///
/// # Errors
/// Always, until it is written.
pub fn run(_command: &Doctor, _global: &Global, _output: &Output) -> Result<(), Problem> {
    Err(Problem::new(Code::Failed, "not written yet"))
}
