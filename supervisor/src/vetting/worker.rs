//! The hidden role in which packages are read and exercised: a process that opens the engine's image where it needs one,
//! closes itself in, and answers one request of its parent.

use std::ffi::{OsStr, OsString};
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

/// Who waits for what a worker finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Somebody does.
    Now,
    /// Nobody does: it gets the processor time that nothing else wants.
    Idle,
}

/// Says that nobody waits.
const IDLE: &str = "idle";

/// The lowest priority (`nice(2)`).
const LOWEST: i32 = 19;

/// The command that starts a worker that reads.
///
/// # Errors
/// When this program cannot find itself.
pub(super) fn reader(pace: Pace) -> std::io::Result<Command> {
    command(&[OsStr::new(READ)], pace)
}

/// The command that starts a worker that exercises, on a compiled image.
///
/// # Errors
/// As [`reader`].
pub(super) fn exerciser(image: &Path, pace: Pace) -> std::io::Result<Command> {
    command(&[OsStr::new(EXERCISE), image.as_os_str()], pace)
}

fn command(what: &[&OsStr], pace: Pace) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WORKER).args(what);
    if pace == Pace::Idle {
        command.arg(IDLE);
    }
    // Nothing of the host's environment is any of its business.
    command.env_clear();
    Ok(command)
}

/// Runs the role: the arguments say what for, the path of the image, and that nobody waits for it.
#[must_use]
pub fn worker(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments: Vec<OsString> = arguments.collect();
    if arguments.pop_if(|last| last == IDLE).is_some() {
        // Before the walls, which forbid it. Where the kernel refuses it is only less polite.
        let _ = rustix::process::nice(LOWEST);
    }
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
    node_vetting::worker::read(std::io::stdin().lock(), std::io::stdout()).map_err(|error| words(&error))
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
