//! A newer supervisor takes the place of the one that runs, and nobody outside notices; one that cannot changes nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use test_support::client::{self, Kept};
use test_support::data;
use test_support::eventually::{eventually, let_pass};
use test_support::host::{Host, SOON};
use test_support::program::{self, said};

use super::{echo, echoing, hello};

/// Clients at once, of each kind.
const CLIENTS: u64 = 4;

/// Upgrades under load, one after the other.
const UPGRADES: usize = 3;

/// Hello, a WebSocket that answers what it hears, and a download that lasts until somebody ends it.
fn flows() -> Value {
    let mut flows = echoing();
    let nodes = flows.as_array_mut().expect("nodes");
    let more = json!([
        { "id": "long", "type": "http in", "z": "tab", "url": "/long", "method": "get", "wires": [["begin"]] },
        { "id": "begin", "type": "function", "z": "tab", "wires": [],
          "func": "const res = msg.res._res; res.write('begin'); global.set('res', res)" },
        { "id": "over", "type": "http in", "z": "tab", "url": "/over", "method": "get", "wires": [["finish"]] },
        { "id": "finish", "type": "function", "z": "tab", "wires": [["out"]],
          "func": "global.get('res').end('over'); msg.payload = 'over'; return msg" },
    ]);
    nodes.extend(more.as_array().expect("nodes").iter().cloned());
    flows
}

/// A copy of the program, made by another process: nobody here has it open for writing when it is executed.
fn copy(folder: &Path) -> PathBuf {
    let copy = folder.join("newer");
    installed(&data::binary(), &copy);
    copy
}

fn installed(from: &Path, to: &Path) {
    let status = Command::new("install")
        .args(["-m", "755"])
        .arg(from)
        .arg(to)
        .status();
    assert!(status.expect("install").success());
}

/// A shell script as a program.
fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let (source, script) = (folder.join("source"), folder.join(name));
    std::fs::write(&source, format!("#!/bin/sh\n{text}\n")).expect("a script");
    installed(&source, &script);
    script
}

/// Reads from a download until it has brought `text`.
fn until(stream: &mut TcpStream, text: &str) {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&all).contains(text) {
        let read = stream.read(&mut piece).expect("more");
        assert!(read > 0, "it ended after `{}`", String::from_utf8_lossy(&all));
        all.extend_from_slice(&piece[..read]);
    }
}

#[test]
fn an_upgrade_under_load_drops_nothing() {
    let mut host = Host::start();
    let folder = tempfile::tempdir().expect("a folder");
    let newer = copy(folder.path());
    let id = host.create("pump", &flows(), &json!({ "env": { "WHO": "you" } }));
    let before = host.record(&id).expect("a run record");
    let port = host.port();
    let name = format!("pump.localhost:{port}");

    let mut socket = echo(port);
    let mut echoes = |text: &str| {
        socket.send(text).expect("sent");
        assert_eq!(socket.next(SOON).expect("an echo"), text);
    };
    echoes("before");
    let mut download = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    download.set_read_timeout(Some(SOON)).expect("a timeout");
    let request = format!("GET /long HTTP/1.1\r\nhost: {name}\r\n\r\n");
    download.write_all(request.as_bytes()).expect("sent");
    until(&mut download, "begin");

    let (served, acknowledged) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    let failures = Mutex::new(Vec::new());
    let judge = |answer: Result<client::Answer, String>| match answer {
        Ok(answer) if answer.status == 200 && answer.text() == "hello you" => {
            served.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer) => failures
            .lock()
            .expect("a list")
            .push(format!("{}: {}", answer.status, answer.text())),
        Err(error) => failures.lock().expect("a list").push(error),
    };
    let api = host.data().join("run/api.sock");
    let mut pids = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let url = format!("http://127.0.0.1:{port}/run");
                while !over.load(Ordering::Relaxed) {
                    judge(client::request("GET", &url, &[("host", &name)], Vec::new()));
                }
            });
            scope.spawn(|| {
                let mut kept = Kept::new(&format!("127.0.0.1:{port}"), &name);
                while !over.load(Ordering::Relaxed) {
                    judge(kept.get("/run"));
                    // Some connections are idle at the moment of the change.
                    let_pass(Duration::from_millis(3));
                }
            });
        }
        scope.spawn(|| {
            // One number after the other; what was acknowledged is remembered.
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                let change = json!({ "settings": { "env": { "WHO": "you", "N": number.to_string() } } });
                let path = "/api/v1/instances/pump";
                match client::unix(&api, "PATCH", path, &[], change.to_string().into_bytes()) {
                    Ok(answer) if answer.status == 200 => acknowledged.store(number, Ordering::SeqCst),
                    Ok(answer) if answer.status == 503 => {
                        assert!(answer.text().contains("try again"), "{}", answer.text());
                    }
                    other => failures
                        .lock()
                        .expect("a list")
                        .push(format!("a change: {other:?}")),
                }
            }
        });
        for _ in 0..UPGRADES {
            let reached = served.load(Ordering::Relaxed) + 200;
            eventually("there is a load", SOON, || {
                let now = served.load(Ordering::Relaxed);
                if now >= reached { Ok(()) } else { Err(now) }
            });
            let safe = acknowledged.load(Ordering::SeqCst);
            let upgraded = host.upgrade(&newer).expect("upgraded");
            let now = host.view("pump")["settings"]["env"]["N"].clone();
            let now: u64 = now.as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
            assert!(now >= safe, "{safe} was acknowledged, {now} is there");
            assert!(safe > 0, "changes were made");
            echoes("after");
            pids.push(upgraded["pid"].clone());
        }
        over.store(true, Ordering::Relaxed);
    });
    let failures = failures.into_inner().expect("a list");
    assert!(failures.is_empty(), "{} failed: {failures:?}", failures.len());

    // What began before goes on in the process that began it.
    assert!(!host.first_has_ended());
    let first = host.pid().expect("it was started");
    let called = std::fs::read_to_string(format!("/proc/{first}/comm")).expect("a process");
    assert_eq!(called.trim(), "redhold-leaving");
    assert_eq!(host.get("pump", "/over").expect("an answer").status, 200);
    until(&mut download, "over");
    echoes("much later");
    let after = host.record(&id).expect("a run record");
    assert_eq!(after["init"], before["init"], "the instance is the same process");
    assert_eq!(after["keeper"], before["keeper"]);
    let started = host.events("pump");
    let started = started.iter().filter(|event| event.starts_with("started"));
    assert_eq!(started.count(), 1);
    pids.dedup();
    assert_eq!(pids.len(), UPGRADES, "each is another process");
    assert!(!host.said().contains("made again"), "{}", host.said());
    let audit = host
        .ask("GET", "/audit?limit=1000", &Value::Null)
        .expect("a page");
    assert!(audit.to_string().contains("host.upgrade"));

    // Nothing is left to do when the client goes away.
    drop((socket, download));
    eventually("the first process ends", SOON * 2, || {
        if host.first_has_ended() {
            Ok(())
        } else {
            Err("it runs")
        }
    });
    assert_eq!(host.get("pump", "/run").expect("an answer").status, 200);
}

#[test]
fn what_cannot_take_over_changes_nothing() {
    let mut host = Host::start();
    let folder = tempfile::tempdir().expect("a folder");
    let id = host.create("pump", &flows(), &json!({ "env": { "WHO": "you" } }));
    let before = host.record(&id).expect("a run record");
    let port = host.port();
    let mut socket = echo(port);
    let redhold = data::binary();
    let redhold = redhold.display();
    let text = folder.path().join("text");
    std::fs::write(&text, "no program").expect("a file");
    let programs = [
        (folder.path().join("nothing"), "cannot be executed"),
        (text, "cannot be executed"),
        (
            script(folder.path(), "fails", "echo 'out of order' >&2; exit 1"),
            "`out of order`",
        ),
        (script(folder.path(), "other", "echo other 1.0"), "is no redhold"),
        (
            script(
                folder.path(),
                "refuses",
                "case \"$*\" in --version) echo redhold 9.9;; *) echo 'that option is gone' >&2; exit 2;; esac",
            ),
            "`that option is gone`",
        ),
        (
            script(
                folder.path(),
                "breaks",
                &format!("case \"$*\" in --version|*--check) exec {redhold} \"$@\";; *) exit 1;; esac"),
            ),
            "ended before it was ready",
        ),
        (
            script(
                folder.path(),
                "elsewhere",
                &format!(
                    "case \"$*\" in --version|*--check) exec {redhold} \"$@\";; esac\n\
                     for word; do shift; case \"$word\" in /*) word=/proc/none;; esac; set -- \"$@\" \"$word\"; done\n\
                     exec {redhold} \"$@\""
                ),
            ),
            "cannot start: cannot make the data directory /proc/none",
        ),
        (
            script(
                folder.path(),
                "hangs",
                &format!(
                    "case \"$*\" in --version|*--check) exec {redhold} \"$@\";; *) sleep 600; exit 0;; esac"
                ),
            ),
            "did not become ready within 30 seconds",
        ),
    ];
    for (number, (program, why)) in programs.iter().enumerate() {
        let said = host.upgrade(program).expect_err("refused");
        assert!(said.contains(why), "{}: {said}", program.display());
        // Everything is as before: the interface, the front, what was open.
        let value = number.to_string();
        let change = json!({ "settings": { "env": { "WHO": "you", "N": value } } });
        host.ask("PATCH", "/instances/pump", &change).expect("changed");
        assert_eq!(host.view("pump")["settings"]["env"]["N"], value);
        assert_eq!(host.view("pump")["observed"]["state"], "running");
        let answer = host.get("pump", "/run").expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello you"));
        socket.send(&value).expect("sent");
        assert_eq!(socket.next(SOON).expect("an echo"), value);
        assert!(!host.first_has_ended());
        assert_eq!(host.record(&id).expect("a run record")["init"], before["init"]);
    }
    // Over the network, nobody names a program.
    let answer = client::request(
        "POST",
        &format!("http://127.0.0.1:{port}/api/v1/host/upgrade"),
        &[
            ("authorization", &host.token()),
            ("content-type", "application/json"),
        ],
        json!({ "binary": "/bin/true" }).to_string().into_bytes(),
    );
    assert_eq!(answer.expect("an answer").status, 422);

    // After all of these, the right one still can.
    host.upgrade(&copy(folder.path())).expect("upgraded");
    assert_eq!(host.get("pump", "/run").expect("an answer").status, 200);
    socket.send("after").expect("sent");
    assert_eq!(socket.next(SOON).expect("an echo"), "after");
    // Who stops the newest stops them all.
    host.signal(Signal::SIGTERM);
    eventually("the first process ends", SOON, || {
        if host.first_has_ended() {
            Ok(())
        } else {
            Err("it runs")
        }
    });
}

/// The newest process that has taken over, as the log names it, when `count` have.
fn taken_over(host: &Host, count: usize) -> i32 {
    const SAID: &str = "has taken over as process ";
    eventually("another process has taken over", SOON, || {
        let said = host.said();
        if said.matches(SAID).count() < count {
            return Err(said);
        }
        let (_, rest) = said.rsplit_once(SAID).ok_or_else(|| said.clone())?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().map_err(|_| said.clone())
    })
}

#[test]
fn a_signal_upgrades_to_the_file_that_is_there_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::prepared(&["--tls", "off"]);
    let manager = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
    manager.set_nonblocking(true).expect("set");
    host.env(
        "NOTIFY_SOCKET",
        &folder.path().join("notify").display().to_string(),
    );
    let program = copy(folder.path());
    host.run_as(&program);
    host.create("pump", &hello(), &json!({ "env": { "WHO": "you" } }));
    // As a package manager does it: another file under the same name.
    let next = folder.path().join("next");
    installed(&data::binary(), &next);
    std::fs::rename(&next, &program).expect("replaced");
    let first = host.pid().expect("it runs");
    let mut kept = Kept::new(&format!("127.0.0.1:{}", host.port()), "pump.localhost");
    for count in 1..=2 {
        assert_eq!(kept.get("/run").expect("an answer").status, 200);
        host.signal(Signal::SIGUSR2);
        let pid = taken_over(&host, count);
        host.follow(pid);
        assert_ne!(i64::from(pid), i64::from(first));
        let running = std::fs::read_link(format!("/proc/{pid}/exe")).expect("a program");
        assert_eq!(running, program, "the new file, not the deleted one");
        let wanted = format!("MAINPID={pid}");
        let mut told = String::new();
        eventually("systemd is told whom to watch", SOON, || {
            let mut message = [0; 4096];
            while let Ok(length) = manager.recv(&mut message) {
                told.push_str(&String::from_utf8_lossy(&message[..length]));
            }
            if told.lines().any(|line| line == wanted) {
                return Ok(());
            }
            Err(told.clone())
        });
        assert!(told.contains("READY=1") && !told.contains("STOPPING=1"), "{told}");
    }
}

/// Waits until a process has ended; who collects it is not ours to say.
fn ends(pid: &impl std::fmt::Display) {
    eventually("the process ends", SOON, || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let dead = stat.is_empty() || stat.contains(") Z ");
        dead.then_some(()).ok_or(stat)
    });
}

#[test]
fn a_new_supervisor_that_dies_leaves_the_connections_of_the_old_one() {
    let mut host = Host::start();
    let folder = tempfile::tempdir().expect("a folder");
    host.create("pump", &flows(), &json!({ "env": { "WHO": "you" } }));
    let first = host.pid().expect("it runs");
    let mut socket = echo(host.port());
    let mut echoes = |text: &str| {
        socket.send(text).expect("sent");
        assert_eq!(socket.next(SOON).expect("an echo"), text);
    };
    let upgraded = host.upgrade(&copy(folder.path())).expect("upgraded");
    host.signal(Signal::SIGKILL);
    // Until it is gone it has the store.
    ends(&upgraded["pid"]);
    echoes("still");
    // Nothing of what the old one has is in the way of the next.
    host.run();
    assert_eq!(host.get("pump", "/run").expect("an answer").status, 200);
    echoes("beside the next");
    drop(socket);
    ends(&first);
}

#[test]
fn both_doors_are_handed_over() {
    let https = client::free_port();
    let mut host = Host::with(&["--https", &format!("127.0.0.1:{https}")]);
    let folder = tempfile::tempdir().expect("a folder");
    host.create("pump", &hello(), &json!({ "env": { "WHO": "you" } }));
    let authority = host.data().join("keys/authority.pem");
    let curl = |address: &str| {
        let output = program::curl(&authority)
            .arg("--http2")
            .args(["--resolve", &format!("pump.localhost:{https}:127.0.0.1")])
            .args(["--header", "host: pump.localhost", "--include", address])
            .output()
            .expect("curl");
        said(&output)
    };
    let secure = format!("https://pump.localhost:{https}/run");
    let clear = format!("http://127.0.0.1:{}/run", host.port());
    let newer = copy(folder.path());
    for _ in 0..2 {
        let answer = curl(&secure);
        assert!(
            answer.starts_with("HTTP/2 200") && answer.ends_with("hello you"),
            "{answer}"
        );
        let answer = curl(&clear);
        assert!(answer.contains(&format!("location: {secure}")), "{answer}");
        host.upgrade(&newer).expect("upgraded");
        // Without connections, nothing holds the old one.
        eventually("the first process ends", SOON, || {
            if host.first_has_ended() {
                Ok(())
            } else {
                Err("it runs")
            }
        });
    }
}
