//! The mount calls that work on descriptors: detached trees, their attributes, and where they are put.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::answer;

const EMPTY: &std::ffi::CStr = c"";

/// What `mount_setattr(2)` changes on a tree.
#[derive(Default)]
pub(crate) struct Attributes<'fd> {
    /// `MOUNT_ATTR_*` to set.
    pub(crate) set: u64,
    /// Cut the tree off from mounts that happen elsewhere.
    pub(crate) private: bool,
    /// Translate owners by the map of this user namespace.
    pub(crate) user_namespace: Option<BorrowedFd<'fd>>,
}

/// A detached copy of the mounts at and under what `at` stands for (`open_tree(2)`).
///
/// # Errors
/// The kernel's: `EPERM` without the right to mount here, `EINVAL` when `at` is of another mount namespace.
pub(crate) fn detached_tree(at: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | libc::AT_EMPTY_PATH as u32
        | libc::AT_RECURSIVE as u32;
    // SAFETY: the kernel reads an empty string that lives for ever.
    let value = unsafe { libc::syscall(libc::SYS_open_tree, at.as_raw_fd(), EMPTY.as_ptr(), flags) };
    let number = RawFd::try_from(answer(value)?).map_err(io::Error::other)?;
    // SAFETY: the kernel made this descriptor for us a moment ago; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Puts a detached tree onto the file or directory that `target` stands for (`move_mount(2)`).
///
/// # Errors
/// The kernel's.
pub(crate) fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: the kernel reads two empty strings that live for ever.
    let value = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            EMPTY.as_ptr(),
            target.as_raw_fd(),
            EMPTY.as_ptr(),
            flags,
        )
    };
    answer(value).map(drop)
}

/// Changes the attributes of the mount that `mount` stands for, and of all below it when `recursive`.
///
/// # Errors
/// The kernel's: `EINVAL` where the file system cannot translate owners, `ENOSYS` before Linux 5.12.
pub(crate) fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: &Attributes<'_>,
    recursive: bool,
) -> io::Result<()> {
    let mut change = libc::mount_attr {
        attr_set: attributes.set,
        attr_clr: 0,
        propagation: if attributes.private { libc::MS_PRIVATE } else { 0 },
        userns_fd: 0,
    };
    if let Some(namespace) = attributes.user_namespace {
        change.attr_set |= libc::MOUNT_ATTR_IDMAP;
        change.userns_fd = namespace.as_raw_fd() as u64;
    }
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the kernel reads an empty string that lives for ever, and `change`, whose size is given.
    let value = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            EMPTY.as_ptr(),
            flags,
            std::ptr::from_mut(&mut change),
            size_of::<libc::mount_attr>(),
        )
    };
    answer(value).map(drop)
}

/// A new file system of kind `kind`, mounted nowhere yet (`fsopen(2)`, `fsconfig(2)`, `fsmount(2)`).
///
/// # Errors
/// The kernel's: `EPERM` where a user namespace may not mount it, `EINVAL` for an option it does not know.
pub(crate) fn new_file_system(
    kind: &std::ffi::CStr,
    options: &[(&std::ffi::CStr, String)],
    attributes: u64,
) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads one string that outlives the call.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC) };
    let context = RawFd::try_from(answer(context)?).map_err(io::Error::other)?;
    // SAFETY: the kernel made this descriptor for us a moment ago; nobody else knows it.
    let context = unsafe { OwnedFd::from_raw_fd(context) };
    for (key, value) in options {
        let value = CString::new(value.as_str())?;
        configure(&context, libc::FSCONFIG_SET_STRING, Some((key, &value)))?;
    }
    configure(&context, libc::FSCONFIG_CMD_CREATE, None)?;
    // SAFETY: takes numbers only.
    let mount = unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            libc::FSMOUNT_CLOEXEC,
            attributes,
        )
    };
    let mount = RawFd::try_from(answer(mount)?).map_err(io::Error::other)?;
    // SAFETY: the kernel made this descriptor for us a moment ago; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(mount) })
}

fn configure(
    context: &OwnedFd,
    command: libc::c_uint,
    pair: Option<(&std::ffi::CStr, &CString)>,
) -> io::Result<()> {
    let (key, value) = match pair {
        Some((key, value)) => (key.as_ptr(), value.as_ptr()),
        None => (std::ptr::null(), std::ptr::null()),
    };
    // SAFETY: the kernel reads two strings that outlive the call, or none.
    let result = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, 0) };
    answer(result).map(drop)
}
