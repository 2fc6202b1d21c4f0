//! `redhold dev`.

use clap::Args;

use crate::cli::Global;
use crate::cli::output::Output;
use crate::problem::{Code, Problem};

/// Run one isolated Node-RED on a project folder
#[derive(Debug, Args)]
pub struct Dev {}

/// Runs the command.
///
/// # Errors
/// Always, until it is written.
pub fn run(_command: &Dev, _global: &Global, _output: &Output) -> Result<(), Problem> {
    Err(Problem::new(Code::Failed, "not written yet"))
}
