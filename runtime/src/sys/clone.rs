//! New processes: in new namespaces, in a given control group, with a pidfd.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::answer;

/// `CLONE_INTO_CGROUP` of `clone3(2)`; the constant of libc is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Proof that this process has one thread, so that a child may go on running Rust code: with more threads it
/// could inherit a lock that nobody will ever release.
///
/// It cannot be sent to another thread, and the roles that hold it never start one.
pub(crate) struct SingleThread(PhantomData<*const ()>);

/// Which side of the split this is.
pub(crate) enum Side {
    /// The new process.
    Child,
    /// The old one, with the new one's number and a descriptor that stands for it.
    Parent {
        /// Number of the child as its parent sees it.
        pid: i32,
        /// Stays the child's even after its number was given to another.
        pidfd: Option<OwnedFd>,
    },
}

impl SingleThread {
    /// Counts the threads of this process.
    ///
    /// # Errors
    /// When there is more than one, or `/proc` cannot be read.
    pub(crate) fn prove() -> io::Result<Self> {
        match std::fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(PhantomData)),
            more => Err(io::Error::other(format!("{more} threads where one is allowed"))),
        }
    }
}

/// `clone3(2)` with the flags of new namespaces, into `group` (a directory of a version 2 control group).
///
/// # Errors
/// The kernel's: `EPERM` where user namespaces are forbidden, `ENOSPC` where their number is exhausted or set to 0.
pub(crate) fn clone(_: &SingleThread, namespaces: u64, group: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    let mut pidfd: RawFd = -1;
    // CLONE_CLEAR_SIGHAND is left out: the child sets what it needs, and Linux 5.5 is not required.
    let mut arguments = CloneArguments {
        flags: namespaces | libc::CLONE_PIDFD as u64,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArguments::default()
    };
    if let Some(group) = group {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = group.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child has a copy of this memory, and `SingleThread` says that no other thread
    // could have held a lock in it. The kernel reads `arguments` and writes `pidfd`, both alive here.
    let value = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut arguments),
            size_of::<CloneArguments>(),
        )
    };
    match answer(value)? {
        0 => Ok(Side::Child),
        pid => {
            // SAFETY: the kernel made this descriptor for us a moment ago; nobody else knows it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Side::Parent {
                pid: i32::try_from(pid).map_err(io::Error::other)?,
                pidfd: Some(pidfd),
            })
        }
    }
}

/// `fork(2)`.
///
/// # Errors
/// The kernel's: `EAGAIN` when the limit of tasks is reached, `ENOMEM`.
pub(crate) fn fork(_: &SingleThread) -> io::Result<Side> {
    // SAFETY: one thread, so no lock is held by another.
    match answer(libc::c_long::from(unsafe { libc::fork() }))? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent {
            pid: i32::try_from(pid).map_err(io::Error::other)?,
            pidfd: None,
        }),
    }
}

/// Ends this process at once: no destructors, no handlers of a parent whose copy it is.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` touches no memory of this process.
    unsafe { libc::_exit(code) }
}

/// `struct clone_args` of `clone3(2)`, in the form of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}
