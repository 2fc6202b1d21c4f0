//! File descriptors: placed at fixed numbers, closed by range, sent over sockets.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

use super::answer;

/// Closes every descriptor from `first` on.
///
/// For the first moments of a process, before anything owns them: what is closed here must not be used again.
///
/// # Errors
/// The kernel's: `ENOSYS` before Linux 5.9.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    close_range(first, u32::MAX, 0)
}

/// Marks every descriptor from `first` on to be closed by `execve(2)`.
///
/// # Errors
/// The kernel's: `EINVAL` before Linux 5.11.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from 3 on but these.
///
/// Whatever owned the others must be forgotten, not dropped.
///
/// # Errors
/// The kernel's: `ENOSYS` before Linux 5.9.
pub(crate) fn keep_only(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut numbers: Vec<u32> = kept.iter().map(|kept| kept.as_raw_fd() as u32).collect();
    numbers.sort_unstable();
    let mut first = 3;
    for number in numbers {
        if number > first {
            close_range(first, number - 1, 0)?;
        }
        first = first.max(number + 1);
    }
    close_range(first, u32::MAX, 0)
}

fn close_range(first: u32, last: u32, flags: u32) -> io::Result<()> {
    // SAFETY: takes numbers only; that nobody uses closed descriptors is the contract of the functions above.
    answer(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// Makes `number` stand for what `from` stands for, and live through `execve(2)`. What `number` stood for is closed.
///
/// # Errors
/// The kernel's.
pub(crate) fn place(from: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers only; callers place onto numbers that nothing else in the process owns.
    answer(libc::c_long::from(unsafe {
        libc::dup2(from.as_raw_fd(), number)
    }))
    .map(drop)
}

/// A second descriptor for the same file with a number of at least `least`, closed by `execve(2)`.
///
/// # Errors
/// The kernel's.
pub(crate) fn duplicate_above(from: BorrowedFd<'_>, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let number = unsafe { libc::fcntl(from.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    let number = answer(libc::c_long::from(number))?;
    let number = RawFd::try_from(number).map_err(io::Error::other)?;
    // SAFETY: the kernel made this descriptor for us a moment ago; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes over the standard input, which the starter made one end of a socket pair, and puts `/dev/null` there.
///
/// # Errors
/// The kernel's.
pub(crate) fn take_standard_input() -> io::Result<OwnedFd> {
    let taken = duplicate_above(io::stdin().as_fd(), 3)?;
    let null = std::fs::File::open("/dev/null")?;
    place(null.as_fd(), 0)?;
    Ok(taken)
}

/// Sends `bytes` with `descriptors` riding on the first of them.
///
/// # Errors
/// The kernel's: `EPIPE` when the other end is gone.
pub(crate) fn send(socket: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control: &[ControlMessage<'_>] = if numbers.is_empty() { &[] } else { &rights };
    let sent = sendmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &[IoSlice::new(bytes)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(sent)
}

/// Receives up to `buffer`'s length of bytes and at most four descriptors; the latter are closed by `execve(2)`.
///
/// # Errors
/// The kernel's. Nothing received means that the other end is gone.
pub(crate) fn receive(socket: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            for number in numbers {
                // SAFETY: the kernel made this descriptor for us a moment ago; nobody else knows it.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
    }
    Ok((message.bytes, descriptors))
}
