//! Networks of instances: isolated by default, or as their settings and the host's configuration say.

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

/// What an instance is told about its network.
fn wall(view: &Value) -> Value {
    let walls = view["observed"]["walls"].as_array().expect("walls").clone();
    let wall = walls.into_iter().find(|wall| wall["name"] == "network");
    wall.expect("a wall")
}

/// Options for a host whose configuration says this about networks.
fn configured(folder: &tempfile::TempDir, network: &str) -> [String; 4] {
    let file = folder.path().join("redhold.toml");
    std::fs::write(&file, format!("[network]\n{network}\n")).expect("a file");
    ["--tls", "off", "--config", &file.to_string_lossy()].map(str::to_owned)
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
        "mode": "isolated",
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
    let shown = wall(&host.view("pump"));
    assert_eq!(shown["strength"], "hard", "{shown}");
    let text = shown["detail"].as_str().expect("a text");
    assert!(text.contains("in: 1502/tcp to 502"), "{text}");

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
fn an_instance_is_isolated_when_nobody_says_otherwise() {
    if !can("an_instance_is_isolated_when_nobody_says_otherwise") {
        return;
    }
    world::world();
    for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{switch}"), "0").expect("a switch");
    }
    let host = Host::start();
    // On the host's loopback: a registry of the host's own, and what nobody is to reach.
    let _secret = TcpListener::bind("127.0.0.1:1000").expect("a port");
    let about = host.ask("GET", "/host", &Value::Null).expect("told");
    assert_eq!(about["network"]["default"], "isolated", "{about}");
    assert_eq!(about["network"]["lesser"], Value::Null, "{about}");
    for name in ["pump", "tank"] {
        host.create(name, &flows(), &json!({}));
    }
    for (at, said) in [
        ("198.18.0.2:1000", "world 1000"),
        ("broker.example:1001", "world 1001"),
        ("127.0.0.1:1000", "ECONNREFUSED"),
        ("198.18.0.1:1000", "ECONNREFUSED"),
    ] {
        assert_eq!(tries(&host, "pump", at), said, "{at}");
    }
    let address = |name: &str| {
        let text = wall(&host.view(name))["detail"]
            .as_str()
            .expect("a text")
            .to_owned();
        let (_, rest) = text.split_once(" at ").expect("an address");
        rest.split(' ').next().expect("an address").to_owned()
    };
    // Its neighbour serves at 502, for itself.
    assert_eq!(tries(&host, "tank", "127.0.0.1:502"), "flow");
    assert_eq!(
        tries(&host, "pump", &format!("{}:502", address("tank"))),
        "ECONNREFUSED"
    );
    // What was done to the host is said, and a person sees what holds.
    assert!(host.said().contains("net.ipv4.ip_forward=1"), "{}", host.said());
    let shown = host.does(&["instance", "show", "pump"]);
    assert!(
        shown.contains("network: hard (a namespace of its own at 100.96.0.")
            && shown.contains("out: everything but this host and its instances; ")
            && shown.contains("; in: only through the front)"),
        "{shown}"
    );
    // A list says what it needs, and a broker on the host itself is named.
    let lists = json!({ "settings": { "network": { "allow": ["*", "localhost:1000"] } } });
    let refused = host.ask("PATCH", "/instances/pump", &lists).expect_err("refused");
    assert!(refused.contains("network.mode=isolated"), "{refused}");
    for name in ["pump", "tank"] {
        host.act(name, "stop");
        host.wait(name, "stopped");
    }
    let left = left();
    assert!(
        left.contains("redhold-guard") && !left.contains("table inet redhold {"),
        "{left}"
    );
}

#[test]
fn a_host_that_may_not_forward_says_so_and_what_that_means() {
    if !can("a_host_that_may_not_forward_says_so_and_what_that_means") {
        return;
    }
    world::world();
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("a switch");
    let folder = tempfile::tempdir().expect("a folder");
    let options = configured(&folder, "forwarding = 'leave'");
    let host = Host::with(&options.each_ref().map(String::as_str));
    // By default the host's network, named; never silently.
    eventually("its log names it", SOON, || match host.said() {
        said if said.contains("net.ipv4.ip_forward is 0") => Ok(()),
        said => Err(said),
    });
    let about = host.ask("GET", "/host", &Value::Null).expect("told");
    assert_eq!(about["network"]["default"], "host", "{about}");
    host.create("pump", &flows(), &json!({}));
    let shown = wall(&host.view("pump"));
    assert_eq!(shown["strength"], "none", "{shown}");
    assert!(
        shown["detail"]
            .as_str()
            .expect("a text")
            .contains("net.ipv4.ip_forward is 0"),
        "{shown}"
    );
    // Who wants a network of its own gets no other.
    let settings = json!({ "network": { "mode": "isolated" } });
    let new = json!({ "name": "tank", "flows": flows(), "settings": settings });
    host.ask("POST", "/instances", &new).expect("created");
    let view = host.until("tank", "the refusal", |view| {
        view.to_string().contains("net.ipv4.ip_forward=1")
    });
    assert_ne!(view["observed"]["state"], "running");
    assert_eq!(left(), "");
}
