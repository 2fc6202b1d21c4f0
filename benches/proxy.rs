//! The front beside nginx, and beside a direct connection, in one run: the same backend on a unix socket, the same
//! clients, one after the other and round after round.
//!
//! `cargo bench --bench proxy`. Prints requests per second with 32 connections that never pause, and latencies at a
//! fixed rate that all of them can serve. The backend is as quick as can be, so that what stands before it counts.

use std::convert::Infallible;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use supervisor::proxy::{Bounds, Front, Listening, Single, Upstream};
use test_support::bench::processes;
use test_support::client::free_port;
use test_support::eventually::{eventually, until};
use test_support::websocket::{self, WebSocket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

/// Connections that never pause.
const CONNECTIONS: usize = 32;

/// Rounds of each contender.
const ROUNDS: usize = 11;

/// How long one round measures.
const ROUND: Duration = Duration::from_secs(2);

/// Requests per second while latencies are measured.
const RATE: u32 = 1000;

/// WebSockets that are held open together.
const HELD: usize = 1000;

/// Where a client connects.
#[derive(Clone, Debug)]
enum Place {
    Unix(PathBuf),
    Tcp(u16),
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("backend") => backend(Path::new(&words[2])),
        Some("echo") => websocket::echo(&net::UnixListener::bind(&words[2]).expect("a socket")),
        Some("front") => front(words[2].parse().expect("a port"), Path::new(&words[3])),
        _ => measure(),
    }
}

/// Answers everything with a few bytes.
fn backend(socket: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = UnixListener::bind(socket).expect("a socket");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let answer = service_fn(|_| async {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(
                        b"hello from the backend\n",
                    ))))
                });
                server::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await
                    .ok()
            });
        }
    });
}

/// The front, as a host runs it.
fn front(port: u16, socket: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (_upstream, seen) = watch::channel(Upstream::Ready(socket.to_owned()));
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let bounds = Bounds {
            connections: 4096,
            ..Bounds::default()
        };
        let _front = Front::serve(
            vec![Listening::plain(listener)],
            Arc::new(Single(seen)),
            None,
            bounds,
        )
        .expect("a front");
        std::future::pending::<()>().await;
    });
}

/// nginx with what its documentation advises for this: workers by cores, connections to the backend kept.
fn nginx(folder: &Path, port: u16, socket: &Path) -> Option<Child> {
    let config = folder.join("nginx.conf");
    let (folder, socket) = (folder.display(), socket.display());
    // Its workers would be somebody else, who may not open the socket.
    let user = if nix::unistd::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let text = format!(
        "{user} daemon off; worker_processes auto; pid {folder}/pid; error_log {folder}/error.log;
         events {{ worker_connections 4096; }}
         http {{
           access_log off; keepalive_requests 1000000;
           client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
           uwsgi_temp_path {folder}; scgi_temp_path {folder};
           upstream backend {{ server unix:{socket}; keepalive 64; keepalive_requests 1000000; }}
           server {{
             listen 127.0.0.1:{port};
             location / {{
               proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection \"\";
               proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
               proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;
               proxy_set_header X-Request-Id $request_id;
             }}
           }}
         }}"
    );
    std::fs::write(&config, text).expect("a configuration");
    Command::new("nginx")
        .arg("-c")
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

#[expect(clippy::print_stdout, reason = "a bench's result is what it prints")]
fn measure() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("backend.sock");
    let (ours, theirs) = (free_port(), free_port());
    let backend = start(&["backend", &socket.to_string_lossy()]);
    let front = start(&["front", &ours.to_string(), &socket.to_string_lossy()]);
    let nginx = nginx(folder.path(), theirs, &socket);
    let mut contenders = vec![("direct", Place::Unix(socket)), ("redhold", Place::Tcp(ours))];
    if nginx.is_some() {
        contenders.push(("nginx", Place::Tcp(theirs)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut rates = vec![Vec::new(); contenders.len()];
    let mut delays = vec![[Vec::new(), Vec::new()]; contenders.len()];
    for _ in 0..ROUNDS {
        for (number, (_, place)) in contenders.iter().enumerate() {
            rates[number].push(runtime.block_on(throughput(place)));
            let mut round = runtime.block_on(latency(place));
            for (share, found) in [500, 990].into_iter().zip(&mut delays[number]) {
                found.push(at(&mut round, share));
            }
        }
    }
    println!(
        "{:10}{:>12}{:>10}{:>10}{:>12}{:>12}",
        "", "requests/s", "p50 us", "p99 us", "added p50", "added p99"
    );
    // The median round: one in which the machine did something else says nothing about a contender.
    let delays: Vec<(u128, u128)> = delays
        .iter_mut()
        .map(|[p50, p99]| (at(p50, 500), at(p99, 500)))
        .collect();
    let base = delays[0];
    for (number, (name, _)) in contenders.iter().enumerate() {
        rates[number].sort_by(f64::total_cmp);
        let (p50, p99) = delays[number];
        let rate = rates[number][ROUNDS / 2];
        let (more50, more99) = (p50.saturating_sub(base.0), p99.saturating_sub(base.1));
        println!("{name:10}{rate:>12.0}{p50:>10}{p99:>10}{more50:>12}{more99:>12}");
    }
    end([Some(backend), Some(front), nginx].into_iter().flatten());
    hold(folder.path());
}

fn end(children: impl IntoIterator<Item = Child>) {
    for mut child in children {
        // nginx ends its workers itself when it is asked gently.
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let _ = child.wait();
    }
}

/// This program once more, in another part.
fn start(words: &[&str]) -> Child {
    let me = std::env::current_exe().expect("this program");
    Command::new(me).args(words).spawn().expect("a child")
}

/// Opens WebSockets through a front of its own, has each of them say something when all are open, and tells what they
/// cost the front.
#[expect(clippy::print_stdout, reason = "a bench's result is what it prints")]
fn hold(folder: &Path) {
    let socket = folder.join("echo.sock");
    let socket = socket.to_string_lossy();
    let port = free_port();
    let children = [
        start(&["echo", &socket]),
        start(&["front", &port.to_string(), &socket]),
    ];
    let url = format!("ws://127.0.0.1:{port}/echo");
    let open = || {
        eventually("a WebSocket", Duration::from_secs(5), || {
            WebSocket::open(&url, &[])
        })
    };
    // Allocators and code pages are there after the first.
    let mut sockets = vec![open()];
    let front = [i32::try_from(children[1].id()).expect("a process")];
    let before = processes::memory(&front).anonymous;
    sockets.extend((1..HELD).map(|_| open()));
    let (mut delays, mut said) = (Vec::new(), 0);
    for (number, socket) in sockets.iter_mut().enumerate() {
        let sent = Instant::now();
        let text = format!("number {number}");
        let heard = socket
            .send(&text)
            .and_then(|()| socket.next(Duration::from_secs(5)));
        said += usize::from(heard == Ok(text));
        delays.push(sent.elapsed().as_micros());
    }
    let after = processes::memory(&front).anonymous;
    println!(
        "{said} of {HELD} WebSockets held and answering, half of them within {} us; the front has {after:.1} MiB of its \
         own, {:.1} KiB for each",
        at(&mut delays, 500),
        (after - before) * 1024.0 / (HELD - 1) as f64
    );
    drop(sockets);
    end(children);
}

/// So many of a thousand are at most this.
fn at(delays: &mut [u128], share: usize) -> u128 {
    delays.sort_unstable();
    delays[delays.len() * share / 1000]
}

async fn connect(place: &Place) -> client::SendRequest<Empty<Bytes>> {
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        let opened = match place {
            Place::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            Place::Tcp(port) => TcpStream::connect(("127.0.0.1", *port)).await.map(Stream::Tcp),
        };
        match opened {
            Ok(Stream::Unix(stream)) => return shake(stream).await,
            Ok(Stream::Tcp(stream)) => {
                stream.set_nodelay(true).expect("an option");
                return shake(stream).await;
            }
            Err(error) => assert!(Instant::now() < patience, "{place:?}: {error}"),
        }
        until(Instant::now() + Duration::from_millis(20)).await;
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

async fn shake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> client::SendRequest<Empty<Bytes>> {
    let (sender, connection) = client::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(async move { connection.await.ok() });
    sender
}

async fn ask(sender: &mut client::SendRequest<Empty<Bytes>>) {
    let request = Request::get("/hello")
        .header("host", "localhost")
        .body(Empty::new())
        .expect("a request");
    sender.ready().await.expect("ready");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.expect("a body");
}

/// Requests per second of connections that never pause.
async fn throughput(place: &Place) -> f64 {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(connect(place).await);
    }
    let begun = Instant::now();
    let tasks = clients.into_iter().map(|mut sender| {
        tokio::spawn(async move {
            let mut count = 0_u64;
            while begun.elapsed() < ROUND {
                ask(&mut sender).await;
                count += 1;
            }
            count
        })
    });
    let mut count = 0;
    for task in tasks.collect::<Vec<_>>() {
        count += task.await.expect("a count");
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Times of answers, in microseconds, to requests at a fixed rate, from the moment at which they were due.
async fn latency(place: &Place) -> Vec<u128> {
    let mut clients: Vec<_> = Vec::new();
    for _ in 0..8 {
        clients.push(connect(place).await);
    }
    let every = Duration::from_secs(1) / RATE;
    let begun = Instant::now() + Duration::from_millis(5);
    let each = u32::try_from(clients.len()).expect("few");
    let count = RATE * u32::try_from(ROUND.as_secs()).expect("short") / each;
    let tasks = clients.into_iter().zip(0..).map(|(mut sender, first)| {
        tokio::spawn(async move {
            let mut delays = Vec::new();
            for number in 0..count {
                let due = begun + every * (number * each + first);
                until(due).await;
                // The timer's own millisecond is not the contender's.
                let sent = Instant::now();
                ask(&mut sender).await;
                delays.push(sent.elapsed().as_micros());
            }
            delays
        })
    });
    let mut delays = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        delays.extend(task.await.expect("delays"));
    }
    delays
}
