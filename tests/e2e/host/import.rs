//! What comes from elsewhere becomes an instance's own, and what is hostile becomes nothing.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};
use test_support::client::{self, Answer};
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};
use test_support::package::Package;
use test_support::registry::Registry;

use super::{endpoint, hello};

/// Sends an archive for a new instance.
fn send(host: &Host, name: &str, archive: Vec<u8>) -> Answer {
    let socket = host.data().join("run/api.sock");
    let path = format!("/api/v1/instances/{name}/import");
    let headers = [("content-type", "application/x-tar")];
    client::unix(&socket, "POST", &path, &headers, archive).expect("an answer")
}

/// Waits until an import is under way.
fn wait_unpacking(host: &Host) {
    eventually("it unpacks", SOON, || {
        names(host)
            .iter()
            .any(|name| name.starts_with(".import-"))
            .then_some(())
            .ok_or("nothing yet")
    });
}

/// Names in the folder of instances.
fn names(host: &Host) -> Vec<String> {
    let entries = fs::read_dir(host.data().join("instances"));
    let entries = entries.map(|entries| entries.flatten().collect::<Vec<_>>());
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries
        .unwrap_or_default()
        .iter()
        .map(name)
        .filter(|name| !name.ends_with(".img"))
        .collect()
}

#[test]
fn flows_are_replaced_and_the_old_ones_kept() {
    let host = Host::start();
    let id = host.create("pump", &hello(), &json!({}));
    let file = host.data().join("other.json");
    let other = endpoint("msg.payload = 'other'; return msg");
    fs::write(&file, other.to_string()).expect("a file");
    host.does(&["instance", "import", "pump", &file.to_string_lossy(), "--wait"]);
    eventually("the new flows", SOON, || match host.get("pump", "/run") {
        Ok(answer) if answer.text() == "other" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let said = host.wait_event("pump", "changed: its flows were replaced by an import");
    let backup = said.rsplit(' ').next().expect("a name");
    let data = host.data().join("instances").join(&id).join("data");
    let before = fs::read_to_string(data.join(backup)).expect("the old flows");
    assert!(before.contains("hello"), "{before}");

    // Where a link stands in for the flows, what it leads to is neither read nor written.
    host.act("pump", "stop");
    host.wait("pump", "stopped");
    let outside = host.data().join("outside");
    fs::write(&outside, "secret").expect("a file");
    fs::remove_file(data.join("flows.json")).expect("removed");
    symlink(&outside, data.join("flows.json")).expect("a link");
    host.ask("POST", "/instances/pump/import", &hello())
        .expect("imported");
    assert_eq!(fs::read_to_string(&outside).expect("a file"), "secret");
    assert!(
        data.join("flows.json")
            .symlink_metadata()
            .expect("flows")
            .is_file()
    );
    host.act("pump", "start");
    host.wait("pump", "running");
    assert_eq!(host.get("pump", "/run").expect("an answer").status, 200);

    for (name, body, status) in [
        ("pump", json!({ "no": "flows" }), "422"),
        ("nobody", hello(), "404"),
    ] {
        let refused = host
            .ask("POST", &format!("/instances/{name}/import"), &body)
            .expect_err("a refusal");
        assert!(refused.starts_with(status), "{refused}");
    }
}

const SETTINGS: &str = r"
module.exports = {
  flowFile: '/home/me/.node-red/my-flows.json',
  credentialSecret: 'the key of ' + 'credentials',
  httpNodeRoot: '/api',
  uiPort: 1999,
  functionGlobalContext: { greeting: 'servus' },
  editorTheme: { page: { title: 'mine' } },
}
try { require('fs').writeFileSync(__dirname + '/touched', 'x') } catch {}
";

/// A user directory whose answer needs its settings, its package and its library folder.
fn user_directory(folder: &Path, outside: &Path) {
    let mut flows = endpoint("msg.payload = global.get('greeting'); return msg");
    let nodes = flows.as_array_mut().expect("nodes");
    for node in nodes.iter_mut() {
        if node["id"] == "f" {
            node["wires"] = json!([["s"]]);
        }
    }
    nodes.push(json!({ "id": "s", "type": "shout", "z": "tab", "wires": [["out"]] }));
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write("my-flows.json", &flows.to_string());
    write("settings.js", SETTINGS);
    write("lib/flows/part.json", "[]");
    write(
        "package.json",
        r#"{"name": "mine", "private": true, "dependencies": {"node-red-shout": "~1.0.0"}}"#,
    );
    write("node_modules/node-red-shout/package.json", "{}");
    write(".git/config", "mine");
    symlink(outside, folder.join("link")).expect("a link");
}

#[test]
fn a_user_directory_becomes_an_instance() {
    let registry = Registry::start();
    let manifest = json!({ "name": "node-red-shout", "version": "1.0.0",
        "node-red": { "nodes": { "shout": "shout.js" } } });
    let code = "module.exports = (RED) => RED.nodes.registerType('shout', function (config) { \
        RED.nodes.createNode(this, config); \
        this.on('input', (msg, send) => { msg.payload = msg.payload.toUpperCase(); send(msg) }) })";
    let package = Package::new("node-red-shout", "1.0.0")
        .file("package.json", manifest.to_string().as_bytes())
        .file("shout.js", code.as_bytes())
        .file("shout.html", b"<script></script>");
    registry.publish(&package.pack());
    let host = Host::start();
    let folder = tempfile::tempdir().expect("a folder");
    let outside = folder.path().join("outside");
    fs::write(&outside, "secret").expect("a file");
    let from = folder.path().join("node-red");
    user_directory(&from, &outside);
    let from = from.to_string_lossy().into_owned();
    host.does(&["instance", "import", "pump", &from, "--stopped"]);
    let id = host.view("pump")["id"].as_str().expect("an id").to_owned();
    let data = host.data().join("instances").join(&id).join("data");
    for there in [
        "flows.json",
        "lib/flows/part.json",
        "package.json",
        "redhold.json",
    ] {
        assert!(data.join(there).is_file(), "{there}");
    }
    for absent in [
        "settings.js",
        "touched",
        "node_modules",
        ".git",
        "link",
        "my-flows.json",
    ] {
        assert!(data.join(absent).symlink_metadata().is_err(), "{absent}");
    }
    assert_eq!(names(&host), [id], "nothing is left of the unpacking");
    let said = host.wait_event("pump", "created: was imported");
    for part in ["editorTheme", "uiPort"] {
        assert!(said.contains(part), "{said}");
    }
    let env = json!({ "npm_config_registry": registry.url(), "npm_config_noproxy": "127.0.0.1" });
    host.ask("PATCH", "/instances/pump", &json!({ "settings": { "env": env } }))
        .expect("changed");
    host.act("pump", "start");
    host.wait_event("pump", "installed: installed node-red-shout with npm");
    eventually("its flows answer", SOON, || match host.get("pump", "/api/run") {
        Ok(answer) if answer.text() == "SERVUS" => Ok(()),
        other => Err(format!("{other:?}")),
    });

    // Credentials come over with the key that settings.js names, and open with no other.
    let mut with_word = endpoint("msg.payload = env.get('WORD'); return msg");
    with_word[0]["env"] = json!([{ "name": "WORD", "type": "cred", "value": "word of mouth" }]);
    with_word[0]["credentials"] =
        json!({ "map": { "WORD": "word of mouth" }, "has_WORD": true, "WORD": "word of mouth" });
    host.deploy("pump", &with_word);
    let encrypted = eventually("credentials", SOON, || {
        fs::read_to_string(data.join("flows_cred.json"))
    });
    assert!(
        encrypted.contains("\"$\"") && !encrypted.contains("mouth"),
        "{encrypted}"
    );
    let twin = folder.path().join("twin");
    fs::create_dir(&twin).expect("a folder");
    for (file, to) in [
        ("flows.json", "my-flows.json"),
        ("flows_cred.json", "my-flows_cred.json"),
    ] {
        fs::copy(data.join(file), twin.join(to)).expect("a copy");
    }
    fs::write(twin.join("settings.js"), SETTINGS).expect("a file");
    host.does(&["instance", "import", "twin", &twin.to_string_lossy(), "--wait"]);
    let answer = host.get("twin", "/api/run").expect("an answer");
    assert_eq!(answer.text(), "word of mouth");

    // The name is taken now.
    let refused = host.cli(&["instance", "import", "pump", &from]);
    assert_eq!(refused.status.code(), Some(4));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("taken"), "{said}");
}

/// An archive of one entry after good flows.
fn hostile(path: &str, kind: tar::EntryType) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        if kind == tar::EntryType::Symlink {
            header.set_link_name("/etc").expect("a name");
        }
        header.set_cksum();
        builder.append(&header, content).expect("an entry");
    };
    add(
        "flows.json",
        tar::EntryType::Regular,
        hello().to_string().as_bytes(),
    );
    add(path, kind, b"");
    builder.into_inner().expect("an archive")
}

#[test]
fn what_is_hostile_or_cut_short_leaves_nothing() {
    let mut host = Host::start();
    for (archive, said) in [
        (hostile("../../out", tar::EntryType::Regular), "leads out"),
        (
            hostile("lib", tar::EntryType::Symlink),
            "neither a file nor a folder",
        ),
        (hostile("flows.json", tar::EntryType::Regular), "exists"),
        (b"no archive at all".repeat(100), "cannot be imported"),
        (Vec::new(), "holds no flows"),
    ] {
        let answer = send(&host, "bad", archive);
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(answer.text().contains(said), "{said}: {}", answer.text());
        assert_eq!(names(&host), [""; 0]);
    }

    // A client that hangs up in the middle.
    let good = hostile("lib/x.json", tar::EntryType::Regular);
    let mut stream = UnixStream::connect(host.data().join("run/api.sock")).expect("the host");
    let head = format!(
        "POST /api/v1/instances/cut/import HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-tar\r\n\
         content-length: {}\r\n\r\n",
        good.len()
    );
    stream.write_all(head.as_bytes()).expect("a head");
    stream.write_all(&good[..good.len() / 2]).expect("a half");
    wait_unpacking(&host);
    drop(stream);
    eventually("nothing is left", SOON, || {
        let left = names(&host);
        left.is_empty().then_some(()).ok_or(left)
    });

    // A host that is killed in the middle.
    let mut stream = UnixStream::connect(host.data().join("run/api.sock")).expect("the host");
    stream.write_all(head.as_bytes()).expect("a head");
    stream.write_all(&good[..good.len() / 2]).expect("a half");
    wait_unpacking(&host);
    host.kill();
    host.run();
    assert_eq!(names(&host), [""; 0]);
    assert_eq!(send(&host, "cut", good).status, 201);
    host.wait("cut", "running");
    let view: Value = host.view("cut");
    assert_eq!(view["name"], "cut");
}
