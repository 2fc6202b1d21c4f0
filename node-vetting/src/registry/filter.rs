//! A registry's document about a package, cut down to the versions that may be installed.

use npm::{Integrity, Version};
use serde_json::{Map, Value, json};

/// What the gate knows about one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It may be installed, in these bytes.
    Allowed(Integrity),
    /// Nobody has looked yet; whoever asks for its archive makes the host look.
    Unknown,
    /// It may not be installed.
    Hidden,
}

/// The document for clients of the gate, or nothing when no version is left.
///
/// Archives are at `<base>/<name>/-/<file>`; tags that pointed at hidden versions point at the highest one that is
/// left below them, or go. Times of publication stay, because clients have rules of their own about age. What the
/// document says beyond what npm reads is left out: it is the registry's word, and not needed.
#[must_use]
pub fn filtered(document: &Value, base: &str, listing: impl Fn(&Version) -> Listing) -> Option<Value> {
    let name = document["name"].as_str()?;
    let mut versions = Map::new();
    let mut left = Vec::new();
    for (written, manifest) in document["versions"].as_object()? {
        let Ok(version) = Version::parse(written) else {
            continue;
        };
        let integrity = match listing(&version) {
            Listing::Hidden => continue,
            Listing::Unknown => None,
            Listing::Allowed(integrity) => Some(integrity),
        };
        let mut manifest = kept(manifest, &MANIFEST);
        let mut dist = kept(&document["versions"][written]["dist"], &DIST);
        dist["tarball"] = json!(archive(base, name, written));
        if let Some(integrity) = integrity {
            dist["integrity"] = json!(integrity.to_string());
        }
        manifest["dist"] = dist;
        versions.insert(written.clone(), manifest);
        left.push(version);
    }
    left.sort();
    let tags = tags(document, &left);
    let time: Map<String, Value> = document["time"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| versions.contains_key(*key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!left.is_empty()).then(|| {
        json!({
            "_id": name,
            "name": name,
            "dist-tags": tags,
            "versions": versions,
            "time": time,
        })
    })
}

/// What npm reads of a version when it decides what to install.
const MANIFEST: [&str; 18] = [
    "name",
    "version",
    "description",
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "bundledDependencies",
    "bin",
    "directories",
    "engines",
    "os",
    "cpu",
    "libc",
    "deprecated",
    "hasInstallScript",
];

const DIST: [&str; 3] = ["integrity", "shasum", "signatures"];

fn kept(of: &Value, keys: &[&str]) -> Value {
    let entries = keys
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), of.get(key)?.clone())));
    Value::Object(entries.collect())
}

/// Where the gate has the archive of a version.
fn archive(base: &str, name: &str, version: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    format!("{base}/{name}/-/{file}-{version}.tgz")
}

fn tags(document: &Value, left: &[Version]) -> Map<String, Value> {
    let tags = document["dist-tags"].as_object().into_iter().flatten();
    let pointed = tags.filter_map(|(tag, version)| {
        let wanted = Version::parse(version.as_str()?).ok()?;
        // A tag for released versions does not come to point at a preview.
        let fits = |other: &&Version| **other <= wanted && (wanted.is_prerelease() || !other.is_prerelease());
        let version = left.iter().rev().find(fits)?;
        Some((tag.clone(), json!(version.to_string())))
    });
    pointed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        let version = |v: &str| {
            json!({
                "name": "@a/b", "version": v, "dependencies": { "c": "1" }, "scripts": { "install": "x" },
                "readme": "long", "dist": { "tarball": "elsewhere", "integrity": "sha512-x", "shasum": "y" },
            })
        };
        json!({
            "name": "@a/b",
            "readme": "long",
            "dist-tags": { "latest": "2.0.0", "next": "3.0.0-rc.1", "old": "0.9.0" },
            "time": { "created": "c", "1.0.0": "t1", "2.0.0": "t2" },
            "versions": {
                "1.0.0": version("1.0.0"),
                "1.5.0-beta": version("1.5.0-beta"),
                "2.0.0": version("2.0.0"),
                "3.0.0-rc.1": version("3.0.0-rc.1"),
                "nonsense": version("nonsense"),
            },
        })
    }

    #[test]
    fn hidden_versions_are_gone_and_tags_move_down() {
        let pinned = Integrity::from_shasum(&"1".repeat(40)).expect("a hash");
        let shown = filtered(&document(), "http://gate", |version| {
            match version.to_string().as_str() {
                "2.0.0" => Listing::Hidden,
                "1.0.0" => Listing::Allowed(pinned.clone()),
                _ => Listing::Unknown,
            }
        })
        .expect("versions are left");
        let names: Vec<_> = shown["versions"].as_object().expect("versions").keys().collect();
        assert_eq!(names, ["1.0.0", "1.5.0-beta", "3.0.0-rc.1"]);
        assert_eq!(
            shown["dist-tags"],
            json!({ "latest": "1.0.0", "next": "3.0.0-rc.1" })
        );
        assert_eq!(shown["time"], json!({ "1.0.0": "t1" }));
        let first = &shown["versions"]["1.0.0"];
        assert_eq!(first["dist"]["tarball"], "http://gate/@a/b/-/b-1.0.0.tgz");
        assert_eq!(first["dist"]["integrity"], pinned.to_string());
        assert_eq!(first["dependencies"], json!({ "c": "1" }));
        assert_eq!((first.get("scripts"), first.get("readme")), (None, None));
    }

    #[test]
    fn nothing_left_is_no_document() {
        assert_eq!(filtered(&document(), "", |_| Listing::Hidden), None);
        assert_eq!(filtered(&json!({ "name": "a" }), "", |_| Listing::Unknown), None);
        assert_eq!(filtered(&json!([]), "", |_| Listing::Unknown), None);
    }
}
