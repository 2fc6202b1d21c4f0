//! Reading and writing the kernel's control files, with errors that name the file and what was written.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What can go wrong with a control group.
#[derive(Debug, Error)]
pub enum CgroupError {
    /// A control file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A control file does not hold what the kernel documents.
    #[error("cannot understand `{text}` in {}", path.display())]
    Strange {
        /// Which.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
    /// The kernel refused a value.
    #[error("cannot write `{value}` to {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What was to be written.
        value: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused a limit.
    #[error("cannot limit {}", path.display())]
    Set {
        /// Which group.
        path: PathBuf,
        /// Which file and why.
        source: cgroups_rs::fs::error::Error,
    },
    /// A group could not be made.
    #[error("cannot make the control group {}", path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A group could not be removed.
    #[error("cannot remove the control group {}", path.display())]
    Remove {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Processes are still there after they were killed: they hang in the kernel, on a dead disk or network mount.
    #[error("{left} processes in the control group {} do not die", path.display())]
    Undead {
        /// Which group.
        path: PathBuf,
        /// How many.
        left: usize,
    },
    /// A recorded path is not one of ours; emptying it could kill the machine.
    #[error("{} is not a control group that redhold made", path.display())]
    Foreign {
        /// Which path.
        path: PathBuf,
    },
    /// The group that was named for instances cannot be used.
    #[error("instances belong into the control group {}, but {why}", path.display())]
    NoPlace {
        /// Which group.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Every name that could be used is taken by a living group.
    #[error("{} and its alternatives are all in use", path.display())]
    Taken {
        /// The first choice.
        path: PathBuf,
    },
}

impl CgroupError {
    /// The error with its cause, as one line for a level's detail.
    pub(super) fn in_words(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

/// The content without the newline at its end.
pub(super) fn read(path: &Path) -> Result<String, CgroupError> {
    std::fs::read_to_string(path)
        .map(|text| text.trim_end().to_owned())
        .map_err(|source| CgroupError::Read {
            path: path.to_owned(),
            source,
        })
}

/// A single number; `max` (v2) is `u64::MAX`.
pub(super) fn read_number(path: &Path) -> Result<u64, CgroupError> {
    let text = read(path)?;
    number(&text).ok_or_else(|| CgroupError::Strange {
        path: path.to_owned(),
        text,
    })
}

/// Writes in one call, as control files want it, and never creates: a missing file is a missing feature.
pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|source| CgroupError::Write {
            path: path.to_owned(),
            value: value.to_owned(),
            source,
        })
}

/// The outcome of a call of cgroups-rs, with the group it was about.
pub(super) fn set(group: &Path, outcome: cgroups_rs::fs::error::Result<()>) -> Result<(), CgroupError> {
    outcome.map_err(|source| CgroupError::Set {
        path: group.to_owned(),
        source,
    })
}

/// The number behind `key` in lines of `key number`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(number)
}

/// A number as the kernel prints limits.
pub(super) fn number(text: &str) -> Option<u64> {
    match text.trim() {
        "max" => Some(u64::MAX),
        text => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_whole_words() {
        let text = "oom 1\noom_kill 2\noom_group_kill 3\n";
        assert_eq!(keyed(text, "oom"), Some(1));
        assert_eq!(keyed(text, "oom_kill"), Some(2));
        assert_eq!(keyed(text, "oom_"), None);
        assert_eq!(keyed(text, "max"), None);
    }

    #[test]
    fn an_error_names_file_and_value() {
        let error = write(Path::new("/proc/self/no-such-file"), "42").unwrap_err();
        assert_eq!(error.to_string(), "cannot write `42` to /proc/self/no-such-file");
        assert!(error.in_words().contains("No such file"));
    }
}
