//! `redhold stack`.

use clap::Args;

use crate::cli::Global;
use crate::cli::output::Output;
use crate::problem::{Code, Problem};

/// List, fetch, lock, verify and prune stacks
#[derive(Debug, Args)]
pub struct Stack {}

/// Runs the command.
///
/// # Errors
/// Always, until it is written.
pub fn run(_command: &Stack, _global: &Global, _output: &Output) -> Result<(), Problem> {
    Err(Problem::new(Code::Failed, "not written yet"))
}
