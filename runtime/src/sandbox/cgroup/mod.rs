//! Limits on memory, processor time, tasks and input/output, on cgroup v1, hybrid and v2.
//!
//! A [`Group`] is one instance's directory in every tree that the machine has; each control file is looked for
//! where it is, so a hybrid machine needs no driver of its own: limits sit in the v1 trees, killing at one stroke in
//! the otherwise empty v2 tree beside them. Every limit is read back, and what is lacking becomes a [`Level`] that
//! says so. The caller itself stays outside of the group.
//!
//! cgroups-rs does what it does rightly: its controllers, pointed at one directory each, know file names and formats of
//! both generations, and report what the kernel says. In the keeper they cost neither memory nor time that could be
//! measured (2026-11: 0.5 ms against 0.8 ms for making and limiting a group with it alone and with all that is done
//! here; 196 KiB against 188 KiB of anonymous memory). What it does wrongly or not at all is done with plain files:
//! - where: it puts groups below the root of a tree, or enables controllers there and ignores whether that worked; it
//!   knows no delegation and no constraint on inner processes (`place`);
//! - whether: applying a set of limits drops every error about memory, so nothing of it is believed before it was read
//!   back (`reading`);
//! - swap on v2 (its one name for two different limits), `memory.oom.group`, `cgroup.kill` on a hybrid machine;
//! - out of memory: its listener opens a v1 file on v2, and starts a thread on v1 (`oom`); the keeper has none;
//! - removing: it sleeps at least 10 ms when a group is not empty at once.
//!
//! Modules: `layout` (where am I), `place` (where may I), `setting` and `change` (`v1`, `v2`, `device`) and `reading` (what was read
//! back), `oom` (events), `pressure` (waits), `ending` (kill, remove), `files`, `patience`.

mod change;
mod device;
mod ending;
mod files;
mod layout;
mod oom;
mod patience;
mod place;
mod pressure;
mod reading;
mod setting;
mod v1;
mod v2;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

pub use self::files::CgroupError;
pub use self::layout::{Generation, Layout, Unified};
pub use self::place::{Ground, delegate, ground, hold, keep_in, systemd_runs};
pub use self::pressure::{Pressure, Resource};

use self::files::{keyed, read, read_number, write};
use self::oom::Oom;
use self::place::{FOLDER, make_all};
use crate::record::{Level, OomRecord};
use crate::spec::{InstanceId, Limits};

/// One instance's control groups.
#[derive(Debug)]
pub struct Group {
    directories: Vec<PathBuf>,
    /// The v2 directory, opened, when the limits live there.
    unified: Option<File>,
    levels: Vec<Level>,
    oom: Option<Oom>,
    memory_limit: Option<u64>,
}

/// What a group has used up, as far as the kernel tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes charged now: anonymous memory and page cache.
    pub memory: Option<u64>,
    /// Most bytes ever charged.
    pub memory_peak: Option<u64>,
    /// Processor time in microseconds.
    pub cpu_us: Option<u64>,
    /// Time for which tasks waited for their quota, in microseconds, summed over processors.
    pub throttled_us: Option<u64>,
    /// Tasks now, threads included.
    pub pids: Option<u64>,
}

impl Group {
    /// Makes `redhold/<id>` in every tree in which the caller may, sets `limits` and reads them back. `writable` is the
    /// folder whose disk the io limit is about.
    ///
    /// # Errors
    /// When a group is there but cannot be used. A missing controller or right is no error: see [`Group::levels`].
    pub fn create(id: &InstanceId, limits: &Limits, writable: Option<&Path>) -> Result<Self, CgroupError> {
        Self::create_in(None, id, limits, writable)
    }

    /// As [`Group::create`]; on v2 below the group that is named.
    ///
    /// # Errors
    /// As [`Group::create`], and [`CgroupError::NoPlace`] when the named one cannot be used.
    pub fn create_in(
        named: Option<&Path>,
        id: &InstanceId,
        limits: &Limits,
        writable: Option<&Path>,
    ) -> Result<Self, CgroupError> {
        let layout = Layout::around(named)?;
        let (places, directories) = make_all(&layout, id)?;
        let mut group = Self {
            directories,
            unified: None,
            levels: Vec::new(),
            oom: None,
            memory_limit: limits.memory.map(|limit| limit.0),
        };
        if let Err(error) = group.set_all(limits, writable, &places) {
            // A half-made group must not stay; why it was half-made is what counts.
            let _ = group.remove();
            return Err(error);
        }
        Ok(group)
    }

    /// The group whose directories were recorded, for emptying and removing it after its keeper was lost. Those that
    /// are gone are left out.
    ///
    /// # Errors
    /// [`CgroupError::Foreign`] for a path that is not ours.
    pub fn from_paths(paths: &[String]) -> Result<Self, CgroupError> {
        let mut directories = Vec::new();
        for path in paths.iter().map(PathBuf::from) {
            let ours = path
                .parent()
                .and_then(Path::file_name)
                .is_some_and(|name| name == FOLDER)
                && path.is_absolute()
                && !path.components().any(|part| part.as_os_str() == "..");
            match statfs(&path) {
                Err(Errno::ENOENT) if ours => {}
                Ok(found)
                    if ours
                        && [CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC].contains(&found.filesystem_type()) =>
                {
                    directories.push(path);
                }
                _ => return Err(CgroupError::Foreign { path }),
            }
        }
        let mut group = Self {
            directories,
            unified: None,
            levels: Vec::new(),
            oom: None,
            memory_limit: None,
        };
        group.memory_limit = group.limit_now();
        Ok(group)
    }

    fn limit_now(&self) -> Option<u64> {
        ["memory.max", "memory.limit_in_bytes"]
            .iter()
            .find_map(|name| read_number(&self.file(name)?).ok())
            // What v1 says without one is nearly 2^63.
            .filter(|limit| *limit < 1 << 60)
    }

    /// Moves a process into the group, with its threads; its later children are born there.
    ///
    /// # Errors
    /// When the process is gone or the kernel refuses.
    pub fn add(&self, pid: i32) -> Result<(), CgroupError> {
        let text = pid.to_string();
        self.directories
            .iter()
            .try_for_each(|directory| write(&directory.join("cgroup.procs"), &text))
    }

    /// The directory for `CLONE_INTO_CGROUP`, when one tree (v2) holds everything; otherwise [`Group::add`] it is.
    #[must_use]
    pub fn directory_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// The directories, for the run record.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.directories
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    }

    /// `memory`, `cpu`, `pids` and `io`: what is enforced, as read back.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// What to poll, and for which events, to hear of an out-of-memory kill; then ask [`Group::read_oom`].
    #[must_use]
    pub fn oom_source(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.oom.as_ref().map(Oom::source)
    }

    /// Out-of-memory kills so far, and `None` when there was none. Must be called after each event, or the source
    /// stays ready; may wait 20 ms for the kernel to count what it has just reported.
    ///
    /// # Errors
    /// When the kernel's counts cannot be read.
    pub fn read_oom(&self) -> Result<Option<OomRecord>, CgroupError> {
        let kills = match &self.oom {
            Some(oom) => oom.kills()?,
            None => ["memory.events", "memory.oom_control"]
                .iter()
                .find_map(|name| keyed(&read(&self.file(name)?).ok()?, "oom_kill"))
                .unwrap_or(0),
        };
        Ok((kills > 0).then(|| OomRecord {
            kills,
            // It may have been changed since the group was made.
            limit: self.limit_now().or(self.memory_limit),
            peak: self.stats().memory_peak,
        }))
    }

    /// Stops every process of the group where it stands, or lets it go on. Only where there is a v2 tree: the v1
    /// freezer makes processes that cannot be killed.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn freeze(&self, frozen: bool) -> Result<bool, CgroupError> {
        let Some(file) = self.file("cgroup.freeze") else {
            return Ok(false);
        };
        write(&file, if frozen { "1" } else { "0" })?;
        Ok(true)
    }

    /// Whether its processes were told to stand still.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.file("cgroup.freeze")
            .and_then(|file| read_number(&file).ok())
            == Some(1)
    }

    /// What the group uses and has used.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let first = |names: &[&str]| names.iter().find_map(|name| read_number(&self.file(name)?).ok());
        let cpu = self
            .file("cpu.stat")
            .and_then(|file| read(&file).ok())
            .unwrap_or_default();
        // `cpu.stat` has `usage_usec` on v2 only; on a hybrid machine the v2 tree shows one without a quota.
        let nanoseconds = |value: Option<u64>| value.map(|value| value / 1000);
        Stats {
            memory: first(&["memory.current", "memory.usage_in_bytes"]),
            memory_peak: first(&["memory.peak", "memory.max_usage_in_bytes"]),
            cpu_us: keyed(&cpu, "usage_usec").or_else(|| nanoseconds(first(&["cpuacct.usage"]))),
            throttled_us: keyed(&cpu, "throttled_usec")
                .or_else(|| nanoseconds(keyed(&cpu, "throttled_time"))),
            pids: first(&["pids.current"]),
        }
    }

    /// Bytes that the kernel cannot take back without ending something: all that is charged but cached files. None where
    /// memory is not accounted.
    #[must_use]
    pub fn memory_in_use(&self) -> Option<u64> {
        let charged = self.stats().memory?;
        let text = read(&self.file("memory.stat")?).ok()?;
        // v1 has those of the whole group under `total_`, and its own under the plain names.
        let files = |state: &str| {
            keyed(&text, &format!("total_{state}_file"))
                .or_else(|| keyed(&text, &format!("{state}_file")))
                .unwrap_or(0)
        };
        Some(charged.saturating_sub(files("active") + files("inactive")))
    }

    /// Whether the kernel offers this control file for the group.
    pub(crate) fn offers(&self, name: &str) -> bool {
        self.file(name).is_some()
    }

    /// The first directory's file of this name; names are unique among controllers and generations, but for
    /// `cpu.stat` on a hybrid machine, where the v1 one comes first.
    fn file(&self, name: &str) -> Option<PathBuf> {
        self.directories
            .iter()
            .map(|directory| directory.join(name))
            .find(|file| file.exists())
    }
}
