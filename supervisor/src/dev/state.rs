//! What Redhold keeps about a running project, in its own data directory: the run, the log, the front's socket.
//! A gentle end removes all of it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use runtime::error::or_absent;
use runtime::spec::InstanceId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::instances::errand;
use crate::problem::{Code, Problem};
use crate::removal;

/// Format version in the name: an older binary never reads a newer one's records.
const BUCKET: &str = "dev-v1";

/// A unix socket's path ends at 107 bytes (`unix(7)`); the longest one here is the keeper's.
const LONGEST: usize = 107;

/// Where one project's state lies.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The instance's name: from the folder's name, made unique by its path.
    pub(super) id: InstanceId,
    dir: PathBuf,
}

/// What a second `redhold dev` on the same folder reads.
#[derive(Debug, Serialize, Deserialize)]
struct Running {
    url: String,
    pid: u32,
}

impl State {
    /// Of the project at a canonical path. Nothing is made yet.
    pub(super) fn of(data_dir: &Path, project: &Path) -> Result<Self, Problem> {
        Self::named(data_dir, identify(project))
    }

    /// Of one npm on that project, beside whatever else runs on it.
    pub(super) fn beside(data_dir: &Path, project: &Path) -> Result<Self, Problem> {
        let text = format!("{}{}", npm_prefix(project), std::process::id());
        // At most 9 characters more than at most 27, of the same kind.
        let id = text
            .parse()
            .unwrap_or_else(|_| unreachable!("{text} is an instance's name"));
        Self::named(data_dir, id)
    }

    /// Removes what a killed [`State::beside`] of that project left.
    pub(super) fn sweep(data_dir: &Path, project: &Path) {
        let prefix = npm_prefix(project);
        let bucket = data_dir.join(BUCKET);
        for entry in fs::read_dir(&bucket).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(pid) = name.strip_prefix(&prefix) else {
                continue;
            };
            if !Path::new("/proc").join(pid).exists() && errand::clear(&entry.path().join("job")).is_ok() {
                // Found again by the next.
                let _ = removal::remove_all(&entry.path());
            }
        }
    }

    fn named(data_dir: &Path, id: InstanceId) -> Result<Self, Problem> {
        let dir = data_dir.join(BUCKET).join(id.as_str());
        let longest = dir.join("run").join(runtime::record::CONTROL_SOCKET);
        if longest.as_os_str().len() > LONGEST {
            let message = format!(
                "the data directory {} has too long a path for sockets",
                data_dir.display()
            );
            return Err(Problem::new(Code::Usage, message)
                .hint("name a shorter one with --data-dir or REDHOLD_DATA_DIR"));
        }
        Ok(Self { id, dir })
    }

    /// The name of what runs before the instance, or beside one that is about to be replaced.
    pub(super) fn errand_id(&self) -> InstanceId {
        let text = format!("{}-job", self.id);
        // Four characters more than at most 28, of the same kind.
        text.parse()
            .unwrap_or_else(|_| unreachable!("{text} is an instance's name"))
    }

    /// A number that only depends on the project's path.
    pub(super) fn number(&self) -> u32 {
        let digest = Sha256::digest(self.id.as_str().as_bytes());
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }

    /// Makes the directories, for this user alone.
    pub(super) fn make(&self) -> Result<(), Problem> {
        for dir in [self.run(), self.errand(), self.logs()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|error| Problem::io(format!("cannot make {}", dir.display()), error))?;
        }
        Ok(())
    }

    /// The instance's run directory.
    pub(super) fn run(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The run directory of what is done before the instance starts: npm, reading settings.
    pub(super) fn errand(&self) -> PathBuf {
        self.dir.join("job")
    }

    /// Where npm meets the gate.
    pub(super) fn gate(&self) -> PathBuf {
        self.dir.join("gate")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.logs().join("node-red.log")
    }

    pub(super) fn errand_log(&self) -> PathBuf {
        self.logs().join("job.log")
    }

    fn logs(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The socket on which the instance serves.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("front.sock")
    }

    /// Says to others where this project is open.
    pub(super) fn announce(&self, url: &str) -> io::Result<()> {
        let running = Running {
            url: url.to_owned(),
            pid: std::process::id(),
        };
        let text = serde_json::to_vec(&running)?;
        super::files::write(&self.dir.join("dev.json"), &text)
    }

    /// Where another `redhold dev` has this project open, by its own words.
    pub(super) fn announced(&self) -> Option<String> {
        let text = fs::read(self.dir.join("dev.json")).ok()?;
        let running: Running = serde_json::from_slice(&text).ok()?;
        Path::new("/proc")
            .join(running.pid.to_string())
            .exists()
            .then_some(running.url)
    }

    /// Removes everything, unless an instance was started here whose end nobody has noted: then all of it is needed
    /// to find it again.
    pub(super) fn remove(&self) -> io::Result<()> {
        for run in [self.run(), self.errand()] {
            if run.join(runtime::record::RUN_FILE).exists() {
                return Ok(());
            }
        }
        or_absent(removal::remove_all(&self.dir))
    }
}

fn npm_prefix(project: &Path) -> String {
    format!("{}-n", identify(project))
}

fn identify(project: &Path) -> InstanceId {
    let digest = Sha256::digest(project.as_os_str().as_encoded_bytes());
    let unique: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let name = project
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .take(16)
        .collect();
    let name = name.trim_matches('-');
    let text = if name.is_empty() {
        format!("dev-{unique}")
    } else {
        format!("{name}-{unique}")
    };
    // Letters, digits and inner dashes only, by what was just done.
    text.parse()
        .unwrap_or_else(|_| unreachable!("{text} is an instance's name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_has_a_name_of_its_own() {
        for path in ["/a/My Flows!", "/", "/\u{e9}\u{e9}", "/x/--", "/a/b", "/b/b"] {
            let id = identify(Path::new(path));
            assert_eq!(id, identify(Path::new(path)));
            assert!(id.as_str().len() <= 40);
        }
        assert_ne!(identify(Path::new("/a/b")), identify(Path::new("/b/b")));
        assert!(
            identify(Path::new("/a/My Flows!"))
                .as_str()
                .starts_with("my-flows-")
        );
    }

    #[test]
    fn a_data_directory_too_deep_for_sockets_is_refused() {
        let deep = PathBuf::from(format!("/{}", "d".repeat(90)));
        let refused = State::of(&deep, Path::new("/project")).expect_err("a refusal");
        assert!(refused.to_string().contains("too long"), "{refused}");
    }
}
