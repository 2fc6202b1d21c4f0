//! What flows and packages do beyond what was vetted is seen, and refused where that is wished.

use serde_json::{Value, json};
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};
use test_support::world::{self, can};

use super::endpoint;

/// An endpoint that starts Node.js `times` times and answers with how the last one ended.
fn starting(times: u32) -> Value {
    let code = format!(
        "let r; for (let n = 0; n < {times}; n++) r = cp.spawnSync(process.execPath, ['-e', '0']); \
         msg.payload = r.error ? r.error.code : String(r.status); return msg"
    );
    let mut flows = endpoint(&code);
    flows[2]["libs"] = json!([
        { "var": "cp", "module": "child_process" },
        { "var": "process", "module": "process" },
    ]);
    flows
}

fn answer(host: &Host, name: &str) -> String {
    host.get(name, "/run").expect("an answer").text()
}

fn wall(host: &Host, name: &str) -> String {
    let view = host.view(name);
    let walls = view["observed"]["walls"].as_array().cloned().unwrap_or_default();
    let wall = walls.iter().find(|wall| wall["name"] == "capabilities");
    wall.map(Value::to_string).unwrap_or_default()
}

/// The details of its attempts, oldest first.
fn attempts(host: &Host, name: &str) -> Vec<Value> {
    let place = format!("/instances/{name}/events?limit=1000");
    let page = host.ask("GET", &place, &Value::Null).expect("events");
    let events = page["events"].as_array().cloned().unwrap_or_default();
    let of = |event: &Value| (event["kind"] == "attempted").then(|| event["detail"].clone());
    events.iter().filter_map(of).collect()
}

#[test]
fn a_program_that_a_flow_starts_is_an_event_then_refused_then_allowed() {
    let host = Host::start();
    host.create("pump", &starting(1), &json!({}));
    assert!(
        wall(&host, "pump").contains("starts no program"),
        "{}",
        wall(&host, "pump")
    );
    assert_eq!(
        attempts(&host, "pump"),
        [Value::Null; 0],
        "Node-RED itself needs nothing"
    );

    // Observed, which is the default: it is let through, and named with whose code it was.
    assert_eq!(answer(&host, "pump"), "0");
    let event = host.wait_event("pump", "attempted: ");
    for part in [
        "/node/bin/node",
        "function node:",
        "let through",
        "proc.spawn{node}",
    ] {
        assert!(event.contains(part), "{part} in {event}");
    }
    let said = host.does(&["events", "pump"]);
    assert!(
        said.contains("attempted") && said.contains("/node/bin/node"),
        "{said}"
    );

    // Enforced: the flow gets the error that a kernel gives.
    host.does(&["instance", "set", "pump", "capabilities.mode=enforce"]);
    assert_eq!(host.view("pump")["observed"]["restartNeeded"], true);
    host.act("pump", "restart");
    host.until("pump", "enforcing", |view| {
        view["observed"]["state"] == "running" && view["observed"]["restartNeeded"] == false
    });
    assert_eq!(answer(&host, "pump"), "EPERM");
    eventually("the refusal is an event", SOON, || {
        let all = attempts(&host, "pump");
        let refused = all.iter().any(|one| one["attempt"]["refused"] == true);
        refused.then_some(()).ok_or(all)
    });

    // Allowed by the name that the event gives.
    host.does(&["instance", "allow", "pump", "proc.spawn{node}"]);
    host.act("pump", "restart");
    host.until("pump", "allowing", |view| {
        view["observed"]["state"] == "running" && view["observed"]["restartNeeded"] == false
    });
    assert!(
        wall(&host, "pump").contains("starts node (settings)"),
        "{}",
        wall(&host, "pump")
    );
    let before = attempts(&host, "pump").len();
    assert_eq!(answer(&host, "pump"), "0");
    assert_eq!(attempts(&host, "pump").len(), before);

    let refused = host.cli(&["instance", "allow", "pump", "proc.spwan{node}"]);
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.contains("capabilities.allow[1]") && refused.contains("proc.spawn"),
        "{refused}"
    );
}

#[test]
fn an_exec_node_is_named_and_a_flood_stays_a_handful_of_events() {
    let host = Host::start();
    let mut flows = starting(150);
    let nodes = flows.as_array_mut().expect("nodes");
    nodes.push(json!({ "id": "tick", "type": "inject", "z": "tab", "once": true, "onceDelay": "0.1", "wires": [["ex"]] }));
    nodes.push(json!({ "id": "ex", "type": "exec", "z": "tab", "command": "uname -a", "addpay": "", "wires": [[], [], []] }));
    host.create("pump", &flows, &json!({ "capabilities": { "mode": "enforce" } }));
    let event = host.wait_event("pump", "attempted: tried to start /bin/sh");
    assert!(
        event.contains("90-exec.js") && event.contains("was refused"),
        "{event}"
    );
    for _ in 0..2 {
        assert_eq!(answer(&host, "pump"), "EPERM");
    }
    let of_node = |host: &Host| -> Vec<u64> {
        let all = attempts(host, "pump");
        let node = all
            .iter()
            .filter(|one| one["attempt"]["name"] == "/node/bin/node");
        node.filter_map(|one| one["attempt"]["count"].as_u64()).collect()
    };
    eventually("the flood is told", SOON, || {
        let counts = of_node(&host);
        (counts == [1, 10, 100]).then_some(()).ok_or(counts)
    });
    // All of it is told in the end.
    host.act("pump", "stop");
    host.wait("pump", "stopped");
    assert_eq!(of_node(&host), [1, 10, 100, 300]);
}

#[test]
fn what_is_tried_while_no_supervisor_lives_is_told_once_by_the_next() {
    let mut host = Host::start();
    let mut flows = starting(1);
    let nodes = flows.as_array_mut().expect("nodes");
    let libs = nodes[2]["libs"].clone();
    // Begins only when a file appears, which no supervisor needs to be there for.
    nodes.push(json!({ "id": "tick", "type": "inject", "z": "tab", "repeat": "0.2", "once": true, "wires": [["try"]] }));
    nodes.push(json!({ "id": "try", "type": "function", "z": "tab", "wires": [],
        "libs": [libs[0], libs[1], { "var": "fs", "module": "fs" }],
        "func": "if (fs.existsSync('/files/go') && !fs.existsSync('/files/done')) { cp.spawnSync('/nowhere/tool', []); \
                 fs.writeFileSync('/files/done', '') }" }));
    let id = host.create("pump", &flows, &json!({}));
    let files = host.data().join(format!("instances/{id}/files"));
    host.kill();
    std::fs::write(files.join("go"), "").expect("written");
    eventually("it tries", SOON, || {
        files.join("done").exists().then_some(()).ok_or("not yet")
    });
    host.run();
    host.wait_event("pump", "attempted: tried to start /nowhere/tool");
    // Another supervisor hears it again, and does not say it again.
    host.kill();
    host.run();
    host.wait_event("pump", "adopted");
    host.does(&["instance", "stop", "pump", "--wait"]);
    assert_eq!(attempts(&host, "pump").len(), 1, "{:?}", host.events("pump"));
}

/// An endpoint that connects to `?at=host:port` and answers with what it hears; `comment` names hosts or does not.
fn connecting(comment: &str) -> Value {
    let mut flows = endpoint(
        "const [host, port] = msg.req.query.at.split(':');
        const say = what => { msg.payload = what; node.send(msg); };
        const s = net.connect({ host, port: Number(port), family: 4 });
        s.on('data', d => { say(String(d)); s.destroy(); }).on('error', e => say(e.code));",
    );
    flows[2]["libs"] = json!([{ "var": "net", "module": "net" }]);
    let nodes = flows.as_array_mut().expect("nodes");
    nodes.push(json!({ "id": "broker", "type": "mqtt-broker", "broker": comment, "port": "1883" }));
    flows
}

fn connects(host: &Host, at: &str) -> String {
    host.get("pump", &format!("/run?at={at}"))
        .expect("an answer")
        .text()
}

#[test]
fn hosts_that_nothing_names_are_events_then_refused_then_allowed_and_flows_name_theirs() {
    if !can("hosts_that_nothing_names_are_events_then_refused_then_allowed_and_flows_name_theirs") {
        return;
    }
    world::world();
    let host = Host::start();
    host.create("pump", &connecting("broker.example"), &json!({}));
    // Observed: what the flows name is no event; what came with a message is one.
    assert_eq!(connects(&host, "broker.example:1000"), "world 1000");
    assert_eq!(attempts(&host, "pump"), [Value::Null; 0]);
    assert_eq!(connects(&host, "198.18.0.2:1001"), "world 1001");
    assert_eq!(connects(&host, "169.254.169.254:1000"), "ECONNREFUSED");
    let event = host.wait_event("pump", "attempted: tried to reach 198.18.0.2:1001");
    assert!(
        event.contains("let through") && event.contains("net.connect{198.18.0.2}"),
        "{event}"
    );
    let event = host.wait_event("pump", "attempted: tried to reach 169.254.169.254:1000");
    assert!(
        event.contains("was refused") && event.contains("network.allow"),
        "{event}"
    );
    let event = {
        connects(&host, "alien.example:1000");
        host.wait_event("pump", "attempted: tried to look up alien.example")
    };
    assert!(event.contains("let through"), "{event}");

    // Enforced, with one more allowed by the name that the event gives.
    host.does(&["instance", "set", "pump", "capabilities.mode=enforce"]);
    host.does(&["instance", "allow", "pump", "net.connect{198.18.0.2}"]);
    host.act("pump", "restart");
    host.until("pump", "enforcing", |view| {
        view["observed"]["state"] == "running" && view["observed"]["restartNeeded"] == false
    });
    for (at, said) in [
        ("broker.example:1000", "world 1000"),
        ("198.18.0.2:1001", "world 1001"),
        ("alien.example:1000", "EAI_AGAIN"),
    ] {
        assert_eq!(connects(&host, at), said, "{at}");
    }
    eventually("the refusal is an event", SOON, || {
        let all = attempts(&host, "pump");
        let refused = all
            .iter()
            .any(|one| one["attempt"]["name"] == "alien.example" && one["attempt"]["refused"] == true);
        refused.then_some(()).ok_or(all)
    });
    // A deploy that names another host is enough for it, without a restart.
    host.deploy("pump", &connecting("alien.example"));
    eventually("the new host is reached", SOON, || {
        match connects(&host, "alien.example:1000") {
            said if said == "world 1000" => Ok(()),
            said => Err(said),
        }
    });
    let shown = host.does(&["instance", "show", "pump"]);
    assert!(
        shown.contains("198.18.0.2 (settings), what its flows and their environment name"),
        "{shown}"
    );
}
