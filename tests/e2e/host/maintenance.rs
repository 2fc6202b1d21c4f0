//! Maintenance windows: a restart, an upgrade, and an upgrade that goes wrong and is undone.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use test_support::eventually::{eventually, let_pass};
use test_support::host::{Host, SOON};

use super::hello;

/// The window that is open now, in UTC; waits for the next hour when this one is nearly over.
fn open_window(action: &str) -> Value {
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.expect("after 1970").as_secs()
    };
    while now() % 3600 > 3500 {
        let_pass(Duration::from_secs(1));
    }
    let day = [
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "monday",
        "tuesday",
        "wednesday",
    ];
    let today = day[usize::try_from(now() / 86_400 % 7).expect("a day")];
    json!({ today: { "hour": now() / 3600 % 24, "action": action } })
}

#[test]
fn a_restart_happens_once_and_nobody_is_named_for_it() {
    let mut host = Host::start();
    let id = host.create(
        "pump",
        &hello(),
        &json!({ "maintenance": open_window("restart") }),
    );
    host.create("still", &hello(), &json!({}));
    host.wait_event("pump", "maintenance: is restarted, in its maintenance window");
    host.until("pump", "a second start", |view| {
        view["observed"]["starts"] == 2 && view["observed"]["state"] == "running"
    });
    let record = host.record(&id).expect("a record");
    // Not once more, also by a new supervisor.
    host.kill();
    host.run();
    host.wait("pump", "running");
    let_pass(Duration::from_secs(12));
    assert_eq!(host.record(&id).expect("a record"), record);
    assert_eq!(host.view("still")["observed"]["starts"], 0, "it was taken over");
    let audit = host
        .ask("GET", "/audit?limit=1000", &Value::Null)
        .expect("entries");
    let entries = audit["entries"].as_array().expect("entries");
    let by = |entry: &&Value| entry["by"]["kind"] == "maintenance" && entry["action"] == "instance.restart";
    assert_eq!(entries.iter().filter(by).count(), 1);
    // One who is stopped stays so.
    let new = json!({ "name": "off", "flows": hello(), "start": false,
        "settings": { "maintenance": open_window("restart") } });
    host.ask("POST", "/instances", &new).expect("created");
    host.wait_event("off", "maintenance: nothing was done");
    assert_eq!(host.view("off")["observed"]["state"], "stopped");
}

#[test]
fn an_upgrade_that_goes_wrong_is_undone() {
    let host = Host::start();
    let create = |name: &str, flows: &Value, start: bool| {
        let new = json!({ "name": name, "stack": "node-red-4.1", "flows": flows, "start": start });
        let view = host.ask("POST", "/instances", &new).expect("created");
        view["id"].as_str().expect("an id").to_owned()
    };
    create("good", &hello(), true);
    // A node that was made for one version only, as many are.
    let mut flows = hello();
    let old = json!({ "id": "o", "type": "old", "z": "tab", "wires": [[]] });
    flows.as_array_mut().expect("nodes").push(old);
    let id = create("bad", &flows, false);
    let nodes = host.data().join("instances").join(&id).join("data/nodes");
    fs::create_dir(&nodes).expect("a folder");
    let code = "module.exports = (RED) => RED.nodes.registerType('old', function (config) { \
                RED.nodes.createNode(this, config); \
                if (!RED.version().startsWith('4.')) setTimeout(() => { throw new Error('made for Node-RED 4') }, 300) })";
    fs::write(nodes.join("old.js"), code).expect("a node");
    let page = "<script>RED.nodes.registerType('old', { defaults: {} })</script>";
    fs::write(nodes.join("old.html"), page).expect("its page");
    host.act("bad", "start");
    for name in ["good", "bad"] {
        host.wait(name, "running");
        assert_eq!(host.view(name)["stack"], "node-red-4.1");
        let change = json!({ "settings": { "maintenance": open_window("upgrade") } });
        host.ask("PATCH", &format!("/instances/{name}"), &change)
            .expect("changed");
    }
    host.wait_event("bad", "maintenance: is upgraded from node-red-4.1 to node-red-5");
    let undone = eventually("it is undone", SOON * 6, || {
        let events = host.events("bad");
        let found = events
            .iter()
            .find(|event| event.contains("is undone, and node-red-4.1 put back"));
        found.cloned().ok_or(events)
    });
    assert!(undone.contains("ended with exit code"), "{undone}");
    host.until("bad", "it runs as before", |view| {
        view["stack"] == "node-red-4.1"
            && view["observed"]["state"] == "running"
            && view["observed"]["restartNeeded"] == false
            && view["observed"]["health"]["flows"] == true
    });
    assert_eq!(host.get("bad", "/run").expect("an answer").status, 200);
    eventually("the other is taken", SOON * 4, || {
        let events = host.events("good");
        let taken = events
            .iter()
            .any(|event| event.contains("the upgrade to node-red-5 went well"));
        taken.then_some(()).ok_or(events)
    });
    assert_eq!(host.view("good")["stack"], "node-red-5");
    assert_eq!(host.get("good", "/run").expect("an answer").status, 200);
}
