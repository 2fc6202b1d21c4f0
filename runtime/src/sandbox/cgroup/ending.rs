//! The end of a group: everything in it is killed, then its directories go.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Group;
use super::files::{CgroupError, read, write};
use super::patience::ask;

/// How long killed processes may take to leave before they count as undead. The kernel needs a few milliseconds,
/// unless one hangs in a system call that cannot be interrupted.
const DEATH_PATIENCE: Duration = Duration::from_secs(2);

impl Group {
    /// Kills everything in the group and waits until it is gone: milliseconds, at most two seconds.
    ///
    /// # Errors
    /// [`CgroupError::Undead`] when something does not die.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        // Where it exists (Linux 5.14) this gets frozen processes too, and ones that are just being forked.
        let at_once = self
            .file("cgroup.kill")
            .is_some_and(|file| write(&file, "1").is_ok());
        if !at_once && let Some(file) = self.file("pids.max") {
            // Otherwise it is a race with whoever forks, unless forking is over.
            let _ = write(&file, "0");
        }
        ask(DEATH_PATIENCE, || match self.members() {
            Ok(members) if members.is_empty() => ControlFlow::Break(Ok(())),
            Ok(members) => {
                for pid in &members {
                    // The number cannot have been given to another process unless it left the group just now, and
                    // the kernel hands out all other numbers before it uses one again.
                    let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                }
                ControlFlow::Continue(Err(CgroupError::Undead {
                    path: self.directories.first().cloned().unwrap_or_default(),
                    left: members.len(),
                }))
            }
            Err(error) => ControlFlow::Break(Err(error)),
        })
    }

    /// Kills what is left and removes the directories, and the folder around them when it was the last.
    ///
    /// # Errors
    /// When something does not die or a directory does not go.
    pub fn remove(&self) -> Result<(), CgroupError> {
        self.kill_all()?;
        let mut outcome = Ok(());
        for directory in &self.directories {
            if let Err(error) = remove_one(directory) {
                outcome = Err(error);
            } else if let Some(folder) = directory.parent() {
                // Fails while another instance lives there, as it should.
                let _ = fs::remove_dir(folder);
            }
        }
        outcome
    }

    /// Process numbers in any of the directories.
    fn members(&self) -> Result<BTreeSet<i32>, CgroupError> {
        let mut members = BTreeSet::new();
        for directory in &self.directories {
            match read(&directory.join("cgroup.procs")) {
                Ok(text) => members.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
                Err(CgroupError::Read { source, .. })
                    if source.kind() == ErrorKind::NotFound
                        || source.raw_os_error() == Some(libc::ENODEV) => {}
                Err(error) => return Err(error),
            }
        }
        // A process of another pid namespace shows as 0; signalling 0 would hit ourselves.
        members.remove(&0);
        Ok(members)
    }
}

/// Removes a directory; the kernel may count a dead process for a moment after its number has left `cgroup.procs`.
fn remove_one(directory: &Path) -> Result<(), CgroupError> {
    ask(DEATH_PATIENCE, || match fs::remove_dir(directory) {
        Ok(()) => ControlFlow::Break(Ok(())),
        Err(error) if error.kind() == ErrorKind::NotFound => ControlFlow::Break(Ok(())),
        Err(source) => {
            let busy = source.kind() == ErrorKind::ResourceBusy;
            let error = Err(CgroupError::Remove {
                path: directory.to_owned(),
                source,
            });
            if busy {
                ControlFlow::Continue(error)
            } else {
                ControlFlow::Break(error)
            }
        }
    })
}
