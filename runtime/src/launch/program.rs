//! The last steps before the program: what it inherits, and the walls that only it gets.

use std::ffi::CString;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

use nix::fcntl::{OFlag, open};
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;

use super::message::Report;
use crate::error::{During, StepError};
use crate::record::{Level, Strength};
use crate::sandbox::{landlock, rlimits, seccomp};
use crate::spec::{InstanceSpec, Watch};
use crate::sys::descriptors::{close_on_exec_from, duplicate_above, place, send};
use crate::sys::signals;

/// Where copies are put before they take their places, so that none overwrites another.
const ABOVE: i32 = 10;

/// The ends of the keeper's channels that belong inside.
pub(crate) struct Inherited {
    pub(crate) output: OwnedFd,
    pub(crate) errors: OwnedFd,
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) guest: OwnedFd,
    pub(crate) input: Option<OwnedFd>,
    /// Where the listener for what is watched goes; the keeper answers there that it has it.
    pub(crate) watch: Option<OwnedFd>,
    /// Closed by the execution of the program.
    pub(crate) report: OwnedFd,
}

/// Becomes the program. Returns only when that failed.
pub(crate) fn become_program(spec: &InstanceSpec, inherited: &Inherited) -> StepError {
    match prepare(spec, inherited) {
        Ok(never) => never,
        Err(error) => error,
    }
}

fn prepare(spec: &InstanceSpec, inherited: &Inherited) -> Result<StepError, StepError> {
    nix::unistd::setsid().during("start a session for the program")?;
    signals::reset().during("reset the signals of the program")?;
    nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
    nix::unistd::chdir(&spec.program.directory).during_on(
        "enter the working directory of the program",
        &spec.program.directory,
    )?;
    let report = arrange(inherited).during("place the descriptors of the program")?;
    rlimits::set(&spec.limits)?;
    let level = landlock::restrict(spec)?;
    let watched = spec.watch.as_ref().zip(inherited.watch.as_ref());
    let watched = watched.map(|(watch, keeper)| watched_level(watch, begin_to_ask(keeper.as_fd())));
    // Nothing is asked about that nobody answers.
    seccomp::restrict(watched.as_ref().is_some_and(|(_, asked)| *asked))?;
    tell(report.as_fd(), &Report::Level(level)).during("report to the keeper")?;
    tell(report.as_fd(), &Report::Level(seccomp_level())).during("report to the keeper")?;
    if let Some((level, _)) = watched {
        tell(report.as_fd(), &Report::Level(level)).during("report to the keeper")?;
    }

    const STEP: &str = "execute the program";
    let path = &spec.program.path;
    let text = |bytes: &[u8]| CString::new(bytes).during_on(STEP, path);
    let executable = text(path.as_os_str().as_bytes())?;
    let mut arguments = vec![executable.clone()];
    for argument in &spec.program.args {
        arguments.push(text(argument.as_bytes())?);
    }
    let environment = spec
        .program
        .env
        .iter()
        .map(|(key, value)| text(format!("{key}={value}").as_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    // The mask comes last: a signal that is let through too early would end this process without a report.
    SigSet::empty()
        .thread_set_mask()
        .during("reset the signals of the program")?;
    match nix::unistd::execve(&executable, &arguments, &environment) {
        Ok(never) => match never {},
        Err(error) => Err(error).during_on(STEP, path),
    }
}

/// 0 is `/dev/null`, 1 and 2 the log pipes, 3 the listener or closed, 4 the guest channel, 5 the input or closed; everything else
/// ends with the execution. Returns the report channel at its new number.
fn arrange(inherited: &Inherited) -> std::io::Result<OwnedFd> {
    let above = |from: BorrowedFd<'_>| duplicate_above(from, ABOVE);
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let null = above(null.as_fd())?;
    let output = above(inherited.output.as_fd())?;
    let errors = above(inherited.errors.as_fd())?;
    let listener = inherited
        .listener
        .as_ref()
        .map(|listener| above(listener.as_fd()))
        .transpose()?;
    let guest = above(inherited.guest.as_fd())?;
    let input = inherited.input.as_ref().map(|input| above(input.as_fd()));
    let input = input.transpose()?;
    let report = above(inherited.report.as_fd())?;
    close_on_exec_from(3)?;
    place(null.as_fd(), 0)?;
    place(output.as_fd(), 1)?;
    place(errors.as_fd(), 2)?;
    if let Some(listener) = listener {
        place(listener.as_fd(), 3)?;
    }
    place(guest.as_fd(), 4)?;
    if let Some(input) = input {
        place(input.as_fd(), 5)?;
    }
    Ok(report)
}

fn seccomp_level() -> Level {
    Level {
        name: "seccomp".to_owned(),
        strength: Strength::Hard,
        detail: format!("{} filters", seccomp::FILTERS.len()),
    }
}

/// Begins to ask the keeper, which gets the listener.
fn begin_to_ask(keeper: BorrowedFd<'_>) -> std::io::Result<()> {
    let keeper = UnixStream::from(keeper.try_clone_to_owned()?);
    send(&keeper, b"w", &[seccomp::watch()?.as_fd()]).map(drop)
}

/// What is watched, and whether the keeper is asked. Where the kernel cannot ask, nothing is recorded, and what is enforced
/// is what Landlock refuses.
fn watched_level(watch: &Watch, asked: std::io::Result<()>) -> (Level, bool) {
    let asks = asked.is_ok();
    let (strength, how) = match (asked, watch.enforce) {
        (Ok(_), true) => (Strength::Hard, "refused and recorded".to_owned()),
        (Ok(_), false) => (Strength::Off, "let through and recorded".to_owned()),
        (Err(error), true) => (
            Strength::Partial,
            format!("refused by Landlock alone, and not recorded ({error})"),
        ),
        (Err(error), false) => (Strength::None, format!("let through, and not recorded ({error})")),
    };
    let level = Level {
        name: "capabilities".to_owned(),
        strength,
        detail: format!("{}; anything else is {how}", watch.words),
    };
    (level, asks)
}

/// One report, as a line.
pub(crate) fn tell(to: BorrowedFd<'_>, report: &Report) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    std::fs::File::from(to.try_clone_to_owned()?).write_all(&line)
}
