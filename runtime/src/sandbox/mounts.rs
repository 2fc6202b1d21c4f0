//! The root that the process sees: small, read-only, and made of nothing but what the spec names.
//!
//! Runs in the first process inside, in its own mount namespace. Every path is resolved below the new root and
//! without following links, so nothing on a writable mount can bend where the next mount goes.

use std::ffi::CStr;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{fchdir, pivot_root, symlinkat};

use super::files;
use super::sources::Source;
use crate::error::{During, StepError};
use crate::spec::InstanceSpec;
use crate::sys::mount::{Attributes, attach, detached_tree, new_file_system, set_attributes};

const HARMLESS: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// Files of `/proc` that tell about the host, or answer to whoever asks; the list that container runtimes agree on,
/// with the addresses of the kernel added.
const HIDDEN_FILES: [&str; 9] = [
    "kcore",
    "keys",
    "key-users",
    "kallsyms",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "timer_list",
    "sysrq-trigger",
];
/// Folders of the same kind.
const HIDDEN_FOLDERS: [&str; 3] = ["acpi", "asound", "scsi"];
/// Pseudo terminals that one instance may have open.
const TERMINALS: u32 = 64;
/// Parts of `/proc` that may be read but never written, whoever the files there belong to.
const READ_ONLY: [&str; 4] = ["bus", "fs", "irq", "sys"];

/// Cuts this mount namespace off from the host's, builds the new root out of `sources`, and moves in.
///
/// # Errors
/// The first step that failed, with its path.
pub(crate) fn enter_root(spec: &InstanceSpec, sources: &[Source]) -> Result<(), StepError> {
    const STEP: &str = "make the root of the instance";
    let slave = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, slave, None::<&str>)
        .during("cut the mounts of the instance off from the host's")?;
    let options = [
        (c"size", "1m".to_owned()),
        (c"nr_inodes", "512".to_owned()),
        (c"mode", "0755".to_owned()),
    ];
    let tree = new_file_system(c"tmpfs", &options, HARMLESS).during(STEP)?;
    let host = openat2(
        nix::fcntl::AT_FDCWD,
        "/",
        OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC),
    )
    .during(STEP)?;
    attach(tree.as_fd(), host.as_fd()).during(STEP)?;
    let root = Root { directory: tree };

    for (link, target) in &spec.links {
        root.link(link, target)?;
    }
    root.devices(spec)?;
    for source in sources {
        root.put(source)?;
    }
    root.process_files()?;
    root.private_folders(spec)?;
    for (path, text) in files::all(spec) {
        root.write(&path, &text)?;
    }
    root.seal()?;

    fchdir(&root.directory).during(STEP)?;
    // Old and new root on one spot: the old one ends on top and is taken away (pivot_root(2), "pivot_root(".", ".")").
    pivot_root(".", ".").during("enter the root of the instance")?;
    umount2(".", MntFlags::MNT_DETACH).during("leave the root of the host")?;
    nix::unistd::chdir("/").during("enter the root of the instance")
}

/// The new root before it is entered.
struct Root {
    directory: OwnedFd,
}

impl Root {
    fn open(&self, path: &Path, flags: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
        let how = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(mode)
            .resolve(how);
        openat2(&self.directory, path, how)
    }

    fn existing(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open(path, OFlag::O_PATH, Mode::empty())
    }

    /// Makes the folder and those above it, as far as they are missing.
    fn folder(&self, path: &Path) -> Result<OwnedFd, StepError> {
        const STEP: &str = "make a folder for the instance";
        let inside = relative(path).during_on(STEP, path)?;
        if let Ok(found) = self.existing(&inside) {
            return Ok(found);
        }
        let mut at = PathBuf::new();
        for component in inside.components() {
            let parent = if at.as_os_str().is_empty() {
                self.directory.try_clone().during_on(STEP, path)?
            } else {
                self.existing(&at).during_on(STEP, path)?
            };
            match mkdirat(&parent, component.as_os_str(), Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error).during_on(STEP, path),
            }
            at.push(component);
        }
        self.existing(&at).during_on(STEP, path)
    }

    fn file(&self, path: &Path) -> Result<OwnedFd, StepError> {
        const STEP: &str = "make a file for the instance";
        let inside = relative(path).during_on(STEP, path)?;
        if let Ok(found) = self.existing(&inside) {
            return Ok(found);
        }
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY;
        self.open(&inside, flags, Mode::from_bits_truncate(0o644))
            .during_on(STEP, path)?;
        self.existing(&inside).during_on(STEP, path)
    }

    fn put(&self, source: &Source) -> Result<(), StepError> {
        let target = if source.directory {
            self.folder(&source.target)?
        } else {
            self.file(&source.target)?
        };
        attach(source.tree.as_fd(), target.as_fd()).during_on("mount", &source.target)
    }

    fn mount(
        &self,
        path: &str,
        kind: &CStr,
        options: &[(&CStr, String)],
        attributes: u64,
    ) -> Result<OwnedFd, StepError> {
        let path = Path::new(path);
        let tree = new_file_system(kind, options, attributes).during_on("make a file system for", path)?;
        let target = self.folder(path)?;
        attach(tree.as_fd(), target.as_fd()).during_on("mount", path)?;
        Ok(tree)
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), StepError> {
        const STEP: &str = "write a file for the instance";
        let inside = relative(path).during_on(STEP, path)?;
        if self.existing(&inside).is_ok() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY;
        let file = self
            .open(&inside, flags, Mode::from_bits_truncate(0o644))
            .during_on(STEP, path)?;
        std::fs::File::from(file)
            .write_all(text.as_bytes())
            .during_on(STEP, path)
    }

    fn link(&self, link: &Path, target: &str) -> Result<(), StepError> {
        const STEP: &str = "make a link for the instance";
        let inside = relative(link).during_on(STEP, link)?;
        let parent = self.folder(link.parent().unwrap_or(link))?;
        let name = inside.file_name().ok_or(Errno::EINVAL).during_on(STEP, link)?;
        symlinkat(target, &parent, name).during_on(STEP, link)
    }

    /// `/dev` before its devices are put in.
    fn devices(&self, spec: &InstanceSpec) -> Result<(), StepError> {
        let options = [(c"size", "64k".to_owned()), (c"mode", "0755".to_owned())];
        self.mount("/dev", c"tmpfs", &options, HARMLESS | libc::MOUNT_ATTR_NOEXEC)?;
        let attributes = HARMLESS | libc::MOUNT_ATTR_NOEXEC;
        self.mount("/dev/shm", c"tmpfs", &scratch(spec), attributes)?;
        // Terminals of its own, for nodes that drive a program through one. All of them count against one number of
        // the whole machine (kernel.pty.max), so without a bound one instance could take every login away.
        let options = [
            (c"ptmxmode", "0666".to_owned()),
            (c"mode", "0620".to_owned()),
            (c"max", TERMINALS.to_string()),
        ];
        self.mount(
            "/dev/pts",
            c"devpts",
            &options,
            libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC,
        )?;
        for (name, target) in [
            ("/dev/ptmx", "pts/ptmx"),
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
        ] {
            self.link(Path::new(name), target)?;
        }
        Ok(())
    }

    /// `/proc` of the new process namespace. In full, because libuv counts processors there; then masked.
    fn process_files(&self) -> Result<(), StepError> {
        const STEP: &str = "mask a part of /proc";
        self.mount("/proc", c"proc", &[], HARMLESS | libc::MOUNT_ATTR_NOEXEC)?;
        let read_only = Attributes {
            set: libc::MOUNT_ATTR_RDONLY,
            ..Attributes::default()
        };
        let null = self.existing(Path::new("dev/null")).during(STEP)?;
        for name in HIDDEN_FILES {
            let path = Path::new("proc").join(name);
            if let Ok(target) = self.existing(&path) {
                let tree = detached_tree(null.as_fd()).during_on(STEP, &path)?;
                attach(tree.as_fd(), target.as_fd()).during_on(STEP, &path)?;
            }
        }
        for name in HIDDEN_FOLDERS {
            let path = Path::new("proc").join(name);
            if let Ok(target) = self.existing(&path) {
                let options = [(c"size", "4k".to_owned()), (c"mode", "0555".to_owned())];
                let attributes = HARMLESS | libc::MOUNT_ATTR_NOEXEC | libc::MOUNT_ATTR_RDONLY;
                let tree = new_file_system(c"tmpfs", &options, attributes).during_on(STEP, &path)?;
                attach(tree.as_fd(), target.as_fd()).during_on(STEP, &path)?;
            }
        }
        for name in READ_ONLY {
            let path = Path::new("proc").join(name);
            if let Ok(target) = self.existing(&path) {
                let tree = detached_tree(target.as_fd()).during_on(STEP, &path)?;
                set_attributes(tree.as_fd(), &read_only, false).during_on(STEP, &path)?;
                attach(tree.as_fd(), target.as_fd()).during_on(STEP, &path)?;
            }
        }
        Ok(())
    }

    fn private_folders(&self, spec: &InstanceSpec) -> Result<(), StepError> {
        self.mount("/tmp", c"tmpfs", &scratch(spec), HARMLESS).map(drop)
    }

    /// The last thing before moving in: nothing more is made in the root and in `/dev`.
    fn seal(&self) -> Result<(), StepError> {
        let read_only = Attributes {
            set: libc::MOUNT_ATTR_RDONLY,
            ..Attributes::default()
        };
        for path in ["dev", "."] {
            let at = self
                .existing(Path::new(path))
                .during_on("seal the root of the instance", Path::new(path))?;
            set_attributes(at.as_fd(), &read_only, false)
                .during_on("seal the root of the instance", Path::new(path))?;
        }
        Ok(())
    }
}

/// A folder in memory for everybody inside, bounded in count as well as in size: an inode of tmpfs is kernel memory.
fn scratch(spec: &InstanceSpec) -> [(&'static CStr, String); 3] {
    let inodes = (spec.tmp_size.0 / 4096).clamp(1024, 1_000_000);
    [
        (c"size", spec.tmp_size.0.to_string()),
        (c"nr_inodes", inodes.to_string()),
        (c"mode", "1777".to_owned()),
    ]
}

/// An absolute inside path as it is below the new root.
fn relative(path: &Path) -> io::Result<PathBuf> {
    let inside: PathBuf = path
        .components()
        .filter(|part| *part != Component::RootDir)
        .collect();
    let plain = inside
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if path.is_absolute() && plain {
        Ok(if inside.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            inside
        })
    } else {
        Err(io::Error::other("not an absolute path without `..`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_paths_cannot_leave_the_root() {
        for (path, expected) in [
            ("/data", Some("data")),
            ("/", Some(".")),
            ("//a//b", Some("a/b")),
            ("data", None),
            ("/a/../b", None),
        ] {
            assert_eq!(
                relative(Path::new(path)).ok(),
                expected.map(PathBuf::from),
                "{path}"
            );
        }
    }
}
