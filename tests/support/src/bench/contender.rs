//! The contenders: `redhold dev`, and plain `node red.js` on the same Node.js, the same Node-RED and the same flow.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::free_port;
use crate::data;
use crate::dev::{Dev, Start};
use crate::eventually::watch;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bench::processes;

/// How long a start may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a starting contender.
const LOOK: Duration = Duration::from_millis(2);
/// What it is asked, over a connection of its own and over a kept one.
const REQUEST: &str = "GET /bench HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const KEPT: &str = "GET /bench HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Where a stack lies.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Node.js.
    pub node: PathBuf,
    /// The folder that holds `node_modules`.
    pub folder: PathBuf,
}

/// A running contender; dropping it ends it.
pub struct Contender {
    kind: Kind,
    _folder: TempDir,
    port: u16,
    begun: Instant,
}

enum Kind {
    Plain(Child),
    Redhold(Box<Dev>),
}

impl Stack {
    /// The default stack, fetched if need be.
    pub fn default_one() -> Self {
        let told = Command::new(data::binary())
            .args(["stack", "fetch", "--json", "--data-dir"])
            .arg(data::shared())
            .output()
            .expect("redhold stack fetch");
        let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
        let path = |name: &str| PathBuf::from(told[0][name].as_str().expect("a path"));
        Self {
            node: path("executable"),
            folder: path("path"),
        }
    }

    /// An install of its own in `to`: its own executable, its own modules.
    pub fn copy(&self, to: &Path) -> Self {
        let copied = Command::new("cp")
            .arg("-r")
            .arg(self.folder.join("node_modules"))
            .arg(to)
            .status()
            .expect("cp");
        assert!(copied.success(), "cannot copy {}", self.folder.display());
        let node = to.join("node");
        fs::copy(&self.node, &node).expect("a copy of node");
        Self {
            node,
            folder: to.to_owned(),
        }
    }
}

impl Contender {
    /// Starts plain Node-RED from `stack` with the bench's flow.
    pub fn plain(stack: &Stack) -> Self {
        let folder = project();
        let port = free_port();
        let begun = Instant::now();
        let child = Command::new(&stack.node)
            .arg(stack.folder.join("node_modules/node-red/red.js"))
            .args(["--port", &port.to_string(), "--userDir"])
            .arg(folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("plain Node-RED");
        Self {
            kind: Kind::Plain(child),
            _folder: folder,
            port,
            begun,
        }
    }

    /// Starts `redhold dev` with the bench's flow.
    pub fn redhold() -> Self {
        Self::redhold_in(data::shared())
    }

    /// The same with a data directory.
    pub fn redhold_in(data: &Path) -> Self {
        let folder = project();
        let port = free_port();
        let start = Start::on(folder.path()).data(data).port(port);
        let begun = Instant::now();
        Self {
            kind: Kind::Redhold(Box::new(start.spawn())),
            _folder: folder,
            port,
            begun,
        }
    }

    /// Waits until its flow answers, and tells how long that took from its execution on, in seconds.
    pub fn answers(&self) -> f64 {
        watch("the flow answers", PATIENCE, LOOK, || match self.ask() {
            Some(200) => Ok(self.begun.elapsed().as_secs_f64()),
            other => Err(other),
        })
    }

    /// The status with which its flow answers one request.
    fn ask(&self) -> Option<u16> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.write_all(REQUEST.as_bytes()).ok()?;
        status(&mut stream)
    }

    /// All processes that are there because of it.
    pub fn processes(&self) -> Vec<i32> {
        match &self.kind {
            Kind::Plain(child) => processes::tree(child.id().cast_signed()),
            Kind::Redhold(dev) => {
                let mut all = vec![dev.pid()];
                all.extend(self.keeper().into_iter().flat_map(processes::tree));
                all
            }
        }
    }

    /// Node.js itself.
    pub fn node(&self) -> i32 {
        match &self.kind {
            Kind::Plain(child) => child.id().cast_signed(),
            // Keeper, init, and what init started first.
            Kind::Redhold(_) => {
                let tree = self.keeper().map(processes::tree).expect("a keeper");
                *tree.get(2).expect("Node.js under init")
            }
        }
    }

    /// Keeper and init.
    pub fn custodians(&self) -> Vec<i32> {
        let mut tree = self.keeper().map(processes::tree).expect("a keeper");
        tree.truncate(2);
        tree
    }

    /// The front, which is `redhold dev` itself.
    pub fn front(&self) -> i32 {
        match &self.kind {
            Kind::Plain(child) => child.id().cast_signed(),
            Kind::Redhold(dev) => dev.pid(),
        }
    }

    fn keeper(&self) -> Option<i32> {
        match &self.kind {
            Kind::Plain(_) => None,
            Kind::Redhold(dev) => dev.keeper(),
        }
    }

    /// Sends requests over eight kept connections for `time`, and gives their number.
    pub fn burst(&self, time: Duration) -> u64 {
        let until = Instant::now() + time;
        let port = self.port;
        let clients: Vec<_> = (0..8)
            .map(|_| {
                thread::spawn(move || {
                    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
                    let mut count = 0;
                    while Instant::now() < until {
                        stream.write_all(KEPT.as_bytes()).expect("a request");
                        assert_eq!(status(&mut stream), Some(200));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("a client"))
            .sum()
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        if let Kind::Plain(child) = &mut self.kind {
            // It may have ended by itself; then there is nothing to end.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads one whole answer and gives its status.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        text.extend_from_slice(&buffer[..count]);
        let Some(head) = text.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let said = String::from_utf8_lossy(&text[..head]).to_ascii_lowercase();
        let status = said.split(' ').nth(1)?.parse().ok()?;
        let length = said
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        match length {
            Some(length) if text.len() < head + 4 + length => {}
            _ => return Some(status),
        }
    }
}

/// A project with the small flow: a timer through function, switch and change to a debug node, and an endpoint.
fn project() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("redhold-bench-")
        .tempdir()
        .expect("a folder");
    let flow = json!([
        { "id": "tab", "type": "tab", "label": "Bench" },
        { "id": "t1", "z": "tab", "type": "inject", "repeat": "1", "once": true, "payload": "1", "payloadType": "num",
          "props": [{ "p": "payload" }], "wires": [["t2"]] },
        { "id": "t2", "z": "tab", "type": "function", "func": "msg.payload += 1; return msg;", "outputs": 1,
          "wires": [["t3"]] },
        { "id": "t3", "z": "tab", "type": "switch", "property": "payload", "propertyType": "msg", "checkall": "true",
          "rules": [{ "t": "gt", "v": "0", "vt": "num" }], "outputs": 1, "wires": [["t4"]] },
        { "id": "t4", "z": "tab", "type": "change", "rules": [{ "t": "set", "p": "topic", "pt": "msg", "to": "t",
          "tot": "str" }], "wires": [["t5"]] },
        { "id": "t5", "z": "tab", "type": "debug", "active": true, "tosidebar": true, "complete": "payload",
          "targetType": "msg", "wires": [] },
        { "id": "h1", "z": "tab", "type": "http in", "url": "/bench", "method": "get", "wires": [["h2"]] },
        { "id": "h2", "z": "tab", "type": "function", "func": "msg.payload = { at: Date.now() }; return msg;",
          "outputs": 1, "wires": [["h3"]] },
        { "id": "h3", "z": "tab", "type": "http response", "wires": [] },
    ]);
    fs::write(folder.path().join("flows.json"), flow.to_string()).expect("flows.json");
    folder
}
