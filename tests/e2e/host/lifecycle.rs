//! Everything that can be done to an instance, and in which order.

use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};
use test_support::skip::skipped;

use super::{endpoint, hello};

#[test]
fn an_instance_from_its_creation_to_its_end() {
    let host = Host::start();
    let id = host.create("pump", &hello(), &json!({ "env": { "WHO": "world" } }));
    let answer = host.get("pump", "/run").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello world"));
    assert!(answer.header("x-request-id").is_some());

    // A stop ends it, and what is asked meanwhile is told so.
    host.act("pump", "stop");
    host.wait("pump", "stopped");
    let answer = host.get("pump", "/run").expect("an answer");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("stopped"), "{}", answer.text());
    host.act("pump", "start");
    host.wait("pump", "running");

    // A request that comes while it starts again waits instead of failing.
    host.act("pump", "restart");
    let answer = host.get("pump", "/run").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello world"));

    // Suspended it keeps its process, and gets no processor time.
    let pid = host.view("pump")["observed"]["pid"].clone();
    host.act("pump", "suspend");
    let view = host.wait("pump", "suspended");
    assert_eq!(view["observed"]["pid"], pid);
    assert_eq!(host.get("pump", "/run").expect("an answer").status, 503);
    host.act("pump", "resume");
    host.wait("pump", "running");
    assert_eq!(host.get("pump", "/run").expect("an answer").status, 200);

    // Settings: what holds at once, and what after a restart.
    let changes = json!({ "settings": { "limits": { "memoryMib": 300, "tasks": 300 } } });
    let view = host.ask("PATCH", "/instances/pump", &changes).expect("changed");
    assert_eq!(view["observed"]["restartNeeded"], false);
    let walls = view["observed"]["walls"].as_array().expect("walls").clone();
    let memory = walls
        .iter()
        .find(|wall| wall["name"] == "memory")
        .expect("memory");
    assert!(
        memory["detail"].as_str().expect("a text").starts_with("300 MiB"),
        "{memory}"
    );
    assert_eq!(view["observed"]["pid"], pid);
    let changes =
        json!({ "settings": { "env": { "WHO": "moon", "KEY": { "hidden": true, "value": "s3cret" } } } });
    let view = host.ask("PATCH", "/instances/pump", &changes).expect("changed");
    assert_eq!(view["observed"]["restartNeeded"], true);
    assert_eq!(view["settings"]["env"]["KEY"], json!({ "hidden": true }));
    host.act("pump", "restart");
    host.until("pump", "restarted", |view| {
        view["observed"]["state"] == "running" && view["observed"]["restartNeeded"] == false
    });
    assert_eq!(host.get("pump", "/run").expect("an answer").text(), "hello moon");

    // A new name is a new address.
    host.ask("PATCH", "/instances/pump", &json!({ "name": "motor" }))
        .expect("renamed");
    eventually("the new address", SOON, || {
        match host.get("motor", "/run")?.status {
            200 => Ok(()),
            status => Err(status.to_string()),
        }
    });
    assert_eq!(host.get("pump", "/run").expect("an answer").status, 404);

    // A copy has what was asked for.
    let wish = json!({ "name": "copy", "env": "none", "start": true });
    host.ask("POST", "/instances/motor/copy", &wish).expect("copied");
    let copy = host.wait("copy", "running");
    assert_eq!(copy["settings"]["env"], json!({}));
    assert_eq!(
        host.get("copy", "/run").expect("an answer").text(),
        "hello undefined"
    );

    // Deleted it can be brought back; deleted for good nothing is left.
    host.ask("DELETE", "/instances/motor", &Value::Null)
        .expect("deleted");
    host.wait("motor", "stopped");
    assert!(
        host.ask("POST", "/instances/motor/actions/start", &Value::Null)
            .is_err()
    );
    host.act("motor", "undelete");
    host.act("motor", "start");
    host.wait("motor", "running");
    host.ask("DELETE", "/instances/motor?now=true", &Value::Null)
        .expect("deleted");
    let folder = host.data().join("instances").join(&id);
    eventually("its files are gone", SOON, || {
        if folder.exists() { Err("there") } else { Ok(()) }
    });
    eventually("its record is gone", SOON, || {
        match host.request("GET", "/instances/motor", &[], &Value::Null)?.status {
            404 => Ok(()),
            status => Err(status.to_string()),
        }
    });

    // Who did what is known, without the secret.
    let audit = host
        .ask("GET", "/audit?limit=1000", &Value::Null)
        .expect("the audit log");
    let actions: Vec<&str> = audit["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .collect();
    for action in [
        "instance.create",
        "instance.stop",
        "instance.copy",
        "instance.delete",
        "instance.undelete",
    ] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    assert!(!audit.to_string().contains("s3cret"));
    assert!(!host.said().contains("s3cret"));
    let export = host
        .request("GET", "/export", &[], &Value::Null)
        .expect("an export")
        .text();
    assert!(export.contains("\"copy\"") && !export.contains("s3cret"));
}

#[test]
fn wishes_that_do_not_fit_change_nothing() {
    let host = Host::start();
    let new = |name: &str| json!({ "name": name, "start": false });
    host.ask("POST", "/instances", &new("a")).expect("created");
    for (method, path, body, status, said) in [
        ("POST", "/instances", new("A b"), 422, "a-z"),
        ("POST", "/instances", new("api"), 422, "means something else"),
        ("POST", "/instances", new("a"), 409, "taken"),
        ("POST", "/instances", json!({ "nam": "x" }), 422, "nam"),
        (
            "POST",
            "/instances",
            json!({ "name": "x", "flows": "text" }),
            422,
            "no flows",
        ),
        (
            "POST",
            "/instances",
            json!({ "name": "x", "stack": "node-red-1" }),
            422,
            "node-red-1",
        ),
        (
            "PATCH",
            "/instances/a",
            json!({ "settings": { "limits": { "memoryMib": 5 } } }),
            422,
            "96",
        ),
        (
            "PATCH",
            "/instances/a",
            json!({ "settings": { "colour": "red" } }),
            422,
            "colour",
        ),
        (
            "PATCH",
            "/instances/a",
            json!({ "settings": { "env": { "NODE_OPTIONS": "x" } } }),
            422,
            "NODE_OPTIONS",
        ),
        (
            "POST",
            "/instances/a/actions/suspend",
            Value::Null,
            409,
            "does not run",
        ),
        (
            "POST",
            "/instances/a/actions/resume",
            Value::Null,
            409,
            "not suspended",
        ),
        (
            "POST",
            "/instances/a/actions/undelete",
            Value::Null,
            409,
            "not deleted",
        ),
        ("POST", "/instances/a/actions/fly", Value::Null, 404, "fly"),
        ("GET", "/instances/b", Value::Null, 404, "no instance `b`"),
        ("GET", "/instances/a/logs?after=x", Value::Null, 422, "cursor"),
        ("GET", "/instances/a/logs?level=loud", Value::Null, 422, "loud"),
        ("GET", "/nowhere", Value::Null, 404, "nothing"),
    ] {
        let answer = host.request(method, path, &[], &body).expect("an answer");
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        assert!(answer.text().contains(said), "{said} in {}", answer.text());
    }
    let all = host.ask("GET", "/instances", &Value::Null).expect("a list");
    assert_eq!(all.as_array().map(Vec::len), Some(1));

    // Two who change the same thing: the second is told.
    let first = host
        .request("GET", "/instances/a", &[], &Value::Null)
        .expect("an answer");
    let tag = first.header("etag").expect("an ETag").to_owned();
    let change = |limit: u32| json!({ "settings": { "limits": { "tasks": limit } } });
    let with = |limit| {
        host.request("PATCH", "/instances/a", &[("if-match", &tag)], &change(limit))
            .expect("an answer")
    };
    assert_eq!(with(100).status, 200);
    assert_eq!(with(200).status, 409);

    // A create that is repeated makes one instance.
    let key = [("idempotency-key", "once-1")];
    let one = host
        .request("POST", "/instances", &key, &new("once"))
        .expect("an answer")
        .json();
    let two = host
        .request("POST", "/instances", &key, &new("once"))
        .expect("an answer")
        .json();
    assert_eq!(one["id"], two["id"]);
}

#[test]
fn starts_wait_for_their_turn() {
    let host = Host::prepared(&["--tls", "off"]);
    let config = host.data().join("redhold.toml");
    std::fs::write(&config, "starts-at-once = 1").expect("a configuration");
    drop(host);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("redhold.toml");
    std::fs::write(&config, "starts-at-once = 1").expect("a configuration");
    let host = Host::with(&["--tls", "off", "--config", &config.to_string_lossy()]);
    for name in ["a", "b", "c"] {
        let slow = endpoint("return msg");
        let new = json!({ "name": name, "flows": slow });
        host.ask("POST", "/instances", &new).expect("created");
    }
    // While the first starts, the last is behind the second.
    eventually("the line", SOON, || {
        let all = host.ask("GET", "/instances", &Value::Null)?;
        let place = |number: usize| all[number]["observed"]["placeInQueue"].clone();
        if place(1) == 1 && place(2) == 2 {
            Ok(())
        } else {
            Err(all.to_string())
        }
    });
    for name in ["a", "b", "c"] {
        host.wait(name, "running");
    }
}

#[test]
fn what_cannot_be_frozen_is_not_said_to_be() {
    const TEST: &str = "host::lifecycle::what_cannot_be_frozen_is_not_said_to_be";
    let mut host = Host::start();
    let id = host.create("pump", &hello(), &json!({}));
    let record = host.record(&id).expect("a record");
    let groups = record["cgroups"].as_array().expect("groups").iter();
    let files = groups.filter_map(|group| Some(Path::new(group.as_str()?).join("cgroup.freeze")));
    let Some(file) = files.into_iter().find(|file| file.exists()) else {
        return skipped(TEST, "cgroup v2");
    };
    // The kernel refuses to write there from now on.
    let none: Option<&str> = None;
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let mounted = mount(Some(&file), &file, none, MsFlags::MS_BIND, none)
        .and_then(|()| mount(none, &file, none, read_only, none));
    if mounted.is_err() {
        return skipped(TEST, "the right to mount");
    }
    let refused = host.ask("POST", "/instances/pump/actions/suspend", &json!(null));
    let after = host.view("pump");
    host.kill();
    host.run();
    let later = host.wait("pump", "running");
    umount2(&file, MntFlags::MNT_DETACH).expect("unmounted");
    let refused = refused.expect_err("a refusal");
    assert!(
        refused.contains("could not be suspended, and runs on"),
        "{refused}"
    );
    for view in [after, later] {
        assert_eq!(view["desired"], "running");
        assert_eq!(view["observed"]["state"], "running");
    }
    host.wait_event("pump", "resumed: cannot be suspended");
    assert_eq!(host.get("pump", "/run").expect("an answer").status, 200);
    host.act("pump", "suspend");
    host.wait("pump", "suspended");
    host.act("pump", "resume");
}
