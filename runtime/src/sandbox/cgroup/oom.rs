//! Learning at once that the kernel killed for memory: a descriptor to poll, and the counts behind it.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::PollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::files::{self, CgroupError, keyed};
use super::patience::ask;

/// How long a v1 kill may take to show in the counts after its event.
const COUNT_PATIENCE: Duration = Duration::from_millis(20);

/// A group's out-of-memory events.
#[derive(Debug)]
pub(super) enum Oom {
    /// v1: an eventfd, registered with the group (cgroup-v1/memory.rst, section 10). It fires when the group is out
    /// of memory, a moment before the kill is counted.
    Counter {
        event: EventFd,
        control: PathBuf,
        seen: Cell<u64>,
    },
    /// v2: `memory.events`, which raises POLLPRI whenever a count changes (cgroup-v2.rst).
    Events { file: File, path: PathBuf },
}

impl Oom {
    /// Registers with the group at `directory`; `None` where it has no memory controller.
    pub(super) fn of(directory: &Path) -> Result<Option<Self>, CgroupError> {
        let events = directory.join("memory.events");
        if events.exists() {
            let file = File::open(&events).map_err(|source| CgroupError::Read {
                path: events.clone(),
                source,
            })?;
            let oom = Self::Events { file, path: events };
            // Only what changes after the first read raises an event.
            oom.kills()?;
            return Ok(Some(oom));
        }
        let control = directory.join("memory.oom_control");
        if !control.exists() {
            return Ok(None);
        }
        let read_error = |source: io::Error| CgroupError::Read {
            path: control.clone(),
            source,
        };
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| read_error(errno.into()))?;
        let opened = File::open(&control).map_err(read_error)?;
        files::write(
            &directory.join("cgroup.event_control"),
            &format!("{} {}", event.as_fd().as_raw_fd(), opened.as_raw_fd()),
        )?;
        Ok(Some(Self::Counter {
            event,
            control,
            seen: Cell::new(0),
        }))
    }

    /// What to poll, and for what.
    pub(super) fn source(&self) -> (BorrowedFd<'_>, PollFlags) {
        match self {
            Self::Counter { event, .. } => (event.as_fd(), PollFlags::POLLIN),
            Self::Events { file, .. } => (file.as_fd(), PollFlags::POLLPRI),
        }
    }

    /// Kills so far. Re-arms the source; waits [`COUNT_PATIENCE`] at most, and only on v1 after an event.
    pub(super) fn kills(&self) -> Result<u64, CgroupError> {
        match self {
            Self::Counter { event, control, seen } => {
                let fired = event.read().is_ok();
                let most = if fired { COUNT_PATIENCE } else { Duration::ZERO };
                let kills = ask(most, || match counted(control) {
                    Ok(kills) if kills == seen.get() => ControlFlow::Continue(Ok(kills)),
                    other => ControlFlow::Break(other),
                })?;
                seen.set(kills);
                Ok(kills)
            }
            Self::Events { file, path } => {
                let mut buffer = [0; 1024];
                let length = loop {
                    match file.read_at(&mut buffer, 0) {
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        outcome => break outcome,
                    }
                }
                .map_err(|source| CgroupError::Read {
                    path: path.clone(),
                    source,
                })?;
                let text = String::from_utf8_lossy(&buffer[..length]);
                Ok(keyed(&text, "oom_kill").unwrap_or(0))
            }
        }
    }
}

/// `oom_kill` of `memory.oom_control`, there since Linux 4.13.
fn counted(control: &Path) -> Result<u64, CgroupError> {
    Ok(keyed(&files::read(control)?, "oom_kill").unwrap_or(0))
}
