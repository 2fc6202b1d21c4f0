//! The system calls that a program may not make (`policies/node.json`), those about which its keeper is asked
//! (`policies/watched.json`), and those that a vetting worker may (`policies/vet-worker.json`), compiled by the build
//! script.

use std::io;
use std::os::fd::OwnedFd;

use seccompiler::sock_filter;

use crate::error::{During, StepError};
use crate::sys::notify;

/// A system call that the policy denies, for whoever checks that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Its name.
    pub syscall: &'static str,
    /// Its number on this architecture.
    pub number: u32,
    /// What it answers.
    pub errno: i32,
    /// Whatever its arguments; otherwise only for some.
    pub always: bool,
}

mod embedded {
    //! The filters as the build script wrote them.
    use seccompiler::sock_filter;

    use super::Denied;

    include!(concat!(env!("OUT_DIR"), "/policies.rs"));
}

pub(crate) const FILTERS: [&[sock_filter]; 2] = embedded::NODE;

/// Every rule of the policy that concerns this architecture, one entry per system call.
#[must_use]
pub fn denied() -> &'static [Denied] {
    embedded::DENIED
}

/// Installs the filters on this thread, for it and all its children, for ever; where it is `watched`, without what
/// [`watch`] asks about and the keeper refuses: an answer of a filter goes before a question.
///
/// # Errors
/// The kernel's: `EINVAL` when it was built without seccomp filters.
pub(crate) fn restrict(watched: bool) -> Result<(), StepError> {
    install(if watched {
        &embedded::NODE_WATCHED
    } else {
        &FILTERS
    })
}

/// Installs the filter on this thread, and all its children, that asks whoever holds the returned descriptor. Gives up
/// new privileges for ever.
///
/// # Errors
/// The kernel's: `EINVAL` before Linux 5.5, `EBUSY` where a filter around this one has a listener already.
pub(crate) fn watch() -> io::Result<OwnedFd> {
    nix::sys::prctl::set_no_new_privs()?;
    notify::install(embedded::WATCHED[0])
}

/// Installs the filter of a vetting worker on this thread, for it and all its children, for ever.
///
/// # Errors
/// The kernel's: `EINVAL` when it was built without seccomp filters.
pub(crate) fn restrict_worker() -> Result<(), StepError> {
    install(&embedded::VET_WORKER)
}

fn install(filters: &[&[sock_filter]]) -> Result<(), StepError> {
    for filter in filters {
        seccompiler::apply_filter(filter)
            .map_err(|error| match error {
                seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
                other => io::Error::other(other),
            })
            .during("restrict the system calls")?;
    }
    Ok(())
}
