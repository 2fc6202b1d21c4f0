//! Signal dispositions of a process that is about to become another program.

use std::io;

use super::answer;

/// Gives every signal its default action: an ignored one would stay ignored through `execve(2)`, and Rust's runtime
/// ignores `SIGPIPE`.
///
/// # Errors
/// None that the kernel documents for these arguments.
pub(crate) fn reset() -> io::Result<()> {
    // The kernel's own structure, which begins with the handler, and its default for every field is zero. The C library
    // is passed by because it keeps two of the real-time signals to itself.
    let default: [u64; 4] = [0; 4];
    for number in 1..=64 {
        // SAFETY: the default action runs no code of ours; the kernel reads `default`, at least as long as its structure.
        let value = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
        match answer(value) {
            Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
            // Two signals cannot be changed by anybody.
            _ => {}
        }
    }
    Ok(())
}
