//! The hidden role in which packages are exercised: a process that opens the engine's image, closes itself in, and
//! answers one request of its parent.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use node_vetting::engine::Engine;
use runtime::error::words;

/// The argument by which the binary takes on this role.
pub const WORKER: &str = "vet-worker";
/// Most memory that a worker can allocate: the closure, its files in the guest's tree, one guest that has written to all
/// of its memory, and the traces of all runs.
const MEMORY: u64 = 3 << 30;

/// The command that starts a worker on a compiled image.
///
/// # Errors
/// When this program cannot find itself.
pub fn worker_command(image: &Path) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WORKER).arg(image);
    // Nothing of the host's environment is any of its business.
    command.env_clear();
    Ok(command)
}

/// Runs the role: the argument is the path of the image.
#[must_use]
pub fn worker(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match serve(arguments.next()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            let _ = writeln!(std::io::stderr(), "{said}");
            ExitCode::FAILURE
        }
    }
}

fn serve(image: Option<OsString>) -> Result<(), String> {
    let image = image.ok_or("usage: vet-worker IMAGE")?;
    let engine = Engine::open(Path::new(&image)).map_err(|error| words(&error))?;
    runtime::sandbox::worker::close_in(MEMORY).map_err(|error| words(&error))?;
    node_vetting::worker::serve(&engine, std::io::stdin().lock(), std::io::stdout().lock())
        .map_err(|error| words(&error))
}
