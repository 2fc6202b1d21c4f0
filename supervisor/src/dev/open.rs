//! Opening the person's browser, where there is one.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What opens an address, in the order of preference: the WSL host's browser first, for there the Linux side often
/// has none.
const OPENERS: [&str; 3] = ["wslview", "xdg-open", "open"];

/// The program that would open an address for this person; `None` where nobody would see it: no display, a remote
/// shell, a build machine.
pub(super) fn opener(env: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
    let wsl = set("WSL_DISTRO_NAME");
    let display = set("DISPLAY") || set("WAYLAND_DISPLAY");
    let elsewhere = set("SSH_CONNECTION") || set("SSH_TTY") || set("CI");
    if elsewhere || !(display || wsl) {
        return None;
    }
    let path = env("PATH")?;
    OPENERS.iter().find_map(|name| find(&path, name))
}

/// Starts it without waiting for it: a first start of a browser may take long, and it may run on in the foreground.
/// Its process is given back so that somebody collects it.
pub(super) fn open(opener: &OsStr, url: &str) -> std::io::Result<Child> {
    let mut command = Command::new(opener);
    // A Ctrl-C in the terminal is meant for Node-RED, not for the person's browser.
    command.process_group(0);
    command
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn find(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_somebody_sees_it() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("xdg-open"), "").expect("a file");
        let path = folder.path().to_str().expect("a path").to_owned();
        for (names, found) in [
            (vec!["DISPLAY"], true),
            (vec!["WAYLAND_DISPLAY"], true),
            (vec!["WSL_DISTRO_NAME"], true),
            (vec!["DISPLAY", "SSH_CONNECTION"], false),
            (vec!["DISPLAY", "CI"], false),
            (vec![], false),
        ] {
            let env = |name: &str| match name {
                "PATH" => Some(path.clone().into()),
                _ => names.contains(&name).then(|| "1".into()),
            };
            assert_eq!(opener(env).is_some(), found, "{names:?}");
        }
    }
}
