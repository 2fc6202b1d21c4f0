//! A host on a machine of its own, to which happens what cannot be done to this one: the power goes, the disk fails,
//! the clock jumps. Each test has two halves: one boots the guest, which runs the same test for the other (`inside`).

mod clock;
mod disk;
mod power;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use test_support::client::{self, Answer};
use test_support::data;
use test_support::eventually::eventually;

/// Set in the guest; its value is the round.
const ROUND: &str = "REDHOLD_TEST_GUEST";

/// Where the guest has its disk.
const DISK: &str = "/run/disk";

/// For the start of a host in a guest on a busy machine.
const STARTS: Duration = Duration::from_secs(90);

/// Memory of a guest, in MiB: a debug build is mapped in whole.
const MEMORY: u32 = 512;

/// Lines that mount a device, and run a test of this module for its half in the guest.
fn script(device: &str, name: &str, round: u32) -> String {
    let test = std::env::current_exe().expect("the path of this test");
    format!(
        "mkdir {DISK}\nmount -t ext4 {device} {DISK} || echo 'FAILED: no disk'\nexport {ROUND}={round} RUST_BACKTRACE=1\n\
         '{}' --exact outage::{name} --nocapture --test-threads=1 --color never\n\
         echo \"RESULT $?\"\ncat /run/said\n",
        test.display()
    )
}

/// The round, in the guest.
fn round() -> Option<u32> {
    std::env::var(ROUND).ok()?.parse().ok()
}

/// The host in the guest.
struct Inside {
    child: Child,
}

impl Inside {
    fn start() -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open("/run/said")
            .expect("a log");
        let child = Command::new(data::binary())
            .args(["serve", "--tls", "off", "--http", "127.0.0.1:8080", "--data-dir"])
            .arg(Self::data())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("redhold");
        let mut host = Self { child };
        eventually("the host answers", STARTS, || {
            if let Ok(Some(status)) = host.child.try_wait() {
                let said = std::fs::read_to_string("/run/said").unwrap_or_default();
                panic!("the host ended with {status}:\n{said}");
            }
            host.ask("GET", "/host", &Value::Null)
        });
        host
    }

    fn data() -> PathBuf {
        Path::new(DISK).join("host")
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("collected");
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Result<Answer, String> {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        client::unix(
            &Self::data().join("run/api.sock"),
            method,
            &format!("/api/v1{path}"),
            &[],
            body,
        )
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let answer = self.request(method, path, body)?;
        if (200..300).contains(&answer.status) {
            Ok(answer.json())
        } else {
            Err(format!("{}: {}", answer.status, answer.text()))
        }
    }

    /// Makes an instance that does not run, with flows that have its name in them.
    fn create(&self, name: &str) -> Result<Value, String> {
        let flows = json!([{ "id": name, "type": "tab", "label": name }]);
        let new = json!({ "name": name, "start": false, "flows": flows, "settings": { "limits": { "diskMib": 0 } } });
        self.ask("POST", "/instances", &new)
    }

    /// Writes a number into the settings of an instance.
    fn set(&self, name: &str, number: u64) -> Result<Value, String> {
        let changes = json!({ "settings": { "env": { "N": number.to_string() } } });
        self.ask("PATCH", &format!("/instances/{name}"), &changes)
    }

    /// The number that an instance has, 0 for none.
    fn number(view: &Value) -> u64 {
        let text = view["settings"]["env"]["N"].as_str().unwrap_or("0");
        text.parse().expect("a number")
    }
}
