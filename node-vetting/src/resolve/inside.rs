//! Packages that travel inside the archive of another one, and locks that do.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use npm::{Integrity, PackageName, Version};
use serde_json::Value;

use crate::package::Package;

/// The lock that a package may bring.
const SHRINKWRAP: &str = "npm-shrinkwrap.json";
/// Most packages inside one archive that are taken apart; more stay part of their carrier.
const MAX_INSIDE: usize = 2000;

/// A package taken apart.
#[derive(Debug)]
pub(super) struct Opened {
    /// What is its own.
    pub(super) own: Arc<Package>,
    /// What it carries, by place below it: `node_modules/a/node_modules/b`.
    pub(super) carried: BTreeMap<String, Arc<Package>>,
    /// What its lock wants, by place below it.
    pub(super) locked: BTreeMap<String, Locked>,
}

/// One entry of a lock.
#[derive(Clone, Debug)]
pub(super) struct Locked {
    pub(super) name: PackageName,
    pub(super) version: Version,
    pub(super) integrity: Option<Integrity>,
}

/// Takes the packages inside a package apart, declared or not: Node.js would load either.
pub(super) fn open(package: &Arc<Package>) -> Opened {
    let locked = package
        .file(SHRINKWRAP)
        .and_then(|bytes| serde_json::from_slice(bytes).ok())
        .map(|lock: Value| read_lock(&lock))
        .unwrap_or_default();
    let places: Vec<&str> = package
        .files()
        .filter_map(|(path, _)| path.strip_suffix("/package.json"))
        .filter(|place| is_place(place))
        .take(MAX_INSIDE)
        .collect();
    if places.is_empty() {
        return Opened {
            own: package.clone(),
            carried: BTreeMap::new(),
            locked,
        };
    }
    let owner = |path: &str| {
        let mut end = path.len();
        while let Some(slash) = path[..end].rfind('/') {
            if places.contains(&&path[..slash]) {
                return path[..slash].to_owned();
            }
            end = slash;
        }
        String::new()
    };
    let mut files: BTreeMap<String, BTreeMap<String, Bytes>> = BTreeMap::new();
    for (path, content) in package.files() {
        let place = owner(path);
        let inside = path[place.len()..].trim_start_matches('/').to_owned();
        files.entry(place).or_default().insert(inside, content.clone());
    }
    let mut own = files.remove("").unwrap_or_default();
    let mut carried = BTreeMap::new();
    for (place, files) in files {
        match Package::from_files(files.clone(), package.integrity.clone()) {
            Ok(inner) => {
                carried.insert(place, Arc::new(inner));
            }
            // No package of its own then: its files belong to whoever carries them.
            Err(_) => own.extend(
                files
                    .into_iter()
                    .map(|(path, content)| (format!("{place}/{path}"), content)),
            ),
        }
    }
    let own = Package::from_files(own, package.integrity.clone()).map_or_else(|_| package.clone(), Arc::new);
    Opened { own, carried, locked }
}

/// `node_modules/a`, `node_modules/@s/a/node_modules/b`.
fn is_place(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("node_modules/") else {
        return false;
    };
    rest.split("/node_modules/")
        .all(|name| name.parse::<PackageName>().is_ok())
}

/// The packages that a lock places, development ones left out. Both forms that npm has written are read.
pub(super) fn read_lock(lock: &Value) -> BTreeMap<String, Locked> {
    let mut found = BTreeMap::new();
    match &lock["packages"] {
        Value::Object(packages) => {
            for (place, entry) in packages {
                if is_place(place) && entry["dev"] != Value::Bool(true) && entry["link"] != Value::Bool(true)
                {
                    let base = place
                        .rsplit_once("node_modules/")
                        .map_or(place.as_str(), |(_, name)| name);
                    let name = entry["name"].as_str().unwrap_or(base);
                    found.extend(locked(name, entry).map(|locked| (place.clone(), locked)));
                }
            }
        }
        _ => old_lock("", &lock["dependencies"], &mut found),
    }
    found
}

fn old_lock(below: &str, dependencies: &Value, found: &mut BTreeMap<String, Locked>) {
    for (name, entry) in dependencies.as_object().into_iter().flatten() {
        if entry["dev"] == Value::Bool(true) || found.len() > MAX_INSIDE {
            continue;
        }
        let place = format!("{below}node_modules/{name}");
        if is_place(&place) {
            found.extend(locked(name, entry).map(|locked| (place.clone(), locked)));
            old_lock(&format!("{place}/"), &entry["dependencies"], found);
        }
    }
}

fn locked(name: &str, entry: &Value) -> Option<Locked> {
    Some(Locked {
        name: name.parse().ok()?,
        version: Version::parse(entry["version"].as_str()?).ok()?,
        integrity: entry["integrity"].as_str().and_then(|text| text.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use npm::{Algorithm, Hasher};

    fn package(files: &[(&str, &str)]) -> Arc<Package> {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Bytes::from((*text).to_owned())))
            .collect();
        Arc::new(Package::from_files(files, Hasher::new(Algorithm::Sha512).finish()).expect("a package"))
    }

    #[test]
    fn what_is_carried_stands_at_its_place() {
        let opened = open(&package(&[
            ("package.json", r#"{"name": "a", "version": "1.0.0"}"#),
            ("a.js", ""),
            (
                "node_modules/b/package.json",
                r#"{"name": "b", "version": "2.0.0"}"#,
            ),
            ("node_modules/b/lib/b.js", ""),
            (
                "node_modules/b/node_modules/@s/c/package.json",
                r#"{"name": "@s/c", "version": "3.0.0"}"#,
            ),
            ("node_modules/b/node_modules/@s/c/c.js", ""),
            ("node_modules/broken/package.json", "{}"),
            ("node_modules/broken/x.js", ""),
            (
                "lib/node_modules/d/package.json",
                r#"{"name": "d", "version": "1.0.0"}"#,
            ),
        ]));
        let files = |package: &Package| {
            package
                .files()
                .map(|(path, _)| path.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            files(&opened.own),
            [
                "a.js",
                "lib/node_modules/d/package.json",
                "node_modules/broken/package.json",
                "node_modules/broken/x.js",
                "package.json"
            ]
        );
        assert_eq!(
            opened.carried.keys().collect::<Vec<_>>(),
            ["node_modules/b", "node_modules/b/node_modules/@s/c"]
        );
        assert_eq!(
            files(&opened.carried["node_modules/b"]),
            ["lib/b.js", "package.json"]
        );
    }

    #[test]
    fn both_forms_of_locks_are_read() {
        let new = serde_json::json!({ "lockfileVersion": 3, "packages": {
            "": { "name": "a" },
            "node_modules/b": { "version": "1.0.0" },
            "node_modules/other": { "name": "real", "version": "2.0.0" },
            "node_modules/b/node_modules/c": { "version": "3.0.0" },
            "node_modules/t": { "version": "1.0.0", "dev": true },
            "node_modules/l": { "link": true },
            "../x": { "version": "1.0.0" },
            "node_modules/../x": { "version": "1.0.0" },
        } });
        let says = |lock: &Value| {
            let entries = read_lock(lock).into_iter();
            entries
                .map(|(place, locked)| format!("{place} {}@{}", locked.name, locked.version))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            says(&new),
            [
                "node_modules/b b@1.0.0",
                "node_modules/b/node_modules/c c@3.0.0",
                "node_modules/other real@2.0.0"
            ]
        );
        let old = serde_json::json!({ "dependencies": {
            "b": { "version": "1.0.0", "dependencies": { "c": { "version": "3.0.0" } } },
            "t": { "version": "1.0.0", "dev": true },
            "g": { "version": "git+ssh://x" },
        } });
        assert_eq!(
            says(&old),
            ["node_modules/b b@1.0.0", "node_modules/b/node_modules/c c@3.0.0"]
        );
    }
}
