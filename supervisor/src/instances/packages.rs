//! Which packages an instance wants and does not have, and what npm is told about it. Reads a folder that a stranger
//! writes, and nothing outside it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use node_vetting::bom;
use npm::{PackageName, Range, Version};
use runtime::beneath;
use runtime::spec::Isolation;
use runtime::store::Stack;
use serde_json::Value;

use crate::gate::{Asked, Installed};

/// Larger manifests are none, in bytes.
const LARGEST: u64 = 4 << 20;

/// Most lines of npm's own account that are passed on.
const LINES: usize = 8;

/// What a user directory lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Names, for a person.
    pub(crate) names: Vec<String>,
    /// What npm is told by name, `name@range`; everything else stands in package.json.
    pub(crate) wanted: Vec<String>,
    /// All of them as a registry is asked; what comes from elsewhere is not among them.
    pub(crate) asked: Vec<Asked>,
}

impl Missing {
    /// What `package.json` in `folder`, and `wanted` beside it (name to range), ask for and `node_modules` lacks or
    /// has in a version that the range of `wanted` does not match.
    pub(crate) fn in_folder(folder: &Path, wanted: &BTreeMap<String, String>) -> Self {
        let mut missing = Self::default();
        for (name, range) in wanted {
            if !installed(folder, name).is_some_and(|version| matches(&version, range)) {
                missing.ask(name, range);
                missing.wanted.push(if range.is_empty() {
                    name.clone()
                } else {
                    format!("{name}@{range}")
                });
            }
        }
        let manifest = document(folder, Path::new("package.json")).unwrap_or_default();
        let named = manifest["dependencies"].as_object().into_iter().flatten();
        for (name, range) in named {
            if !wanted.contains_key(name) && installed(folder, name).is_none() {
                let locked = locked(folder, name);
                missing.ask(name, locked.as_deref().or(range.as_str()).unwrap_or_default());
            }
        }
        missing
    }

    fn ask(&mut self, name: &str, range: &str) {
        if name.parse::<PackageName>().is_err() {
            return;
        }
        self.names.push(name.to_owned());
        // Addresses and paths are npm's to refuse: it reaches no network.
        if !range.contains([':', '/']) {
            self.asked.push(Asked {
                name: name.to_owned(),
                wanted: range.to_owned(),
            });
        }
    }

    /// Whether nothing is.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What npm is asked, without npm itself.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut all: Vec<String> = [
            "install",
            "--omit=dev",
            "--engine-strict",
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
        ]
        .map(str::to_owned)
        .to_vec();
        if !self.wanted.is_empty() {
            all.extend(["--save", "--save-prefix=~", "--"].map(str::to_owned));
            all.extend(self.wanted.iter().cloned());
        }
        all
    }
}

/// The version that the folder's lock names.
fn locked(folder: &Path, name: &str) -> Option<String> {
    let lock = document(folder, Path::new("package-lock.json"))?;
    let version = &lock["packages"][format!("node_modules/{name}")]["version"];
    version.as_str().map(str::to_owned)
}

/// The packages that `package.json` in `folder` asks for and `node_modules` has: name and version.
pub(super) fn direct(folder: &Path) -> Vec<(String, String)> {
    let manifest = document(folder, Path::new("package.json")).unwrap_or_default();
    let named = manifest["dependencies"].as_object().into_iter().flatten();
    named
        .filter_map(|(name, _)| Some((name.clone(), installed(folder, name)?)))
        .collect()
}

/// What npm says it has installed in `folder`.
pub(super) fn installed_by_npm(folder: &Path) -> Installed {
    let lock = document(folder, Path::new("node_modules/.package-lock.json")).unwrap_or_default();
    let all = bom::installed(&lock).into_iter();
    all.map(|one| (one.spec(), one.integrity)).collect()
}

/// Another value when what is installed in `folder` may have changed: when npm last wrote its two lists.
pub(super) fn when_installed(folder: &Path) -> [Option<SystemTime>; 2] {
    ["package.json", "node_modules/.package-lock.json"].map(|place| {
        let file = beneath::open(folder, Path::new(place)).ok()?;
        file.metadata().ok()?.modified().ok()
    })
}

/// The version of a package that is installed; empty when that cannot be told.
fn installed(folder: &Path, name: &str) -> Option<String> {
    name.parse::<PackageName>().ok()?;
    let place = Path::new("node_modules").join(name).join("package.json");
    // A link that leads out is a person's own arrangement, and not looked through.
    if beneath::open(folder, &place).is_err_and(|error| error.raw_os_error() == Some(Errno::EXDEV as i32)) {
        return Some(String::new());
    }
    let manifest = document(folder, &place)?;
    Some(manifest["version"].as_str().unwrap_or_default().to_owned())
}

/// Whether a version is what was asked for. Tags and addresses name no version: whatever is there will do.
fn matches(version: &str, range: &str) -> bool {
    match (range.parse::<Range>(), version.parse::<Version>()) {
        (Ok(range), Ok(version)) => range.satisfies(&version),
        (Ok(_), Err(_)) => false,
        (Err(_), _) => true,
    }
}

/// A JSON document inside `folder`; nothing when it is absent, no regular file, too large, or no JSON.
pub(super) fn document(folder: &Path, place: &Path) -> Option<Value> {
    let mut text = Vec::new();
    beneath::open(folder, place)
        .ok()?
        .take(LARGEST)
        .read_to_end(&mut text)
        .ok()?;
    serde_json::from_slice(&text).ok()
}

/// npm's program, by its path inside the sandbox.
pub(crate) fn npm_program(stack: &Stack, isolation: Isolation) -> PathBuf {
    let modules = match isolation {
        Isolation::Namespaces => Path::new("/stack/node_modules"),
        Isolation::Landlock => &stack.modules,
    };
    modules.join("npm/bin/npm-cli.js")
}

/// What of npm's account says why it failed.
pub(crate) fn error_lines(errors: &[String]) -> Vec<String> {
    let telling = |line: &&String| line.starts_with("npm error") && line.len() > "npm error ".len();
    errors.iter().filter(telling).take(LINES).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_lacks_or_does_not_match_is_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let install = |name: &str, version: &str| {
            let place = root.join("node_modules").join(name);
            fs::create_dir_all(&place).expect("a folder");
            let manifest = format!("{{\"name\": \"{name}\", \"version\": \"{version}\"}}");
            fs::write(place.join("package.json"), manifest).expect("a manifest");
        };
        install("a", "1.2.3");
        install("b", "1.2.3");
        install("@s/c", "0.1.0");
        let named = "{\"dependencies\": {\"a\": \"*\", \"x\": \"1\", \"../../etc\": \"1\"}}";
        fs::write(root.join("package.json"), named).expect("a manifest");
        let wanted = [
            ("a", "^1.2.0"),
            ("b", "2"),
            ("@s/c", "latest"),
            ("d", ""),
            ("e", "~1"),
        ];
        let wanted = wanted.map(|(name, range)| (name.to_owned(), range.to_owned()));
        let missing = Missing::in_folder(root, &wanted.into());
        assert_eq!(missing.names, ["b", "d", "e", "x"]);
        assert_eq!(missing.wanted, ["b@2", "d", "e@~1"]);
        assert!(missing.arguments().ends_with(&missing.wanted));
        let nothing = Missing::in_folder(&root.join("nowhere"), &BTreeMap::new());
        assert!(nothing.is_empty());
    }

    #[test]
    fn what_leads_out_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("data");
        fs::create_dir_all(root.join("node_modules/pipe")).expect("a folder");
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).expect("a folder");
        fs::write(outside.join("package.json"), "{\"version\": \"1.0.0\"}").expect("a file");
        symlink(&outside, root.join("node_modules/link")).expect("a link");
        symlink("../../outside", root.join("node_modules/up")).expect("a link");
        let pipe = root.join("node_modules/pipe/package.json");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        for (name, version) in [
            ("link", Some("")),
            ("up", Some("")),
            ("pipe", None),
            ("../../outside", None),
        ] {
            assert_eq!(installed(&root, name).as_deref(), version, "{name}");
        }
    }
}
