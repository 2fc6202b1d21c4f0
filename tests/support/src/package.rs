//! Builds packages in memory, kind and hostile.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

/// What an entry of an archive is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    File,
    Symlink,
    Hardlink,
    Device,
    Fifo,
}

/// A package that is being put together.
#[derive(Clone, Debug)]
pub struct Package {
    name: String,
    version: String,
    entries: Vec<(String, Vec<u8>, u32, Kind)>,
}

/// A package as an archive.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its package.json.
    pub manifest: Value,
    /// The compressed archive.
    pub bytes: Vec<u8>,
    /// Bytes of its files.
    pub unpacked: u64,
    /// Number of its files.
    pub files: u64,
    /// Bytes of the largest file: of a Node.js, its executable.
    pub largest: u64,
}

impl Package {
    /// A package with a package.json.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        let manifest = json!({ "name": name, "version": version }).to_string();
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            entries: Vec::new(),
        }
        .file("package.json", manifest.as_bytes())
    }

    /// A stand-in for the package of a Node.js: its executable is a script that prints a version.
    #[must_use]
    pub fn node(arch: &str, version: &str) -> Self {
        let script = format!("#!/bin/sh\necho v{version}\n# {}\n", noise(1, 2000));
        let mut package = Self::new(&format!("node-linux-{arch}"), version)
            .file("LICENSE", b"as you like it")
            .file("include/node/node.h", b"#define NODE");
        package.entries.push((
            "package/bin/node".to_owned(),
            script.into_bytes(),
            0o755,
            Kind::File,
        ));
        package
    }

    /// A package of these files, of which one is its package.json.
    #[must_use]
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let files: Vec<_> = files.into_iter().collect();
        let mut package = Self {
            name: String::new(),
            version: String::new(),
            entries: Vec::new(),
        };
        for (path, bytes) in files {
            package = package.file(path, bytes);
        }
        let manifest = package.manifest();
        let said = |key: &str| manifest[key].as_str().unwrap_or_default().to_owned();
        Self {
            name: said("name"),
            version: said("version"),
            ..package
        }
    }

    /// With a file, in place of one of the same path.
    #[must_use]
    pub fn file(mut self, path: &str, bytes: &[u8]) -> Self {
        let path = format!("package/{path}");
        self.entries.retain(|(known, ..)| *known != path);
        self.raw(&path, bytes)
    }

    /// With a file under exactly this path, whatever it is.
    #[must_use]
    pub fn raw(mut self, path: &str, bytes: &[u8]) -> Self {
        self.entries
            .push((path.to_owned(), bytes.to_vec(), 0o644, Kind::File));
        self
    }

    /// With a file of incompressible bytes.
    #[must_use]
    pub fn noise(self, path: &str, size: usize) -> Self {
        let text = noise(path.len() as u64 + 7, size);
        self.file(path, text.as_bytes())
    }

    /// With a symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.special(path, target, Kind::Symlink)
    }

    /// With a hard link.
    #[must_use]
    pub fn hardlink(self, path: &str, target: &str) -> Self {
        self.special(path, target, Kind::Hardlink)
    }

    /// With a device.
    #[must_use]
    pub fn device(self, path: &str) -> Self {
        self.special(path, "", Kind::Device)
    }

    /// With a named pipe.
    #[must_use]
    pub fn fifo(self, path: &str) -> Self {
        self.special(path, "", Kind::Fifo)
    }

    fn special(mut self, path: &str, target: &str, kind: Kind) -> Self {
        self.entries
            .push((format!("package/{path}"), target.as_bytes().to_vec(), 0o644, kind));
        self
    }

    /// The last package.json that was put in.
    fn manifest(&self) -> Value {
        let found = self
            .entries
            .iter()
            .rfind(|entry| entry.0 == "package/package.json");
        found
            .and_then(|entry| serde_json::from_slice(&entry.1).ok())
            .unwrap_or_default()
    }

    /// The archive.
    ///
    /// # Panics
    /// Never for sensible sizes: memory takes every write.
    #[must_use]
    pub fn pack(&self) -> Packed {
        let mut tar = Vec::new();
        for (path, bytes, mode, kind) in &self.entries {
            let content: &[u8] = if matches!(kind, Kind::File) { bytes } else { &[] };
            tar.extend(header(path, bytes, *mode, *kind));
            tar.extend(content);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&tar).unwrap();
        let files = self.entries.iter().filter(|entry| matches!(entry.3, Kind::File));
        let sizes: Vec<u64> = files.map(|entry| entry.1.len() as u64).collect();
        Packed {
            name: self.name.clone(),
            version: self.version.clone(),
            manifest: self.manifest(),
            bytes: gzip.finish().unwrap(),
            unpacked: sizes.iter().sum(),
            files: sizes.len() as u64,
            largest: sizes.iter().copied().max().unwrap_or(0),
        }
    }
}

/// A tar header written by hand: libraries refuse the paths and kinds that hostile archives have.
fn header(path: &str, bytes: &[u8], mode: u32, kind: Kind) -> [u8; 512] {
    let mut block = [0u8; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    let (flag, size) = match kind {
        Kind::File => (b'0', bytes.len()),
        Kind::Hardlink => (b'1', 0),
        Kind::Symlink => (b'2', 0),
        Kind::Device => (b'3', 0),
        Kind::Fifo => (b'6', 0),
    };
    put(0, path.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[flag]);
    if matches!(kind, Kind::Symlink | Kind::Hardlink) {
        put(157, bytes);
    }
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Text that no compressor shortens much, the same for the same seed.
#[must_use]
pub fn noise(seed: u64, size: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..size)
        .map(|_| {
            // xorshift64: good enough to be incompressible.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'0' + (state >> 32) as u8 % 75)
        })
        .collect()
}

impl Packed {
    /// Its hash as npm writes it.
    #[must_use]
    pub fn integrity(&self) -> String {
        integrity(&self.bytes)
    }

    /// Its line in a stack lock, without a place.
    #[must_use]
    pub fn locked(&self) -> Value {
        json!({
            "name": self.name, "version": self.version, "integrity": self.integrity(),
            "size": self.bytes.len(), "unpacked": self.unpacked, "files": self.files,
        })
    }

    /// The same with another archive, under the old description: a registry that lies.
    #[must_use]
    pub fn with_bytes(&self, bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..self.clone()
        }
    }
}

/// The hash of bytes as npm writes it.
#[must_use]
pub fn integrity(bytes: &[u8]) -> String {
    format!("sha512-{}", STANDARD.encode(Sha512::digest(bytes)))
}

/// The text of a stack lock with these packages, each at its own name, and a Node.js for this machine.
#[must_use]
pub fn lock(name: &str, node: &Packed, packages: &[Packed]) -> String {
    let mut node_entry = node.locked();
    node_entry["executable"] = node.largest.into();
    let placed: Vec<Value> = packages
        .iter()
        .map(|package| {
            let mut entry = package.locked();
            entry["path"] = package.name.clone().into();
            entry
        })
        .collect();
    let red = packages.iter().find(|package| package.name == "node-red");
    json!({
        "format": 1, "name": name, "npm": "11.0.0",
        "node_red": red.map_or("0.0.0", |red| &red.version),
        "node": { "x64": node_entry, "arm64": node_entry },
        "packages": placed,
    })
    .to_string()
}
