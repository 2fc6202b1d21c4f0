//! The whole way from an archive on disk to a verdict, in one process: unpacked, laid out, read, exercised, judged.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use node_vetting::analysis::analyse;
use node_vetting::exercise::{Observations, Profile, exercise};
use node_vetting::policy::{Decision, Policy, Scene, decide};
use node_vetting::report::{Flaws, Report, Tools, Verdict};
use node_vetting::resolve::{Limits, Options, Platform, ResolveError, Resolver, Silent, Target};
use node_vetting::vet;

use crate::guest::engine;
use crate::support::client;

/// An archive as `npm pack` writes one, or as nobody should.
pub(crate) struct Archive(Vec<u8>);

impl Archive {
    /// A package of Node-RED whose one node is `node.js`.
    pub(crate) fn package(node: &str) -> Self {
        Self::with_manifest(
            r#"{"name":"node-red-contrib-odd","version":"1.0.0","license":"MIT","node-red":{"nodes":{"odd":"node.js"}}}"#,
        )
        .file("package/node.js", node.as_bytes())
    }

    /// A package with a manifest alone.
    pub(crate) fn with_manifest(manifest: impl AsRef<[u8]>) -> Self {
        Self(Vec::new()).file("package/package.json", manifest.as_ref())
    }

    pub(crate) fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(b'0', path.as_bytes(), content.len() as u64, content)
    }

    /// Anything: a kind, a path, the length that it is said to have, what it has.
    pub(crate) fn entry(mut self, kind: u8, path: &[u8], length: u64, content: &[u8]) -> Self {
        let mut header = [0_u8; 512];
        if path.len() > 100 {
            // As GNU tar writes long names.
            self = self.entry(b'L', b"././@LongLink", path.len() as u64, path);
        }
        let short = &path[..path.len().min(100)];
        header[..short.len()].copy_from_slice(short);
        header[100..108].copy_from_slice(b"0000644\0");
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..136].copy_from_slice(format!("{length:011o}\0").as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].copy_from_slice(b"        ");
        header[156] = kind;
        if kind == b'1' || kind == b'2' {
            header[157..157 + 11].copy_from_slice(b"/etc/passwd");
        }
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Other bytes at some places.
    pub(crate) fn damage(&mut self, places: &[(usize, u8)]) {
        let length = self.0.len();
        for (at, byte) in places {
            self.0[at % length] ^= byte;
        }
    }

    /// Its bytes, packed.
    pub(crate) fn packed(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.0).expect("packed");
        encoder.finish().expect("packed")
    }

    /// What becomes of it under a small budget.
    pub(crate) fn judged(self) -> Result<Judged, String> {
        judged(&self.packed(), &small())
    }
}

/// What became of a package.
pub(crate) struct Judged {
    pub(crate) report: Report,
    pub(crate) decision: Decision,
    pub(crate) seen: Observations,
}

impl Judged {
    /// The rules of the reasons that count.
    pub(crate) fn rules(&self) -> Vec<&str> {
        let counting = self
            .decision
            .reasons
            .iter()
            .filter(|judged| judged.counts_as > Verdict::Trusted);
        counting.map(|judged| judged.reason.rule.as_str()).collect()
    }
}

/// Enough for any harmless node, and soon spent.
pub(crate) fn small() -> Profile {
    Profile {
        fuel: 6_000_000_000,
        memory: 64 << 20,
        deadline: Duration::from_secs(60),
        events: 5000,
        output: 4 << 20,
    }
}

/// What becomes of an archive; or why it is none that can be judged, in the words that a person sees.
pub(crate) fn judged(packed: &[u8], profile: &Profile) -> Result<Judged, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("odd.tgz");
    fs::write(&path, packed).expect("written");
    let options = Options {
        node: "24.11.1".parse().expect("a version"),
        npm: "11.19.1".parse().expect("a version"),
        before: None,
        platform: Platform::here(),
        all_platforms: false,
        full: false,
        // None of these packages needs a registry.
        online: false,
        limits: Limits::default(),
    };
    let resolved = tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(Resolver::new(client(), None, options).resolve(&Target::Archive(path), Arc::new(Silent)));
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(ResolveError::NoPackage { reason, .. }) => return Err(reason),
        Err(error) => panic!("{error}"),
    };
    let findings = analyse(&resolved.closure, &resolved.listings);
    let seen = exercise(engine(), &resolved.closure, profile).expect("the engine holds");
    let tools = Tools {
        engine: "test".to_owned(),
        redhold: "test".to_owned(),
        flaws: Flaws::default(),
    };
    let report = vet::report(&resolved, &findings, &seen, tools);
    let policy = Policy::default();
    let decision = decide(
        &report,
        &Scene {
            now: 0,
            policies: &[("host", &policy)],
            waivers: &[],
        },
    );
    Ok(Judged {
        report,
        decision,
        seen,
    })
}
