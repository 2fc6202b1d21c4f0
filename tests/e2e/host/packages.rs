//! Packages are installed before a start and for the editor, by an npm whose memory is not the instance's.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::eventually::{eventually, let_pass};
use test_support::host::{Host, SOON};
use test_support::package::{Package, Packed};
use test_support::registry::Registry;
use test_support::world::{self, can, left};

use super::{endpoint, hello};

/// A package of one node type `meter`, which sets the payload to its version.
pub(super) fn meter(version: &str) -> Packed {
    let manifest = json!({ "name": "node-red-meter", "version": version,
        "node-red": { "nodes": { "meter": "meter.js" } } });
    let code = format!(
        "module.exports = (RED) => RED.nodes.registerType('meter', function (config) {{ \
         RED.nodes.createNode(this, config); \
         this.on('input', (msg, send) => {{ msg.payload = '{version}'; send(msg) }}) }})"
    );
    Package::new("node-red-meter", version)
        .file("package.json", manifest.to_string().as_bytes())
        .file("meter.js", code.as_bytes())
        .file(
            "meter.html",
            b"<script>RED.nodes.registerType('meter', { defaults: {} })</script>",
        )
        .pack()
}

/// An endpoint that answers with the version of the meter.
fn metered() -> Value {
    let mut flows = endpoint("return msg");
    for node in flows.as_array_mut().expect("nodes") {
        if node["id"] == "f" {
            node["wires"] = json!([["m"]]);
        }
    }
    let meter = json!({ "id": "m", "type": "meter", "z": "tab", "wires": [["out"]] });
    flows.as_array_mut().expect("nodes").push(meter);
    flows
}

/// Settings with which npm asks this registry, and gives up at once.
pub(super) fn settings(registry: &Registry, packages: &Value) -> Value {
    json!({
        "palette": { "packages": packages },
        "env": {
            "npm_config_registry": registry.url(),
            "npm_config_noproxy": "127.0.0.1",
            "npm_config_fetch_retries": "0",
        },
    })
}

/// The newest event of a kind.
pub(super) fn newest(host: &Host, name: &str, kind: &str) -> Option<Value> {
    let page = host
        .ask("GET", &format!("/instances/{name}/events"), &Value::Null)
        .ok()?;
    let events = page["events"].as_array()?.clone();
    events.into_iter().rev().find(|event| event["kind"] == kind)
}

/// Asks an instance's editor for a package.
pub(super) fn install(host: &Host, name: &str, module: &str) -> Result<Value, String> {
    let token = host.token();
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
    ];
    let wish = json!({ "module": module }).to_string().into_bytes();
    let answer = host.call(name, "POST", "/nodes", &headers, wish)?;
    if answer.status == 200 {
        Ok(answer.json())
    } else {
        Err(format!("{}: {}", answer.status, answer.text()))
    }
}

/// Its bill of materials names the stack and what npm installed, in both standards.
fn made_of(host: &Host) {
    let bom = |format: &str| {
        let text = host.does(&["instance", "bom", "pump", "--format", format]);
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let cyclonedx = bom("cyclonedx");
    assert_eq!(cyclonedx["specVersion"], "1.6");
    assert_eq!(bom("cyclonedx")["serialNumber"], cyclonedx["serialNumber"]);
    let named = |name: &str| {
        let all = cyclonedx["components"].as_array().expect("a list");
        let one = all.iter().find(|one| one["name"] == name);
        one.unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!(named("node-red-meter")["version"], "2.0.0");
    assert_eq!(named("node-red-meter")["hashes"][0]["alg"], "SHA-512");
    assert_eq!(named("node-red")["hashes"][0]["alg"], "SHA-512");
    let spdx = bom("spdx");
    assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
    assert_eq!(
        spdx["packages"].as_array().map_or(0, Vec::len),
        cyclonedx["components"].as_array().map_or(0, Vec::len) + 1
    );
}

#[test]
fn what_the_settings_name_is_there_when_it_starts() {
    let registry = Registry::start();
    registry.publish(&meter("1.0.0"));
    let host = Host::start();
    let id = host.create(
        "pump",
        &metered(),
        &settings(&registry, &json!({ "node-red-meter": "^1.0.0" })),
    );
    host.wait_event("pump", "installed: installed node-red-meter with npm");
    assert_eq!(host.get("pump", "/run").expect("an answer").text(), "1.0.0");
    let errand = host.data().join("instances").join(&id).join("job");
    assert!(!errand.join("run.json").exists() && !errand.join("log").exists());

    // What is there already is not asked for again.
    registry.forget();
    host.act("pump", "restart");
    eventually("a second start", SOON, || {
        let starts = host.view("pump")["observed"]["starts"].clone();
        (starts == 2).then_some(()).ok_or(starts)
    });
    host.wait("pump", "running");
    assert_eq!(registry.requests().len(), 0);

    // Another range is another version.
    registry.publish(&meter("2.0.0"));
    let change = json!({ "settings": { "palette": { "packages": { "node-red-meter": "2" } } } });
    host.ask("PATCH", "/instances/pump", &change).expect("changed");
    host.act("pump", "restart");
    eventually("the new version", SOON * 2, || match host.get("pump", "/run") {
        Ok(answer) if answer.text() == "2.0.0" => Ok(()),
        other => Err(format!("{other:?}")),
    });

    made_of(&host);

    // One that does not exist stops nothing, and npm's own words are kept.
    let change = json!({ "settings": { "palette": { "packages": { "node-red-absent": "1" } } } });
    host.ask("PATCH", "/instances/pump", &change).expect("changed");
    host.act("pump", "restart");
    host.wait_event("pump", "install-failed: npm could not install node-red-absent");
    let failed = newest(&host, "pump", "install-failed").expect("an event");
    assert!(failed["detail"]["npm"].to_string().contains("E404"), "{failed}");
    eventually("it runs all the same", SOON * 2, || {
        match host.get("pump", "/run") {
            Ok(answer) if answer.text() == "2.0.0" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn a_small_instance_installs_through_its_editor() {
    let host = Host::start();
    let small = json!({ "limits": { "memoryMib": 150 } });
    let id = host.create("pump", &hello(), &small);
    let record = host.record(&id).expect("a record");
    let peak = |host: &Host| {
        host.ask("GET", "/instances/pump/stats", &Value::Null)
            .expect("figures")["memoryPeakBytes"]
            .as_u64()
    };
    let before = peak(&host);
    let installed = install(&host, "pump", "node-red-node-random").expect("installed");
    assert_eq!(installed["name"], "node-red-node-random", "{installed}");
    let after = peak(&host);
    let event = newest(&host, "pump", "installed").expect("an event");
    if let (Some(before), Some(after), Some(npm)) =
        (before, after, event["detail"]["memoryPeakBytes"].as_u64())
    {
        assert!(
            after - before < npm / 2,
            "{before} grew to {after} while npm took {npm}"
        );
    }
    let text = event["text"].as_str().unwrap_or_default();
    assert_eq!(text, "installed node-red-node-random with npm");

    // Its nodes work at once, in the same process.
    let mut flows = endpoint("return msg");
    let nodes = flows.as_array_mut().expect("nodes");
    for node in nodes.iter_mut() {
        if node["id"] == "f" {
            node["wires"] = json!([["r"]]);
        }
    }
    nodes.push(
        json!({ "id": "r", "type": "random", "z": "tab", "low": 7, "high": 7, "inte": "true",
        "property": "payload", "wires": [["out"]] }),
    );
    host.deploy("pump", &flows);
    eventually("a number", SOON, || match host.get("pump", "/run") {
        Ok(answer) if answer.text() == "7" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(host.record(&id).expect("a record"), record, "it never went down");

    // What does not exist is told as Node-RED tells it, and removing goes the same way.
    let absent = install(&host, "pump", "node-red-contrib-redhold-absent").expect_err("a refusal");
    assert!(absent.starts_with("404"), "{absent}");
    host.wait_event(
        "pump",
        "install-failed: npm could not install node-red-contrib-redhold-absent",
    );
    let token = host.token();
    let headers = [("authorization", token.as_str())];
    host.deploy("pump", &hello());
    let gone = host
        .call(
            "pump",
            "DELETE",
            "/nodes/node-red-node-random",
            &headers,
            Vec::new(),
        )
        .expect("an answer");
    assert_eq!(gone.status, 204, "{}", gone.text());
    host.wait_event("pump", "installed: removed node-red-node-random with npm");
    let events = host.events("pump");
    assert!(
        !events.iter().any(|event| event.starts_with("out-of-memory")),
        "{events:?}"
    );
}

#[test]
fn modules_of_function_nodes_and_questions_about_versions_go_the_same_way() {
    let registry = Registry::start();
    let words = Package::new("words", "1.0.0").file("index.js", b"module.exports = 'from a module'");
    registry.publish(&words.pack());
    registry.publish(&meter("1.0.0"));
    let host = Host::start();
    let mut flows = endpoint("msg.payload = words; return msg");
    for node in flows.as_array_mut().expect("nodes") {
        if node["id"] == "f" {
            node["libs"] = json!([{ "var": "words", "module": "words" }]);
        }
    }
    let mut settings = settings(&registry, &json!({}));
    settings["limits"] = json!({ "memoryMib": 150 });
    settings["palette"]["denyList"] = json!(["node-red-bad*"]);
    host.create("pump", &flows, &settings);
    host.wait_event("pump", "installed: installed words with npm");
    eventually("the module works", SOON, || match host.get("pump", "/run") {
        Ok(answer) if answer.text() == "from a module" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // With a list of what is denied Node-RED asks for the version first.
    let installed = install(&host, "pump", "node-red-meter").expect("installed");
    assert_eq!(installed["version"], "1.0.0");
    let denied = install(&host, "pump", "node-red-bad").expect_err("a refusal");
    assert!(denied.starts_with('4'), "{denied}");
}

#[test]
fn an_isolated_instance_installs_while_it_runs() {
    if !can("an_isolated_instance_installs_while_it_runs") {
        return;
    }
    world::world();
    let registry = Registry::start();
    registry.publish(&meter("1.0.0"));
    let host = Host::start();
    let mut settings = settings(&registry, &json!({}));
    // npm reaches the gate alone, whatever the instance itself may reach: the registry is out of reach for both.
    settings["network"] = json!({ "mode": "isolated", "allow": [] });
    host.create("pump", &hello(), &settings);
    let installed = install(&host, "pump", "node-red-meter").expect("installed");
    assert_eq!(installed["version"], "1.0.0");
    host.act("pump", "stop");
    host.wait("pump", "stopped");
    assert_eq!(left(), "");
}

#[test]
fn killed_while_npm_runs_nothing_is_left_in_the_way() {
    let registry = Registry::start();
    registry.publish(&meter("1.0.0"));
    // An archive that comes this slowly is never whole in time.
    registry.slow(Duration::from_secs(3600));
    let mut host = Host::start();
    // What is vetted is fetched before npm runs.
    host.policy("gate = \"off\"");
    let wish = json!({ "name": "pump", "flows": metered(),
        "settings": settings(&registry, &json!({ "node-red-meter": "1" })) });
    let view = host.ask("POST", "/instances", &wish).expect("created");
    let id = view["id"].as_str().expect("an id").to_owned();
    let run = host.data().join("instances").join(&id).join("job/run.json");
    let runs = || run.exists().then_some(()).ok_or("no npm");
    eventually("npm runs", SOON, runs);
    let first = std::fs::read(&run).expect("a record");
    host.kill();
    // It goes on without a supervisor; the next one ends it and begins anew.
    assert!(run.exists());
    registry.slow(Duration::ZERO);
    host.run();
    host.wait("pump", "running");
    assert_eq!(host.get("pump", "/run").expect("an answer").text(), "1.0.0");
    let first: Value = serde_json::from_slice(&first).expect("a record");
    let npm = first["init"]["pid"].as_i64().expect("a process");
    assert!(!std::path::Path::new(&format!("/proc/{npm}")).exists());
    assert!(!run.exists());

    // The same while its editor waits: the request is said again, and answered.
    registry.slow(Duration::from_secs(3600));
    registry.publish(&meter("1.0.1"));
    std::thread::scope(|scope| {
        let (port, token) = (host.port(), host.token());
        scope.spawn(move || {
            let name = format!("pump.localhost:{port}");
            let headers = [
                ("host", name.as_str()),
                ("authorization", token.as_str()),
                ("content-type", "application/json"),
            ];
            let wish = json!({ "module": "node-red-meter", "version": "1.0.1" }).to_string();
            // Its front dies with the supervisor; the editor's request does not.
            let _ = test_support::client::request(
                "POST",
                &format!("http://127.0.0.1:{port}/nodes"),
                &headers,
                wish.into_bytes(),
            );
        });
        eventually("npm runs", SOON, runs);
        host.kill();
    });
    registry.slow(Duration::ZERO);
    // However long nobody is there: Node-RED says so in its log, and waits.
    let log = host.data().join("instances").join(&id).join("logs/node-red.log");
    eventually("it waits", SOON, || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        said.contains("npm waits: the supervisor of this host is away")
            .then_some(())
            .ok_or(said)
    });
    let_pass(Duration::from_secs(30));
    host.run();
    host.wait_event("pump", "installed: installed node-red-meter@1.0.1 with npm");

    // A person who does not want to wait for npm ends it.
    registry.slow(Duration::from_secs(3600));
    let change = json!({ "settings": { "palette": { "packages": { "node-red-absent": "1" } } } });
    host.ask("PATCH", "/instances/pump", &change).expect("changed");
    registry.publish(&Package::new("node-red-absent", "1.0.0").pack());
    host.act("pump", "restart");
    eventually("npm runs", SOON, runs);
    host.act("pump", "stop");
    host.wait("pump", "stopped");
    assert!(!run.exists());
    host.wait_event("pump", "stopped: it was stopped before Node-RED ran");

    // So does one who wants it gone.
    host.act("pump", "start");
    eventually("npm runs", SOON, runs);
    let folder = host.data().join("instances").join(&id);
    host.does(&["instance", "delete", "pump", "--now"]);
    eventually("nothing is left", SOON, || {
        (!folder.exists()).then_some(()).ok_or("its folder is there")
    });
}
