//! A backup that is taken while everything runs is the whole host.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use test_support::host::Host;

use super::{endpoint, hello};

/// Every file below a folder with its content, without what a run leaves.
fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let name = path
                    .strip_prefix(root)
                    .expect("inside")
                    .to_string_lossy()
                    .into_owned();
                all.push((name, fs::read(&path).expect("a file")));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn taken_while_it_runs_and_brought_back_elsewhere() {
    let host = Host::start();
    let settings = json!({ "env": { "WHO": "you", "KEY": { "hidden": true, "value": "s3cret" } } });
    let id = host.create("pump", &hello(), &settings);
    let key = host.create(
        "key",
        &endpoint("msg.payload = env.get('KEY'); return msg"),
        &settings,
    );
    let place = |host: &Host, id: &str| host.data().join("instances").join(id);
    fs::create_dir_all(place(&host, &id).join("files/deep/er")).expect("a folder");
    fs::write(place(&host, &id).join("files/deep/er/data.bin"), vec![7; 300_000]).expect("a file");
    std::os::unix::fs::symlink("/etc/passwd", place(&host, &id).join("files/link")).expect("a link");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("host.tar");
    host.does(&["backup", &file.to_string_lossy()]);
    assert_eq!(
        host.cli(&["backup", &file.to_string_lossy()]).status.code(),
        Some(2),
        "nothing is overwritten"
    );
    let archive = fs::read(&file).expect("a backup");
    assert!(
        !archive.windows(6).any(|part| part == b"s3cret"),
        "secrets are sealed in it"
    );

    // The same again, elsewhere, and it runs.
    let mut other = Host::prepared(&["--tls", "off"]);
    let into = other.data().join("restored");
    let restored = std::process::Command::new(test_support::data::binary())
        .args([
            "restore".as_ref(),
            file.as_os_str(),
            "--data-dir".as_ref(),
            into.as_os_str(),
        ])
        .output()
        .expect("redhold restore");
    assert!(
        restored.status.success(),
        "{}",
        String::from_utf8_lossy(&restored.stderr)
    );
    for part in [
        "keys".to_owned(),
        format!("instances/{id}/data"),
        format!("instances/{id}/files"),
    ] {
        assert_eq!(
            files(&into.join(&part)),
            files(&host.data().join(&part)),
            "{part}"
        );
    }
    let link = into.join(format!("instances/{id}/files/link"));
    assert_eq!(fs::read_link(link).expect("a link"), Path::new("/etc/passwd"));
    for part in ["keys", "store", "instances"] {
        fs::rename(into.join(part), other.data().join(part)).expect("moved into place");
    }
    other.run();
    for name in ["pump", "key"] {
        other.wait(name, "running");
    }
    assert_eq!(other.get("pump", "/run").expect("an answer").text(), "hello you");
    assert_eq!(other.get("key", "/run").expect("an answer").text(), "s3cret");
    assert_eq!(other.view("key")["id"], json!(key));
    let plain = |host: &Host| {
        let view = host.ask("GET", "/instances/pump", &Value::Null).expect("a view");
        (
            view["settings"].clone(),
            view["stack"].clone(),
            view["createdMs"].clone(),
        )
    };
    assert_eq!(plain(&other), plain(&host));

    // What is cut short, damaged or no backup is refused, and nothing stays of it.
    for (name, bytes) in [
        ("cut", archive[..archive.len() - 3000].to_vec()),
        ("flipped", {
            let mut bytes = archive.clone();
            let at = archive
                .windows(5)
                .position(|part| part == [7; 5])
                .expect("the data");
            bytes[at] ^= 1;
            bytes
        }),
        ("other", b"hello".to_vec()),
    ] {
        let bad = folder.path().join(name);
        fs::write(&bad, bytes).expect("a file");
        let into = folder.path().join("into");
        let refused = std::process::Command::new(test_support::data::binary())
            .args([
                "restore".as_ref(),
                bad.as_os_str(),
                "--data-dir".as_ref(),
                into.as_os_str(),
            ])
            .output()
            .expect("redhold restore");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains("no whole backup"), "{said}");
        assert!(!into.exists());
    }
}
