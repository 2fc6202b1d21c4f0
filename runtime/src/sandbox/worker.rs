//! The walls around the process that vets: it closes itself in before it reads a byte of anybody's package.
//!
//! Unlike an instance it needs nothing of the machine but memory and the pipes to its parent, so these walls need no
//! root, no namespace and no mount: no path may be opened (Landlock), no privilege is left, and of the system calls only
//! those of `policies/vet-worker.json` exist. A network of its own is a second wall where
//! the kernel gives one: no socket can be made anyway.

use std::{fs, io};

use landlock::{ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};

use crate::error::{During, StepError};
use crate::sandbox::{capabilities, seccomp};

/// Descriptors: the three pipes, the image of memory, and what is open before the walls stand.
const FILES: u64 = 64;

/// Closes this process in for ever. Must be called while it has one thread.
///
/// `memory` bounds what it can allocate, in bytes; maps of guests that are not written to do not count.
///
/// # Errors
/// When one of the walls that must stand does not; the process must then end.
pub fn close_in(memory: u64) -> Result<(), StepError> {
    nix::sys::prctl::set_name(c"redhold-vet").during("name the vetting worker")?;
    // Where a whole machine runs out of memory, this is to end before any instance.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    // Before user namespaces are given up with everything else. Not every kernel gives one to everybody.
    let spaces = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    let _ = unshare(CloneFlags::CLONE_NEWUSER | spaces);
    nix::sys::prctl::set_dumpable(false).during("hide the vetting worker")?;
    limit(memory)?;
    capabilities::lock()?;
    capabilities::drop_all()?;
    no_files().map_err(|error| StepError::new("restrict files by Landlock", "", io::Error::other(error)))?;
    seccomp::restrict_worker()
}

fn limit(memory: u64) -> Result<(), StepError> {
    for (what, resource, most) in [
        (
            "limit the memory of the vetting worker",
            Resource::RLIMIT_DATA,
            memory,
        ),
        (
            "limit the open files of the vetting worker",
            Resource::RLIMIT_NOFILE,
            FILES,
        ),
        ("forbid files of the vetting worker", Resource::RLIMIT_FSIZE, 0),
        ("forbid core dumps", Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, most, most).during(what)?;
    }
    Ok(())
}

/// No rule at all: nothing can be opened, connected to or signalled. An old kernel knows less, and the list of system
/// calls stands without it too.
fn no_files() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V6))?
        .handle_access(AccessNet::from_all(ABI::V6))?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .restrict_self()?;
    Ok(())
}
