//! What limits disk space: loop devices, the size of an ext4 that is mounted, project numbers and project quotas.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::answer;

/// Requests of `<linux/loop.h>`.
const LOOP_GET_STATUS64: u64 = 0x4C05;
const LOOP_SET_CAPACITY: u64 = 0x4C07;
const LOOP_CONFIGURE: u64 = 0x4C0A;
const LOOP_CTL_GET_FREE: u64 = 0x4C82;
/// The device is free again as soon as nobody has it open or mounted.
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// `_IOW('f', 16, __u64)` of ext4.
const EXT4_IOC_RESIZE_FS: u64 = 0x4008_6610;

/// `_IOR('X', 31, struct fsxattr)` and `_IOW('X', 32, struct fsxattr)` of `<linux/fs.h>`.
const FS_IOC_FSGETXATTR: u64 = 0x801C_581F;
const FS_IOC_FSSETXATTR: u64 = 0x401C_5820;
/// What is made in this folder gets the folder's project.
const FS_XFLAG_PROJINHERIT: u32 = 0x200;

/// `quotactl_fd(2)` has this number on every architecture; libc does not name it everywhere.
const SYS_QUOTACTL_FD: libc::c_long = 443;
const Q_GETQUOTA: u32 = 0x0080_0007;
const Q_SETQUOTA: u32 = 0x0080_0008;
const PROJECT: u32 = 2;
/// Limits of blocks and of inodes are meant.
const QIF_LIMITS: u32 = 5;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

impl LoopInfo {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// `struct fsxattr`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// `struct if_dqblk`: limits in blocks of 1024 bytes, use in bytes.
#[repr(C)]
#[derive(Default)]
struct Quota {
    blocks_hard: u64,
    blocks_soft: u64,
    space: u64,
    inodes_hard: u64,
    inodes_soft: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

/// What a project may have, and has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProjectQuota {
    /// Bytes that it may have; 0 is no limit. Kept in steps of 1024.
    pub(crate) bytes: u64,
    /// Inodes that it may have; 0 is no limit.
    pub(crate) inodes: u64,
    /// Bytes that it has.
    pub(crate) used_bytes: u64,
    /// Inodes that it has.
    pub(crate) used_inodes: u64,
}

/// Makes one request with a pointer to `argument`.
fn request<T>(fd: BorrowedFd<'_>, request: u64, argument: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: every request above takes a pointer to exactly the type that its only caller gives; the kernel reads
    // and writes no further than that.
    let value = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, std::ptr::from_mut(argument)) };
    answer(value.into())?;
    Ok(value)
}

/// The number of a loop device that nobody uses, from `/dev/loop-control`.
///
/// # Errors
/// The kernel's: `ENOSPC` when there is none.
pub(crate) fn loop_free(control: &File) -> io::Result<u32> {
    let number = request(control.as_fd(), LOOP_CTL_GET_FREE, &mut ())?;
    u32::try_from(number).map_err(io::Error::other)
}

/// Lets a loop device show a file, until nobody uses the device any more.
///
/// # Errors
/// The kernel's: `EBUSY` when somebody else was quicker, `EINVAL` before Linux 5.8.
pub(crate) fn loop_configure(device: &File, file: &File) -> io::Result<()> {
    let mut config = LoopConfig {
        fd: u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?,
        block_size: 0,
        info: LoopInfo {
            flags: LO_FLAGS_AUTOCLEAR,
            ..LoopInfo::EMPTY
        },
        reserved: [0; 8],
    };
    request(device.as_fd(), LOOP_CONFIGURE, &mut config).map(drop)
}

/// Number of the file that a loop device shows.
///
/// # Errors
/// The kernel's: `ENXIO` when it shows none.
pub(crate) fn loop_inode(device: &File) -> io::Result<u64> {
    let mut info = LoopInfo::EMPTY;
    request(device.as_fd(), LOOP_GET_STATUS64, &mut info)?;
    Ok(info.inode)
}

/// Tells a loop device that its file has another length.
///
/// # Errors
/// The kernel's.
pub(crate) fn loop_set_capacity(device: &File) -> io::Result<()> {
    request(device.as_fd(), LOOP_SET_CAPACITY, &mut ()).map(drop)
}

/// Grows the ext4 that is mounted at `mount` to this many of its blocks.
///
/// # Errors
/// The kernel's: `EPERM` without CAP_SYS_RESOURCE.
pub(crate) fn ext4_resize(mount: &File, mut blocks: u64) -> io::Result<()> {
    request(mount.as_fd(), EXT4_IOC_RESIZE_FS, &mut blocks).map(drop)
}

/// The project of a file or folder.
///
/// # Errors
/// The kernel's: `ENOTTY` where the file system has none.
pub(crate) fn project(file: &File) -> io::Result<u32> {
    let mut attributes = Attributes::default();
    request(file.as_fd(), FS_IOC_FSGETXATTR, &mut attributes)?;
    Ok(attributes.project)
}

/// Puts a file into a project; with `inherit`, a folder with all that will be made in it.
///
/// # Errors
/// The kernel's: `EOPNOTSUPP` where the file system has none.
pub(crate) fn set_project(file: &File, project: u32, inherit: bool) -> io::Result<()> {
    let mut attributes = Attributes::default();
    request(file.as_fd(), FS_IOC_FSGETXATTR, &mut attributes)?;
    attributes.project = project;
    if inherit {
        attributes.flags |= FS_XFLAG_PROJINHERIT;
    }
    request(file.as_fd(), FS_IOC_FSSETXATTR, &mut attributes).map(drop)
}

fn quotactl(on: &File, command: u32, project: u32, quota: &mut Quota) -> io::Result<()> {
    let command = (command << 8) | PROJECT;
    // SAFETY: the kernel reads or writes one `struct if_dqblk`, which `quota` is.
    let value = unsafe {
        libc::syscall(
            SYS_QUOTACTL_FD,
            on.as_raw_fd(),
            command,
            project,
            std::ptr::from_mut(quota),
        )
    };
    answer(value).map(drop)
}

/// What a project may have and has, on the file system of `on`.
///
/// # Errors
/// The kernel's: `ESRCH` where quotas of projects are off, `ENOSYS` before Linux 5.14.
pub(crate) fn project_quota(on: &File, project: u32) -> io::Result<ProjectQuota> {
    let mut quota = Quota::default();
    quotactl(on, Q_GETQUOTA, project, &mut quota)?;
    Ok(ProjectQuota {
        bytes: quota.blocks_hard << 10,
        inodes: quota.inodes_hard,
        used_bytes: quota.space,
        used_inodes: quota.inodes,
    })
}

/// Limits a project on the file system of `on`; what it has is not looked at.
///
/// # Errors
/// As [`project_quota`].
pub(crate) fn set_project_quota(on: &File, project: u32, wanted: ProjectQuota) -> io::Result<()> {
    let mut quota = Quota {
        blocks_hard: wanted.bytes >> 10,
        inodes_hard: wanted.inodes,
        valid: QIF_LIMITS,
        ..Quota::default()
    };
    quotactl(on, Q_SETQUOTA, project, &mut quota)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_large_as_the_kernel_s() {
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
        assert_eq!(size_of::<Attributes>(), 28);
        assert_eq!(size_of::<Quota>(), 72);
    }
}
