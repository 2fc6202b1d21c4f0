//! Instances with a filtered network: what their settings allow and publish, and nothing else.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};
use test_support::world::{self, can, left};

use super::endpoint;

/// `GET /run?at=host:port` says what a connection to there says; at 502 the flow itself greets.
fn flows() -> Value {
    let mut flows = endpoint(
        "const [host, port] = msg.req.query.at.split(':');
        const say = what => { msg.payload = what; node.send(msg); };
        const s = net.connect({ host, port: Number(port), family: 4 });
        s.on('data', d => { say(String(d)); s.destroy(); }).on('error', e => say(e.code));",
    );
    flows[2]["libs"] = json!([{ "var": "net", "module": "net" }]);
    flows[2]["initialize"] = json!("net.createServer(s => s.end('flow')).listen(502)");
    flows
}

fn tries(host: &Host, name: &str, at: &str) -> String {
    host.get(name, &format!("/run?at={at}"))
        .expect("an answer")
        .text()
}

#[test]
fn settings_say_what_goes_out_and_what_comes_in() {
    if !can("settings_say_what_goes_out_and_what_comes_in") {
        return;
    }
    world::world();
    let host = Host::start();
    let here = TcpListener::bind("0.0.0.0:1000").expect("a port");
    let settings = json!({ "network": {
        "mode": "filtered",
        "allow": ["198.18.0.2:1000", "broker.example:1001"],
        "publish": [{ "port": 1502, "to": 502 }],
    } });
    let id = host.create("pump", &flows(), &settings);
    for (at, said) in [
        ("198.18.0.2:1000", "world 1000"),
        ("198.18.0.2:1001", "ECONNREFUSED"),
        ("broker.example:1001", "world 1001"),
        ("broker.example:1000", "ECONNREFUSED"),
        ("other.example:1001", "EAI_AGAIN"),
        ("198.18.0.1:1000", "ECONNREFUSED"),
        ("127.0.0.1:1000", "ECONNREFUSED"),
    ] {
        assert_eq!(tries(&host, "pump", at), said, "{at}");
    }
    let wall = |view: &Value| {
        let walls = view["observed"]["walls"].as_array().expect("walls").clone();
        let wall = walls.into_iter().find(|wall| wall["name"] == "network");
        wall.expect("a wall")
    };
    let shown = wall(&host.view("pump"));
    assert_eq!(shown["strength"], "hard", "{shown}");
    let text = shown["detail"].as_str().expect("a text");
    assert!(text.contains("1 ports published"), "{text}");

    let heard = eventually("the published port", SOON, || {
        let mut stream = TcpStream::connect("198.18.0.1:1502").map_err(|error| error.to_string())?;
        std::io::read_to_string(&mut stream).map_err(|error| error.to_string())
    });
    assert_eq!(heard, "flow");

    // The next start has what is set then: here the host's own port, and nothing else.
    let changes = json!({ "settings": { "network": { "allow": ["198.18.0.1:1000"], "publish": [] } } });
    let view = host.ask("PATCH", "/instances/pump", &changes).expect("changed");
    assert_eq!(view["observed"]["restartNeeded"], true);
    host.act("pump", "restart");
    host.until("pump", "restarted", |view| {
        view["observed"]["state"] == "running" && view["observed"]["restartNeeded"] == false
    });
    let greet = std::thread::spawn(move || {
        here.accept()
            .expect("a client")
            .0
            .write_all(b"host")
            .expect("told");
    });
    assert_eq!(tries(&host, "pump", "198.18.0.1:1000"), "host");
    greet.join().expect("told");
    assert_eq!(tries(&host, "pump", "198.18.0.2:1000"), "ECONNREFUSED");
    TcpStream::connect("198.18.0.1:1502").expect_err("nothing is published");

    // A killed keeper: the host starts the instance again, on a clean ground.
    let record = host.record(&id).expect("a run record");
    let keeper = i32::try_from(record["keeper"]["pid"].as_i64().expect("a number")).expect("a process");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(keeper),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("killed");
    host.until("pump", "started again", |view| {
        view["observed"]["state"] == "running"
            && host
                .record(&id)
                .is_some_and(|now| now["keeper"] != record["keeper"])
    });
    assert_eq!(tries(&host, "pump", "198.18.0.2:1000"), "ECONNREFUSED");
    host.act("pump", "stop");
    host.wait("pump", "stopped");
    assert_eq!(left(), "");
}

#[test]
fn a_host_that_forwards_nothing_refuses_with_what_to_do() {
    if !can("a_host_that_forwards_nothing_refuses_with_what_to_do") {
        return;
    }
    world::world();
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("a switch");
    let host = Host::start();
    let settings = json!({ "network": { "mode": "filtered" } });
    let new = json!({ "name": "pump", "flows": flows(), "settings": settings });
    host.ask("POST", "/instances", &new).expect("created");
    let view = host.until("pump", "the refusal", |view| {
        view.to_string().contains("net.ipv4.ip_forward=1")
    });
    assert_ne!(view["observed"]["state"], "running");
    assert_eq!(left(), "");
}
