//! What runs inside Node.js beside the flows, with a real Node-RED: what it promises to the host and the person, and
//! what flows and nodes can do about it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use test_support::bench::processes;
use test_support::client;
use test_support::dev::{Dev, START, Start};
use test_support::eventually::watch;

use crate::projects::{SOON, endpoint, folder, get, module, project, write_flows};

/// How often the first request must find the flows running.
const STARTS: u32 = 20;

#[test]
fn the_first_answer_is_the_flows_own() {
    // Node-RED by itself listens before its flows have started and answers 404 in between.
    let folder = project(&endpoint("msg.payload = 'flows'; return msg;"));
    for start in 1..=STARTS {
        let dev = Start::on(folder.path()).spawn();
        let port = dev.port();
        watch("the front listens", START, Duration::from_millis(1), || {
            TcpStream::connect(("127.0.0.1", port))
        });
        let first = get(&dev, "run");
        assert_eq!(
            (first.status, first.text()),
            (200, "flows".to_owned()),
            "start {start}"
        );
        let (status, said) = dev.stop();
        assert_eq!(status.code(), Some(0), "{said}");
    }
}

#[test]
fn a_blocked_loop_is_told_and_ends_when_asked() {
    // Out of reach of Node-RED's own time limit, which only watches the function itself.
    let folder = project(&endpoint(
        "setTimeout(() => { for (;;); }, 1000); msg.payload = 'soon'; return msg;",
    ));
    let mut dev = Start::on(folder.path()).ready();
    assert_eq!(get(&dev, "run").text(), "soon");
    dev.wait_said("a flow keeps it busy", SOON);
    assert!(dev.said().contains("Ctrl-C twice"), "{}", dev.said());
    // It never hears the gentle signal; after its grace it is killed.
    dev.signal(Signal::SIGINT);
    let status = dev.wait(Duration::from_secs(40));
    assert_eq!(status.code(), Some(0), "{}", dev.said());
}

#[test]
fn an_endless_function_is_broken_off_and_the_rest_lives() {
    let mut nodes = endpoint("for (;;);");
    let other = json!([
        { "id": "in2", "type": "http in", "url": "/other", "method": "get", "wires": [["f2"]] },
        { "id": "f2", "type": "function", "func": "msg.payload = 'lives'; return msg;", "wires": [["out2"]] },
        { "id": "out2", "type": "http response", "wires": [] },
    ]);
    let list = nodes.as_array_mut().expect("nodes");
    list.extend(other.as_array().expect("nodes").iter().cloned());
    let folder = project(&nodes);
    let dev = Start::on(folder.path()).ready();
    let url = dev.url("run");
    // Whoever asks for it never gets an answer; that is Node-RED's way.
    std::thread::spawn(move || client::get(&url));
    dev.wait_said("function:work", Duration::from_secs(60));
    assert!(dev.said().contains("timed out"), "{}", dev.said());
    assert_eq!(get(&dev, "other").text(), "lives");
    assert!(!dev.said().contains("starts again"), "{}", dev.said());
}

#[test]
fn memory_of_a_burst_is_given_back_when_idle() {
    let folder = project(&endpoint(
        "const kept = []; for (let i = 0; i < 600000; i++) kept.push({ i }); msg.payload = kept.length; return msg;",
    ));
    let dev = Start::on(folder.path()).ready();
    let mut told = subscribe(&dev);
    for _ in 0..5 {
        assert_eq!(get(&dev, "run").text(), "600000");
    }
    let tree = processes::tree(dev.keeper().expect("a keeper"));
    let worked = processes::memory(&tree).anonymous;
    // Ten seconds are a window, and two of them must be quiet.
    let pause = collected(&mut told);
    assert!(pause.is_u64(), "{pause}");
    let idle = processes::memory(&tree).anonymous;
    assert!(idle < 0.6 * worked, "{worked} MiB, then {idle} MiB");
    // The host may ask for it too.
    let mut asking = connect(&dev);
    asking.write_all(b"{\"op\":\"collect\"}\n").expect("a request");
    assert!(collected(&mut told).is_u64());
}

#[test]
fn what_a_node_writes_forges_nothing_and_breaks_nothing() {
    let folder = folder();
    module(folder.path(), "forger", FORGER);
    let mut nodes = endpoint("return msg;");
    nodes[1]["wires"] = json!([["n"]]);
    let list = nodes.as_array_mut().expect("nodes");
    list.push(json!({ "id": "n", "type": "forger", "wires": [["out"]] }));
    write_flows(folder.path(), &nodes);
    let dev = Start::on(folder.path()).ready();
    let keeper = dev.keeper();
    for _ in 0..2 {
        assert_eq!(get(&dev, "run").text(), "written");
    }
    dev.wait_said("the end of the flood", SOON);
    let said = dev.said();
    // Printed text stays text: neither console nor stream can make a record of it.
    for way in ["console", "stream"] {
        let line = said
            .lines()
            .find(|line| line.contains(&format!("forged by {way}")));
        let line = line.unwrap_or_else(|| panic!("no word of {way}: {said}"));
        assert!(line.contains("{\"level\":\"error\""), "{line}");
    }
    assert!(!said.contains('\x1b') && !said.contains('\x07'), "{said:?}");
    // Whatever was written to the descriptors that it has, the keeper keeps on and the flows answer.
    assert_eq!(get(&dev, "run").text(), "written");
    assert_eq!(dev.keeper(), keeper);
    let (status, said) = dev.stop();
    assert_eq!(status.code(), Some(0), "{said}");
}

/// Writes what it should not to its output, to the listener and to the channel; the rest is between Node.js and
/// itself.
const FORGER: &str = r#"
const fs = require('fs')
const record = (by) => '\x1e{"level":"error","msg":"forged by ' + by + '"}\n'
console.log(record('console'))
process.stdout.write(record('stream'))
process.stdout.write(Buffer.from(record('buffer')))
console.log('\x1b[2J\x1b]0;title\x07')
process.stderr.write('\xff\xfe\x00\x01\n')
const words = [record('descriptor'), '{"type":"state","state":"stopped"}\n', '{"type":"state"', '\x00\xff\n',
  '[['.repeat(50000) + '\n', 'x'.repeat(300000) + '\n', '\n'.repeat(5000), '{"event":"exit","code":0}\n']
for (const fd of [1, 2, 3, 4]) {
  for (const text of words) {
    try { fs.writeSync(fd, text) } catch {}
  }
}
console.log('y'.repeat(2000000))
console.log('the end of the flood')
msg.payload = 'written'
send(msg)
"#;

/// A connection to the keeper of a project that runs.
fn connect(dev: &Dev) -> UnixStream {
    let socket = dev.run_dir().expect("a run").join("control.sock");
    UnixStream::connect(socket).expect("the keeper's socket")
}

/// What the keeper tells whoever listens.
fn subscribe(dev: &Dev) -> impl Iterator<Item = Value> {
    let mut stream = connect(dev);
    stream
        .set_read_timeout(Some(Duration::from_secs(90)))
        .expect("a timeout");
    stream.write_all(b"{\"op\":\"subscribe\"}\n").expect("a request");
    let lines = BufReader::new(stream).lines();
    lines.map(|line| serde_json::from_str(&line.expect("an event")).expect("JSON"))
}

/// The pause of the next collection, in milliseconds.
fn collected(told: &mut impl Iterator<Item = Value>) -> Value {
    let mut pauses = told.map(|mut event| event["message"]["pauseMs"].take());
    pauses.find(|pause| !pause.is_null()).expect("a collection")
}
