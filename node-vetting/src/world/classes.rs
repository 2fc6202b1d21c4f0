//! For whom the things behind a path are there: the scopes of what packages do with files.

use crate::world::machine::{HOME, USER_DIR};

/// Files and folders whose content is somebody's secret, below the home or anywhere.
const SECRET: &[&str] = &[
    "/data/settings.js",
    "/data/.config.runtime.json",
    "/data/.config.users.json",
    "/etc/shadow",
    "/etc/ssh",
    "/root",
    "/proc/self/environ",
    "/proc/1/environ",
    "/var/run/secrets",
    "/run/secrets",
];
const SECRET_AT_HOME: &[&str] = &[
    ".npmrc",
    ".yarnrc",
    ".ssh",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".git-credentials",
    ".netrc",
    ".gnupg",
    ".config/gcloud",
    ".config/gh",
    ".config/Exodus",
    ".config/google-chrome",
    ".mozilla",
    ".bitcoin",
    ".ethereum",
    ".electrum",
    ".bash_history",
    ".zsh_history",
    ".pgpass",
    ".my.cnf",
    ".pypirc",
    ".password-store",
    ".claude",
    ".gemini",
    ".config/op",
    ".local/share/keyrings",
    ".terraform.d",
    ".vault-token",
];
/// Places from which something is started later.
const STARTUP: &[&str] = &[
    "/etc/systemd",
    "/lib/systemd",
    "/usr/lib/systemd",
    "/etc/cron",
    "/var/spool/cron",
    "/etc/init.d",
    "/etc/rc",
    "/etc/profile",
    "/etc/bash.bashrc",
    "/etc/ld.so.preload",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/sbin",
    "/usr/sbin",
];
const STARTUP_AT_HOME: &[&str] = &[
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".profile",
    ".zshrc",
    ".zprofile",
    ".zshenv",
    ".config/systemd",
    ".config/autostart",
    ".ssh/authorized_keys",
    ".ssh/config",
    ".gitconfig",
    ".config/git",
    ".vimrc",
    "Library/LaunchAgents",
    ".local/bin",
    ".config/fish",
    ".claude",
    ".github",
    ".vscode",
];

fn among(path: &str, list: &[&str]) -> bool {
    list.iter().any(|entry| {
        path.strip_prefix(entry)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || entry.starts_with("/etc/"))
    })
}

/// The class of a path: for whom it is there. `own` is the folder of the package that asks.
pub(super) fn class_of(path: &str, own: Option<&str>, writes: bool) -> &'static str {
    let at_home = path.strip_prefix(HOME).map(|rest| rest.trim_start_matches('/'));
    if own.is_some_and(|own| path == own || path.strip_prefix(own).is_some_and(|rest| rest.starts_with('/')))
    {
        return "own";
    }
    if writes && (among(path, STARTUP) || at_home.is_some_and(|path| among(path, STARTUP_AT_HOME))) {
        return "startup";
    }
    if among(path, SECRET) || at_home.is_some_and(|path| among(path, SECRET_AT_HOME)) {
        return "secret";
    }
    if path.starts_with("/proc/") && path.ends_with("/environ") {
        return "secret";
    }
    if let Some(name) = path.strip_prefix("/data/") {
        return match name {
            _ if name.starts_with("flows") && name.ends_with(".json") => "flows",
            _ if name.starts_with("node_modules/") => "packages",
            _ if name == "configured" || name.starts_with("configured/") => "configured",
            _ => "userdir",
        };
    }
    if path == USER_DIR {
        return "userdir";
    }
    if among(path, &["/tmp", "/var/tmp", "/dev/shm"]) {
        return "temporary";
    }
    if at_home.is_some() { "home" } else { "system" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_classes() {
        let own = Some("/data/node_modules/a");
        for (path, writes, class) in [
            ("/data/node_modules/a/x.js", true, "own"),
            ("/data/node_modules/ab/x.js", true, "packages"),
            ("/data/flows.json", true, "flows"),
            ("/data/flows_cred.json", false, "flows"),
            ("/data/settings.js", false, "secret"),
            ("/data/context/x", true, "userdir"),
            ("/data/configured/log.txt", true, "configured"),
            ("/home/operator/.npmrc", false, "secret"),
            ("/home/operator/.npmrcs", false, "home"),
            ("/home/operator/.ssh/id_ed25519", false, "secret"),
            ("/home/operator/.ssh/authorized_keys", true, "startup"),
            ("/home/operator/.bashrc", true, "startup"),
            ("/home/operator/.bashrc", false, "home"),
            ("/etc/cron.d/x", true, "startup"),
            ("/etc/hosts", false, "system"),
            ("/proc/77/environ", false, "secret"),
            ("/tmp/x", true, "temporary"),
        ] {
            assert_eq!(class_of(path, own, writes), class, "{path}");
        }
    }
}
