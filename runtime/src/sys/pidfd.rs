//! Processes by descriptor: a signal never reaches a later process of the same number.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::answer;

/// A descriptor for the process that has this number now (`pidfd_open(2)`). It becomes readable when that ends.
///
/// # Errors
/// The kernel's: `ESRCH` when there is none.
pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let number = answer(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let number = RawFd::try_from(number).map_err(io::Error::other)?;
    // SAFETY: the kernel made this descriptor for us a moment ago; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sends a signal (`pidfd_send_signal(2)`).
///
/// # Errors
/// The kernel's: `ESRCH` when the process has ended.
pub(crate) fn signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers and a null pointer, which the call allows.
    let value = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    answer(value).map(drop)
}
