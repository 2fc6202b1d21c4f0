//! The registry's metadata document of one package, only the fields that are used here.

use std::collections::BTreeMap;

use node_semver::{Range, Version};
use serde::Deserialize;
use thiserror::Error;

use crate::integrity::Integrity;
use crate::name::PackageName;

/// All published versions of one package.
#[derive(Clone, Debug, Deserialize)]
pub struct Packument {
    /// The package.
    pub name: PackageName,
    /// Names for versions, such as `latest`.
    #[serde(default, rename = "dist-tags")]
    pub tags: BTreeMap<String, String>,
    /// By version, as written.
    pub versions: BTreeMap<String, Manifest>,
}

/// One published version.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    /// The version, as written.
    pub version: String,
    /// Where its archive is and what it hashes to.
    pub dist: Dist,
    /// Packages that it needs, with the ranges that will do.
    #[serde(default)]
    pub dependencies: BTreeMap<String, String>,
    /// What it needs of its surroundings. Old packages have lists or texts here, which say nothing usable.
    #[serde(default)]
    engines: serde_json::Value,
}

/// Where an archive is and what it hashes to.
#[derive(Clone, Debug, Deserialize)]
pub struct Dist {
    /// Address of the archive, as the registry writes it.
    pub tarball: String,
    /// Its hash; old packages have only a shasum.
    #[serde(default)]
    integrity: Option<String>,
    #[serde(default)]
    shasum: Option<String>,
}

/// A document without a usable answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PackumentError {
    /// No version is in the range.
    #[error("{name} has no version {wanted}")]
    NoVersion {
        /// The package.
        name: PackageName,
        /// What was asked for.
        wanted: String,
    },
    /// The registry gives neither a sha512 nor a sha1.
    #[error("the registry gives no usable hash for {name}@{version}")]
    NoHash {
        /// The package.
        name: PackageName,
        /// The version.
        version: String,
    },
}

impl Packument {
    /// The exact version, with what it hashes to.
    ///
    /// # Errors
    /// When it was never published.
    pub fn exact(&self, version: &Version) -> Result<&Manifest, PackumentError> {
        self.versions
            .get(&version.to_string())
            .ok_or_else(|| PackumentError::NoVersion {
                name: self.name.clone(),
                wanted: version.to_string(),
            })
    }

    /// Versions in the range, highest first. Pre-releases only where the range names one.
    pub fn matching(&self, range: &Range) -> Vec<Version> {
        let mut found: Vec<Version> = self
            .versions
            .keys()
            .filter_map(|text| Version::parse(text).ok())
            .filter(|version| range.satisfies(version))
            .collect();
        found.sort();
        found.reverse();
        found
    }

    /// What the version's archive hashes to.
    ///
    /// # Errors
    /// When the version is unknown or has no hash.
    pub fn integrity(&self, version: &Version) -> Result<Integrity, PackumentError> {
        let dist = &self.exact(version)?.dist;
        dist.integrity
            .as_deref()
            .and_then(|text| text.parse().ok())
            .or_else(|| {
                dist.shasum
                    .as_deref()
                    .and_then(|text| Integrity::from_shasum(text).ok())
            })
            .ok_or_else(|| PackumentError::NoHash {
                name: self.name.clone(),
                version: version.to_string(),
            })
    }
}

impl Manifest {
    /// Whether it says that it runs on this version of Node.js, or says nothing.
    #[must_use]
    pub fn runs_on(&self, node: &Version) -> bool {
        self.engines
            .get("node")
            .and_then(serde_json::Value::as_str)
            .and_then(|text| Range::parse(text).ok())
            .is_none_or(|range| range.satisfies(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Packument {
        serde_json::from_value(serde_json::json!({
            "name": "thing",
            "dist-tags": { "latest": "2.0.0" },
            "ignored": [1, 2],
            "versions": {
                "1.2.0": { "version": "1.2.0", "dist": { "tarball": "http://r/thing-1.2.0.tgz",
                    "shasum": "da39a3ee5e6b4b0d3255bfef95601890afd80709" } },
                "1.10.0": { "version": "1.10.0", "engines": { "node": ">=22" },
                    "dist": { "tarball": "http://r/thing-1.10.0.tgz" } },
                "2.0.0": { "version": "2.0.0", "engines": ["node"],
                    "dist": { "tarball": "http://r/thing-2.0.0.tgz" } },
                "3.0.0-beta.1": { "version": "3.0.0-beta.1", "dist": { "tarball": "http://r/x.tgz" } },
            }
        }))
        .unwrap()
    }

    #[test]
    fn versions_sort_as_numbers() {
        let range = |text| Range::parse(text).unwrap();
        let texts = |versions: Vec<Version>| versions.iter().map(Version::to_string).collect::<Vec<_>>();
        assert_eq!(texts(document().matching(&range("1"))), ["1.10.0", "1.2.0"]);
        assert_eq!(
            texts(document().matching(&range("*"))),
            ["2.0.0", "1.10.0", "1.2.0"]
        );
        assert!(document().matching(&range("9")).is_empty());
    }

    #[test]
    fn old_packages_have_a_shasum() {
        let version = |text: &str| Version::parse(text).unwrap();
        assert_eq!(
            document().integrity(&version("1.2.0")).unwrap().to_string(),
            "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="
        );
        assert!(matches!(
            document().integrity(&version("2.0.0")),
            Err(PackumentError::NoHash { .. })
        ));
        assert!(matches!(
            document().integrity(&version("9.0.0")),
            Err(PackumentError::NoVersion { .. })
        ));
    }

    #[test]
    fn engines_are_a_hint() {
        let runs =
            |version: &str, node: &str| document().versions[version].runs_on(&Version::parse(node).unwrap());
        assert!(runs("1.10.0", "22.1.0"));
        assert!(!runs("1.10.0", "20.0.0"));
        assert!(runs("2.0.0", "8.0.0"));
    }
}
