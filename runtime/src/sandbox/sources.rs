//! The host's files, opened as detached mount trees before the sandbox covers anything.
//!
//! Root opens them in the keeper, which may reach every path of the host; without root only the first process
//! inside may copy mounts, with the same rights to files as its starter. Either way this is one function.
//!
//! What an instance can write, it can also turn into a symbolic link to somewhere else before its next start.
//! So a source below a writable source is resolved without following any link.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

use crate::error::{During, StepError};
use crate::record::RESOLVER_FILE;
use crate::sandbox::idmap::{self, Identity};
use crate::spec::{Access, InstanceSpec, Mount};
use crate::sys::clone::SingleThread;
use crate::sys::mount::{Attributes, detached_tree, set_attributes};

/// Devices that show nothing of the host and do nothing to it.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// A tree that waits for its place.
pub(crate) struct Source {
    pub(crate) tree: OwnedFd,
    /// Inside path.
    pub(crate) target: PathBuf,
    pub(crate) directory: bool,
}

/// Opens everything that `spec` and `libraries` name, and the harmless devices, in the order in which they go in.
///
/// # Errors
/// The first source that cannot be opened, copied or restricted.
pub(crate) fn open(
    spec: &InstanceSpec,
    libraries: &[Mount],
    translation: Option<BorrowedFd<'_>>,
) -> Result<Vec<Source>, StepError> {
    let mut sources = Vec::with_capacity(libraries.len() + spec.mounts.len() + DEVICES.len() + 1);
    for mount in libraries.iter().chain(&spec.mounts) {
        sources.extend(open_mount(mount, &spec.mounts, translation)?);
    }
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        let flags = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC | libc::MOUNT_ATTR_RDONLY;
        let at = resolve(&path, &[]).during_on("open a device", &path)?;
        sources.push(copy(&at, &path, path.clone(), flags, None)?);
    }
    let resolver = Path::new("/etc/resolv.conf");
    if spec.network.is_hosts() && !spec.mounts.iter().any(|mount| mount.target == resolver) {
        let mount = Mount {
            source: spec.run_dir.join(RESOLVER_FILE),
            target: resolver.to_owned(),
            access: Access::ReadOnly,
            optional: false,
        };
        sources.extend(open_mount(&mount, &[], None)?);
    }
    Ok(sources)
}

/// What the keeper holds must be out of the instance's sight: a program can lock whatever it can open.
///
/// # Errors
/// When a mount shows a held folder.
pub(crate) fn check_holds(spec: &InstanceSpec) -> Result<(), StepError> {
    const STEP: &str = "hold what the instance can open";
    // What is not there cannot be opened either.
    let real = |path: &Path| fs::canonicalize(path).ok();
    let holds: Vec<PathBuf> = spec.holds.iter().filter_map(|held| real(held)).collect();
    for shown in spec.mounts.iter().filter_map(|mount| real(&mount.source)) {
        if let Some(held) = holds.iter().find(|held| held.starts_with(&shown)) {
            let refusal = io::Error::other(format!("the mount of {} shows it", shown.display()));
            return Err(StepError::new(STEP, held.to_string_lossy(), refusal));
        }
    }
    Ok(())
}

fn open_mount(
    mount: &Mount,
    all: &[Mount],
    translation: Option<BorrowedFd<'_>>,
) -> Result<Option<Source>, StepError> {
    let writable = mount.access == Access::ReadWrite;
    let at = match resolve(&mount.source, all) {
        Err(Errno::ENOENT | Errno::ENOTDIR) if mount.optional => return Ok(None),
        at => at.during_on("open what the instance is to see", &mount.source)?,
    };
    let mut flags = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    if !writable {
        flags |= libc::MOUNT_ATTR_RDONLY;
    }
    let translation = if writable { translation } else { None };
    copy(&at, &mount.source, mount.target.clone(), flags, translation).map(Some)
}

/// Opens `path` without reading it. From the first component on that an instance could have written, no link is
/// followed and `..` leads nowhere.
fn resolve(path: &Path, mounts: &[Mount]) -> Result<OwnedFd, Errno> {
    let open = |from: BorrowedFd<'_>, path: &Path, how: ResolveFlag| {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        openat2(from, path, OpenHow::new().flags(flags).resolve(how))
    };
    let above = mounts
        .iter()
        .filter(|mount| mount.access == Access::ReadWrite && path != mount.source)
        .filter_map(|mount| Some((mount.source.as_path(), path.strip_prefix(&mount.source).ok()?)))
        .max_by_key(|(_, rest)| rest.components().count());
    match above {
        None => open(AT_FDCWD, path, ResolveFlag::empty()),
        Some((base, rest)) => {
            let base = open(AT_FDCWD, base, ResolveFlag::empty())?;
            let how = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
            open(base.as_fd(), rest, how)
        }
    }
}

/// Shows a folder with its owner translated, as for [`Owner::Translated`](crate::spec::Owner::Translated), to nobody.
///
/// # Errors
/// The kernel's: `EPERM` without root, `EINVAL` where the file system cannot do it, `ENOSYS` before Linux 5.12.
pub(crate) fn try_translation(single: &SingleThread, folder: &Path) -> io::Result<()> {
    // Any but root's.
    let nobody = Identity {
        uid: 65_534,
        gid: 65_534,
        privileged: true,
    };
    let translation = idmap::translation(single, nobody, 0, 0).map_err(|error| error.cause)?;
    let at = resolve(folder, &[])?;
    copy(&at, folder, PathBuf::new(), 0, Some(translation.as_fd()))
        .map(drop)
        .map_err(|error| error.cause)
}

fn copy(
    at: &OwnedFd,
    path: &Path,
    target: PathBuf,
    flags: u64,
    translation: Option<BorrowedFd<'_>>,
) -> Result<Source, StepError> {
    const STEP: &str = "copy a mount for the instance";
    let directory = fs::File::from(at.try_clone().during_on(STEP, path)?)
        .metadata()
        .during_on(STEP, path)?
        .is_dir();
    let tree = detached_tree(at.as_fd()).during_on(STEP, path)?;
    let attributes = Attributes {
        set: flags,
        private: true,
        user_namespace: None,
    };
    set_attributes(tree.as_fd(), &attributes, true).during_on("restrict a mount of the instance", path)?;
    if let Some(namespace) = translation {
        let attributes = Attributes {
            user_namespace: Some(namespace),
            ..Attributes::default()
        };
        set_attributes(tree.as_fd(), &attributes, false)
            .during_on("translate the owner of a folder for the instance", path)?;
    }
    Ok(Source {
        tree,
        target,
        directory,
    })
}

/// The owner of what a writable source stands for must be whom the process is to write as: anything else is a
/// mistake, or a trap.
pub(crate) fn check_owner(spec: &InstanceSpec, uid: u32) -> Result<(), StepError> {
    for mount in spec
        .mounts
        .iter()
        .filter(|mount| mount.access == Access::ReadWrite)
    {
        const STEP: &str = "give the instance a folder to write";
        let at = resolve(&mount.source, &spec.mounts).during_on(STEP, &mount.source)?;
        let owner = fs::File::from(at)
            .metadata()
            .during_on(STEP, &mount.source)?
            .uid();
        if owner != uid {
            let reason = format!("it belongs to uid {owner}, not to uid {uid}");
            return Err(StepError::new(
                STEP,
                mount.source.display().to_string(),
                io::Error::other(reason),
            ));
        }
    }
    Ok(())
}
