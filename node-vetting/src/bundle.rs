//! Bundles: packages with all that they bring in one file, for machines without a registry.
//!
//! A bundle is a tar archive of plain files in order, the first of which lists the others with their hashes; the same
//! packages give the same bytes. Whoever reads one believes nothing of it: names are compared and never used as paths,
//! sizes are bounded before anything is read, and every byte is hashed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use npm::{Algorithm, Hasher, Integrity};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tar::{Archive, Builder, EntryType, Header};
use thiserror::Error;

use crate::closure::hex;
use crate::report::Verdict;

/// The form that this writes and reads.
const FORMAT: u32 = 1;
/// The list of contents, which comes first.
const LIST: &str = "redhold-bundle.json";
/// Most bytes of the list, of one file and of all files, and most files.
const LIST_SIZE: u64 = 16 << 20;
const FILE_SIZE: u64 = 128 << 20;
const SIZE: u64 = 4 << 30;
const FILES: usize = 20_000;

/// What a bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Its form.
    pub format: u32,
    /// The packages for which it was made.
    pub packages: Vec<Claim>,
    /// Its files, in order.
    pub contents: Vec<Content>,
}

/// A package, and what whoever made the bundle thought of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// `name@version`.
    pub package: String,
    /// The digest of its closure.
    pub closure: String,
    /// The engine in which it was exercised.
    pub engine: String,
    /// The verdict of the policy there.
    pub verdict: Verdict,
    /// The rule that decided, where it is not trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// What it is.
    pub kind: Kind,
    /// Its name in the archive.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Their hash.
    pub integrity: Integrity,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What the registry says of a package, cut down to the versions that are needed.
    Document,
    /// The report on a package.
    Report,
    /// The archive of a package.
    Archive,
    /// An archive that the engine is made from.
    Engine,
}

impl Kind {
    const fn folder(self) -> &'static str {
        match self {
            Self::Document => "documents",
            Self::Report => "reports",
            Self::Archive => "archives",
            Self::Engine => "engine",
        }
    }

    /// What it is called in the archive: short enough for the plainest form of a header.
    fn path(self, label: &str) -> String {
        let digest = hex(&Sha256::digest(label.as_bytes()));
        format!("{}/{}", self.folder(), &digest[..40])
    }
}

/// Why a file is no bundle, or not one that can be used.
#[derive(Debug, Error)]
pub enum BundleError {
    /// It cannot be read or written.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
    /// It is something else.
    #[error("it is no bundle: {0}")]
    NotOne(String),
    /// A newer Redhold made it.
    #[error("it has form {0}, and this Redhold reads form {FORMAT}")]
    Form(u32),
    /// It holds something that it may not hold.
    #[error("it holds `{path}`, {what}")]
    Content {
        /// The name as written.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It ends too early.
    #[error("it ends before `{0}`, which it lists")]
    Short(String),
    /// Whoever takes its files fails.
    #[error("`{path}` cannot be used: {why}")]
    Taker {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
}

/// The files of a bundle that is made: kind and label to bytes. The label tells files of a kind apart.
pub type Files = BTreeMap<(Kind, String), Vec<u8>>;

/// Writes a bundle.
///
/// # Errors
/// Those of the writer.
pub fn write(to: impl Write, packages: Vec<Claim>, files: &Files) -> io::Result<()> {
    let contents = files.iter().map(|((kind, label), bytes)| Content {
        kind: *kind,
        path: kind.path(label),
        size: bytes.len() as u64,
        integrity: hash(bytes),
    });
    let list = List {
        format: FORMAT,
        packages,
        contents: contents.collect(),
    };
    let mut text = serde_json::to_vec_pretty(&list)?;
    text.push(b'\n');
    let mut archive = Builder::new(to);
    put(&mut archive, LIST, &text)?;
    for ((kind, label), bytes) in files {
        put(&mut archive, &kind.path(label), bytes)?;
    }
    archive.into_inner()?.flush()
}

fn put(archive: &mut Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    archive.append(&header, bytes)
}

/// Reads a bundle from beginning to end; `take` gets each file once its hash was checked.
///
/// # Errors
/// When it is none, is damaged, breaks a limit, or `take` fails.
pub fn read(
    from: impl Read,
    mut take: impl FnMut(Kind, Vec<u8>) -> Result<(), String>,
) -> Result<List, BundleError> {
    let mut archive = Archive::new(from);
    // Raw: extended headers are entries like any other then, and refused like any other.
    let mut entries = archive.entries().map_err(BundleError::Io)?.raw(true);
    let not_one = |what: &str| BundleError::NotOne(what.to_owned());
    let first = entries
        .next()
        .ok_or_else(|| not_one("it is empty"))?
        .map_err(|error| BundleError::NotOne(error.to_string()))?;
    let (path, text) = file(first, LIST_SIZE)?;
    if path != LIST {
        return Err(not_one("its list of contents does not come first"));
    }
    let list: Value = serde_json::from_slice(&text)
        .map_err(|error| BundleError::NotOne(format!("its list of contents: {error}")))?;
    match list["format"].as_u64() {
        Some(form) if form != u64::from(FORMAT) => {
            return Err(BundleError::Form(u32::try_from(form).unwrap_or(u32::MAX)));
        }
        _ => {}
    }
    let list: List = serde_json::from_value(list)
        .map_err(|error| BundleError::NotOne(format!("its list of contents: {error}")))?;
    check(&list)?;
    for content in &list.contents {
        let next = entries
            .next()
            .ok_or_else(|| BundleError::Short(content.path.clone()))?;
        let (path, bytes) = file(next.map_err(BundleError::Io)?, content.size)?;
        let wrong = |what| BundleError::Content {
            path: path.clone(),
            what,
        };
        if path != content.path {
            return Err(wrong("which its list of contents does not name there"));
        }
        let mut hasher = Hasher::new(content.integrity.algorithm());
        hasher.update(&bytes);
        if hasher.check(&content.integrity).is_err() || bytes.len() as u64 != content.size {
            return Err(wrong("whose bytes are not those of its list of contents"));
        }
        take(content.kind, bytes).map_err(|why| BundleError::Taker { path, why })?;
    }
    match entries.next() {
        None => Ok(list),
        Some(Ok(entry)) => Err(BundleError::Content {
            path: name(&entry),
            what: "which its list of contents does not name",
        }),
        Some(Err(error)) => Err(BundleError::Io(error)),
    }
}

/// What a list says is bounded before anything is done by it.
fn check(list: &List) -> Result<(), BundleError> {
    let too_much = |what: String| Err(BundleError::NotOne(what));
    if list.contents.len() > FILES {
        return too_much(format!("it lists more than {FILES} files"));
    }
    let mut seen = BTreeSet::new();
    let mut all = 0_u64;
    for content in &list.contents {
        all = all.saturating_add(content.size);
        if content.size > FILE_SIZE || all > SIZE {
            return too_much(format!("`{}` makes it larger than is allowed", content.path));
        }
        if content.integrity.algorithm() == Algorithm::Sha1 {
            return too_much(format!("the hash of `{}` can be forged", content.path));
        }
        if !seen.insert(&content.path) {
            return too_much(format!("it lists `{}` twice", content.path));
        }
    }
    Ok(())
}

/// The name and bytes of an entry that is a plain file of at most `limit` bytes.
fn file(entry: tar::Entry<'_, impl Read>, limit: u64) -> Result<(String, Vec<u8>), BundleError> {
    let path = name(&entry);
    let wrong = |what| BundleError::Content {
        path: path.clone(),
        what,
    };
    if entry.header().entry_type() != EntryType::Regular {
        return Err(wrong("which is no plain file"));
    }
    let size = entry.header().entry_size().map_err(BundleError::Io)?;
    if size > limit {
        return Err(wrong("which is larger than it may be"));
    }
    let mut bytes = Vec::new();
    entry
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(BundleError::Io)?;
    if bytes.len() as u64 != size {
        return Err(BundleError::Short(path));
    }
    Ok((path, bytes))
}

fn name(entry: &tar::Entry<'_, impl Read>) -> String {
    let raw = entry.path_bytes();
    let text = String::from_utf8_lossy(&raw);
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn hash(bytes: &[u8]) -> Integrity {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

/// A registry's document cut down to some versions. The highest of them is the latest where the registry's own is not
/// among them.
#[must_use]
pub fn cut(document: &Value, wanted: &BTreeSet<npm::Version>) -> Value {
    let is_wanted =
        |written: &str| npm::Version::parse(written).is_ok_and(|version| wanted.contains(&version));
    let some = |key: &str| -> Map<String, Value> {
        let all = document[key].as_object().into_iter().flatten();
        all.filter(|(version, _)| is_wanted(version))
            .map(|(version, value)| (version.clone(), value.clone()))
            .collect()
    };
    let versions = some("versions");
    let tags = document["dist-tags"].as_object().into_iter().flatten();
    let mut tags: Map<String, Value> = tags
        .filter(|(_, version)| version.as_str().is_some_and(is_wanted))
        .map(|(tag, version)| (tag.clone(), version.clone()))
        .collect();
    let highest = wanted
        .iter()
        .rev()
        .find(|version| versions.contains_key(&version.to_string()));
    if let Some(highest) = highest {
        tags.entry("latest").or_insert_with(|| json!(highest.to_string()));
    }
    let mut cut = json!({ "name": document["name"], "dist-tags": tags, "versions": versions });
    if document["time"].is_object() {
        cut["time"] = Value::Object(some("time"));
    }
    if document["maintainers"].is_array() {
        cut["maintainers"] = document["maintainers"].clone();
    }
    cut
}

/// `document` with the versions that only `more` has.
///
/// # Errors
/// The first version that both have in other bytes.
pub fn joined(document: &Value, more: &Value) -> Result<Value, String> {
    let mut all = document.clone();
    for (version, manifest) in more["versions"].as_object().into_iter().flatten() {
        let known = &document["versions"][version];
        if known.is_null() {
            all["versions"][version] = manifest.clone();
            if let Some(time) = more["time"].get(version)
                && all["time"].is_object()
            {
                all["time"][version] = time.clone();
            }
        } else if ["integrity", "shasum"].iter().any(|hash| {
            let (one, other) = (&known["dist"][hash], &manifest["dist"][hash]);
            one.is_string() && other.is_string() && one != other
        }) {
            return Err(version.clone());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        [
            ((Kind::Archive, "b".to_owned()), b"bytes".to_vec()),
            ((Kind::Document, "a".to_owned()), b"{}".to_vec()),
        ]
        .into()
    }

    fn packed() -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, Vec::new(), &files()).expect("it is written");
        bytes
    }

    fn refused(bytes: &[u8]) -> String {
        read(bytes, |_, _| Ok(())).expect_err("a refusal").to_string()
    }

    /// A bundle with a list of one file, and after it whatever `more` appends.
    fn hostile(more: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
        let content = Content {
            kind: Kind::Archive,
            path: "archives/x".to_owned(),
            size: 5,
            integrity: hash(b"bytes"),
        };
        let list = List {
            format: FORMAT,
            packages: Vec::new(),
            contents: vec![content],
        };
        let mut archive = Builder::new(Vec::new());
        put(&mut archive, LIST, &serde_json::to_vec(&list).expect("a list")).expect("it is written");
        more(&mut archive);
        archive.into_inner().expect("an archive")
    }

    #[test]
    fn the_same_in_gives_the_same_out_and_comes_back() {
        assert_eq!(packed(), packed());
        let mut taken = Vec::new();
        let list = read(&*packed(), |kind, bytes| {
            taken.push((kind, bytes));
            Ok(())
        });
        assert_eq!(list.expect("a bundle").contents.len(), 2);
        assert_eq!(
            taken,
            [
                (Kind::Document, b"{}".to_vec()),
                (Kind::Archive, b"bytes".to_vec())
            ]
        );
    }

    #[test]
    fn what_is_hostile_is_refused_for_what_it_is() {
        let entry = |path: &str, kind: EntryType, bytes: &'static [u8]| {
            let path = path.to_owned();
            move |archive: &mut Builder<Vec<u8>>| {
                let mut header = Header::new_ustar();
                let name = &mut header.as_old_mut().name;
                name[..path.len()].copy_from_slice(path.as_bytes());
                header.set_entry_type(kind);
                header.set_size(bytes.len() as u64);
                header.set_cksum();
                archive.append(&header, bytes).expect("it is written");
            }
        };
        for (bytes, expected) in [
            (b"nothing of the kind".to_vec(), "no bundle"),
            (Vec::new(), "empty"),
            (hostile(|_| {}), "ends before"),
            (
                hostile(entry("../../etc/passwd", EntryType::Regular, b"bytes")),
                "does not name there",
            ),
            (
                hostile(entry("/etc/passwd", EntryType::Regular, b"bytes")),
                "does not name there",
            ),
            (
                hostile(entry("archives/x", EntryType::Symlink, b"")),
                "no plain file",
            ),
            (
                hostile(entry("archives/x", EntryType::GNULongName, b"bytes")),
                "no plain file",
            ),
            (
                hostile(entry("archives/x", EntryType::XHeader, b"bytes")),
                "no plain file",
            ),
            (
                hostile(entry("archives/x", EntryType::Regular, b"bytez")),
                "not those of its list",
            ),
            (
                hostile(entry("archives/x", EntryType::Regular, b"bytes and more")),
                "larger than it may be",
            ),
            (
                hostile(entry("archives/x", EntryType::Regular, b"b")),
                "not those of its list",
            ),
            (
                hostile(|archive| {
                    entry("archives/x", EntryType::Regular, b"bytes")(archive);
                    entry("archives/y", EntryType::Regular, b"more")(archive);
                }),
                "does not name",
            ),
        ] {
            let said = refused(&bytes);
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let cut = packed();
        assert!(refused(&cut[..cut.len() - 1536]).contains("ends before"));
        assert!(!refused(&cut[..700]).is_empty());
    }

    #[test]
    fn a_list_is_bounded() {
        let content = |size: u64| Content {
            kind: Kind::Archive,
            path: format!("archives/{size}"),
            size,
            integrity: hash(b""),
        };
        let list = |contents| List {
            format: FORMAT,
            packages: Vec::new(),
            contents,
        };
        assert!(check(&list(vec![content(1), content(2)])).is_ok());
        assert!(check(&list(vec![content(1), content(1)])).is_err());
        assert!(check(&list(vec![content(FILE_SIZE + 1)])).is_err());
        assert!(check(&list((0..40).map(|less| content(FILE_SIZE - less)).collect())).is_err());
    }

    #[test]
    fn documents_are_cut_and_joined() {
        let version = |hash: &str| json!({ "dist": { "integrity": hash } });
        let document = json!({ "name": "a", "readme": "long", "dist-tags": { "latest": "2.0.0", "old": "1.0.0" },
            "versions": { "1.0.0": version("x"), "2.0.0": version("y") }, "time": { "1.0.0": "then", "2.0.0": "now" } });
        let one = [npm::Version::parse("1.0.0").expect("a version")].into();
        let cut = cut(&document, &one);
        assert_eq!(
            cut,
            json!({ "name": "a", "dist-tags": { "old": "1.0.0", "latest": "1.0.0" },
                "versions": { "1.0.0": version("x") }, "time": { "1.0.0": "then" } })
        );
        assert_eq!(joined(&document, &cut), Ok(document.clone()));
        let other = json!({ "versions": { "1.0.0": version("z") } });
        assert_eq!(joined(&document, &other), Err("1.0.0".to_owned()));
        let newer = json!({ "versions": { "3.0.0": version("z") }, "time": { "3.0.0": "later" } });
        assert_eq!(
            joined(&document, &newer).expect("joined")["time"]["3.0.0"],
            "later"
        );
    }
}
