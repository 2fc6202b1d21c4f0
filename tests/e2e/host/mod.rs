//! `redhold serve`: a host of many instances, driven by its interface, its command line and its front.

mod access;
mod acme;
mod adoption;
mod alerts;
mod backup;
mod capabilities;
mod figures;
mod files;
mod full;
pub(crate) mod gate;
mod hang;
mod health;
mod idle;
mod import;
mod journal;
mod journey;
mod killed;
mod lifecycle;
mod maintenance;
mod malformed;
mod network;
mod packages;
mod queue;
mod quota;
mod settings;
mod sockets;
mod upgrade;
mod uploads;
mod verdicts;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use test_support::websocket::WebSocket;

/// Flows with an endpoint `GET /run` that answers with what the function makes of the message.
fn endpoint(code: &str) -> Value {
    let mut nodes = crate::projects::endpoint(code);
    for node in nodes.as_array_mut().expect("nodes") {
        node["z"] = json!("tab");
    }
    let mut flows = vec![json!({ "id": "tab", "type": "tab", "label": "Tab" })];
    flows.extend(nodes.as_array().expect("nodes").iter().cloned());
    Value::Array(flows)
}

/// Says hello.
fn hello() -> Value {
    endpoint("msg.payload = 'hello ' + env.get('WHO'); return msg")
}

/// Tells the threads that are the load to end, also when what they are for fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Says hello, and has a WebSocket that answers what it hears.
fn echoing() -> Value {
    let mut flows = hello();
    let nodes = flows.as_array_mut().expect("nodes");
    let more = json!([
        { "id": "listener", "type": "websocket-listener", "path": "/ws/echo", "wholemsg": "false" },
        { "id": "heard", "type": "websocket in", "z": "tab", "server": "listener", "client": "", "wires": [["said"]] },
        { "id": "said", "type": "websocket out", "z": "tab", "server": "listener", "client": "", "wires": [] },
    ]);
    nodes.extend(more.as_array().expect("nodes").iter().cloned());
    flows
}

/// That WebSocket of the instance `pump`, opened.
fn echo(port: u16) -> WebSocket {
    let url = format!("ws://127.0.0.1:{port}/ws/echo");
    WebSocket::open(&url, &[("host", "pump.localhost")]).expect("a WebSocket")
}
