//! Limits that the kernel keeps per process: what the control groups do not count.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{During, StepError};
use crate::spec::Limits;

/// Open descriptors where the spec names no number: Node.js raises its soft limit to the hard one by itself, and
/// servers of thousands of connections live on it.
const FILES: u64 = 65_536;

/// Sets hard and soft limits alike, so that nobody inside can raise them.
///
/// The address space stays unlimited: one `WebAssembly.Memory` reserves 8 GiB of it. The count of processes does
/// too, because it is per host uid, which instances may share; that is the control group's.
///
/// # Errors
/// The kernel's, with the limit's name.
pub(crate) fn set(limits: &Limits) -> Result<(), StepError> {
    let wanted = limits.files.map_or(FILES, u64::from);
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).during("read the limit of open files")?;
    let files = wanted.min(most);
    setrlimit(Resource::RLIMIT_NOFILE, files, files).during("limit the open files")?;
    // A core dump would write the memory of the instance, its secrets included, wherever the host collects them. Not
    // 0: a `core_pattern` that names a program is run, as the host's root, whatever the limit but 1 (core(5) says that
    // the limit is not enforced for pipes; fs/coredump.c has the exception).
    // Whoever is held to 0 already (`ulimit -Hc 0`, systemd's LimitCORE=0) cannot have more, and starts all the same.
    let (_, most) = getrlimit(Resource::RLIMIT_CORE).during("read the limit of core dumps")?;
    let core = most.min(1);
    setrlimit(Resource::RLIMIT_CORE, core, core).during("forbid core dumps")?;
    // Neither real-time priority nor a better nice value, whatever the starter was allowed.
    setrlimit(Resource::RLIMIT_RTPRIO, 0, 0).during("forbid real-time priority")?;
    setrlimit(Resource::RLIMIT_NICE, 0, 0).during("forbid a better priority")?;
    if let Some(size) = limits.file_size {
        setrlimit(Resource::RLIMIT_FSIZE, size.0, size.0).during("limit the size of a file")?;
    }
    Ok(())
}
