//! One package in memory, under limits: nothing of what is judged ever touches a disk.

use std::collections::BTreeMap;
use std::io::{self, Read};

use bytes::Bytes;
use npm::tarball::{self, Limits, TarballError};
use npm::{Algorithm, Hasher, Integrity, PackageName, Version};
use serde_json::Value;
use thiserror::Error;

/// Most that one package may unpack to. The largest Node-RED packages unpack to some 60 MB.
pub const LIMITS: Limits = Limits {
    unpacked: 256 << 20,
    files: 30_000,
    depth: 64,
    path: 1024,
    repeats: true,
};

/// A package: what it says it is, and every byte of it.
#[derive(Clone, Debug)]
pub struct Package {
    /// What it is called, by its own `package.json`.
    pub name: PackageName,
    /// Its version, by its own `package.json`.
    pub version: Version,
    /// The hash of the archive that it came in.
    pub integrity: Integrity,
    /// Its `package.json`.
    pub manifest: Value,
    files: BTreeMap<String, Bytes>,
}

/// Why bytes are no package.
#[derive(Debug, Error)]
pub enum PackageError {
    /// The archive is damaged or refused.
    #[error(transparent)]
    Archive(#[from] TarballError),
    /// There is no `package.json`.
    #[error("it has no package.json at its top")]
    NoManifest,
    /// Its `package.json` is unusable.
    #[error("its package.json is unusable: {0}")]
    BadManifest(String),
    /// A path is both a file and a folder: what comes of it depends on who unpacks it.
    #[error("it holds `{0}` both as a file and as a folder")]
    Ambiguous(String),
}

impl Package {
    /// A package from its archive, hashed as it is read.
    ///
    /// # Errors
    /// When the archive is damaged, breaks the limits, or holds no usable `package.json`.
    pub fn from_archive(packed: &[u8]) -> Result<Self, PackageError> {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(packed);
        let mut files = BTreeMap::new();
        tarball::walk(packed, &LIMITS, |entry, content| {
            let content = read(content)?;
            match files.insert(entry.path.to_owned(), content.clone()) {
                Some(before) if before != content => {
                    Err(io::Error::other("it is there twice, with other bytes"))
                }
                _ => Ok(()),
            }
        })?;
        Self::from_files(files, hasher.finish())
    }

    /// A package from its files, with the hash of whatever they came in.
    ///
    /// # Errors
    /// When there is no usable `package.json` among them.
    pub fn from_files(files: BTreeMap<String, Bytes>, integrity: Integrity) -> Result<Self, PackageError> {
        let bad = |what: String| PackageError::BadManifest(what);
        let is_folder = |path: &str| {
            let inside = format!("{path}/");
            let mut behind = files.range(inside.clone()..);
            behind.next().is_some_and(|(next, _)| next.starts_with(&inside))
        };
        if let Some(path) = files.keys().find(|path| is_folder(path)) {
            return Err(PackageError::Ambiguous(path.clone()));
        }
        let text = files.get("package.json").ok_or(PackageError::NoManifest)?;
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let manifest: Value = serde_json::from_slice(text).map_err(|error| bad(error.to_string()))?;
        let said = |key: &str| {
            manifest[key]
                .as_str()
                .ok_or_else(|| bad(format!("it has no {key}")))
        };
        Ok(Self {
            name: said("name")?
                .parse()
                .map_err(|error: npm::NameError| bad(error.to_string()))?,
            version: Version::parse(said("version")?).map_err(|error| bad(error.to_string()))?,
            integrity,
            manifest,
            files,
        })
    }

    /// The bytes of a file, by its path inside the package.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&Bytes> {
        self.files.get(path)
    }

    /// All files, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.files.iter().map(|(path, content)| (path.as_str(), content))
    }

    /// `name@version`.
    #[must_use]
    pub fn spec(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

fn read(content: &mut dyn Read) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}
