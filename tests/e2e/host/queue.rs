//! Who may start at once: whoever waits for something else stands in nobody's way.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use test_support::data;
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};

use super::hello;

/// A folder with all that is in it, without its bytes where the disk can do that.
fn copy(from: &Path, into: &Path) {
    let cp = |how: &str| {
        Command::new("cp")
            .args(["--archive", how])
            .args([from, into])
            .status()
    };
    let copied = ["--link", "--force"]
        .iter()
        .any(|how| cp(how).is_ok_and(|status| status.success()));
    assert!(copied, "{} could not be copied", from.display());
}

#[test]
fn a_stack_that_is_being_fetched_holds_up_no_other_start() {
    // A registry that takes every connection and never says a word.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let address = silent.local_addr().expect("an address");
    let configuration = tempfile::NamedTempFile::new().expect("a file");
    fs::write(configuration.path(), "starts-at-once = 1\n").expect("written");
    let path = configuration.path().display().to_string();
    let mut host = Host::prepared(&["--tls", "off", "--config", &path]);
    // Stacks of its own: only the default one is here, whatever else was fetched on this machine.
    for bucket in ["stacks-v1", "blobs-v1"] {
        let own = host.data().join(bucket);
        fs::remove_file(&own).expect("a link");
        fs::create_dir(&own).expect("a folder");
    }
    let shared = data::shared().join("stacks-v1");
    for entry in fs::read_dir(&shared).expect("stacks").flatten() {
        if entry.file_name().to_string_lossy().starts_with("node-red-5") {
            copy(&entry.path(), &host.data().join("stacks-v1"));
        }
    }
    host.env("npm_config_registry", &format!("http://{address}/"));
    host.env("npm_config_noproxy", "127.0.0.1");
    host.run();
    let far = json!({ "name": "far", "stack": "node-red-4.1", "flows": hello() });
    host.ask("POST", "/instances", &far).expect("created");
    let (asked, _) = eventually("the registry is asked", SOON, || silent.accept());
    // It would have to wait for ever otherwise.
    host.create("near", &hello(), &json!({}));
    assert_eq!(host.get("near", "/run").expect("an answer").status, 200);
    assert_eq!(host.view("far")["observed"]["state"], "starting");
    // And who waits there can be told to leave.
    host.act("far", "stop");
    host.wait("far", "stopped");
    assert!(
        !host
            .events("far")
            .iter()
            .any(|event| event.starts_with("start-failed"))
    );
    assert_eq!(host.view("near")["observed"]["placeInQueue"], Value::Null);
    drop(asked);
}
