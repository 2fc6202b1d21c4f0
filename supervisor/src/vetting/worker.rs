//! The hidden role in which packages are read and exercised: a process that opens the engine's image where it needs one,
//! closes itself in, and answers one request of its parent.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use node_vetting::engine::Engine;
use runtime::error::words;

/// The argument by which the binary takes on this role.
pub const WORKER: &str = "vet-worker";
/// What such a process does.
const READ: &str = "read";
const EXERCISE: &str = "exercise";
/// Most memory that a worker can allocate: the closure, its files in the guest's tree, one guest that has written to all
/// of its memory, and the traces of all runs; or what some sources are parsed to.
const MEMORY: u64 = 3 << 30;

/// The command that starts a worker that reads.
///
/// # Errors
/// When this program cannot find itself.
pub(super) fn reader() -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WORKER).arg(READ);
    // Nothing of the host's environment is any of its business.
    command.env_clear();
    Ok(command)
}

/// The command that starts a worker that exercises, on a compiled image.
///
/// # Errors
/// As [`reader`].
pub(super) fn exerciser(image: &Path) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WORKER).arg(EXERCISE).arg(image);
    command.env_clear();
    Ok(command)
}

/// Runs the role: the arguments say what for, and the path of the image.
#[must_use]
pub fn worker(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let served = match arguments.as_slice() {
        [what] if what == READ => serve_reading(),
        [what, image] if what == EXERCISE => serve_exercising(Path::new(image)),
        _ => Err(format!("usage: {WORKER} {READ} | {WORKER} {EXERCISE} IMAGE")),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            let _ = writeln!(std::io::stderr(), "{said}");
            ExitCode::FAILURE
        }
    }
}

fn serve_reading() -> Result<(), String> {
    close_in()?;
    node_vetting::worker::read(std::io::stdin().lock(), std::io::stdout().lock())
        .map_err(|error| words(&error))
}

fn serve_exercising(image: &Path) -> Result<(), String> {
    let engine = Engine::open(image).map_err(|error| words(&error))?;
    close_in()?;
    node_vetting::worker::exercise(&engine, std::io::stdin().lock(), std::io::stdout().lock())
        .map_err(|error| words(&error))
}

fn close_in() -> Result<(), String> {
    // Nobody wants the answer when who asked is gone. The thread that started this waits for it.
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(|error| error.to_string())?;
    runtime::sandbox::worker::close_in(MEMORY).map_err(|error| words(&error))
}
