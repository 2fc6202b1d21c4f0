//! The registry's metadata document of one package, only the fields that are used here.

use std::collections::BTreeMap;

use node_semver::{Range, Version};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::integrity::Integrity;
use crate::lenient;
use crate::name::PackageName;

/// All published versions of one package.
#[derive(Clone, Debug, Deserialize)]
pub struct Packument {
    /// The package.
    pub name: PackageName,
    /// Names for versions, such as `latest`.
    #[serde(default, rename = "dist-tags", deserialize_with = "lenient::texts")]
    pub tags: BTreeMap<String, String>,
    /// By version, as written. What cannot be read is left out.
    #[serde(deserialize_with = "lenient::entries")]
    pub versions: BTreeMap<String, Manifest>,
    /// When each version was published; only in full documents, and not always there.
    #[serde(default, deserialize_with = "lenient::texts")]
    pub time: BTreeMap<String, String>,
    /// Who may publish; only in full documents, and not always there.
    #[serde(default, deserialize_with = "lenient::or_nothing")]
    pub maintainers: Vec<Person>,
}

/// Somebody, as registries write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Person {
    /// Name of the account.
    #[serde(default)]
    pub name: String,
    /// Address.
    #[serde(default)]
    pub email: String,
}

/// One published version.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    /// The version, as written.
    pub version: String,
    /// Where its archive is and what it hashes to.
    pub dist: Dist,
    /// Packages that it needs, with the ranges that will do.
    #[serde(default, deserialize_with = "lenient::texts")]
    pub dependencies: BTreeMap<String, String>,
    /// Packages that it uses where they can be had.
    #[serde(default, rename = "optionalDependencies", deserialize_with = "lenient::texts")]
    pub optional_dependencies: BTreeMap<String, String>,
    /// Packages that must stand beside it.
    #[serde(default, rename = "peerDependencies", deserialize_with = "lenient::texts")]
    pub peer_dependencies: BTreeMap<String, String>,
    #[serde(
        default,
        rename = "peerDependenciesMeta",
        deserialize_with = "lenient::or_nothing"
    )]
    peer_meta: BTreeMap<String, serde_json::Value>,
    /// Packages whose files are inside its own archive: a list, or `true` for all dependencies.
    #[serde(default, rename = "bundleDependencies")]
    bundle: serde_json::Value,
    /// The other spelling; some documents have both.
    #[serde(default, rename = "bundledDependencies")]
    bundled: serde_json::Value,
    /// Systems that it is for; a leading `!` excludes one. Empty: all.
    #[serde(default, deserialize_with = "lenient::list")]
    pub os: Vec<String>,
    /// Processors that it is for, written as for systems.
    #[serde(default, deserialize_with = "lenient::list")]
    pub cpu: Vec<String>,
    /// C libraries that it is for, written as for systems.
    #[serde(default, deserialize_with = "lenient::list")]
    pub libc: Vec<String>,
    /// Why it should not be used any more. Empty where no reason is given.
    #[serde(default, deserialize_with = "lenient::text")]
    pub deprecated: Option<String>,
    /// Whether it brings its own lock.
    #[serde(default, rename = "_hasShrinkwrap", deserialize_with = "lenient::flag")]
    pub has_shrinkwrap: bool,
    /// Whether it runs something when it is installed, as the registry says.
    #[serde(default, rename = "hasInstallScript", deserialize_with = "lenient::flag")]
    pub has_install_script: bool,
    /// Its commands by name; only in full documents.
    #[serde(default, deserialize_with = "lenient::texts")]
    pub scripts: BTreeMap<String, String>,
    /// Who published it; only in full documents.
    #[serde(default, rename = "_npmUser", deserialize_with = "lenient::or_nothing")]
    pub publisher: Person,
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
    /// The registry's signatures over name, version and hash.
    #[serde(default, deserialize_with = "lenient::or_nothing")]
    pub signatures: Vec<Signature>,
    /// What is said about where it was built: the kind of statement, where there is one.
    #[serde(default, deserialize_with = "lenient::or_nothing")]
    pub attestations: Attestations,
}

/// A signature over `name@version:integrity`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Signature {
    /// Which of the registry's keys made it.
    pub keyid: String,
    /// ECDSA over P-256 with SHA-256, in DER, in base 64.
    pub sig: String,
}

/// Statements about the origin of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Attestations {
    /// The statement of provenance.
    #[serde(default)]
    pub provenance: Option<Provenance>,
}

/// The statement of provenance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Provenance {
    /// What kind of statement it is: an address that names its form.
    #[serde(default, rename = "predicateType")]
    pub predicate: String,
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
        self.exact(version)?
            .dist
            .integrity()
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
        self.suits("node", node)
    }

    /// Whether it says that it can be installed by this version of npm, or says nothing.
    #[must_use]
    pub fn installs_with(&self, npm: &Version) -> bool {
        self.suits("npm", npm)
    }

    fn suits(&self, engine: &str, version: &Version) -> bool {
        self.engines
            .get(engine)
            .and_then(serde_json::Value::as_str)
            .and_then(|text| Range::parse(text).ok())
            .is_none_or(|range| range.satisfies(version))
    }

    /// Whether a peer dependency need not be there.
    #[must_use]
    pub fn peer_is_optional(&self, name: &str) -> bool {
        self.peer_meta
            .get(name)
            .is_some_and(|meta| meta["optional"] == serde_json::Value::Bool(true))
    }

    /// Names of the packages whose files are inside its own archive.
    #[must_use]
    pub fn bundled(&self) -> Vec<&str> {
        let said = if self.bundle.is_null() {
            &self.bundled
        } else {
            &self.bundle
        };
        match said {
            serde_json::Value::Array(names) => names.iter().filter_map(serde_json::Value::as_str).collect(),
            serde_json::Value::Bool(true) => self.dependencies.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

impl Dist {
    /// The strongest hash that the registry gives; old packages have a SHA-1 only.
    #[must_use]
    pub fn integrity(&self) -> Option<Integrity> {
        self.integrity
            .as_deref()
            .and_then(|text| text.parse().ok())
            .or_else(|| {
                self.shasum
                    .as_deref()
                    .and_then(|text| Integrity::from_shasum(text).ok())
            })
    }

    /// The hash as the registry writes it: what its signatures are made over.
    #[must_use]
    pub fn written_integrity(&self) -> Option<&str> {
        self.integrity.as_deref()
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

    #[test]
    fn what_strangers_write_hides_nothing_else() {
        let document: Packument = serde_json::from_value(serde_json::json!({
            "name": "odd",
            "dist-tags": { "latest": "1.0.0", "broken": 7 },
            "time": { "1.0.0": "2026-01-01T00:00:00Z", "unpublished": { "name": "x" } },
            "maintainers": "somebody",
            "versions": {
                "0.9.0": "not a version at all",
                "0.9.1": { "version": "0.9.1" },
                "1.0.0": { "version": "1.0.0", "dist": { "tarball": "http://r/odd.tgz", "signatures": 5 },
                    "dependencies": { "a": "^1.0.0", "b": 3, "c": null, "d": ["x"], "e": { "f": "g" } },
                    "optionalDependencies": [], "peerDependencies": "none", "deprecated": true,
                    "peerDependenciesMeta": { "p": { "optional": true }, "q": { "optional": "yes" } },
                    "bundledDependencies": ["a", 4], "os": "linux", "cpu": ["!arm", 3], "engines": [] },
            }
        }))
        .unwrap();
        assert_eq!(document.versions.keys().collect::<Vec<_>>(), ["1.0.0"]);
        let version = &document.versions["1.0.0"];
        assert_eq!(version.dependencies.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(version.deprecated.as_deref(), Some(""));
        assert_eq!(version.bundled(), ["a"]);
        assert!(version.peer_is_optional("p") && !version.peer_is_optional("q"));
        assert_eq!(
            (&version.os[..], &version.cpu[..]),
            (&["linux".into()][..], &["!arm".into()][..])
        );
        assert_eq!(
            (
                document.tags.len(),
                document.time.len(),
                document.maintainers.len()
            ),
            (1, 1, 0)
        );
    }
}
