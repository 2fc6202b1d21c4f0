//! Giving up privileges: capability sets, their bounds, and the bits that keep them gone.

use std::io;

use super::answer;

/// A change of uid changes no capabilities (`SECBIT_NO_SETUID_FIXUP`, `capabilities(7)`).
pub(crate) const NO_FIXUP: u64 = 1 << 2;
/// The bits that make uid 0 an ordinary one for ever, each with its lock: no-root, no-setuid-fixup, no ambient raise.
pub(crate) const LOCKED: u64 = 0b11 | 0b11 << 2 | 0b11 << 6 | 1 << 5;

/// Sets the secure bits of this thread.
///
/// # Errors
/// The kernel's: `EPERM` without CAP_SETPCAP.
pub(crate) fn set_secure_bits(bits: u64) -> io::Result<()> {
    prctl(libc::PR_SET_SECUREBITS, bits, 0)
}

/// Empties the ambient set (`PR_CAP_AMBIENT_CLEAR_ALL`).
///
/// # Errors
/// The kernel's.
pub(crate) fn clear_ambient() -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)
}

/// Takes every capability that this kernel knows out of the bounding set.
///
/// # Errors
/// The kernel's: `EPERM` without CAP_SETPCAP.
pub(crate) fn empty_bounding_set() -> io::Result<()> {
    for capability in 0..64 {
        match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Ok(()) => {}
            // The first number that the kernel does not know ends the list.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && capability > 0 => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Empties the effective, permitted and inheritable sets (`capset(2)`).
///
/// # Errors
/// The kernel's.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    // _LINUX_CAPABILITY_VERSION_3: two records of three 32-bit sets.
    let header: [u32; 2] = [0x2008_0522, 0];
    let sets: [u32; 6] = [0; 6];
    // SAFETY: the kernel reads the header and the two records that its version announces.
    answer(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// Whether this process has a capability in its effective set in the user namespace it is in.
///
/// # Errors
/// The kernel's.
pub(crate) fn effective(capability: u32) -> io::Result<bool> {
    let mut header: [u32; 2] = [0x2008_0522, 0];
    let mut sets: [u32; 6] = [0; 6];
    // SAFETY: the kernel reads the header and writes the two records that its version announces.
    answer(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) })?;
    let word = sets[if capability < 32 { 0 } else { 3 }];
    Ok(word & (1 << (capability % 32)) != 0)
}

fn prctl(option: libc::c_int, second: u64, third: u64) -> io::Result<()> {
    // SAFETY: the options used here take numbers only.
    let value = unsafe { libc::prctl(option, second, third, 0, 0) };
    answer(libc::c_long::from(value)).map(drop)
}
