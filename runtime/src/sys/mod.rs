//! The only unsafe code: thin wrappers over system calls, each stating its contract.
//!
//! What `nix` wraps is used from there; here is the rest. Nothing here decides anything.

pub(crate) mod clone;
pub(crate) mod descriptors;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod notify;
pub(crate) mod pidfd;
pub(crate) mod privileges;
pub(crate) mod quota;
pub(crate) mod signals;
pub(crate) mod xattr;

use std::io;

/// Turns the answer of a raw system call into a result.
fn answer(value: libc::c_long) -> io::Result<libc::c_long> {
    if value < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(value)
    }
}
