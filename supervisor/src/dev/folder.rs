//! The project folder: which one, whether it can be worked in, and what a fresh one gets.
//!
//! It is Node-RED's user directory and nothing else, so plain Node-RED runs it as it stands. Nothing of Redhold's
//! own is kept in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::dev::files;
use crate::instances::carried::flow_file;
use crate::problem::{Code, Problem};

/// Below this many free bytes a deploy may fail halfway, so nothing is started.
const LEAST_SPACE: u64 = 16 << 20;

/// Where a project goes when the current directory is somebody else's.
const DEFAULT_NAME: &str = "redhold-project";

/// An open project. The folder is locked while it lives: one `redhold dev` at a time.
#[derive(Debug)]
pub(super) struct Project {
    /// Canonical path.
    pub(super) path: PathBuf,
    /// Name of the flow file in it.
    pub(super) flow_file: String,
    /// Nothing was there: it got the welcome flow.
    pub(super) fresh: bool,
    _lock: File,
}

/// A choice of folder, with the reason when it is not the one that the person stands in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) path: PathBuf,
    pub(super) because: Option<String>,
}

/// Picks the folder: the named one; else the current directory when it is a project or empty; else one in the home
/// directory, because a source tree or a download folder is nothing to fill with flows.
pub(super) fn choose(named: Option<&Path>, current: &Path, home: Option<&Path>) -> Result<Choice, Problem> {
    if let Some(named) = named {
        return Ok(Choice {
            path: named.to_path_buf(),
            because: None,
        });
    }
    if (is_project(current) || is_empty(current)) && Some(current) != home {
        return Ok(Choice {
            path: current.to_path_buf(),
            because: None,
        });
    }
    let Some(home) = home else {
        let message = format!(
            "{} is not a Node-RED project, and HOME is not set",
            current.display()
        );
        return Err(Problem::new(Code::Usage, message).hint("name a folder: redhold dev DIR"));
    };
    Ok(Choice {
        path: home.join(DEFAULT_NAME),
        because: Some(format!(
            "{} holds other things, so the project is {} (`redhold dev DIR` chooses another)",
            current.display(),
            home.join(DEFAULT_NAME).display()
        )),
    })
}

/// Opens `path` as a project, making the folder when it does not exist. `reserved` is Redhold's own data, which an
/// instance must not see; `running_at` knows the address of another `redhold dev` on the folder.
pub(super) fn open(
    path: &Path,
    reserved: &Path,
    home: Option<&Path>,
    running_at: impl Fn(&Path) -> Option<String>,
) -> Result<Project, Problem> {
    let path = reach(path)?;
    keep_away(&path, reserved, home)?;
    let lock = File::open(&path).map_err(|error| cannot("open", &path, error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let place = running_at(&path).map_or_else(String::new, |url| format!(" at {url}"));
            let message = format!("{} is already running{place}", path.display());
            return Err(
                Problem::new(Code::Busy, message).hint("use that one, or end it with Ctrl-C in its terminal")
            );
        }
        Err(TryLockError::Error(error)) => return Err(cannot("lock", &path, error)),
    }
    check_writable(&path)?;
    let flow_file = flow_file(&path)?;
    check_json(&path.join("package.json"), Value::is_object)?;
    let fresh = !check_flows(&path.join(&flow_file))?;
    Ok(Project {
        path,
        flow_file,
        fresh,
        _lock: lock,
    })
}

impl Project {
    /// Gives a fresh project a manifest and the welcome flow; a project that has any of the two keeps it.
    pub(super) fn furnish(&self, welcome: &str) -> Result<(), Problem> {
        let manifest = self.path.join("package.json");
        if !manifest.exists() {
            let document = json!({
                "name": package_name(&self.path),
                "description": "A Node-RED Project",
                "version": "0.0.1",
                "private": true,
                "dependencies": {},
            });
            let text = format!("{document:#}\n");
            files::write(&manifest, text.as_bytes()).map_err(|error| cannot("write", &manifest, error))?;
        }
        let flows = self.path.join(&self.flow_file);
        if !flows.exists() {
            files::write(&flows, welcome.as_bytes()).map_err(|error| cannot("write", &flows, error))?;
        }
        Ok(())
    }
}

/// The folder's canonical path, made when it does not exist.
fn reach(path: &Path) -> Result<PathBuf, Problem> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => {
            let message = format!("{} is a file, not a project folder", path.display());
            return Err(Problem::new(Code::Usage, message).hint("name the folder that holds flows.json"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path).map_err(|error| cannot("make", path, error))?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                files::give_to_owner_of(parent, path).map_err(|error| cannot("make", path, error))?;
            }
        }
        Err(error) => return Err(cannot("open", path, error)),
    }
    path.canonicalize().map_err(|error| cannot("open", path, error))
}

/// Refuses folders whose exposure to an instance would undo its walls.
fn keep_away(path: &Path, reserved: &Path, home: Option<&Path>) -> Result<(), Problem> {
    let reserved = reserved.canonicalize().unwrap_or_else(|_| reserved.to_path_buf());
    let home = home.and_then(|home| home.canonicalize().ok());
    let reason = if path == Path::new("/") {
        "it is the whole machine"
    } else if home.is_some_and(|home| home.starts_with(path)) {
        "it holds your home directory, and Node-RED would see all of it"
    } else if reserved.starts_with(path) || path.starts_with(&reserved) {
        "Redhold's own data lies there"
    } else {
        return Ok(());
    };
    let message = format!("{} cannot be a project folder: {reason}", path.display());
    Err(Problem::new(Code::Usage, message).hint("use a folder of its own, for example ./my-project"))
}

fn check_writable(path: &Path) -> Result<(), Problem> {
    // Asking is not enough: a read-only mount, a quota or a full disk only show when something is written.
    tempfile::Builder::new()
        .prefix(".redhold-")
        .tempfile_in(path)
        .and_then(tempfile::NamedTempFile::close)
        .map_err(|error| cannot("write to", path, error))?;
    let space = nix::sys::statvfs::statvfs(path).map_err(|error| cannot("measure", path, error.into()))?;
    let free = space.blocks_available().saturating_mul(space.fragment_size());
    if free < LEAST_SPACE {
        let message = format!(
            "the disk of {} is full: {} MiB are free, and a deploy could fail halfway",
            path.display(),
            free >> 20
        );
        return Err(Problem::new(Code::Host, message).hint("free some space on that disk"));
    }
    Ok(())
}

/// Whether a flow file exists; an error when it holds no flows.
pub(super) fn check_flows(file: &Path) -> Result<bool, Problem> {
    check_json(file, Value::is_array)
}

/// Whether `file` exists; an error when it holds no JSON of the wanted shape.
fn check_json(file: &Path, shape: impl Fn(&Value) -> bool) -> Result<bool, Problem> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(cannot("read", file, error)),
    };
    // Node-RED itself restores an empty file from its copy, and reads over a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    if text.is_empty() {
        return Ok(true);
    }
    let hint = || {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let backup = file.with_file_name(format!(".{name}.backup"));
        if backup.exists() {
            format!(
                "nothing was changed; Node-RED's last good copy is {}",
                backup.display()
            )
        } else {
            "nothing was changed; mend the file, or move it away to begin afresh".to_owned()
        }
    };
    match serde_json::from_slice::<Value>(text) {
        Ok(value) if shape(&value) => Ok(true),
        Ok(_) => {
            let message = format!("{} is JSON, but not what Node-RED keeps there", file.display());
            Err(Problem::new(Code::Usage, message).hint(hint()))
        }
        Err(error) => {
            let message = format!("{} is not valid JSON", file.display());
            Err(Problem::new(Code::Usage, message).because(error).hint(hint()))
        }
    }
}

fn is_project(path: &Path) -> bool {
    let has = |name: &str| path.join(name).exists();
    has(".config.runtime.json") || has(".config.nodes.json") || flow_file(path).is_ok_and(|name| has(&name))
}

/// Hidden files (a fresh git repository, an editor's settings) do not count.
fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with('.')))
    })
}

/// The folder's name as npm allows it.
fn package_name(path: &Path) -> String {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    if name.is_empty() {
        DEFAULT_NAME.to_owned()
    } else {
        name.to_owned()
    }
}

fn cannot(verb: &str, path: &Path, error: io::Error) -> Problem {
    Problem::io(format!("cannot {verb} {}", path.display()), error)
        .or_hint("choose a folder of your own: redhold dev DIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_tree_is_left_alone() {
        let home = tempfile::tempdir().expect("a folder");
        let home = home.path();
        let tree = home.join("clone");
        fs::create_dir_all(tree.join("src")).expect("a folder");
        let choice = choose(None, &tree, Some(home)).expect("a choice");
        assert_eq!(choice.path, home.join(DEFAULT_NAME));
        assert!(choice.because.is_some());

        let empty = home.join("empty");
        fs::create_dir_all(empty.join(".git")).expect("a folder");
        assert_eq!(choose(None, &empty, Some(home)).expect("a choice").path, empty);

        fs::write(tree.join("flows.json"), "[]").expect("a file");
        assert_eq!(choose(None, &tree, Some(home)).expect("a choice").path, tree);
        assert_eq!(choose(Some(home), &tree, None).expect("a choice").path, home);
        assert_eq!(choose(None, home, None).expect_err("nowhere").code(), Code::Usage);
    }

    #[test]
    fn what_would_show_too_much_is_refused() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path().canonicalize().expect("a path");
        let (home, data) = (root.join("home"), root.join("home/data"));
        fs::create_dir_all(&data).expect("a folder");
        for path in [&root, &home, &data, &data.join("x")] {
            let refused = open(path, &data, Some(&home), |_| None).expect_err("a refusal");
            assert!(
                refused.to_string().contains("cannot be a project folder"),
                "{refused}"
            );
        }
        open(&home.join("project"), &data, Some(&home), |_| None).expect("a project");
    }

    #[test]
    fn a_broken_flow_file_is_named_with_its_place() {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("flows.json");
        fs::write(&file, "[\n  {\"id\": 1,}\n]").expect("a file");
        let refused = open(root.path(), Path::new("/nowhere"), None, |_| None).expect_err("a refusal");
        assert!(refused.to_string().contains("line 2 column 12"), "{refused}");
        assert_eq!(fs::read_to_string(&file).expect("a file"), "[\n  {\"id\": 1,}\n]");
    }

    #[test]
    fn a_fresh_project_is_one_that_npm_accepts() {
        for (folder, name) in [
            ("My Flows", "my-flows"),
            ("_x", "x"),
            ("\u{e9}", DEFAULT_NAME),
            ("a.b", "a.b"),
        ] {
            assert_eq!(package_name(Path::new(folder)), name);
        }
    }
}
