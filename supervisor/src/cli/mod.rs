//! Commands and help.

use std::process::ExitCode;

/// Runs the command line and turns its outcome into the exit code.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
