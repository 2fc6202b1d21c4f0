//! Signal dispositions of a process that is about to become another program.

use std::io;

/// Gives every signal its default action: an ignored one would stay ignored through `execve(2)`, and Rust's runtime
/// ignores `SIGPIPE`.
///
/// # Errors
/// None that the kernel documents for these arguments.
pub(crate) fn reset() -> io::Result<()> {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: the default action runs no code of ours.
        let before = unsafe { libc::signal(number, libc::SIG_DFL) };
        let error = io::Error::last_os_error();
        // Two cannot be changed, and the C library keeps the first of the real-time ones to itself.
        if before == libc::SIG_ERR && error.raw_os_error() != Some(libc::EINVAL) {
            return Err(error);
        }
    }
    Ok(())
}
