//! Project quotas of ext4 and XFS: a number on every file, and a bound for the number.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Usage, inodes, walk};
use crate::error::{During, StepError};
use crate::sys::quota::{self, ProjectQuota};
use crate::units::Bytes;

/// Project of the trial; those of instances are made from their users.
const TRIAL: u32 = 1_900_000_000;
/// What the trial may write, and what it tries to.
const TRIAL_LIMIT: Bytes = Bytes::mib(1);
pub(in crate::sandbox) const TRIAL_WRITES: Bytes = Bytes::mib(4);
/// Any but root's: root may always write more.
const NOBODY: u32 = 65_534;

/// Writes more than a quota allows, as an ordinary user: a limit can be set and yet not be enforced.
pub(super) fn probe(executable: &Path, data_dir: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| crate::error::words(error);
    if !nix::unistd::geteuid().is_root() {
        return Err("that takes root".to_owned());
    }
    let folder = tempfile::Builder::new()
        .prefix(".quota-")
        .tempdir_in(data_dir)
        .map_err(|error| failed(&error))?;
    assign(folder.path(), TRIAL).map_err(|error| failed(&error))?;
    limit(folder.path(), TRIAL, Some(TRIAL_LIMIT)).map_err(|error| failed(&error))?;
    let outcome = overrun(executable, folder.path());
    // What stays when this fails bounds nobody: the number is nobody else's.
    let _ = limit(folder.path(), TRIAL, None);
    match outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err("it can be set, but is not enforced: mount it with `prjquota`".to_owned()),
        Err(error) => Err(failed(&error)),
    }
}

fn overrun(executable: &Path, folder: &Path) -> io::Result<bool> {
    let file = File::create(folder.join("trial"))?;
    let status = Command::new(executable)
        .args(["probe", "overrun"])
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(Stdio::null())
        .status()?;
    Ok(status.success() && file.metadata()?.len() <= TRIAL_LIMIT.0)
}

/// Puts a folder and everything in it into a project; nothing may write there meanwhile.
///
/// The folder itself comes last, so that one that is in the project has nothing that is not.
///
/// # Errors
/// The first file that cannot be read or put into it.
pub fn assign(folder: &Path, project: u32) -> Result<(), StepError> {
    const STEP: &str = "put a folder into its quota";
    let open = |path: &Path| {
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
    };
    let file = open(folder).during_on(STEP, folder)?;
    if quota::project(&file).during_on(STEP, folder)? == project {
        return Ok(());
    }
    let mut each = |path: &Path, directory: bool| quota::set_project(&open(path)?, project, directory);
    walk::deepest_first(folder, &mut each).during_on(STEP, folder)
}

/// Bounds what a project may have on the file system of `folder`; `None` is no bound. Holds at once.
///
/// # Errors
/// The kernel's.
pub fn limit(folder: &Path, project: u32, limit: Option<Bytes>) -> Result<(), StepError> {
    const STEP: &str = "set a disk quota";
    let wanted = limit.map_or_else(ProjectQuota::default, |bytes| ProjectQuota {
        bytes: bytes.0,
        inodes: inodes(bytes),
        ..ProjectQuota::default()
    });
    let on = File::open(folder).during_on(STEP, folder)?;
    quota::set_project_quota(&on, project, wanted).during_on(STEP, folder)?;
    let read = quota::project_quota(&on, project).during_on(STEP, folder)?;
    if (read.bytes, read.inodes) == (wanted.bytes & !1023, wanted.inodes) {
        return Ok(());
    }
    let found = format!("the kernel took {} bytes for {}", read.bytes, wanted.bytes);
    Err(io::Error::other(found)).during_on(STEP, folder)
}

/// What a project has of what it may have.
///
/// # Errors
/// The kernel's.
pub fn usage(folder: &Path, project: u32) -> io::Result<Usage> {
    let quota = quota::project_quota(&File::open(folder)?, project)?;
    Ok(Usage::of(
        (quota.used_bytes, quota.bytes),
        (quota.used_inodes, quota.inodes),
    ))
}
