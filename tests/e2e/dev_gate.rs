//! The gate of `redhold dev`, and `redhold npm`: real npm and a real Node-RED, a registry of the test's own behind the gate.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;
use test_support::client;
use test_support::data;
use test_support::dev::{Dev, Start};
use test_support::eventually::eventually;
use test_support::package::Package;
use test_support::registry::Registry;

use crate::host::gate::{node, thief};
use crate::projects::{SOON, endpoint, folder, get, write_flows};

/// How long vetting may take on a machine that has much else to do.
const VETTED: std::time::Duration = std::time::Duration::from_secs(180);

/// A folder that npm takes for a project.
fn bare() -> TempDir {
    let folder = folder();
    fs::write(
        folder.path().join("package.json"),
        r#"{ "name": "x", "version": "1.0.0", "private": true }"#,
    )
    .expect("package.json");
    folder
}

/// `redhold npm` on a folder, with a home that names the registry.
fn npm(project: &Path, home: &Path, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(data::binary())
        .args(["--data-dir".as_ref(), data::shared().as_os_str()])
        .args(["npm".as_ref(), "--folder".as_ref(), project.as_os_str()])
        .args(arguments)
        .env("HOME", home)
        .output()
        .expect("redhold npm");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output, said)
}

fn home(registry: &Registry, more: &str) -> TempDir {
    let home = folder();
    let text = format!("registry={}\n{more}", registry.url());
    fs::write(home.path().join(".npmrc"), text).expect("an npmrc");
    home
}

fn install(dev: &Dev, name: &str) -> (u16, String) {
    let answer = client::post(&dev.url("nodes"), &json!({ "module": name })).expect("an answer");
    (answer.status, answer.text())
}

#[test]
fn the_palette_is_told_as_the_terminal_is() {
    let registry = Registry::start();
    let part = Package::new("measures", "1.0.0").file("index.js", b"module.exports = 1");
    registry.publish(&part.pack());
    registry.publish(&node("node-red-valve", "1.0.0", ""));
    registry.publish(&thief("1.0.0"));
    let home = home(&registry, "");
    let folder = folder();
    let dev = Start::on(folder.path()).env("HOME", home.path()).ready();

    let (status, said) = install(&dev, "node-red-valve");
    assert_eq!(status, 200, "{said}");
    dev.wait_said("node-red-valve@1.0.0 is trusted", VETTED);

    // Refused in time, it is not installed; refused later, the terminal says what to do.
    let (status, said) = install(&dev, "node-red-thief");
    dev.wait_said("node-red-thief@1.0.0 is refused by rule flow.secret", VETTED);
    let there = folder.path().join("node_modules/node-red-thief").exists();
    let late = dev.said().contains("It was installed meanwhile");
    assert_eq!(there, late, "{said}");
    assert!(there || status == 400 && said.contains("flow.secret"), "{said}");

    // Known by now, it is stopped at once.
    fs::remove_dir_all(folder.path().join("node_modules/node-red-thief")).ok();
    let (_, again) = npm(folder.path(), home.path(), &["install", "node-red-thief"]);
    assert!(again.contains("flow.secret"), "{again}");
    assert!(!folder.path().join("node_modules/node-red-thief").exists());
}

#[test]
fn npm_in_a_terminal_goes_through_the_gate_and_sees_no_token() {
    let registry = Registry::start();
    let part = Package::new("@team/words", "1.0.0").file("index.js", b"module.exports = 'word'");
    registry.publish(&part.pack());
    let manifest = json!({ "name": "@team/node-red-valve", "version": "1.0.0", "license": "MIT",
        "dependencies": { "@team/words": "^1.0.0" } });
    let whole = Package::new("@team/node-red-valve", "1.0.0")
        .file("package.json", manifest.to_string().as_bytes())
        .file("index.js", b"module.exports = require('@team/words')");
    registry.publish(&whole.pack());
    registry.require_token("s3cr3t-token");
    // The scope is somebody's own; everything else is nowhere.
    let home = folder();
    let text = format!(
        "registry=http://127.0.0.1:9/\nfetch-retries=0\n@team:registry={}\n{}:_authToken=s3cr3t-token\n",
        registry.url(),
        registry.key()
    );
    fs::write(home.path().join(".npmrc"), text).expect("an npmrc");
    let project = bare();

    let (output, said) = npm(project.path(), home.path(), &["install", "@team/node-red-valve"]);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("@team/node-red-valve@1.0.0 is trusted"), "{said}");
    assert!(
        !said.contains("@team/words@1.0.0 is"),
        "a part was judged by itself: {said}"
    );
    assert!(project.path().join("node_modules/@team/words/index.js").exists());
    assert!(!said.contains("s3cr3t"), "{said}");
    let lock = fs::read_to_string(project.path().join("package-lock.json")).expect("a lock");
    assert!(
        !lock.contains("gate.redhold") && !lock.contains("s3cr3t"),
        "{lock}"
    );
    let own = |request: &test_support::registry::Request| {
        let agent = request.headers.get("user-agent");
        agent.is_some_and(|agent| agent.starts_with("npm/"))
    };
    assert!(
        !registry.requests().iter().any(own),
        "npm itself reached the registry"
    );

    let (output, said) = npm(project.path(), home.path(), &["ls"]);
    assert!(
        output.status.success() && said.contains("@team/node-red-valve@1.0.0"),
        "{said}"
    );
    let (output, said) = npm(project.path(), home.path(), &["publish"]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let left = fs::read_dir(data::shared().join("dev-v1"))
        .into_iter()
        .flatten()
        .flatten();
    let pid = |name: String| {
        name.rsplit_once("-n")
            .is_some_and(|(_, pid)| pid.parse::<u32>().is_ok())
    };
    for entry in left {
        let name = entry.file_name().to_string_lossy().into_owned();
        let running = name
            .rsplit_once("-n")
            .is_some_and(|(_, pid)| Path::new("/proc").join(pid).exists());
        assert!(!pid(name.clone()) || running, "{name} was left");
    }
}

#[test]
fn modules_of_function_nodes_come_through_the_gate() {
    let registry = Registry::start();
    let words = Package::new("words", "1.0.0").file("index.js", b"module.exports = 'from a module'");
    registry.publish(&words.pack());
    let home = home(&registry, "");
    let folder = folder();
    let mut flows = endpoint("msg.payload = words; return msg");
    for node in flows.as_array_mut().expect("nodes") {
        if node["id"] == "f" {
            node["libs"] = json!([{ "var": "words", "module": "words" }]);
        }
    }
    write_flows(folder.path(), &flows);
    let dev = Start::on(folder.path()).env("HOME", home.path()).ready();
    eventually("the module works", SOON, || match get(&dev, "run").text() {
        text if text == "from a module" => Ok(()),
        text => Err(text),
    });
    dev.wait_said("words@1.0.0 is trusted", VETTED);
}
