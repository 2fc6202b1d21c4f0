//! Everything needed to start one sandboxed process, as plain data: what `process::spawn` sends to the keeper.
//!
//! A spec holds no open descriptor, and is written to no file: what it holds of secrets goes from one process to the next.
//! Paths named "host" are resolved before the sandbox exists, paths named "inside" after its root was entered;
//! with [`Isolation::Landlock`] there is no root of its own and the two must be the same.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::traffic::Filtered;
use crate::units::{Bytes, CpuShare, Pids};

/// Names an instance in cgroup paths, host names and run directories: 1 to 40 of `a-z`, `0-9` and `-`,
/// neither first nor last a `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

/// A name that cannot be an instance's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` cannot name an instance: use 1 to 40 of a-z, 0-9 and -, with a letter or digit at both ends")]
pub struct InvalidInstanceId(String);

/// One process to start, and the world that it may see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Which instance this is.
    pub id: InstanceId,
    /// Host directory (mode 0700, made by the caller) for the control socket, the run record and the exit record.
    /// Keep it short: a unix socket's path ends at 107 bytes (`unix(7)`).
    pub run_dir: PathBuf,
    /// Where the output of the process goes.
    pub log: LogSpec,
    /// What is executed.
    pub program: Program,
    /// What the program reads from descriptor 5, from beginning to end: secrets that shall stand neither in a file nor
    /// in an environment, which every flow can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What the process sees of the host's files, in the order in which they are mounted.
    pub mounts: Vec<Mount>,
    /// Host folders on which the keeper holds a shared `flock` for as long as it lives: whoever removes unused
    /// stacks sees that these are used. None of them may be mounted itself, only what is in it: a program could
    /// lock what it can open, and so keep everybody else out.
    pub holds: Vec<PathBuf>,
    /// Symbolic links inside: (link, target), for example `/bin` to `usr/bin`.
    pub links: Vec<(PathBuf, String)>,
    /// Size of the private `/tmp`, and of `/dev/shm`.
    pub tmp_size: Bytes,
    /// Host and domain name inside.
    pub hostname: String,
    /// How it is walled off.
    pub isolation: Isolation,
    /// Whose files it writes.
    pub owner: Owner,
    /// Which network it sees.
    pub network: Network,
    /// What it may use up.
    pub limits: Limits,
    /// What it may do behind its walls, where that is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// The v2 control group in which instances and their keepers live, as `/proc/<pid>/cgroup` names it, for example
    /// `/system.slice/redhold-instances.service`; it must have been handed over (`Delegate=yes`). Without one, the
    /// starter's own place decides. Left out of the digest where there is none: it is no wish of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_group: Option<PathBuf>,
    /// How long after a gentle stop the whole instance is killed, in milliseconds.
    pub stop_grace_ms: u64,
}

/// A bounded, rotating log: `file`, `file.1`, ... `file.<keep>`, each at most `max_size`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogSpec {
    /// Host path of the newest file.
    pub file: PathBuf,
    /// Size at which a file is rotated.
    pub max_size: Bytes,
    /// How many rotated files stay.
    pub keep: u8,
}

/// What init executes; it replaces nothing and inherits nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Inside path of the executable.
    pub path: PathBuf,
    /// Arguments, without the executable itself.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Inside path of the working directory.
    pub directory: PathBuf,
}

/// A host file or directory that the process sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Host path.
    pub source: PathBuf,
    /// Inside path.
    pub target: PathBuf,
    /// What may be done there. Set-user-id and device files never work on any mount.
    pub access: Access,
    /// Skip silently when the host has no such file (time zone data, certificates).
    pub optional: bool,
}

/// What a process may do under a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read and execute.
    ReadOnly,
    /// Read, write and execute (native addons are mapped executable).
    ReadWrite,
}

/// How the process is walled off from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// User, mount, pid, ipc, uts and cgroup namespaces, a root of its own, seccomp and Landlock.
    Namespaces,
    /// The lesser mode for hosts that refuse user namespaces: seccomp and Landlock on the host's own root.
    /// Processes and sockets of the same user stay visible.
    Landlock,
}

/// Which host identity stands behind the one that the process sees.
///
/// Inside, the process is always uid and gid 1000, mapped alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The caller's own uid and gid: all that an unprivileged caller can map.
    Caller,
    /// An identity of its own; the writable mounts already belong to it. Needs root.
    Own {
        /// Host uid, never 0.
        uid: u32,
        /// Host gid, never 0.
        gid: u32,
    },
    /// An identity of its own, while the writable mounts belong to `of_uid` and `of_gid` and stay theirs:
    /// id-mapped mounts translate (`mount_setattr(2)`, Linux 5.12). Needs root.
    Translated {
        /// Host uid of the process, never 0.
        uid: u32,
        /// Host gid of the process, never 0.
        gid: u32,
        /// Owner of the writable files on the host.
        of_uid: u32,
        /// Group of the writable files on the host.
        of_gid: u32,
    },
}

/// Which network the process sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The host's.
    Host,
    /// The host's, although one of its own was wished for: why there is none, for whoever relies on it.
    Lesser(String),
    /// One of its own with only a loopback device; connections come through passed-in sockets.
    Loopback,
    /// One of its own with a cable to the host, which lets through what is named. Needs root.
    Filtered(Filtered),
}

impl Network {
    /// Whether it is the host's.
    #[must_use]
    pub const fn is_hosts(&self) -> bool {
        matches!(self, Self::Host | Self::Lesser(_))
    }
}

/// What the program, and whatever it starts, may do of what the keeper is asked about; everything else is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Whether what it may not do is refused (`EPERM`), or only recorded.
    pub enforce: bool,
    /// What it may execute.
    pub programs: Programs,
    /// Whether it may make raw sockets; whether it can is a matter of its capabilities.
    pub raw_sockets: bool,
    /// All of this in words, with why, for a person who looks at what it is walled off by.
    pub words: String,
}

/// Programs that may be executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Programs {
    /// All.
    Any,
    /// These, by the name of the file or, with a `/` in it, by its whole path.
    Named(Vec<String>),
}

/// What an instance may use up. `None` is "no limit"; what the host cannot enforce is named in the run record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory and swap together.
    pub memory: Option<Bytes>,
    /// Processor time.
    pub cpu: Option<CpuShare>,
    /// Tasks, threads included: Node.js itself has up to 11.
    pub pids: Option<Pids>,
    /// Bytes per second read from, and written to, the device under the first writable mount.
    pub io: Option<Bytes>,
    /// Open descriptors per process.
    pub files: Option<u32>,
    /// Size of one file, where no quota bounds the folder.
    pub file_size: Option<Bytes>,
}

impl InstanceSpec {
    /// Tells two specs apart: SHA-256 over everything in it, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        use sha2::{Digest, Sha256};
        // A spec is plain data with text keys, so that writing it as JSON cannot fail.
        let text = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl InstanceId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;

    fn from_str(text: &str) -> Result<Self, InvalidInstanceId> {
        let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let ok = (1..=40).contains(&text.len())
            && text.bytes().all(|c| inner(c) || c == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidInstanceId(text.to_owned()))
        }
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InvalidInstanceId;

    fn try_from(text: String) -> Result<Self, InvalidInstanceId> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
