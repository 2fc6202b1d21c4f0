//! Known flaws of the members of a closure, from a registry that is asked or from a feed on disk.
//!
//! Neither is required: without both nothing is known, which is not the same as nothing being wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use npm::{Client, FetchError, Range, Version};
use serde::Deserialize;

use super::finding::{About, Finding};
use crate::closure::Closure;
use crate::report::Member;
use crate::trace::Site;

/// Largest entry of a feed that is read.
const MAX_ENTRY: u64 = 4 << 20;
/// Most entries of a feed. The public feed for npm had some 250,000 in 2026, most of them about malware.
const MAX_ENTRIES: usize = 2_000_000;

/// A feed of known flaws: a folder or a zip archive with one JSON file an entry, in the form of OSV.
#[derive(Clone, Debug)]
pub struct Feed(PathBuf);

/// Why a feed cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// It is not there, or not readable.
    #[error("cannot read the feed of known flaws at {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Feed {
    /// The feed at a path.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The known flaws of packages.
    ///
    /// # Errors
    /// When the feed cannot be read. Entries that are not in the form are passed over.
    pub fn findings(&self, members: &Members) -> Result<Vec<Finding>, FeedError> {
        let mut found = Vec::new();
        let mut entry = |bytes: &[u8]| found.extend(members.affected(bytes));
        let read = if self.0.is_dir() {
            self.folder(&mut entry)
        } else {
            self.archive(&mut entry)
        };
        read.map_err(|source| FeedError::Read {
            path: self.0.clone(),
            source,
        })?;
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn folder(&self, entry: &mut impl FnMut(&[u8])) -> io::Result<()> {
        for file in fs::read_dir(&self.0)?.take(MAX_ENTRIES) {
            let path = file?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                let mut bytes = Vec::new();
                File::open(&path)?.take(MAX_ENTRY).read_to_end(&mut bytes)?;
                entry(&bytes);
            }
        }
        Ok(())
    }

    fn archive(&self, entry: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut archive =
            zip::ZipArchive::new(io::BufReader::new(File::open(&self.0)?)).map_err(io::Error::other)?;
        for at in 0..archive.len().min(MAX_ENTRIES) {
            let file = archive.by_index(at).map_err(io::Error::other)?;
            if file.name().ends_with(".json") {
                let mut bytes = Vec::new();
                file.take(MAX_ENTRY).read_to_end(&mut bytes)?;
                entry(&bytes);
            }
        }
        Ok(())
    }
}

/// Asks the registry for the known flaws of packages. Many registries do not offer this.
///
/// # Errors
/// When the registry does not answer.
pub async fn ask(client: &Client, members: &Members) -> Result<Vec<Finding>, FetchError> {
    let wanted: BTreeMap<&str, BTreeSet<String>> = members
        .0
        .iter()
        .map(|(name, list)| {
            (
                name.as_str(),
                list.iter().map(|(version, _)| version.to_string()).collect(),
            )
        })
        .collect();
    let body = serde_json::to_vec(&wanted).unwrap_or_default();
    let answer = client.advisories(&body).await?;
    Ok(members.told(&answer))
}

/// Packages whose flaws are asked for, by name: versions with where they lie. Their bytes are not needed.
#[derive(Clone, Debug)]
pub struct Members(BTreeMap<String, Vec<(Version, Site)>>);

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    id: serde_json::Value,
    #[serde(default)]
    title: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    url: String,
    vulnerable_versions: String,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    affected: Vec<Affected>,
    #[serde(default)]
    database_specific: serde_json::Value,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(default)]
    package: Named,
    #[serde(default)]
    ranges: Vec<Ranges>,
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Named {
    #[serde(default)]
    ecosystem: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Ranges {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<BTreeMap<String, String>>,
}

impl Members {
    /// Those of a closure.
    #[must_use]
    pub fn of(closure: &Closure) -> Self {
        let places = closure.places();
        Self::at(places.map(|(place, package)| (place, package.name.as_str(), package.version.clone())))
    }

    /// Those of a closure that was looked at.
    #[must_use]
    pub fn listed(members: &[Member]) -> Self {
        Self::at(members.iter().filter_map(|member| {
            let (name, version) = member.package.rsplit_once('@')?;
            Some((member.place.as_str(), name, Version::parse(version).ok()?))
        }))
    }

    fn at<'a>(all: impl Iterator<Item = (&'a str, &'a str, Version)>) -> Self {
        let mut members: BTreeMap<String, Vec<(Version, Site)>> = BTreeMap::new();
        for (place, name, version) in all {
            let list = members.entry(name.to_owned()).or_default();
            if !list.iter().any(|(known, _)| *known == version) {
                let file = format!("{place}/package.json");
                list.push((version, Site { file, line: 1 }));
            }
        }
        Self(members)
    }

    /// The members that an entry of a feed concerns.
    fn affected(&self, bytes: &[u8]) -> Vec<Finding> {
        let Ok(entry) = serde_json::from_slice::<Entry>(bytes) else {
            return Vec::new();
        };
        if entry.withdrawn.is_some() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for affected in entry
            .affected
            .iter()
            .filter(|affected| affected.package.ecosystem == "npm")
        {
            let name = &affected.package.name;
            for (version, site) in self.0.get(name).into_iter().flatten() {
                if affected.holds(version) {
                    let malware = entry.id.starts_with("MAL-");
                    let severity = entry.database_specific["severity"].as_str().unwrap_or_default();
                    found.push(finding(
                        name,
                        version,
                        site,
                        About::Advisory {
                            id: entry.id.clone(),
                            severity: if malware {
                                "malware".to_owned()
                            } else {
                                severity.to_ascii_lowercase()
                            },
                            title: entry.summary.chars().take(300).collect(),
                            url: String::new(),
                        },
                    ));
                }
            }
        }
        found
    }

    /// The members that a registry's answer concerns.
    fn told(&self, bytes: &[u8]) -> Vec<Finding> {
        let answer: BTreeMap<String, Vec<Told>> = serde_json::from_slice(bytes).unwrap_or_default();
        let mut found = Vec::new();
        for (name, list) in &answer {
            for told in list {
                let Ok(range) = Range::parse(&told.vulnerable_versions) else {
                    continue;
                };
                for (version, site) in self.0.get(name).into_iter().flatten() {
                    if range.satisfies(version) {
                        let id = told
                            .id
                            .as_str()
                            .map_or_else(|| told.id.to_string(), str::to_owned);
                        found.push(finding(
                            name,
                            version,
                            site,
                            About::Advisory {
                                id,
                                severity: told.severity.clone(),
                                title: told.title.chars().take(300).collect(),
                                url: told.url.clone(),
                            },
                        ));
                    }
                }
            }
        }
        found.sort();
        found
    }
}

impl Affected {
    fn holds(&self, version: &Version) -> bool {
        let text = version.to_string();
        self.versions.contains(&text) || self.ranges.iter().any(|range| range.holds(version))
    }
}

impl Ranges {
    /// Each `introduced` opens a stretch, the next `fixed` or `last_affected` closes it.
    fn holds(&self, version: &Version) -> bool {
        if self.kind != "SEMVER" {
            return false;
        }
        let mut inside = false;
        for event in &self.events {
            for (kind, at) in event {
                let at = if at == "0" {
                    Some(Version::from((0, 0, 0)))
                } else {
                    Version::parse(at).ok()
                };
                let Some(at) = at else { continue };
                match kind.as_str() {
                    "introduced" if *version >= at => inside = true,
                    "fixed" | "limit" if *version >= at => inside = false,
                    "last_affected" if *version > at => inside = false,
                    _ => {}
                }
            }
        }
        inside
    }
}

fn finding(name: &str, version: &Version, site: &Site, about: About) -> Finding {
    Finding {
        package: format!("{name}@{version}"),
        site: site.clone(),
        reached: true,
        about,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn members() -> Members {
        let site = Site {
            file: "node_modules/a/package.json".to_owned(),
            line: 1,
        };
        let version = |text: &str| Version::parse(text).expect("a version");
        Members(BTreeMap::from([(
            "a".to_owned(),
            vec![(version("1.5.0"), site.clone()), (version("2.0.0"), site)],
        )]))
    }

    fn entry(events: &serde_json::Value, more: &serde_json::Value) -> Vec<u8> {
        let mut entry = serde_json::json!({
            "id": "X-1", "summary": "bad", "database_specific": { "severity": "HIGH" },
            "affected": [{ "package": { "ecosystem": "npm", "name": "a" }, "ranges": [{ "type": "SEMVER", "events": events }] }],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            entry[key] = value.clone();
        }
        entry.to_string().into_bytes()
    }

    #[test]
    fn stretches_of_versions() {
        let none = serde_json::json!({});
        for (events, expected) in [
            (
                serde_json::json!([{ "introduced": "0" }]),
                vec!["a@1.5.0", "a@2.0.0"],
            ),
            (
                serde_json::json!([{ "introduced": "0" }, { "fixed": "1.6.0" }]),
                vec!["a@1.5.0"],
            ),
            (
                serde_json::json!([{ "introduced": "0" }, { "last_affected": "1.5.0" }]),
                vec!["a@1.5.0"],
            ),
            (
                serde_json::json!([{ "introduced": "0" }, { "fixed": "1.0.0" }, { "introduced": "1.9.0" }]),
                vec!["a@2.0.0"],
            ),
            (serde_json::json!([{ "introduced": "3.0.0" }]), vec![]),
        ] {
            let found = members().affected(&entry(&events, &none));
            let packages: Vec<&str> = found.iter().map(|finding| finding.package.as_str()).collect();
            assert_eq!(packages, expected);
        }
        let withdrawn = entry(
            &serde_json::json!([{ "introduced": "0" }]),
            &serde_json::json!({ "withdrawn": "2026" }),
        );
        assert!(members().affected(&withdrawn).is_empty());
        assert!(members().affected(b"no entry").is_empty());
    }

    #[test]
    fn registries_answer_by_name() {
        let answer = serde_json::json!({ "a": [
            { "id": 7, "title": "t", "severity": "high", "url": "u", "vulnerable_versions": "<2" },
            { "vulnerable_versions": "not a range at all" },
        ], "b": [] });
        let found = members().told(answer.to_string().as_bytes());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].package, "a@1.5.0");
        assert!(members().told(b"[]").is_empty());
    }

    #[test]
    fn a_feed_is_a_folder_or_an_archive() {
        let package = crate::package::Package::from_files(
            BTreeMap::from([(
                "package.json".to_owned(),
                bytes::Bytes::from_static(br#"{"name": "a", "version": "1.5.0"}"#),
            )]),
            npm::Hasher::new(npm::Algorithm::Sha512).finish(),
        )
        .expect("a package");
        let members = Members::of(&Closure::new(package, BTreeMap::new()));
        let bytes = entry(
            &serde_json::json!([{ "introduced": "0" }]),
            &serde_json::json!({}),
        );
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("X-1.json"), &bytes).expect("it is written");
        let file = folder.path().join("all.zip");
        let mut archive = zip::ZipWriter::new(File::create(&file).expect("a file"));
        archive
            .start_file("X-1.json", zip::write::SimpleFileOptions::default())
            .expect("an entry");
        archive.write_all(&bytes).expect("it is written");
        archive.finish().expect("it is closed");
        for path in [folder.path(), &file] {
            let found = Feed::at(path).findings(&members).expect("it is read");
            assert_eq!(found.len(), 1, "{}", path.display());
        }
        assert!(Feed::at(&folder.path().join("gone")).findings(&members).is_err());
    }
}
