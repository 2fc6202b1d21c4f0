//! What a registry says of a version beside its bytes. Nothing here is needed to be safe; all of it may be missing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use npm::{Algorithm, Manifest, Packument, Person, Version};
use serde::{Deserialize, Serialize};

use super::signature::{Keys, Signed};

/// What a registry says of one version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// When it was published, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// When the package was first published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_published: Option<String>,
    /// Versions of the package that came out within a day of this one.
    pub same_day: usize,
    /// Versions that there are.
    pub versions: usize,
    /// The version that the registry calls the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<String>,
    /// Why it should not be used any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// Who may publish the package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintainers: Vec<Person>,
    /// Who published this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<Person>,
    /// What was said of the version below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Whether the only hash is a SHA-1, which can be forged.
    pub weak_hash: bool,
    /// The registry's signature.
    pub signature: Signed,
    /// The kind of the statement that tells where it was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
    /// Its dependencies as the registry tells them, optional ones included.
    pub dependencies: BTreeMap<String, String>,
    /// Its commands, where the registry tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scripts: Option<BTreeMap<String, String>>,
    /// Whether the registry says that it runs something when it is installed.
    pub has_install_script: bool,
}

/// What a registry says of the version below another one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    /// Its number.
    pub version: String,
    /// When it was published, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// Who published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<Person>,
    /// Whether it tells where it was built.
    pub provenance: bool,
    /// Whether it runs something when it is installed.
    pub has_install_script: bool,
}

impl Listing {
    /// What the document says of the version.
    pub(super) fn of(packument: &Packument, version: &Version, keys: &Keys) -> Option<Self> {
        let manifest = packument.exact(version).ok()?;
        let time = |version: &str| {
            let text = packument.time.get(version)?;
            text.parse::<Timestamp>().ok()
        };
        let told = |version: &str| packument.time.get(version).cloned();
        let published = time(&manifest.version);
        let day = SignedDuration::from_hours(24);
        let same_day = packument
            .versions
            .keys()
            .filter_map(|other| time(other))
            .filter(|other| published.is_some_and(|at| at.duration_since(*other).abs() <= day))
            .count();
        let first = packument.versions.keys().filter_map(|other| time(other)).min();
        let below = packument
            .versions
            .iter()
            .filter_map(|(text, manifest)| Some((Version::parse(text).ok()?, manifest)))
            .filter(|(other, _)| other < version && (version.is_prerelease() || !other.is_prerelease()))
            .max_by(|a, b| a.0.cmp(&b.0));
        let mut dependencies = manifest.dependencies.clone();
        dependencies.extend(manifest.optional_dependencies.clone());
        let full = !packument.time.is_empty() || !packument.maintainers.is_empty();
        Some(Self {
            published: told(&manifest.version),
            first_published: first.map(|at| at.to_string()),
            same_day,
            versions: packument.versions.len(),
            latest: packument.tags.get("latest").cloned(),
            deprecated: manifest.deprecated.clone(),
            maintainers: packument.maintainers.clone(),
            publisher: person(manifest),
            previous: below.map(|(_, below)| Previous {
                version: below.version.clone(),
                published: told(&below.version),
                publisher: person(below),
                provenance: below.dist.attestations.provenance.is_some(),
                has_install_script: runs_something(below),
            }),
            weak_hash: manifest
                .dist
                .integrity()
                .is_none_or(|integrity| integrity.algorithm() == Algorithm::Sha1),
            signature: keys.check(
                &format!("{}@{}", packument.name, manifest.version),
                &manifest.dist,
            ),
            provenance: manifest
                .dist
                .attestations
                .provenance
                .as_ref()
                .map(|statement| statement.predicate.clone()),
            dependencies,
            scripts: full.then(|| manifest.scripts.clone()),
            has_install_script: runs_something(manifest),
        })
    }
}

fn person(manifest: &Manifest) -> Option<Person> {
    (!manifest.publisher.name.is_empty()).then(|| manifest.publisher.clone())
}

fn runs_something(manifest: &Manifest) -> bool {
    manifest.has_install_script
        || ["preinstall", "install", "postinstall"]
            .iter()
            .any(|name| manifest.scripts.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_below_is_compared() {
        let version = |number: &str, by: &str, more: serde_json::Value| {
            let dist = serde_json::json!({ "tarball": "", "shasum": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "attestations": more });
            let manifest = serde_json::json!({ "version": number, "dist": dist, "_npmUser": { "name": by },
                "dependencies": { "a": "1" }, "optionalDependencies": { "b": "2" } });
            (number.to_owned(), manifest)
        };
        let built = serde_json::json!({ "url": "x", "provenance": { "predicateType": "kind" } });
        let document: Packument = serde_json::from_value(serde_json::json!({
            "name": "a", "dist-tags": { "latest": "1.10.0" },
            "time": { "1.9.0": "2026-01-01T00:00:00Z", "1.10.0": "2026-01-01T10:00:00Z", "0.1.0": "2020-01-01T00:00:00Z" },
            "versions": serde_json::Map::from_iter([
                version("0.1.0", "first", serde_json::json!(null)),
                version("1.9.0", "first", built),
                version("1.10.0", "second", serde_json::json!(null)),
                version("1.10.0-beta.1", "third", serde_json::json!(null)),
            ]),
        }))
        .expect("a document");
        let listing = Listing::of(
            &document,
            &Version::parse("1.10.0").expect("a version"),
            &Keys::default(),
        );
        let listing = listing.expect("it is listed");
        let previous = listing.previous.expect("there is one below");
        assert_eq!((previous.version.as_str(), previous.provenance), ("1.9.0", true));
        assert_eq!(
            listing.publisher.map(|person| person.name).as_deref(),
            Some("second")
        );
        assert_eq!(
            (listing.provenance, listing.same_day, listing.weak_hash),
            (None, 2, true)
        );
        assert_eq!(listing.dependencies.len(), 2);
        assert_eq!(listing.first_published.as_deref(), Some("2020-01-01T00:00:00Z"));
    }
}
