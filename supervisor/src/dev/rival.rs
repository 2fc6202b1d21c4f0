//! Another Node-RED on the same folder: two of them would write over each other's flows.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::problem::{Code, Problem};

/// Refuses when a plain Node-RED of this user seems to have the folder as its user directory. What runs in a sandbox
/// names its folder by another path, and is dealt with by adoption.
///
/// Node-RED takes no lock, and once it runs it writes its name over its command line; then its current directory
/// and its home are all that is left to judge by, so one that was started from elsewhere is not found.
pub(super) fn refuse(folder: &Path) -> Result<(), Problem> {
    let Some(pid) = find(Path::new("/proc"), folder) else {
        return Ok(());
    };
    let message = format!("another Node-RED (process {pid}) runs on {}", folder.display());
    Err(Problem::new(Code::Busy, message).hint(format!("stop it first: kill {pid}")))
}

fn find(proc: &Path, folder: &Path) -> Option<u32> {
    for process in fs::read_dir(proc).ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // What belongs to others cannot be read, and is no rival that this user could stop.
        let Ok(line) = fs::read(process.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line);
        let words: Vec<&str> = line.split('\0').filter(|word| !word.is_empty()).collect();
        let here = fs::read_link(process.path().join("cwd")).unwrap_or_default();
        let candidates = match directory(&words) {
            Directory::NoNodeRed => continue,
            Directory::Named(dir) => vec![here.join(dir)],
            Directory::Default => vec![home(&process.path()).join(".node-red")],
            Directory::Unknown => vec![home(&process.path()).join(".node-red"), here],
        };
        if candidates
            .iter()
            .any(|dir| dir.canonicalize().is_ok_and(|dir| dir == folder))
        {
            return Some(pid);
        }
    }
    None
}

/// What a command line says about the user directory.
#[derive(Debug, PartialEq, Eq)]
enum Directory<'a> {
    NoNodeRed,
    Named(&'a str),
    /// Node-RED's own, in the home directory.
    Default,
    /// The command line is written over.
    Unknown,
}

fn directory<'a>(words: &[&'a str]) -> Directory<'a> {
    if words == ["node-red"] {
        return Directory::Unknown;
    }
    let is_red = |word: &&str| matches!(word.rsplit('/').next(), Some("node-red" | "red.js"));
    if !words.iter().take(2).any(is_red) {
        return Directory::NoNodeRed;
    }
    let named = words.iter().enumerate().find_map(|(place, word)| match *word {
        "-u" | "--userDir" => words.get(place + 1).copied(),
        word => word.strip_prefix("--userDir="),
    });
    named.map_or(Directory::Default, Directory::Named)
}

/// The home directory that a process was started with.
fn home(process: &Path) -> PathBuf {
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    let home = variables.find_map(|variable| variable.strip_prefix(b"HOME="));
    PathBuf::from(OsStr::from_bytes(home.unwrap_or(b"/nonexistent")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_node_red_with_a_user_directory() {
        for (line, expected) in [
            ("node /x/red.js -u /a", Directory::Named("/a")),
            ("node-red --userDir=/a", Directory::Named("/a")),
            (
                "/usr/bin/node /usr/bin/node-red --port 1 --userDir a",
                Directory::Named("a"),
            ),
            ("node /x/red.js", Directory::Default),
            ("node-red", Directory::Unknown),
            ("node other.js -u /a", Directory::NoNodeRed),
            ("grep -r x /a node-red -u /a", Directory::NoNodeRed),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(directory(&words), expected, "{line}");
        }
    }
}
