//! From npm's own lock file to the packages that one kind of machine needs. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use npm::{Integrity, PackageName, Version};
use runtime::store::{Arch, ModulePath};
use serde::Deserialize;
use thiserror::Error;

/// npm's lock file, version 3, as far as it matters here.
#[derive(Debug, Deserialize)]
struct PackageLock {
    #[serde(rename = "lockfileVersion")]
    version: u32,
    packages: BTreeMap<String, Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    name: Option<PackageName>,
    version: Option<String>,
    integrity: Option<Integrity>,
    in_bundle: bool,
    link: bool,
    optional: bool,
    has_install_script: bool,
    os: Words,
    cpu: Words,
    libc: Words,
    dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
    peer_dependencies: BTreeMap<String, String>,
}

/// A word or a list of words; `!word` excludes.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Words {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

/// A package and its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Placed {
    pub(crate) path: ModulePath,
    pub(crate) name: PackageName,
    pub(crate) version: Version,
    pub(crate) integrity: Integrity,
}

/// npm's lock file cannot be turned into a stack.
#[derive(Debug, Error)]
pub(crate) enum ClosureError {
    #[error("npm's lock file cannot be read")]
    Syntax(#[from] serde_json::Error),
    #[error("npm's lock file has version {0}, not 3")]
    Version(u32),
    #[error("`{path}` in npm's lock file {reason}")]
    Entry { path: String, reason: String },
}

impl Words {
    fn allow(&self, word: &str) -> bool {
        let words: &[String] = match self {
            Self::None => return true,
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        };
        let refused = words.iter().any(|given| given.strip_prefix('!') == Some(word));
        let listed = words.iter().any(|given| given == word || given == "any");
        let positive = words.iter().any(|given| !given.starts_with('!'));
        !refused && (listed || !positive)
    }
}

impl Entry {
    /// Whether npm would install it there. Node.js in the stacks is built against glibc.
    fn fits(&self, arch: Arch) -> bool {
        self.os.allow("linux") && self.cpu.allow(arch.name()) && self.libc.allow("glibc")
    }
}

/// The packages that this kind of machine needs, in order of their places. What is bundled inside another package
/// comes with that one. Packages for other machines, and what only those need, are left out, as npm does.
pub(crate) fn closure(text: &str, arch: Arch) -> Result<Vec<Placed>, ClosureError> {
    let lock: PackageLock = serde_json::from_str(text)?;
    if lock.version != 3 {
        return Err(ClosureError::Version(lock.version));
    }
    let mut reached = BTreeSet::new();
    let mut open = VecDeque::from([""]);
    while let Some(path) = open.pop_front() {
        let Some((path, entry)) = lock.packages.get_key_value(path) else {
            continue;
        };
        if !reached.insert(path.as_str()) {
            continue;
        }
        let wanted = [
            &entry.dependencies,
            &entry.optional_dependencies,
            &entry.peer_dependencies,
        ];
        for name in wanted.into_iter().flat_map(BTreeMap::keys) {
            if let Some(found) = resolve(&lock.packages, path, name)
                && (!lock.packages[found].optional || lock.packages[found].fits(arch))
            {
                open.push_back(found);
            }
        }
    }
    let mut placed = Vec::new();
    for path in reached.into_iter().filter(|path| !path.is_empty()) {
        let entry = &lock.packages[path];
        if !entry.in_bundle {
            placed.push(place(path, entry, arch)?);
        }
    }
    placed.sort();
    Ok(placed)
}

/// Where Node.js would find `name` from `from`: the nearest `node_modules` upwards.
fn resolve<'a>(packages: &'a BTreeMap<String, Entry>, from: &str, name: &str) -> Option<&'a str> {
    let mut from = from;
    loop {
        let path = if from.is_empty() {
            format!("node_modules/{name}")
        } else {
            format!("{from}/node_modules/{name}")
        };
        if let Some((found, _)) = packages.get_key_value(&path) {
            return Some(found);
        }
        if from.is_empty() {
            return None;
        }
        // `node_modules/a/node_modules/b` -> `node_modules/a` -> ``
        from = from.rfind("/node_modules/").map_or("", |end| &from[..end]);
    }
}

fn place(path: &str, entry: &Entry, arch: Arch) -> Result<Placed, ClosureError> {
    let error = |reason: String| ClosureError::Entry {
        path: path.to_owned(),
        reason,
    };
    if entry.link {
        return Err(error("is a link".to_owned()));
    }
    if entry.has_install_script {
        // Nothing from a package runs on the host, so such a package would not work.
        return Err(error("has an install script, which is never run".to_owned()));
    }
    if !entry.fits(arch) {
        return Err(error(format!(
            "is needed and is not made for linux on {}",
            arch.name()
        )));
    }
    let inner = path
        .strip_prefix("node_modules/")
        .ok_or_else(|| error("is not in node_modules".to_owned()))?;
    let place =
        ModulePath::try_from(inner.to_owned()).map_err(|cause| error(format!("is refused: {cause}")))?;
    let name = match &entry.name {
        Some(name) => name.clone(),
        None => inner
            .rsplit_once("node_modules/")
            .map_or(inner, |(_, name)| name)
            .parse()
            .map_err(|cause| error(format!("is refused: {cause}")))?,
    };
    let version = entry
        .version
        .as_deref()
        .and_then(|text| Version::parse(text).ok());
    Ok(Placed {
        path: place,
        name,
        version: version.ok_or_else(|| error("has no exact version".to_owned()))?,
        integrity: entry
            .integrity
            .clone()
            .ok_or_else(|| error("has no integrity value".to_owned()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";

    fn lock(packages: &serde_json::Value) -> String {
        serde_json::json!({ "lockfileVersion": 3, "packages": packages }).to_string()
    }

    fn paths(text: &str, arch: Arch) -> Vec<String> {
        let placed = closure(text, arch).unwrap();
        placed.iter().map(|placed| placed.path.to_string()).collect()
    }

    #[test]
    fn each_machine_gets_what_it_needs() {
        let text = lock(&serde_json::json!({
            "": { "dependencies": { "a": "1" } },
            "node_modules/a": { "version": "1.0.0", "integrity": HASH,
                "dependencies": { "b": "2", "npm": "1" }, "optionalDependencies": { "@n/x64": "1", "@n/arm64": "1", "@n/musl": "1", "@n/wasm": "1" } },
            "node_modules/b": { "version": "1.0.0", "integrity": HASH },
            "node_modules/a/node_modules/b": { "version": "2.0.0", "integrity": HASH },
            "node_modules/npm": { "version": "1.0.0", "integrity": HASH, "dependencies": { "ini": "1" } },
            "node_modules/npm/node_modules/ini": { "version": "1.0.0", "integrity": HASH, "inBundle": true },
            "node_modules/@n/x64": { "version": "1.0.0", "integrity": HASH, "optional": true, "os": ["linux"], "cpu": ["x64"] },
            "node_modules/@n/arm64": { "version": "1.0.0", "integrity": HASH, "optional": true, "cpu": ["arm64"], "libc": "glibc" },
            "node_modules/@n/musl": { "version": "1.0.0", "integrity": HASH, "optional": true, "libc": ["musl"] },
            "node_modules/@n/wasm": { "version": "1.0.0", "integrity": HASH, "optional": true, "cpu": ["wasm32"], "dependencies": { "glue": "1" } },
            "node_modules/glue": { "version": "1.0.0", "integrity": HASH, "optional": true },
        }));
        assert_eq!(
            paths(&text, Arch::X64),
            ["@n/x64", "a", "a/node_modules/b", "npm"]
        );
        assert_eq!(
            paths(&text, Arch::Arm64),
            ["@n/arm64", "a", "a/node_modules/b", "npm"]
        );
    }

    #[test]
    fn aliases_keep_their_place() {
        let text = lock(&serde_json::json!({
            "": { "dependencies": { "alias": "npm:real@1" } },
            "node_modules/alias": { "name": "real", "version": "1.0.0", "integrity": HASH },
        }));
        let placed = closure(&text, Arch::X64).unwrap();
        assert_eq!(
            (placed[0].path.as_str(), placed[0].name.as_str()),
            ("alias", "real")
        );
    }

    #[test]
    fn what_cannot_be_a_stack_is_named() {
        for (entry, part) in [
            (
                serde_json::json!({ "version": "1.0.0" }),
                "has no integrity value",
            ),
            (serde_json::json!({ "integrity": HASH }), "has no exact version"),
            (
                serde_json::json!({ "version": "1.0.0", "integrity": HASH, "hasInstallScript": true }),
                "has an install script",
            ),
            (
                serde_json::json!({ "version": "1.0.0", "integrity": HASH, "os": "win32" }),
                "is not made for linux",
            ),
            (serde_json::json!({ "link": true }), "is a link"),
        ] {
            let text =
                lock(&serde_json::json!({ "": { "dependencies": { "a": "1" } }, "node_modules/a": entry }));
            let error = closure(&text, Arch::X64).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(matches!(
            closure(r#"{"lockfileVersion": 2, "packages": {}}"#, Arch::X64),
            Err(ClosureError::Version(2))
        ));
    }
}
