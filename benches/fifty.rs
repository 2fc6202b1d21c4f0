//! Fifty instances on one machine: `redhold serve` beside fifty plain Node-REDs and beside PM2, on the same Node.js, the
//! same Node-RED and the same flow, one after the other in one run.
//!
//! Run: `cargo bench -p supervisor --bench fifty`, with `-- --quick` for ten of each and short rests. As root.
//! `redhold` shares the host's network as the others do; `isolated` is its default.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::bench::contender::Stack;
use test_support::bench::{asked_for, processes};
use test_support::client;
use test_support::eventually::{let_pass, watch};
use test_support::host::Host;
use test_support::world;

/// What was measured of a contender.
struct Measured {
    /// Seconds until all answered.
    all: f64,
    /// MiB taken from the machine, each.
    each: f64,
    /// Processor seconds per hour of one idle instance.
    idle: f64,
    /// What watches them: MiB, and share of a core while all are idle.
    watcher: Option<(f64, f64)>,
}

fn main() {
    let (count, rest) = if asked_for("--quick") {
        (10, Duration::from_secs(5))
    } else {
        (50, Duration::from_secs(60))
    };
    let stack = Stack::default_one();
    let measured = [
        ("plain", plain(&stack, count, rest)),
        ("pm2", pm2(&stack, count, rest)),
        ("redhold", redhold(count, rest)),
        ("isolated", isolated(count, rest)),
    ];
    print(count, &measured);
}

#[expect(clippy::print_stdout, reason = "a bench's result is what it prints")]
fn print(count: usize, measured: &[(&str, Option<Measured>)]) {
    println!("{count} instances; all of one contender at once");
    println!(
        "{:10}{:>10}{:>12}{:>16}{:>14}{:>12}",
        "", "all, s", "MiB each", "idle CPU s/h", "watcher MiB", "% of core"
    );
    for (name, measured) in measured {
        let Some(one) = measured else {
            println!("{name:10} could not be installed");
            continue;
        };
        let (memory, share) = one.watcher.unwrap_or((0.0, 0.0));
        println!(
            "{name:10}{:>10.1}{:>12.1}{:>16.2}{memory:>14.1}{:>12.2}",
            one.all,
            one.each,
            one.idle,
            share * 100.0
        );
    }
}

/// An endpoint, and nothing that happens by itself.
fn flow() -> Value {
    json!([
        { "id": "tab", "type": "tab", "label": "Bench" },
        { "id": "in", "z": "tab", "type": "http in", "url": "/bench", "method": "get", "wires": [["f"]] },
        { "id": "f", "z": "tab", "type": "function", "func": "msg.payload = 'ok'; return msg", "outputs": 1, "wires": [["out"]] },
        { "id": "out", "z": "tab", "type": "http response", "wires": [] },
    ])
}

fn projects(count: usize) -> Vec<(TempDir, u16)> {
    let one = |_| {
        let folder = tempfile::Builder::new()
            .prefix("rh-bench-")
            .tempdir()
            .expect("a folder");
        fs::write(folder.path().join("flows.json"), flow().to_string()).expect("flows");
        (folder, client::free_port())
    };
    (0..count).map(one).collect()
}

fn available() -> f64 {
    let text = fs::read_to_string("/proc/meminfo").expect("the kernel's word");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .expect("a line");
    line.split_whitespace()
        .next()
        .and_then(|number| number.parse::<f64>().ok())
        .expect("a number")
        / 1024.0
}

/// Waits until every address has answered once; seconds since `begun`.
fn all_answer(begun: Instant, mut ask: Vec<Box<dyn Fn() -> bool>>) -> f64 {
    watch(
        "all answer",
        Duration::from_secs(300),
        Duration::from_millis(50),
        || {
            ask.retain(|ask| !ask());
            if ask.is_empty() {
                Ok(begun.elapsed().as_secs_f64())
            } else {
                Err(ask.len())
            }
        },
    )
}

fn answers(port: u16, host: Option<&str>) -> bool {
    let headers: Vec<(&str, &str)> = host.map(|host| ("host", host)).into_iter().collect();
    let answer = client::request(
        "GET",
        &format!("http://127.0.0.1:{port}/bench"),
        &headers,
        Vec::new(),
    );
    answer.is_ok_and(|answer| answer.status == 200)
}

/// Processor seconds that these use in `rest`.
fn spent(pids: &[i32], rest: Duration) -> f64 {
    let before = processes::processor_seconds(pids);
    let_pass(rest);
    processes::processor_seconds(pids) - before
}

fn hourly(seconds: f64, rest: Duration, count: usize) -> f64 {
    seconds / rest.as_secs_f64() * 3600.0 / count as f64
}

fn plain(stack: &Stack, count: usize, rest: Duration) -> Option<Measured> {
    let projects = projects(count);
    let before = available();
    let begun = Instant::now();
    let mut children: Vec<Child> = projects
        .iter()
        .map(|(folder, port)| start_plain(stack, folder.path(), *port))
        .collect();
    let ask = projects.iter().map(|(_, port)| {
        let port = *port;
        Box::new(move || answers(port, None)) as Box<dyn Fn() -> bool>
    });
    let all = all_answer(begun, ask.collect());
    let_pass(rest);
    let each = (before - available()) / count as f64;
    let pids: Vec<i32> = children.iter().map(|child| child.id().cast_signed()).collect();
    let idle = hourly(spent(&pids, rest), rest, count);
    for child in &mut children {
        let _ = child.kill();
        let _ = child.wait();
    }
    Some(Measured {
        all,
        each,
        idle,
        watcher: None,
    })
}

fn start_plain(stack: &Stack, folder: &Path, port: u16) -> Child {
    Command::new(&stack.node)
        .arg(stack.folder.join("node_modules/node-red/red.js"))
        .args(["--port", &port.to_string(), "--userDir"])
        .arg(folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("plain Node-RED")
}

fn pm2(stack: &Stack, count: usize, rest: Duration) -> Option<Measured> {
    let home = tempfile::tempdir().expect("a folder");
    let npm = stack.folder.join("node_modules/npm/bin/npm-cli.js");
    let installed = Command::new(&stack.node)
        .arg(npm)
        .args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
        ])
        .arg(home.path())
        .arg("pm2")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !installed.is_ok_and(|status| status.success()) {
        return None;
    }
    let projects = projects(count);
    let red = stack.folder.join("node_modules/node-red/red.js");
    let apps: Vec<Value> = projects
        .iter()
        .zip(0..)
        .map(|((folder, port), number)| {
            json!({ "name": format!("n{number}"), "script": red, "interpreter": stack.node, "cwd": folder.path(),
                "args": ["--port", port.to_string(), "--userDir", folder.path()] })
        })
        .collect();
    let file = home.path().join("ecosystem.json");
    fs::write(&file, json!({ "apps": apps }).to_string()).expect("a file");
    let pm2 = |args: &[&str]| {
        let mut command = Command::new(&stack.node);
        command
            .arg(home.path().join("node_modules/pm2/bin/pm2"))
            .args(args)
            .env("PM2_HOME", home.path().join("home"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let before = available();
    let begun = Instant::now();
    let mut starting = pm2(&["start", &file.to_string_lossy()]).spawn().expect("pm2");
    let ask = projects.iter().map(|(_, port)| {
        let port = *port;
        Box::new(move || answers(port, None)) as Box<dyn Fn() -> bool>
    });
    let all = all_answer(begun, ask.collect());
    let _ = starting.wait();
    let_pass(rest);
    let each = (before - available()) / count as f64;
    let daemon = fs::read_to_string(home.path().join("home/pm2.pid"))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let tree = processes::tree(daemon);
    let (_, children) = tree.split_first()?;
    let both = spent_apart(&[daemon], children, rest);
    let memory = processes::memory(&[daemon]).proportional;
    let _ = pm2(&["kill"]).status();
    Some(Measured {
        all,
        each,
        idle: hourly(both.1, rest, count),
        watcher: Some((memory, both.0 / rest.as_secs_f64())),
    })
}

/// Processor seconds of two groups over the same time.
fn spent_apart(one: &[i32], other: &[i32], rest: Duration) -> (f64, f64) {
    let before = (
        processes::processor_seconds(one),
        processes::processor_seconds(other),
    );
    let_pass(rest);
    (
        processes::processor_seconds(one) - before.0,
        processes::processor_seconds(other) - before.1,
    )
}

/// `redhold serve` as it is by default: each instance in a network of its own, on a host with a world behind it.
fn isolated(count: usize, rest: Duration) -> Option<Measured> {
    if !world::able() {
        return None;
    }
    let run = move || {
        world::world();
        redhold(count, rest)
    };
    thread::spawn(run).join().ok().flatten()
}

fn redhold(count: usize, rest: Duration) -> Option<Measured> {
    let host = Host::start();
    let mut ids = BTreeMap::new();
    for number in 0..count {
        let name = format!("n{number}");
        let new = json!({ "name": name, "flows": flow(), "start": false });
        let view = host.ask("POST", "/instances", &new).expect("created");
        ids.insert(name, view["id"].as_str().expect("an id").to_owned());
    }
    let before = available();
    let begun = Instant::now();
    for name in ids.keys() {
        host.act(name, "start");
    }
    let port = host.port();
    let ask = ids.keys().map(|name| {
        let name = format!("{name}.localhost");
        Box::new(move || answers(port, Some(&name))) as Box<dyn Fn() -> bool>
    });
    let all = all_answer(begun, ask.collect());
    let_pass(rest);
    let each = (before - available()) / count as f64;
    let mut watchers = vec![host.pid().expect("it runs").cast_signed()];
    let mut nodes = Vec::new();
    for id in ids.values() {
        let record = host.record(id)?;
        let keeper = i32::try_from(record["keeper"]["pid"].as_i64()?).ok()?;
        let tree = processes::tree(keeper);
        // Keeper and init, then Node.js.
        watchers.extend(&tree[..2]);
        nodes.extend(&tree[2..]);
    }
    let both = spent_apart(&watchers, &nodes, rest);
    let memory = processes::memory(&watchers[..1]).proportional;
    Some(Measured {
        all,
        each,
        idle: hourly(both.1, rest, count),
        watcher: Some((memory, both.0 / rest.as_secs_f64())),
    })
}
