//! The system calls that a program may not make: `policies/node.json`, compiled by the build script.

use std::io;

use seccompiler::sock_filter;

use crate::error::{During, StepError};

mod embedded {
    //! The filters as the build script wrote them.
    use seccompiler::sock_filter;

    include!(concat!(env!("OUT_DIR"), "/policies.rs"));
}

pub(crate) const FILTERS: [&[sock_filter]; 2] = embedded::NODE;

/// Installs the filters on this thread, for it and all its children, for ever.
///
/// # Errors
/// The kernel's: `EINVAL` when it was built without seccomp filters.
pub(crate) fn restrict() -> Result<(), StepError> {
    for filter in FILTERS {
        seccompiler::apply_filter(filter)
            .map_err(|error| match error {
                seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
                other => io::Error::other(other),
            })
            .during("restrict the system calls")?;
    }
    Ok(())
}
