//! `redhold bundle`: from a machine with a registry to one without any network, where real npm installs from it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::data;
use test_support::package::Package;
use test_support::registry::Registry;
use test_support::skip::skipped;

use crate::host::gate::thief;
use crate::projects::folder;

/// A data directory of its own, with the stack that all tests share.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new(registry: &str) -> Self {
        let dir = folder();
        for bucket in ["stacks-v1", "node-v1", "blobs-v1"] {
            symlink(data::shared().join(bucket), dir.path().join(bucket)).expect("a link");
        }
        fs::create_dir(dir.path().join("home")).expect("a home");
        fs::write(
            dir.path().join("home/.npmrc"),
            format!("registry={registry}\nfetch-retries=0\n"),
        )
        .expect("an npmrc");
        Self { dir }
    }

    /// With the engine that other tests made.
    fn with_engine(self) -> Self {
        data::lend_engine(self.dir.path());
        self
    }

    /// Runs `redhold`, perhaps where there is no network at all.
    fn run(&self, network: bool, arguments: &[&str]) -> (Output, String) {
        let mut command = if network {
            Command::new(data::binary())
        } else {
            let mut unshare = Command::new("unshare");
            unshare.args(["--net", "--"]).arg(data::binary());
            unshare
        };
        let output = command
            .arg("--data-dir")
            .arg(self.dir.path())
            .args(arguments)
            .env("HOME", self.dir.path().join("home"))
            .output()
            .expect("redhold");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output, said)
    }

    /// Everything below `vetting` but the engine, by path.
    fn vetted(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        walk(&self.dir.path().join("vetting"), &mut all);
        all.retain(|path| !path.starts_with(self.dir.path().join("vetting/engine")));
        all
    }
}

fn walk(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), all),
            _ => all.push(entry.path()),
        }
    }
}

fn published(registry: &Registry) {
    let part = Package::new("@team/words", "1.2.0").file("index.js", b"module.exports = 'word'");
    registry.publish(&part.pack());
    let manifest = json!({ "name": "@team/valve", "version": "1.0.0", "license": "MIT",
        "dependencies": { "@team/words": "^1.0.0" } });
    let whole = Package::new("@team/valve", "1.0.0")
        .file("package.json", manifest.to_string().as_bytes())
        .file("index.js", b"module.exports = require('@team/words')");
    registry.publish(&whole.pack());
    registry.publish(&thief("1.0.0"));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[test]
fn a_bundle_installs_where_there_is_no_network() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("bundles::a_bundle_installs_where_there_is_no_network", "root");
    }
    let registry = Registry::start();
    published(&registry);
    let maker = Place::new(&registry.url()).with_engine();
    let files = folder();
    let (one, other) = (files.path().join("one.bundle"), files.path().join("other.bundle"));
    for file in [&one, &other] {
        let (made, said) = maker.run(
            true,
            &[
                "bundle",
                "create",
                "@team/valve@1.0.0",
                "node-red-thief",
                "-o",
                text(file),
            ],
        );
        assert!(made.status.success(), "{said}");
    }
    assert_eq!(
        fs::read(&one).expect("a bundle"),
        fs::read(&other).expect("a bundle")
    );
    let (shown, said) = maker.run(true, &["bundle", "show", text(&one), "--json"]);
    assert!(shown.status.success(), "{said}");
    let list: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(list["packages"][0]["package"], "@team/valve@1.0.0", "{list}");
    assert_eq!(list["packages"][1]["verdict"], "refused", "{list}");

    // Another registry's name, no route to anywhere, no engine: all of it is in the bundle.
    let host = Place::new("http://registry.invalid/");
    let (added, said) = host.run(false, &["bundle", "add", text(&one)]);
    assert_eq!(added.status.code(), Some(11), "{said}");
    assert!(said.contains("@team/valve@1.0.0  trusted"), "{said}");
    let (listed, said) = host.run(false, &["bundle", "list"]);
    assert!(listed.status.success() && said.contains("one.bundle"), "{said}");

    let project = folder();
    fs::write(
        project.path().join("package.json"),
        r#"{ "name": "x", "private": true }"#,
    )
    .expect("package.json");
    let npm = |name: &str| host.run(false, &["npm", "--folder", text(project.path()), "install", name]);
    let (done, said) = npm("@team/valve");
    assert!(done.status.success(), "{said}");
    assert!(
        project.path().join("node_modules/@team/words/index.js").exists(),
        "{said}"
    );
    let (done, said) = npm("node-red-thief");
    assert!(!done.status.success() && said.contains("flow.secret"), "{said}");
    assert!(!project.path().join("node_modules/node-red-thief").exists());
}

#[test]
fn what_was_vetted_installs_without_a_network_too() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("bundles::what_was_vetted_installs_without_a_network_too", "root");
    }
    let registry = Registry::start();
    published(&registry);
    let place = Place::new(&registry.url()).with_engine();
    let install = |network: bool| {
        let project = folder();
        fs::write(
            project.path().join("package.json"),
            r#"{ "name": "x", "private": true }"#,
        )
        .expect("package.json");
        let arguments = ["npm", "--folder", text(project.path()), "install", "@team/valve"];
        let (done, said) = place.run(network, &arguments);
        assert!(done.status.success(), "{said}");
        assert!(said.contains("@team/valve@1.0.0 is trusted"), "{said}");
        assert!(
            project.path().join("node_modules/@team/words/index.js").exists(),
            "{said}"
        );
    };
    install(true);
    install(false);
}

#[test]
fn a_damaged_bundle_leaves_nothing_behind() {
    let registry = Registry::start();
    published(&registry);
    let maker = Place::new(&registry.url()).with_engine();
    let files = folder();
    let whole = files.path().join("whole.bundle");
    let (made, said) = maker.run(true, &["bundle", "create", "@team/valve", "-o", text(&whole)]);
    assert!(made.status.success(), "{said}");
    let bytes = fs::read(&whole).expect("a bundle");

    let host = Place::new(&registry.url());
    let before = host.vetted();
    let bad = files.path().join("bad.bundle");
    let mut flipped = bytes.clone();
    // Inside the last file: behind it are the two empty blocks of the end, and padding.
    let last = flipped.iter().rposition(|byte| *byte != 0).expect("a byte");
    flipped[last] ^= 1;
    for (content, expected) in [
        (flipped, "not those of its list"),
        (bytes[..bytes.len() / 2].to_vec(), "cannot use the bundle"),
        (b"something else".to_vec(), "no bundle"),
    ] {
        fs::write(&bad, content).expect("a file");
        let (refused, said) = host.run(true, &["bundle", "add", text(&bad)]);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(expected) && said.contains("bad.bundle"), "{said}");
        assert_eq!(host.vetted(), before, "{said}");
    }

    // This host's registry says something else of the same version.
    let other = Registry::start();
    let tampered = Package::new("@team/words", "1.2.0").file("index.js", b"module.exports = 'another'");
    other.publish(&tampered.pack());
    let host = Place::new(&other.url()).with_engine();
    let (seen, said) = host.run(true, &["vet", "@team/words"]);
    assert!(seen.status.success(), "{said}");
    let (refused, said) = host.run(true, &["bundle", "add", text(&whole)]);
    assert_eq!(refused.status.code(), Some(11), "{said}");
    assert!(said.contains("@team/words@1.2.0 has other bytes"), "{said}");
}
