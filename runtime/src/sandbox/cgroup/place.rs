//! Finds, in each tree, a directory under which this caller may make groups: `<place>/redhold`.
//!
//! What is the machine's stays the machine's:
//! - **v1**: below the caller's own group. v1 knows no delegation, so this needs root (or a chown by an administrator).
//! - **v2, delegated**: below the caller's own group, when systemd marks it as handed over (`user.delegate`,
//!   `trusted.delegate`; systemd.resource-control(5), `Delegate=`), or when no systemd runs and the caller may write
//!   there. A group that hands controllers to its children may hold no process itself ("no internal process
//!   constraint", Documentation/admin-guide/cgroup-v2.rst), so whatever lives in it moves into a leaf beside
//!   ours first; that is what a delegated unit is expected to do with itself.
//! - **v2, root without delegation**: below the root of the tree, which is exempt from that constraint. Another
//!   service's or session's group is never changed.
//! - **v2, named**: below the group that the spec names, and nowhere else: a unit of systemd's that holds instances, so
//!   that the supervisor's own unit can be started again while they run. Keepers move into a leaf there.
//! - **v2, anybody else**: nowhere. [`delegate`] is the command that gets a place.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nix::unistd::AccessFlags;

use super::files::{self, CgroupError};
use super::layout::{Layout, Unified};
use crate::spec::InstanceId;
use crate::sys::xattr;

/// Directory that holds our groups.
pub(super) const FOLDER: &str = "redhold";
/// Leaf into which the processes of a delegated group move.
const HOST_LEAF: &str = "redhold.host";
/// Leaf for the keepers, where a group was named. Never in the group of the supervisor's unit: systemd takes a unit
/// with processes of its own and groups below for one that cannot be started (219/CGROUP, systemd 252).
const KEEPERS_LEAF: &str = "redhold.keepers";
/// Controllers that we hand down on v2.
const WANTED: [&str; 4] = ["memory", "cpu", "pids", "io"];

/// Where groups may be made, and where not.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// `.../redhold` directories, made and ready.
    pub(super) folders: Vec<PathBuf>,
    /// Controller and why it has no place.
    pub(super) lacking: Vec<(String, String)>,
}

impl Places {
    /// Makes the folders.
    ///
    /// # Errors
    /// When a group was named and cannot be used: instances without limits, or in another's unit, are no answer to that.
    pub(super) fn prepare(layout: &Layout) -> Result<Self, CgroupError> {
        let mut places = Self::default();
        for (controller, own) in &layout.v1 {
            let folder = own.join(FOLDER);
            if places.folders.contains(&folder) {
                continue;
            }
            match make(&folder) {
                Ok(()) => places.folders.push(folder),
                Err(error) => places.lacking.push((controller.clone(), error.in_words())),
            }
        }
        if let Some(unified) = &layout.v2 {
            match prepare_unified(unified) {
                Ok(folder) => places.folders.push(folder),
                Err(why) if unified.named => {
                    let path = unified.own.clone();
                    return Err(CgroupError::NoPlace { path, why });
                }
                Err(why) => places.lacking.push(("v2".to_owned(), why)),
            }
        }
        Ok(places)
    }

    /// Why `controller` has no group here.
    pub(super) fn why_lacking(&self, controller: &str) -> String {
        let reason = |name: &str| self.lacking.iter().find(|(known, _)| known == name);
        match reason(controller).or_else(|| reason("v2")) {
            Some((_, why)) => why.clone(),
            None => format!("this machine offers no `{controller}` controller"),
        }
    }
}

/// Makes a group; one that is there already is as good, unless it is somebody else's (root's, seen without root).
pub(super) fn make(path: &Path) -> Result<(), CgroupError> {
    let made = match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            nix::unistd::access(path, AccessFlags::W_OK | AccessFlags::X_OK).map_err(Into::into)
        }
        outcome => outcome,
    };
    made.map_err(|source| CgroupError::Make {
        path: path.to_owned(),
        source,
    })
}

/// Makes the group in every tree under one name: `id`, or `id.2` and so on while a living group has it (another data
/// folder may use the same id).
pub(super) fn make_all(layout: &Layout, id: &InstanceId) -> Result<(Places, Vec<PathBuf>), CgroupError> {
    let mut taken = PathBuf::from(FOLDER).join(id.as_str());
    for attempt in 1..=9 {
        let name = match attempt {
            1 => id.to_string(),
            attempt => format!("{id}.{attempt}"),
        };
        // Once more in each attempt: somebody who removes the last other group takes the folder along.
        let places = Places::prepare(layout)?;
        let wanted: Vec<PathBuf> = places.folders.iter().map(|folder| folder.join(&name)).collect();
        let mut made: Vec<PathBuf> = Vec::new();
        let outcome = wanted.iter().try_for_each(|path| {
            make_one(path)?;
            made.push(path.clone());
            Ok(())
        });
        match outcome {
            Ok(()) => return Ok((places, wanted)),
            Err(CgroupError::Make { path, source }) => {
                for path in &made {
                    let _ = fs::remove_dir(path);
                }
                taken = path.clone();
                match source.kind() {
                    ErrorKind::AlreadyExists | ErrorKind::NotFound => {}
                    _ => return Err(CgroupError::Make { path, source }),
                }
            }
            Err(other) => return Err(other),
        }
    }
    Err(CgroupError::Taken { path: taken })
}

/// Makes one directory; an empty one of that name is a leftover without a keeper and goes first.
fn make_one(path: &Path) -> Result<(), CgroupError> {
    let made = match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && fs::remove_dir(path).is_ok() => {
            fs::create_dir(path)
        }
        Err(error) if error.kind() == ErrorKind::ResourceBusy => Err(ErrorKind::AlreadyExists.into()),
        outcome => outcome,
    };
    made.map_err(|source| CgroupError::Make {
        path: path.to_owned(),
        source,
    })
}

/// Where on v2 groups may be made, and on what ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The caller's group, or the one around its leaf, was handed over to it.
    Delegated(PathBuf),
    /// The root of the tree; only root may.
    Root(PathBuf),
    /// Nowhere; why, in words.
    Nowhere(String),
}

/// Decides where the caller may make v2 groups, without changing anything.
#[must_use]
pub fn ground(unified: &Unified) -> Ground {
    let own = match unified.own.file_name() {
        _ if unified.named => return ground_of_named(&unified.own),
        Some(name) if name == HOST_LEAF => unified.own.parent().unwrap_or(&unified.own),
        _ => &unified.own,
    };
    if is_tree_root(own) {
        return match writable(own) {
            true => Ground::Root(own.to_owned()),
            false => Ground::Nowhere("it runs in the root group, which only root may divide".to_owned()),
        };
    }
    if writable(own) && (marked_delegated(own) || !systemd_runs()) {
        return Ground::Delegated(own.to_owned());
    }
    if is_tree_root(&unified.mount) && writable(&unified.mount) {
        return Ground::Root(unified.mount.clone());
    }
    Ground::Nowhere(format!(
        "the control group {} is not delegated to this user",
        own.display()
    ))
}

/// A group that was named is used as it is: another would surprise whoever named it.
fn ground_of_named(group: &Path) -> Ground {
    if !group.is_dir() {
        Ground::Nowhere(
            "it is not there; start the unit that makes it: systemctl start redhold-instances.service"
                .to_owned(),
        )
    } else if !writable(group) {
        Ground::Nowhere("this account may not write there".to_owned())
    } else if is_tree_root(group) || (systemd_runs() && !marked_delegated(group)) {
        Ground::Nowhere("systemd has not handed it over; its unit needs Delegate=yes".to_owned())
    } else {
        Ground::Delegated(group.to_owned())
    }
}

/// Moves the caller into the keepers' leaf of a named group; does nothing where there is no v2 tree. The group must
/// hand controllers down already, as it does when an instance's own was made in it.
///
/// # Errors
/// When the kernel refuses.
pub fn keep_in(named: &Path) -> Result<(), CgroupError> {
    let Some(unified) = Layout::around(Some(named))?.v2 else {
        return Ok(());
    };
    let leaf = unified.own.join(KEEPERS_LEAF);
    make(&leaf)?;
    files::write(&leaf.join("cgroup.procs"), "0")
}

/// Makes the caller's own group one in which instances can live: moves everything in it, the caller included, into
/// `leaf` and hands controllers down. Where that was done: the group, and `None` without a v2 tree.
///
/// # Errors
/// When the group was not handed over, or the kernel refuses.
pub fn hold(leaf: &str) -> Result<Option<PathBuf>, CgroupError> {
    let Some(unified) = Layout::of_self()?.v2 else {
        return Ok(None);
    };
    let group = unified.own;
    match ground_of_named(&group) {
        Ground::Delegated(group) => {
            hand_down(&group, Some(leaf))?;
            // Also where there is nothing to hand down: a process here would stand in the way later.
            move_all(&group, &group.join(leaf))?;
            Ok(Some(group))
        }
        Ground::Root(_) => Ok(None),
        Ground::Nowhere(why) => Err(CgroupError::NoPlace { path: group, why }),
    }
}

/// Arguments in front of a command that start it in a delegated group of its own, for an account that has a
/// systemd user manager.
#[must_use]
pub fn delegate() -> [&'static str; 7] {
    [
        "systemd-run",
        "--user",
        "--scope",
        "--quiet",
        "--collect",
        "-p",
        "Delegate=yes",
    ]
}

/// Whether a systemd runs this machine (`sd_booted(3)`).
#[must_use]
pub fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn prepare_unified(unified: &Unified) -> Result<PathBuf, String> {
    let (place, leaf) = match ground(unified) {
        Ground::Delegated(place) => (place, Some(HOST_LEAF)),
        Ground::Root(place) => (place, None),
        Ground::Nowhere(why) => return Err(why),
    };
    let words = |error: CgroupError| error.in_words();
    let folder = place.join(FOLDER);
    hand_down(&place, leaf).map_err(words)?;
    make(&folder).map_err(words)?;
    hand_down(&folder, None).map_err(words)?;
    Ok(folder)
}

/// Enables for the children of `group` what it has itself. A controller that cannot be handed down shows as missing
/// in the child, where it is named. With a `leaf`, the processes in `group` move there first: with them inside, memory
/// and io are refused, and processor time and tasks turn the group into a threaded one, whose children cannot hold
/// processes at all (cgroup-v2.rst, "Threads").
fn hand_down(group: &Path, leaf: Option<&str>) -> Result<(), CgroupError> {
    let has = |list: &str, name: &str| list.split(' ').any(|known| known == name);
    let offered = files::read(&group.join("cgroup.controllers"))?;
    let control = group.join("cgroup.subtree_control");
    let enabled = files::read(&control)?;
    let lacking: Vec<&str> = WANTED
        .into_iter()
        .filter(|name| has(&offered, name) && !has(&enabled, name))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    if let Some(leaf) = leaf {
        // What is being forked meanwhile stays behind: hence several rounds.
        for _ in 0..5 {
            if move_all(group, &group.join(leaf))? == 0 {
                break;
            }
        }
    }
    for name in lacking {
        // Memory comes first, so that a process that is still there is met with a refusal before anything is
        // changed.
        match files::write(&control, &format!("+{name}")) {
            Err(error @ CgroupError::Write { .. }) if leaf.is_some() && name == "memory" => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Moves every process of `from` into its child `leaf`; how many there were.
fn move_all(from: &Path, leaf: &Path) -> Result<usize, CgroupError> {
    let members = files::read(&from.join("cgroup.procs"))?;
    if members.is_empty() {
        return Ok(0);
    }
    make(leaf)?;
    let procs = leaf.join("cgroup.procs");
    for pid in members.lines() {
        match files::write(&procs, pid) {
            // It ended meanwhile.
            Err(CgroupError::Write { source, .. }) if source.raw_os_error() == Some(libc::ESRCH) => {}
            other => other?,
        }
    }
    Ok(members.lines().count())
}

/// The root of the whole tree has no type, being what the others are counted against; a namespace's root has.
fn is_tree_root(group: &Path) -> bool {
    group.join("cgroup.controllers").exists() && !group.join("cgroup.type").exists()
}

/// Whether the three files that delegation hands over can be written (cgroup-v2.rst, "Model of Delegation").
fn writable(group: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    ["", "cgroup.procs", "cgroup.subtree_control"]
        .iter()
        .all(|name| access(&group.join(name), AccessFlags::W_OK).is_ok())
}

/// Reading `trusted.` attributes takes CAP_SYS_ADMIN (`xattr(7)`); `user.delegate` is there for everybody else.
fn marked_delegated(group: &Path) -> bool {
    ["user.delegate", "trusted.delegate"]
        .iter()
        .any(|name| xattr::get(group, name).is_ok_and(|value| value == b"1"))
}
