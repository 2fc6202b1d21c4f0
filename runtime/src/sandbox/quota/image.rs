//! A file system of an instance's own: ext4 in one file, mounted through a loop device.
//!
//! The device frees itself when nobody uses it any more, so that a mount is all there is to find and to undo. One
//! file is never shown by two devices: two mounts of it would destroy each other's data.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::mount::{MntFlags, MsFlags, mount as mount_2, umount2};
use nix::sys::statvfs::statvfs;

use super::{BYTES_PER_INODE, Usage};
use crate::error::{During, StepError};
use crate::sys::quota;
use crate::units::Bytes;

const BLOCK: u64 = 4096;
const MIB: u64 = 1 << 20;
/// What one bitmap of blocks covers, and the least of it that is worth a group to mkfs.ext4.
const GROUP: u64 = BLOCK * 8 * BLOCK;
const LAST_GROUP: u64 = 12 * MIB;
/// Part of the host's disk, and least of it, that reserving leaves free.
const LEAVE_PART: u64 = 10;
const LEAVE_LEAST: Bytes = Bytes::mib(4096);
/// Bytes below which ext4 refuses large writes, although it calls them free: it takes pages in pieces of 2 MiB.
const KEPT: u64 = 2 * MIB;
/// Others look for free loop devices too, and may be quicker.
const TRIES: u32 = 256;

/// The kernel zeroes inode tables in the background, which in a new file are zero already.
const OPTIONS: &str = "noinit_itable,errors=remount-ro";

/// Makes one, uses it and removes it.
pub(super) fn probe(data_dir: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| crate::error::words(error);
    let folder = tempfile::Builder::new()
        .prefix(".quota-")
        .tempdir_in(data_dir)
        .map_err(|error| failed(&error))?;
    let (file, at) = (folder.path().join("image"), folder.path().join("mount"));
    fs::create_dir(&at).map_err(|error| failed(&error))?;
    make(&file, Bytes::mib(4)).map_err(|error| failed(&error))?;
    let tried = mount(&file, &at).and_then(|()| {
        fs::write(at.join("trial"), "trial").during_on("write into an image", &at)?;
        unmount(&at)
    });
    // A mount in the way would keep the folder.
    let _ = unmount(&at);
    tried.map_err(|error| failed(&error))
}

/// Length of the image in which `limit` finds room beside ext4's own: inode tables, journal, and the fiftieth that
/// it keeps for itself.
#[must_use]
pub fn length(limit: Bytes) -> u64 {
    let tables = limit.0 * 256 / BYTES_PER_INODE;
    let length = limit.0 + tables + limit.0 / 40 + (journal(limit) + 1) * MIB + KEPT;
    let length = length.next_multiple_of(MIB);
    // mkfs.ext4 leaves a last group out that has no room for its own tables.
    let last = length % GROUP;
    if last > 0 && last < LAST_GROUP && length > GROUP {
        length + LAST_GROUP - last
    } else {
        length
    }
}

/// In MiB; ext4 takes none below 4 with its usual blocks.
fn journal(limit: Bytes) -> u64 {
    if limit.as_mib() < 256 { 4 } else { 16 }
}

/// Makes an image at `file`, which must not exist, and makes it durable.
///
/// Its space is reserved where the host's disk has plenty, so that a full host cannot take it away.
///
/// # Errors
/// The kernel's, and mkfs.ext4's words. A file that was begun is removed.
pub fn make(file: &Path, limit: Bytes) -> Result<(), StepError> {
    let open = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .during_on(MAKE, file)?;
    let made = fill(&open, file, limit);
    if made.is_err() {
        // What cannot be removed either is found under its name the next time.
        let _ = fs::remove_file(file);
    }
    made
}

const MAKE: &str = "make a disk image";

fn fill(open: &File, file: &Path, limit: Bytes) -> Result<(), StepError> {
    open.set_len(length(limit)).during_on(MAKE, file)?;
    let journal = format!("size={}", journal(limit));
    let (block, ratio) = (BLOCK.to_string(), BYTES_PER_INODE.to_string());
    let arguments = [
        "-q",
        "-F",
        "-m",
        "0",
        "-b",
        &block,
        "-i",
        &ratio,
        "-J",
        &journal,
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
    ];
    let status = run("mkfs.ext4", &arguments, file)?;
    if status != Some(0) {
        let ended = io::Error::other(format!("mkfs.ext4 ended with {status:?}"));
        return Err(ended).during_on(MAKE, file);
    }
    reserve(open);
    open.sync_all().during_on(MAKE, file)
}

/// Takes the space on the host's disk now, where that leaves enough for everybody else.
fn reserve(file: &File) {
    let room = || -> Option<bool> {
        let metadata = file.metadata().ok()?;
        let disk = nix::sys::statvfs::fstatvfs(file).ok()?;
        let part = disk.fragment_size();
        let total = disk.blocks() * part;
        let missing = metadata.len().saturating_sub(metadata.blocks() * 512);
        let left = (disk.blocks_available() * part).checked_sub(missing)?;
        Some(left >= (total / LEAVE_PART).max(LEAVE_LEAST.0))
    };
    if room() == Some(true)
        && let Ok(length) = file.metadata().map(|metadata| metadata.len())
        && let Ok(length) = i64::try_from(length)
    {
        // Without it the image grows as it is written, and `reserved` says so.
        let _ = fallocate(file.as_fd(), FallocateFlags::empty(), 0, length);
    }
}

/// Whether the host's disk already holds all the space of an image.
#[must_use]
pub fn reserved(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.blocks() * 512 >= metadata.len())
}

/// Mounts the image at the folder `at`, where it may be mounted already; something else that is there goes.
///
/// After a crash of the machine it is checked first, and what a growth left half done is cut off.
///
/// # Errors
/// When it is damaged beyond what repairs itself, and the kernel's.
pub fn mount(file: &Path, at: &Path) -> Result<(), StepError> {
    const STEP: &str = "mount a disk image";
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(file)
        .during_on(STEP, file)?;
    // Held until the mount holds it: an unused device frees itself.
    let (device, path) = match device_of(file, &open).during_on("look for the device of", file)? {
        Some((device, path)) => {
            let number = device.metadata().during_on(STEP, &path)?.rdev();
            if fs::metadata(at).is_ok_and(|there| there.dev() == number) {
                return Ok(());
            }
            (device, path)
        }
        None => {
            check(file)?;
            trim(&open).during_on("read a disk image", file)?;
            attach(&open).during_on("show a disk image by a loop device", file)?
        }
    };
    unmount(at)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let mounted = mount_2(Some(&path), at, Some("ext4"), flags, Some(OPTIONS));
    drop(device);
    mounted.during_on(STEP, file)
}

/// Whether a file system of its own is mounted at a folder.
#[must_use]
pub fn is_mounted(at: &Path) -> bool {
    let device = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.dev()).ok();
    let here = device(at);
    here.is_some() && here != at.parent().and_then(device)
}

/// Unmounts whatever is mounted at `at`, if anything is. Who still has a file of it open keeps that file.
///
/// # Errors
/// The kernel's.
pub fn unmount(at: &Path) -> Result<(), StepError> {
    loop {
        let outcome = match umount2(at, MntFlags::UMOUNT_NOFOLLOW) {
            Err(Errno::EBUSY) => umount2(at, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH),
            outcome => outcome,
        };
        match outcome {
            // Something may lie below.
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            // Who may not unmount has not mounted anything either.
            Err(Errno::EPERM) if !is_mounted(at) => return Ok(()),
            Err(error) => return Err(error).during_on("unmount a disk image", at),
        }
    }
}

/// Makes an image that is mounted at `at` larger, while it is in use.
///
/// # Errors
/// The kernel's, mostly `EPERM` without CAP_SYS_RESOURCE; the image is as it was then.
pub fn grow(file: &Path, at: &Path, limit: Bytes) -> Result<(), StepError> {
    const STEP: &str = "enlarge a disk image";
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .during_on(STEP, file)?;
    let before = open.metadata().during_on(STEP, file)?.len();
    let all = reserved(file);
    let (device, _) = device_of(file, &open)
        .and_then(|found| found.ok_or_else(|| Errno::ENXIO.into()))
        .during_on(STEP, file)?;
    let mounted = File::open(at).during_on(STEP, at)?;
    open.set_len(length(limit)).during_on(STEP, file)?;
    if all {
        reserve(&open);
    }
    let grown = quota::loop_set_capacity(&device)
        .and_then(|()| quota::ext4_resize(&mounted, length(limit) / BLOCK))
        .and_then(|()| open.sync_all());
    if grown.is_err() {
        // As far as this fails, the next mount does it.
        let _ = open.set_len(before);
        let _ = quota::loop_set_capacity(&device);
    }
    grown.during_on(STEP, file)
}

/// What is used of the image that is mounted at `at`.
///
/// # Errors
/// The kernel's.
pub fn usage(at: &Path) -> io::Result<Usage> {
    let stat = statvfs(at)?;
    let used = (stat.blocks() - stat.blocks_free()) * stat.fragment_size();
    let free = (stat.blocks_available() * stat.fragment_size()).saturating_sub(KEPT);
    let files = stat.files() - stat.files_free();
    Ok(Usage::of((used, used + free), (files, stat.files())))
}

/// The device that shows this file.
fn device_of(path: &Path, file: &File) -> io::Result<Option<(File, PathBuf)>> {
    let inode = file.metadata()?.ino();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        // The name saves opening every device; the number decides.
        let Ok(backing) = fs::read_to_string(entry.path().join("loop/backing_file")) else {
            continue;
        };
        if !backing.contains(&*name) {
            continue;
        }
        let path = Path::new("/dev").join(entry.file_name());
        let Ok(device) = OpenOptions::new().read(true).open(&path) else {
            continue;
        };
        if quota::loop_inode(&device).is_ok_and(|shown| shown == inode) {
            return Ok(Some((device, path)));
        }
    }
    Ok(None)
}

fn attach(file: &File) -> io::Result<(File, PathBuf)> {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/loop-control")?;
    for _ in 0..TRIES {
        let path = PathBuf::from(format!("/dev/loop{}", quota::loop_free(&control)?));
        let device = OpenOptions::new().read(true).write(true).open(&path)?;
        if !device.metadata()?.file_type().is_block_device() {
            return Err(io::Error::other(format!("{} is no device", path.display())));
        }
        match quota::loop_configure(&device, file) {
            Ok(()) => return Ok((device, path)),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EBUSY.into())
}

/// Repairs what repairs itself, as after a power cut; nothing may use the image.
fn check(file: &Path) -> Result<(), StepError> {
    match run("e2fsck", &["-p"], file) {
        Ok(Some(0..=3)) => Ok(()),
        Ok(status) => Err(StepError::new(
            "repair a disk image",
            file.display().to_string(),
            io::Error::other(format!(
                "e2fsck -p ended with {status:?}; `e2fsck {}` asks what to do",
                file.display()
            )),
        )),
        // The kernel replays the journal by itself; that is most of it.
        Err(error) if error.cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Cuts off what lies behind the file system: a growth that did not come to its end.
fn trim(mut file: &File) -> io::Result<()> {
    let mut start = [0; 32];
    file.seek(SeekFrom::Start(1024))?;
    file.read_exact(&mut start)?;
    let number = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
    // s_blocks_count_lo and s_log_block_size (Documentation/filesystems/ext4/super.rst).
    let length = u64::from(number(4)) * (1024 << number(24).min(6));
    if (1..file.metadata()?.len()).contains(&length) {
        file.set_len(length)?;
    }
    Ok(())
}

/// Runs a program of e2fsprogs on an image; its exit code.
fn run(program: &'static str, arguments: &[&str], file: &Path) -> Result<Option<i32>, StepError> {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
    let found = folders
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is not installed (e2fsprogs)"))
        .during_on("execute", Path::new(program))?;
    let status = Command::new(&found)
        .args(arguments)
        .arg(file)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .during_on("execute", &found)?;
    Ok(status.code())
}
