//! `redhold dev --from`: an existing user directory, made by a real Node-RED, becomes a project.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::client;
use test_support::dev::Start;

use crate::projects::{folder, module};

const SETTINGS: &str = r"
const os = require('os')
console.log('settings are read on', os.platform())
module.exports = {
  flowFile: 'my-flows.json',
  credentialSecret: 'the key of ' + 'credentials',
  httpNodeRoot: '/api',
  uiPort: process.env.PORT || 1999,
  adminAuth: { type: 'credentials', users: [] },
  functionGlobalContext: { greeting: 'servus' },
  httpNodeMiddleware: (req, res, next) => next(),
  contextStorage: { default: { module: 'localfilesystem' } },
  logging: { console: { level: 'info' } },
}
try { require('fs').writeFileSync(__dirname + '/touched', 'x') } catch {}
";

/// A flow whose answer needs its credentials, its settings and its module.
fn flows() -> Value {
    json!([
        { "id": "tab", "type": "tab", "label": "Tab", "env": [] },
        { "id": "in", "z": "tab", "type": "http in", "url": "/run", "method": "get", "wires": [["f"]] },
        { "id": "f", "z": "tab", "type": "function", "name": "work", "outputs": 1, "wires": [["n"]],
          "func": "msg.payload = global.get('greeting') + ' ' + env.get('WORD'); return msg;" },
        { "id": "n", "z": "tab", "type": "shout", "wires": [["out"]] },
        { "id": "out", "z": "tab", "type": "http response", "wires": [] },
    ])
}

/// A user directory, with credentials that a real Node-RED has encrypted.
fn user_directory() -> TempDir {
    let dir = folder();
    let path = dir.path();
    let write = |name: &str, text: &str| {
        let file = path.join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, text).expect("a file");
    };
    // The credentials of the tab's variable, encrypted by a start with the same key and a deploy.
    write(
        ".config.runtime.json",
        &json!({ "_credentialSecret": "the key of credentials" }).to_string(),
    );
    write("flows.json", &flows().to_string());
    module(
        path,
        "shout",
        "msg.payload = msg.payload.toUpperCase(); send(msg)",
    );
    let dev = Start::on(path).ready();
    let mut with_word = flows();
    with_word[0]["env"] = json!([{ "name": "WORD", "type": "cred", "value": "word of mouth" }]);
    with_word[0]["credentials"] =
        json!({ "map": { "WORD": "word of mouth" }, "has_WORD": true, "WORD": "word of mouth" });
    let deployed = client::post(&dev.url("flows"), &with_word).expect("an answer");
    assert_eq!(deployed.status, 204, "{}", deployed.text());
    dev.stop();
    let encrypted = fs::read_to_string(path.join("flows_cred.json")).expect("credentials");
    assert!(
        encrypted.contains("\"$\"") && !encrypted.contains("mouth"),
        "{encrypted}"
    );
    // Now as a person has it who chose names and a key in the settings.
    fs::rename(path.join("flows.json"), path.join("my-flows.json")).expect("flows");
    fs::rename(path.join("flows_cred.json"), path.join("my-flows_cred.json")).expect("credentials");
    fs::write(path.join(".config.runtime.json"), "{}").expect("a file");
    write("settings.js", SETTINGS);
    write("lib/flows/mine.json", "[]");
    write("notes.txt", "left out");
    symlink("/etc/passwd", path.join("lib/passwd")).expect("a link");
    dir
}

/// Every file below, with its content and time.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let about = fs::symlink_metadata(&path).expect("its metadata");
            if about.is_dir() {
                folders.push(path);
            } else if about.is_file() {
                let content = fs::read(&path).expect("a file");
                all.insert(path, (content, about.modified().expect("its time")));
            }
        }
    }
    all
}

#[test]
fn a_user_directory_becomes_a_project() {
    let source = user_directory();
    let before = contents(source.path());
    let new = folder();
    let project = new.path().join("project");
    let dev = Start::on(&project)
        .args(&["--from".as_ref(), source.path().as_os_str()])
        .ready();
    let said = dev.said();

    // Flows, credentials with their key, the module, the settings: all at work at once.
    let answer = client::get(&dev.url("api/run")).expect("an answer");
    assert_eq!(answer.text(), "SERVUS WORD OF MOUTH", "{said}");
    assert!(project.join("lib/flows/mine.json").exists());
    assert!(!project.join("lib/passwd").exists() && !project.join("notes.txt").exists());
    for word in [
        "credentials with their key",
        "1 module,",
        "functionGlobalContext",
        "left out: setting adminAuth: only this computer",
        "setting httpNodeMiddleware: it is a program",
        "setting uiPort: choose with --port",
        "variables PORT: give them with --env-file",
        "other files: notes.txt",
        "1 link or special file in lib",
    ] {
        assert!(said.contains(word), "no {word:?} in:\n{said}");
    }
    assert!(!said.contains("the key of credentials"), "{said}");
    dev.stop();

    assert_eq!(contents(source.path()), before, "the source was changed");

    // The next start needs no source, and a second import is refused.
    let dev = Start::on(&project).ready();
    assert_eq!(
        client::get(&dev.url("api/run")).expect("an answer").text(),
        "SERVUS WORD OF MOUTH"
    );
    dev.stop();
    let (code, said) = Start::on(&project)
        .args(&["--from".as_ref(), source.path().as_os_str()])
        .fails();
    assert!(code == 2 && said.contains("not overwritten"), "{said}");
}

#[test]
fn what_is_no_user_directory_is_refused() {
    let new = folder();
    let project = new.path().join("project");
    for (from, words) in [
        (folder(), "holds no flows"),
        (
            {
                let dir = folder();
                fs::write(dir.path().join("flows.json"), "{").expect("a file");
                dir
            },
            "is not valid JSON",
        ),
    ] {
        let (code, said) = Start::on(&project)
            .args(&["--from".as_ref(), from.path().as_os_str()])
            .fails();
        assert!(code == 2 && said.contains(words), "{said}");
        // Nothing was begun, so the same can be tried again.
        assert!(!project.join("flows.json").exists() && !project.join("package.json").exists());
    }
    let (code, said) = Start::on(&project).args(&["--from", "/nowhere"]).fails();
    assert!(code == 1 && said.contains("cannot open /nowhere"), "{said}");
}
