//! Gives up every privilege, and the ways by which one could come back.

use crate::error::{During, StepError};
use crate::sys::privileges::{
    LOCKED, clear_ambient, drop_capabilities, effective, empty_bounding_set, set_secure_bits,
};

const CAP_SETPCAP: u32 = 8;

/// Locks the bounding set and the secure bits; needs CAP_SETPCAP, which a namespace of its own gives.
///
/// Returns false where that right is lacking (no user namespace, not root): then only the empty sets and
/// no_new_privs hold, which is enough as long as the kernel keeps its word on the latter.
///
/// # Errors
/// The kernel's.
pub(crate) fn lock() -> Result<bool, StepError> {
    if !effective(CAP_SETPCAP).during("read the capabilities")? {
        return Ok(false);
    }
    clear_ambient().during("clear the ambient capabilities")?;
    empty_bounding_set().during("empty the capability bounding set")?;
    set_secure_bits(LOCKED).during("lock the secure bits")?;
    Ok(true)
}

/// Empties all sets and forbids set-user-id programs to fill them again.
///
/// # Errors
/// The kernel's.
pub(crate) fn drop_all() -> Result<(), StepError> {
    drop_capabilities().during("drop the capabilities")?;
    nix::sys::prctl::set_no_new_privs().during("forbid new privileges")
}
