//! The disk of the host is full: changes are refused in words, what runs goes on, and so does the host by itself when
//! there is room again.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use test_support::client;
use test_support::eventually::{eventually, let_pass};
use test_support::guest::disk;
use test_support::host::{Host, SOON};
use test_support::skip::skipped;

use super::{Ends, hello};

/// How often the disk fills up.
const ROUNDS: u64 = 6;

/// A small file system of its own.
struct Small {
    at: tempfile::TempDir,
    image: tempfile::NamedTempFile,
}

impl Small {
    fn mounted() -> Option<Self> {
        let small = Self {
            at: tempfile::tempdir().expect("a folder"),
            image: disk(64),
        };
        let mounted = Command::new("mount")
            .args(["-o", "loop"])
            .args([small.image.path(), small.at.path()])
            .output();
        mounted
            .is_ok_and(|mounted| mounted.status.success())
            .then_some(small)
    }

    fn filler(&self) -> PathBuf {
        self.at.path().join("filler")
    }

    /// Takes up all room there is.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).expect("a file");
        for size in [1 << 20, 4096, 1] {
            let bytes = vec![1; size];
            while filler.write_all(&bytes).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("removed");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.at.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

fn set(socket: &Path, number: u64) -> Result<client::Answer, String> {
    let change = json!({ "settings": { "env": { "N": number.to_string() } } });
    client::unix(
        socket,
        "PATCH",
        "/api/v1/instances/pump",
        &[],
        change.to_string().into_bytes(),
    )
}

fn number(host: &Host) -> u64 {
    let text = host.view("pump")["settings"]["env"]["N"].clone();
    text.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[test]
fn a_full_disk_refuses_changes_and_nothing_else() {
    let Some(small) = Small::mounted() else {
        return skipped(
            "a_full_disk_refuses_changes_and_nothing_else",
            "a loop device that may be mounted: run it as root",
        );
    };
    let mut host = Host::prepared_in(small.at.path(), &["--tls", "off"]);
    host.run();
    host.create(
        "pump",
        &hello(),
        &json!({ "limits": { "diskMib": 0 }, "env": { "WHO": "world" } }),
    );
    let socket = host.data().join("run/api.sock");
    let port = host.port();
    let (over, acknowledged, served) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let url = format!("http://127.0.0.1:{port}/run");
                match client::request("GET", &url, &[("host", "pump.localhost")], Vec::new()) {
                    Ok(answer) if answer.text() == "hello world" => served.fetch_add(1, Ordering::Relaxed),
                    other => panic!("a request failed: {other:?}"),
                };
                let_pass(Duration::from_millis(20));
            }
        });
        // A failure here must end the threads too.
        let ends = Ends(&over);
        let (mut next, mut asking) = (0, Some(asking));
        for round in 0..ROUNDS {
            // Full at another moment of its writes each time.
            for _ in 0..round * 3 {
                next += 1;
                assert_eq!(set(&socket, next).expect("an answer").status, 200);
                acknowledged.store(next, Ordering::Relaxed);
            }
            small.fill();
            let refused = eventually("a change is refused", SOON, || {
                next += 1;
                let answer = set(&socket, next).expect("an answer");
                if answer.status == 200 {
                    acknowledged.store(next, Ordering::Relaxed);
                    // What a checkpoint or a log left over is taken too.
                    small.fill();
                    return Err("it was taken");
                }
                Ok(answer)
            });
            let problem: Value = refused.json();
            assert_eq!(problem["code"], "host", "{problem}");
            assert!(
                problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
                "{problem}"
            );
            assert!(
                problem["title"]
                    .as_str()
                    .is_some_and(|title| title.contains("stor")),
                "{problem}"
            );
            assert_eq!(number(&host), acknowledged.load(Ordering::Relaxed));
            if round + 1 == ROUNDS {
                eventually("requests are served meanwhile", SOON, || {
                    match served.load(Ordering::Relaxed) {
                        count if count > 10 => Ok(()),
                        count => Err(count),
                    }
                });
                // Killed, it starts on the full disk all the same.
                over.store(true, Ordering::Relaxed);
                if let Some(asking) = asking.take() {
                    asking.join().expect("every request was served");
                }
                host.kill();
                host.run();
                assert_eq!(number(&host), acknowledged.load(Ordering::Relaxed));
            }
            small.free();
            eventually("changes are taken again", SOON, || {
                next += 1;
                match set(&socket, next).expect("an answer") {
                    answer if answer.status == 200 => Ok(()),
                    answer => Err(answer.text()),
                }
            });
            acknowledged.store(next, Ordering::Relaxed);
        }
        drop(ends);
    });
    // Nothing was only in memory.
    host.kill();
    fs::remove_dir_all(host.data().join("store/index-v1")).expect("removed");
    host.run();
    assert_eq!(number(&host), acknowledged.load(Ordering::Relaxed));
    assert_eq!(host.get("pump", "/run").expect("an answer").text(), "hello world");
    host.act("pump", "stop");
    host.wait("pump", "stopped");
}
