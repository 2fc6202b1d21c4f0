//! Archives and manifests that attack whoever opens them: each is refused in words that a person understands, or is
//! harmless and judged like any other.

use std::time::{Duration, Instant};

use node_vetting::report::Verdict;
use proptest::prelude::*;

use crate::judged::{Archive, judged, small};

const GOOD: &str = "module.exports = (RED) => RED.nodes.registerType('odd', function (config) { RED.nodes.createNode(this, config); this.on('input', (msg, send) => send(msg)); });";

/// It is refused before anything runs, and soon; the words say what is wrong.
fn refused(archive: Archive, says: &str) {
    let start = Instant::now();
    let reason = judged(&archive.packed(), &small()).err();
    let reason = reason.unwrap_or_else(|| panic!("it was let through; it should say: {says}"));
    assert!(reason.contains(says), "{says}: {reason}");
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{says}: {:?}",
        start.elapsed()
    );
}

/// It is judged like any other, and found harmless.
fn harmless(archive: Archive) {
    let judged = archive.judged().expect("it is judged");
    assert_eq!(
        judged.decision.verdict,
        Verdict::Trusted,
        "{:?}",
        judged.decision.reasons
    );
}

fn good() -> Archive {
    Archive::package(GOOD)
}

#[test]
fn bombs_stop_at_the_limit() {
    refused(
        good().file("package/zeros", &vec![0; 300 << 20]),
        "unpacks to more than the 268435456",
    );
    let many = (0..40_000).fold(good(), |archive, at| {
        archive.file(&format!("package/f/{at}"), b"")
    });
    refused(many, "more than the 30000 files");
    // A length that nothing stands behind.
    refused(
        good().entry(b'0', b"package/long", 0o77_777_777_777, b""),
        "unpacks to more than",
    );
    refused(good().entry(b'0', b"package/cut", 5000, b"short"), "");
    let folders = (0..200_000).fold(good(), |archive, at| {
        archive.entry(b'5', format!("package/d/{at}/").as_bytes(), 0, b"")
    });
    // Folders by themselves are nothing.
    harmless(folders);
    refused(
        good().entry(b'x', b"package/pax", 200 << 10, &vec![b'a'; 200 << 10]),
        "more than",
    );
}

#[test]
fn paths_stay_inside() {
    for path in ["/etc/passwd", "package/../../x", "../x", "package/a/../../../b"] {
        refused(good().file(path, b"x"), "it holds the path");
    }
    for kind in [b'1', b'2', b'3', b'4', b'6'] {
        refused(
            good().entry(kind, b"package/link", 0, b""),
            "packages may hold files and folders only",
        );
    }
    let deep = format!("package/{}x", "d/".repeat(100));
    refused(good().file(&deep, b"x"), "it holds the path");
    let long = format!("package/{}", "n".repeat(2000));
    refused(good().file(&long, b"x"), "it holds the path");
    refused(
        good().entry(b'0', b"package/\xff\xfe.js", 1, b"x"),
        "it holds the path",
    );
    refused(
        good().file("package/lib", b"x").file("package/lib/x.js", b"x"),
        "both as a file and as a folder",
    );
    refused(
        good().file("package/twice", b"x").file("package/twice", b"y"),
        "twice",
    );
}

#[test]
fn odd_names_are_names() {
    harmless(good().file("package/LICENSE", b"x").file("package/license", b"y"));
    // The same letters composed and decomposed; a name that reads backwards; one of another script.
    harmless(
        good()
            .file("package/caf\u{e9}.txt", b"x")
            .file("package/cafe\u{301}.txt", b"y")
            .file("package/\u{202e}gnp.txt", b"z")
            .file("package/\u{30ce}\u{30fc}\u{30c9} \u{1f4a1}.md", b"z"),
    );
}

#[test]
fn manifests_of_nonsense_are_refused_or_read() {
    for (manifest, says) in [
        ("", "package.json is unusable"),
        ("null", "package.json is unusable"),
        ("[]", "package.json is unusable"),
        ("{\"name\":[],\"version\":\"1.0.0\"}", "it has no name"),
        ("{\"name\":\"x\",\"version\":{}}", "it has no version"),
        (
            "{\"name\":\"../x\",\"version\":\"1.0.0\"}",
            "package.json is unusable",
        ),
        (
            "{\"name\":\"x\",\"version\":\"latest\"}",
            "package.json is unusable",
        ),
        (
            "{\"name\":\"x\",\"version\":\"1.0.0\",\"name\":7}",
            "it has no name",
        ),
        ("\u{feff}{\"name\":\"x\"", "package.json is unusable"),
    ] {
        refused(Archive::with_manifest(manifest), says);
    }
    refused(
        Archive::with_manifest(b"\xff\xfe{\0}\0"),
        "package.json is unusable",
    );
    refused(
        Archive::with_manifest("[".repeat(100_000)),
        "package.json is unusable",
    );
    refused(
        Archive::with_manifest(format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000))),
        "package.json is unusable",
    );
    for rest in [
        r#""dependencies":[1,2],"scripts":{"install":7},"node-red":"odd""#,
        r#""dependencies":{"a":{"b":1}},"optionalDependencies":null,"peerDependencies":"x""#,
        r#""node-red":{"nodes":["node.js"]},"bin":[[]],"main":{"a":1},"exports":[[[{}]]]"#,
        r#""node-red":{"nodes":{"odd":{"js":"node.js"},"":""}},"exports":{"./":{"./":"./"},"":"*"},"imports":{"x":7}"#,
        r#""license":[{"type":{}}],"keywords":{"a":[]},"engines":"all","os":{},"cpu":7,"files":{},"type":["module"]"#,
        r#""workspaces":["*"],"bundleDependencies":{"a":true},"overrides":[[]],"version2":1e999"#,
    ] {
        let manifest = format!(r#"{{"name":"node-red-contrib-odd","version":"1.0.0",{rest}}}"#);
        // What they mean is nothing; that nothing breaks is what counts.
        let _ = Archive::with_manifest(manifest)
            .file("package/node.js", GOOD.as_bytes())
            .judged();
    }
}

#[test]
fn packages_inside_packages_end() {
    let manifest = r#"{"name":"node-red-contrib-odd","version":"1.0.0","license":"MIT","node-red":{"nodes":{"odd":"node.js"}},
        "dependencies":{"a":"1"},"bundleDependencies":["a"]}"#;
    let inner = |name: &str, other: &str| {
        format!(r#"{{"name":"{name}","version":"1.0.0","license":"MIT","dependencies":{{"{other}":"1"}}}}"#)
    };
    let circle = Archive::with_manifest(manifest)
        .file("package/node.js", format!("require('a'); {GOOD}").as_bytes())
        .file("package/node_modules/a/package.json", inner("a", "b").as_bytes())
        .file(
            "package/node_modules/a/index.js",
            b"exports.b = require('b'); require('node-red-contrib-odd');",
        )
        .file(
            "package/node_modules/a/node_modules/b/package.json",
            inner("b", "a").as_bytes(),
        )
        .file(
            "package/node_modules/a/node_modules/b/index.js",
            b"exports.a = require('a');",
        );
    let judged = circle.judged().expect("it is judged");
    assert_eq!(
        judged.report.facts.packages.len(),
        3,
        "{:?}",
        judged.report.facts.packages
    );
    // More of them than a closure may have.
    let many = (0..2500).fold(
        Archive::with_manifest(manifest).file("package/node.js", GOOD.as_bytes()),
        |archive, at| {
            let name = format!("a{at}");
            let inner = format!(r#"{{"name":"{name}","version":"1.0.0"}}"#);
            archive.file(
                &format!("package/node_modules/{name}/package.json"),
                inner.as_bytes(),
            )
        },
    );
    let judged = many.judged().expect("it is judged");
    assert!(
        judged.decision.verdict > Verdict::Trusted,
        "{:?}",
        judged.decision.reasons
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// An archive that was damaged on the way is a package or none; nothing else comes of it.
    #[test]
    fn damaged_archives_end(cuts in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..8), end in 0.0..1.0_f64) {
        let mut bytes = good().file("package/a/b.json", b"{\"x\":[1,2,3]}").packed();
        let length = bytes.len() as f64;
        for (at, byte) in cuts {
            bytes[(at * length) as usize] ^= byte;
        }
        bytes.truncate((end * 2.0 * length) as usize);
        let _ = node_vetting::package::Package::from_archive(&bytes);
    }

    /// The same behind the compression, where a checksum no longer stands before the reader.
    #[test]
    fn damaged_entries_end(cuts in prop::collection::vec((0_usize..4096, any::<u8>()), 1..12)) {
        let mut archive = good().file("package/a/b.json", b"{\"x\":[1,2,3]}");
        archive.damage(&cuts);
        let _ = node_vetting::package::Package::from_archive(&archive.packed());
    }

    /// Whatever a manifest says of whatever type.
    #[test]
    fn manifests_of_any_type_end(manifest in json(4)) {
        let mut manifest = manifest;
        if let Some(fields) = manifest.as_object_mut() {
            fields.insert("name".to_owned(), "x".into());
            fields.insert("version".to_owned(), "1.0.0".into());
        }
        let archive = Archive::with_manifest(manifest.to_string());
        if let Ok(package) = node_vetting::package::Package::from_archive(&archive.packed()) {
            let closure = node_vetting::closure::Closure::new(package, std::collections::BTreeMap::new());
            let _ = node_vetting::exercise::Entries::of(&closure);
            let _ = node_vetting::analysis::analyse(&closure, &std::collections::BTreeMap::new());
        }
    }

    /// Nor whatever a registry says.
    #[test]
    fn documents_of_any_type_end(document in json(5)) {
        let _ = serde_json::from_value::<npm::Packument>(document);
    }

    /// A trace that is not as it was written is read or refused.
    #[test]
    fn traces_of_any_type_end(trace in json(5)) {
        let _ = serde_json::from_value::<node_vetting::trace::Trace>(trace.clone());
        let _ = serde_json::from_value::<node_vetting::exercise::Observations>(trace);
    }
}

/// JSON with the keys that are read, and values of any type under them.
fn json(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    const KEYS: [&str; 28] = [
        "name",
        "version",
        "versions",
        "dist",
        "dist-tags",
        "time",
        "dependencies",
        "optionalDependencies",
        "peerDependencies",
        "bundleDependencies",
        "scripts",
        "install",
        "node-red",
        "nodes",
        "plugins",
        "main",
        "exports",
        "imports",
        "bin",
        "license",
        "integrity",
        "tarball",
        "signatures",
        "events",
        "what",
        "kind",
        "end",
        "runs",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        prop::sample::select(KEYS.to_vec()).prop_map(Into::into),
        "[./@^a-z0-9*-]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(depth, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), inner, 0..8).prop_map(|map| {
                serde_json::Value::Object(
                    map.into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}
