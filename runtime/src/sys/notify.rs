//! System calls that wait for the answer of another process: `SECCOMP_RET_USER_NOTIF` of `seccomp(2)`,
//! `seccomp_unotify(2)`.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use seccompiler::sock_filter;

use super::answer;

/// From Linux 5.19: a call that was taken up is interrupted by nothing but a deadly signal, and so heard of once.
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;
/// The kernel carries the call out as if nobody had been asked.
const CONTINUE: u32 = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;

/// A call that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice {
    /// For the answer.
    pub(crate) id: u64,
    /// The thread, by its number where the listener is read.
    pub(crate) thread: u32,
    /// Number of the call.
    pub(crate) call: i64,
    /// Its arguments.
    pub(crate) arguments: [u64; 6],
}

/// Installs a filter on this thread, which can have no new privileges any more, and returns its listener.
///
/// # Errors
/// The kernel's: `EINVAL` where it knows no listeners, `EBUSY` where there is one already.
pub(crate) fn install(filter: &[sock_filter]) -> io::Result<OwnedFd> {
    let mut instructions: Vec<libc::sock_filter> = filter
        .iter()
        .map(|one| libc::sock_filter {
            code: one.code,
            jt: one.jt,
            jf: one.jf,
            k: one.k,
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(io::Error::other)?,
        filter: instructions.as_mut_ptr(),
    };
    let set = |flags: libc::c_ulong| {
        // SAFETY: the kernel reads the program and its instructions, which live until the call returns.
        answer(unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | flags,
                &raw const program,
            )
        })
    };
    let number = match set(WAIT_KILLABLE) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => set(0)?,
        set => set?,
    };
    let number = RawFd::try_from(number).map_err(io::Error::other)?;
    // SAFETY: the kernel made this descriptor for us a moment ago; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes up a call that waits; only after `poll(2)` has said that there is one, else this waits for it.
///
/// # Errors
/// The kernel's: `ENOENT` when the caller has just died.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> io::Result<Notice> {
    // The kernel refuses memory that is not all zero.
    let mut notice = MaybeUninit::<libc::seccomp_notif>::zeroed();
    // SAFETY: the kernel writes one structure of the size that the request names, to memory of that size.
    let taken = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV,
            notice.as_mut_ptr(),
        )
    };
    answer(libc::c_long::from(taken))?;
    // SAFETY: numbers only, of which every pattern of bits is one.
    let notice = unsafe { notice.assume_init() };
    Ok(Notice {
        id: notice.id,
        thread: notice.pid,
        call: notice.data.nr.into(),
        arguments: notice.data.args,
    })
}

/// Answers a call: it is refused with `errno`, or goes on.
///
/// # Errors
/// The kernel's: `ENOENT` when the caller has died meanwhile.
pub(crate) fn respond(listener: BorrowedFd<'_>, id: u64, errno: Option<i32>) -> io::Result<()> {
    let response = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: errno.map_or(0, |errno| -errno),
        flags: if errno.is_none() { CONTINUE } else { 0 },
    };
    // SAFETY: the kernel reads one structure of the size that the request names.
    let sent = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &raw const response,
        )
    };
    answer(libc::c_long::from(sent)).map(drop)
}

/// Whether the caller still waits: what was read of it by its number until now was its own.
pub(crate) fn still_waits(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads one number.
    let valid = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
            &raw const id,
        )
    };
    valid == 0
}
