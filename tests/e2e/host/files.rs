//! The file storage of an instance: streamed in and out, taken up again after a cut, shared, and closed to tricks.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use test_support::client::{self, Answer};
use test_support::data;
use test_support::host::Host;

use super::endpoint;

pub(super) const MIB: usize = 1 << 20;

pub(super) fn api(host: &Host, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let socket = host.data().join("run/api.sock");
    let path = format!("/api/v1/instances/pump/files{path}");
    client::unix(&socket, method, &path, headers, body).expect("an answer")
}

/// Bytes that are everywhere different.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Most memory that a process has had, in bytes.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("a peak");
    let kib = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number") * 1024
}

/// A host with an instance `pump` that does not run, and the instance's storage.
pub(super) fn storage(settings: &Value) -> (Host, std::path::PathBuf) {
    let host = Host::start();
    let new = json!({ "name": "pump", "start": false, "settings": settings });
    let view = host.ask("POST", "/instances", &new).expect("created");
    let id = view["id"].as_str().expect("an id");
    let files = host.data().join("instances").join(id).join("files");
    (host, files)
}

#[test]
fn large_files_stream_through_and_come_in_parts() {
    let (host, files) = storage(&json!({}));
    assert_eq!(api(&host, "PUT", "/small", &[], vec![1; 3 * MIB]).status, 201);
    assert_eq!(api(&host, "GET", "/small", &[], Vec::new()).body.len(), 3 * MIB);
    let pid = host.pid().expect("it runs");
    let before = peak(pid);
    let big = pattern(200 * MIB);
    let answer = api(&host, "PUT", "/big.bin", &[], big.clone());
    assert_eq!(
        (answer.status, answer.json()["size"].as_u64()),
        (201, Some(200 << 20))
    );
    let answer = api(&host, "GET", "/big.bin", &[], Vec::new());
    assert!(answer.body == big, "what went in comes out");
    let archive = api(&host, "GET", "?archive=zip", &[], Vec::new());
    assert!(archive.body.len() > 100 * MIB);
    let grown = peak(pid).saturating_sub(before);
    figure(grown);
    assert!(
        grown < 48 << 20,
        "600 MB went through and the host grew by {grown} bytes"
    );

    let tag = answer.header("etag").expect("an ETag").to_owned();
    let part = |headers: &[(&str, &str)]| api(&host, "GET", "/big.bin", headers, Vec::new());
    let some = part(&[("range", "bytes=1000-1999"), ("if-range", &tag)]);
    assert_eq!(
        (some.status, some.header("content-range")),
        (206, Some("bytes 1000-1999/209715200"))
    );
    assert!(some.body == big[1000..2000]);
    assert!(part(&[("range", "bytes=-5")]).body == big[big.len() - 5..]);
    assert_eq!(part(&[("range", "bytes=209715200-")]).status, 416);
    assert_eq!(part(&[("if-none-match", &tag)]).status, 304);
    let other = part(&[("range", "bytes=0-9"), ("if-range", "\"another\"")]);
    assert_eq!((other.status, other.body.len()), (200, big.len()));
    let head = api(&host, "HEAD", "/big.bin", &[], Vec::new());
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("209715200"))
    );

    // Another content is another ETag, and the same path is never half the one and half the other.
    assert_eq!(api(&host, "PUT", "/big.bin", &[], vec![0; 10]).status, 200);
    assert_ne!(part(&[]).header("etag"), Some(tag.as_str()));
    assert_eq!(fs::read(files.join("big.bin")).expect("a file"), [0; 10]);
}

/// Figures are for whoever reads the test's output.
fn figure(grown: u64) {
    let line = format!("the host's peak grew by {} KiB\n", grown >> 10);
    let _ = std::io::stderr().write_all(line.as_bytes());
}

#[test]
fn folders_are_made_moved_archived_and_removed() {
    let (host, files) = storage(&json!({}));
    let folder = tempfile::tempdir().expect("a folder");
    let local = folder.path().join("\u{e9}.txt");
    fs::write(&local, "text").expect("a file");
    host.does(&["files", "mkdir", "pump:a/b c"]);
    host.does(&["files", "put", &local.to_string_lossy(), "pump:a/b c/"]);
    host.does(&["files", "mv", "pump:a/b c", "a/d"]);
    let text = host.does(&["files", "get", "pump:a/d/\u{e9}.txt", "-"]);
    assert_eq!(text, "text");
    let listed = host.does(&["files", "ls", "pump:a/d"]);
    assert!(listed.contains("\u{e9}.txt"), "{listed}");
    let listed: Value = serde_json::from_str(&host.does(&["files", "ls", "--json", "pump:a"])).expect("JSON");
    assert_eq!(listed["entries"][0]["name"], "d");
    assert_eq!(listed["entries"][0]["kind"], "folder");

    // A pipe into a file, and the whole storage as archives that other programs read.
    let mut child = Command::new(data::binary())
        .args(["files", "put", "-", "pump:piped", "--data-dir"])
        .arg(host.data())
        .stdin(Stdio::piped())
        .spawn()
        .expect("redhold");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"through a pipe")
        .expect("written");
    assert!(child.wait().expect("its end").success());
    assert_eq!(fs::read(files.join("piped")).expect("a file"), b"through a pipe");
    let tar = folder.path().join("all.tar");
    host.does(&["files", "get", "-r", "pump:", &tar.to_string_lossy()]);
    let zip = folder.path().join("all.zip");
    let answer = api(&host, "GET", "/a?archive=zip", &[], Vec::new());
    File::create(&zip)
        .and_then(|mut file| file.write_all(&answer.body))
        .expect("written");
    let lists = |program: &str, args: &[&str], file: &Path| {
        let output = Command::new(program)
            .args(args)
            .arg(file)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("a program");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let listed = lists("tar", &["--quoting-style=literal", "-tf"], &tar);
    let mut lines: Vec<&str> = listed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a/", "a/d/", "a/d/\u{e9}.txt", "piped"]);
    let listed = lists("python3", &["-m", "zipfile", "-l"], &zip);
    assert!(listed.contains("d/\u{e9}.txt"), "{listed}");
    lists("python3", &["-m", "zipfile", "-t"], &zip);

    let refused = host.cli(&["files", "rm", "pump:a"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("rm -r"));
    host.does(&["files", "rm", "-r", "pump:a"]);
    assert!(!files.join("a").exists());
    let lost = host.cli(&["files", "get", "pump:a/d", "-"]);
    assert_eq!(lost.status.code(), Some(1));
    for (method, path, status) in [
        ("PUT", "/%2e%2e/x", 422),
        ("PUT", "/a%00b", 422),
        ("PUT", "/.redhold/x", 422),
        ("PUT", "/none/x", 404),
        ("POST", "/piped?mkdir", 409),
        ("POST", "/piped?move=../x", 422),
        ("POST", "/piped", 422),
        ("DELETE", "/none", 404),
        ("GET", "/piped?archive=tar", 409),
    ] {
        let answer = api(&host, method, path, &[], b"x".to_vec());
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
    }

    let described = host
        .ask("GET", "/openapi.json", &Value::Null)
        .expect("a description");
    let files = &described["paths"]["/api/v1/instances/{name}/files/{path}"];
    for method in ["get", "put", "post", "delete"] {
        assert!(files[method]["summary"].is_string(), "{method} in {files}");
    }

    let audit = host
        .ask("GET", "/audit?limit=1000", &Value::Null)
        .expect("the audit log");
    let entries = audit["entries"].as_array().expect("entries");
    for (action, path) in [
        ("file.mkdir", "a/b c"),
        ("file.put", "a/b c/\u{e9}.txt"),
        ("file.move", "a/b c"),
        ("file.put", "piped"),
        ("file.delete", "a"),
        ("file.delete.failed", "a"),
    ] {
        assert!(
            entries
                .iter()
                .any(|entry| entry["action"] == action && entry["after"]["path"] == path),
            "{action} {path} in {audit}"
        );
    }
}

#[test]
fn shared_folders_are_served_without_node_red_and_links_of_a_flow_are_not() {
    let host = Host::start();
    let settings = json!({
        "http": { "user": "me", "password": { "hidden": true, "value": "pw" } },
        "shared": { "/pub": { "folder": "pub" }, "/in": { "folder": "a/in", "access": "basic" } },
    });
    let mut flows = endpoint(
        "try { fs.symlinkSync('/etc/passwd', '/files/pub/leak') } catch (error) {}
         try { fs.symlinkSync('/', '/files/pub/up') } catch (error) {}
         fs.appendFileSync('/files/pub/page.html', '!');
         msg.payload = fs.readFileSync('/files/pub/page.html', 'utf8'); return msg",
    );
    for node in flows.as_array_mut().expect("nodes") {
        if node["type"] == "function" {
            node["libs"] = json!([{ "var": "fs", "module": "fs" }]);
        }
    }
    host.create("pump", &flows, &settings);
    for (method, path) in [("POST", "/pub?mkdir"), ("POST", "/a/in?mkdir")] {
        assert_eq!(api(&host, method, path, &[], Vec::new()).status, 201);
    }
    let page = b"<script>alert(1)</script>".to_vec();
    assert_eq!(api(&host, "PUT", "/pub/page.html", &[], page).status, 201);
    assert_eq!(
        api(&host, "PUT", "/a/in/x%20y.txt", &[], b"inside".to_vec()).status,
        201
    );

    // What the host put there is the instance's own.
    let answer = host.get("pump", "/run").expect("an answer");
    assert_eq!(answer.text(), "<script>alert(1)</script>!");
    let leak = api(&host, "GET", "/pub", &[], Vec::new()).json();
    let kind = |name: &str| {
        let entries = leak["entries"].as_array().expect("entries");
        entries
            .iter()
            .find(|entry| entry["name"] == name)
            .expect("an entry")["kind"]
            .clone()
    };
    assert_eq!((kind("leak"), kind("up")), (json!("other"), json!("other")));

    let served = |stopped: bool| {
        let get = |path: &str, headers: &[(&str, &str)]| {
            host.call("pump", "GET", path, headers, Vec::new())
                .expect("an answer")
        };
        let page = get("/pub/page.html", &[]);
        assert_eq!(
            (page.status, page.text().as_str()),
            (200, "<script>alert(1)</script>!")
        );
        for (name, value) in [
            ("content-security-policy", "sandbox"),
            ("x-content-type-options", "nosniff"),
            ("content-type", "text/html; charset=utf-8"),
        ] {
            assert_eq!(page.header(name), Some(value));
        }
        let tag = page.header("etag").expect("an ETag").to_owned();
        assert_eq!(get("/pub/page.html", &[("if-none-match", &tag)]).status, 304);
        let part = get("/pub/page.html", &[("range", "bytes=1-6")]);
        assert_eq!((part.status, part.text().as_str()), (206, "script"));
        for path in [
            "/pub",
            "/pub/",
            "/pub/leak",
            "/pub/up/etc/passwd",
            "/pub/../a/in/x%20y.txt",
            "/pub/%2e%2e/a/in/x%20y.txt",
            "/pub/%2e%2e%2fa/in/x%20y.txt",
            "/pub/none",
            "/pub/a%00",
        ] {
            assert_eq!(get(path, &[]).status, 404, "{path}, stopped: {stopped}");
        }
        assert_eq!(
            host.call("pump", "PUT", "/pub/x", &[], vec![1])
                .expect("an answer")
                .status,
            405
        );
        assert_eq!(get("/in/x%20y.txt", &[]).status, 401);
        assert_eq!(
            get("/in/x%20y.txt", &[("authorization", "Basic bWU6cHg=")]).status,
            401
        );
        let inside = get("/in/x%20y.txt", &[("authorization", "Basic bWU6cHc=")]);
        assert_eq!((inside.status, inside.text().as_str()), (200, "inside"));
    };
    served(false);
    for path in ["/pub/leak", "/pub/up/etc/passwd"] {
        let answer = api(&host, "GET", path, &[], Vec::new());
        assert_eq!(answer.status, 409, "{}", answer.text());
        assert!(!answer.text().contains("root:"));
        assert_eq!(api(&host, "PUT", path, &[], b"x".to_vec()).status, 409);
    }
    host.act("pump", "stop");
    host.wait("pump", "stopped");
    served(true);
    assert_eq!(api(&host, "DELETE", "/pub/leak", &[], Vec::new()).status, 200);
    assert!(Path::new("/etc/passwd").exists());
}
