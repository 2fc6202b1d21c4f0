//! Transfers that are cut off, by either side, and go on.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use serde_json::json;
use test_support::data;
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};

use super::files::{MIB, api, pattern, storage};

/// Begins an upload and hangs up in the middle.
fn cut(host: &Host, name: &str, bytes: &[u8], announced: usize) {
    let mut stream = UnixStream::connect(host.data().join("run/api.sock")).expect("a connection");
    let head = format!(
        "PUT /api/v1/instances/pump/files/{name} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {announced}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("a head");
    stream.write_all(bytes).expect("a part");
}

#[test]
fn an_upload_that_is_cut_goes_on() {
    let (mut host, files) = storage(&json!({}));
    let bytes = pattern(3 * MIB);
    fs::write(files.join("a.bin"), "old").expect("an old file");
    cut(&host, "a.bin", &bytes[..2 * MIB], bytes.len());
    let received = || {
        let head = api(&host, "HEAD", "/a.bin?upload", &[], Vec::new());
        let offset = head.header("upload-offset").map(str::to_owned);
        offset.ok_or_else(|| head.status.to_string())
    };
    let whole = (2 * MIB).to_string();
    eventually("what came is kept", SOON, || match received()? {
        offset if offset == whole => Ok(()),
        offset => Err(offset),
    });
    assert_eq!(fs::read(files.join("a.bin")).expect("a file"), b"old");
    let end = bytes.len() - 1;
    let send = |from: usize| {
        let range = format!("bytes {from}-{end}/{}", bytes.len());
        api(
            &host,
            "PUT",
            "/a.bin",
            &[("content-range", &range)],
            bytes[from..].to_vec(),
        )
    };
    // Nobody holds it any more when its connection has ended.
    let gap = eventually("a gap is refused", SOON, || match send(2 * MIB + 1) {
        answer if answer.status == 503 => Err(answer.text()),
        answer => Ok(answer),
    });
    assert_eq!(
        (gap.status, gap.header("upload-offset")),
        (409, Some(whole.as_str()))
    );
    assert_eq!(send(2 * MIB).status, 200);
    assert!(fs::read(files.join("a.bin")).expect("a file") == bytes);
    assert_eq!(api(&host, "HEAD", "/a.bin?upload", &[], Vec::new()).status, 404);

    // Piece by piece, with a size that is known only in the end; then one that is forgotten.
    for (range, status) in [
        ("bytes 0-4/*", 202),
        ("bytes 5-9/*", 202),
        ("bytes 10-14/15", 201),
    ] {
        let answer = api(&host, "PUT", "/p", &[("content-range", range)], b"01234".to_vec());
        assert_eq!(answer.status, status, "{range}: {}", answer.text());
    }
    assert_eq!(fs::read(files.join("p")).expect("a file"), b"012340123401234");
    let lying = [("content-range", "bytes 0-4/10")];
    assert_eq!(api(&host, "PUT", "/q", &lying, b"012345".to_vec()).status, 422);
    assert_eq!(api(&host, "PUT", "/q", &lying, b"01234".to_vec()).status, 202);
    assert_eq!(api(&host, "DELETE", "/q?upload", &[], Vec::new()).status, 200);
    assert_eq!(api(&host, "GET", "/q?upload", &[], Vec::new()).status, 404);

    // The command line, while the host is killed under it.
    let folder = tempfile::tempdir().expect("a folder");
    let local = folder.path().join("local.bin");
    let big = pattern(200 * MIB);
    fs::write(&local, &big).expect("a file");
    let child = Command::new(data::binary())
        .args(["files", "put"])
        .arg(&local)
        .args(["pump:b.bin", "--data-dir"])
        .arg(host.data())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redhold");
    eventually("it is under way", SOON, || {
        match api(&host, "HEAD", "/b.bin?upload", &[], Vec::new()).header("upload-offset") {
            Some(offset) if offset != "0" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    host.kill();
    host.run();
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("going on"), "{said}");
    assert!(fs::read(files.join("b.bin")).expect("a file") == big);

    // Fetching goes on, too: the first half is taken from what is here.
    let to = folder.path().join("back.bin");
    let head = api(&host, "HEAD", "/b.bin", &[], Vec::new());
    let tag = head.header("etag").expect("an ETag").trim_matches('"').to_owned();
    let half = 100 * MIB;
    fs::write(
        folder.path().join(format!(".back.bin.{tag}.part")),
        vec![b'X'; half],
    )
    .expect("a part");
    host.does(&["files", "get", "pump:b.bin", &to.to_string_lossy()]);
    let back = fs::read(&to).expect("a file");
    assert!(back[..half - 1].iter().all(|byte| *byte == b'X') && back[half - 1..] == big[half - 1..]);
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        2,
        "no part is left"
    );
}
