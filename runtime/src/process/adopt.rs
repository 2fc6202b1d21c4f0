//! Finds an instance that somebody else started, or proves that it is gone.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use thiserror::Error;

use super::running::{Running, connect, forget};
use crate::error::{AdoptError, StepError};
use crate::launch::{boot_id, process};
use crate::record::{EXIT_FILE, ExitRecord, RUN_FILE, RunRecord};
use crate::sandbox::cable;
use crate::sandbox::cgroup::{CgroupError, Group};
use crate::sys::pidfd;

/// What is in a run directory.
#[derive(Debug)]
pub enum Adopted {
    /// It runs, and its keeper answers.
    Alive(Running),
    /// It has ended, and its keeper wrote down how.
    Ended(ExitRecord),
    /// Its keeper is gone without a record: killed, or the machine went down.
    Lost(Lost),
    /// Nothing was started here, or its end was collected.
    Nothing,
}

/// An instance without a keeper.
#[derive(Debug)]
pub struct Lost {
    record: RunRecord,
    run_dir: PathBuf,
    init: Option<OwnedFd>,
}

/// An instance without a keeper of which something stays.
#[derive(Debug, Error)]
pub enum CleanUpError {
    /// Its control groups, or its records.
    #[error(transparent)]
    Group(#[from] CgroupError),
    /// Its devices and rules on the host.
    #[error(transparent)]
    Network(#[from] StepError),
}

/// Looks into a run directory.
///
/// A record of an earlier boot, or one whose process number was given to another process, names nobody: process
/// numbers are compared together with start times, and the kernel's word on who listens is asked for.
///
/// # Errors
/// When a record is there but cannot be read.
pub fn adopt(run_dir: &Path) -> Result<Adopted, AdoptError> {
    // The exit record first: it is there before the keeper stops answering.
    if let Some(record) = read(&run_dir.join(EXIT_FILE))? {
        return Ok(Adopted::Ended(record));
    }
    let path = run_dir.join(RUN_FILE);
    let Some(record): Option<RunRecord> = read(&path)? else {
        return Ok(Adopted::Nothing);
    };
    let error = |source| AdoptError {
        path: path.clone(),
        source,
    };
    if record.boot_id != boot_id().map_err(error)? {
        return Ok(Adopted::Lost(Lost {
            record,
            run_dir: run_dir.to_owned(),
            init: None,
        }));
    }
    if connect(run_dir, &record).is_ok() {
        return Ok(Adopted::Alive(Running::new(record, run_dir.to_owned())));
    }
    // It may have ended between the two looks.
    if let Some(record) = read(&run_dir.join(EXIT_FILE))? {
        return Ok(Adopted::Ended(record));
    }
    let init = match pidfd::open(record.init.pid) {
        // Compared after the descriptor was opened: from now on it cannot become another's.
        Ok(init) if process(record.init.pid).is_ok_and(|found| found == record.init) => Some(init),
        _ => None,
    };
    Ok(Adopted::Lost(Lost {
        record,
        run_dir: run_dir.to_owned(),
        init,
    }))
}

impl Lost {
    /// What ran.
    #[must_use]
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Whether the program still runs, without a log and without anybody to note its end.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.init.as_ref().is_some_and(|init| {
            let mut polled = [PollFd::new(init.as_fd(), PollFlags::POLLIN)];
            matches!(poll(&mut polled, PollTimeout::ZERO), Ok(0))
        })
    }

    /// Ends what still runs, removes its control groups, its network on the host and the records.
    ///
    /// # Errors
    /// When something does not die, or cannot be removed.
    pub fn clean_up(self) -> Result<(), CleanUpError> {
        if let Some(init) = &self.init {
            // Gone already is as good as killed.
            let _ = pidfd::signal(init.as_fd(), libc::SIGKILL);
            let mut polled = [PollFd::new(init.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut polled, PollTimeout::from(5000u16));
        }
        Group::from_paths(&self.record.cgroups)?.remove()?;
        // After a reboot nothing of it is left, and its ports may be another's.
        if let Some(network) = &self.record.network
            && boot_id().is_ok_and(|boot| boot == self.record.boot_id)
        {
            cable::remove(network)?;
        }
        forget(&self.run_dir).map_err(|source| CgroupError::Remove {
            path: self.run_dir.clone(),
            source,
        })?;
        Ok(())
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, AdoptError> {
    let error = |source| AdoptError {
        path: path.to_owned(),
        source,
    };
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|cause| error(cause.into())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(error(cause)),
    }
}
