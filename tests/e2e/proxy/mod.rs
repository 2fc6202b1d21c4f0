//! The front alone, between real sockets: streaming, hang-ups, slow and hostile clients.
//!
//! The far side here is a plain unix socket that the test reads byte by byte, because what matters is what an
//! instance would see on the wire.

mod bounds;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use supervisor::proxy::{Bounds, Front, Listening, Single, Upstream};
use test_support::client;
use test_support::eventually::{eventually, let_pass};
use test_support::websocket::WebSocket;
use tokio::sync::watch;

/// A front on a free port, and the instance's side of it.
struct Stage {
    front: Option<Front>,
    runtime: tokio::runtime::Runtime,
    upstream: watch::Sender<Upstream>,
    instance: UnixListener,
    port: u16,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(bounds: Bounds) -> Self {
        Self::on("127.0.0.1", bounds)
    }

    fn on(address: &str, bounds: Bounds) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("s");
        let instance = UnixListener::bind(&socket).expect("the instance's socket");
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (upstream, seen) = watch::channel(Upstream::Ready(socket));
        let front = {
            let _inside = runtime.enter();
            let routes = std::sync::Arc::new(Single(seen));
            Front::serve(vec![Listening::plain(listener)], routes, None, bounds).expect("a front")
        };
        Self {
            front: Some(front),
            runtime,
            upstream,
            instance,
            port,
            folder,
        }
    }

    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the front accepts");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout");
        stream
    }

    /// A client that has sent `bytes`.
    fn sent(&self, bytes: &str) -> TcpStream {
        let mut client = self.client();
        client.write_all(bytes.as_bytes()).expect("the front reads");
        client
    }

    fn accept(&self) -> BufReader<UnixStream> {
        let (stream, _) = self.instance.accept().expect("the front connects");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout");
        BufReader::new(stream)
    }

    /// Answers one request with `body`, whatever it is.
    fn serve_one(&self, body: &str) -> Vec<String> {
        let mut instance = self.accept();
        let head = head(&mut instance);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        instance
            .get_mut()
            .write_all(answer.as_bytes())
            .expect("the front reads");
        head
    }

    fn drain(mut self, grace: Duration) {
        let front = self.front.take().expect("a front");
        self.runtime.block_on(front.drain(grace));
    }
}

/// The lines of a message's head.
fn head(from: &mut impl BufRead) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line).expect("a line of a head");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            return lines;
        }
        lines.push(line);
    }
}

/// What a client gets until the connection closes or `end` has been seen.
fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = client.read(&mut piece).unwrap_or(0);
        text.extend_from_slice(&piece[..count]);
        let seen = String::from_utf8_lossy(&text);
        if count == 0 || (!end.is_empty() && seen.contains(end)) {
            return seen.into_owned();
        }
    }
}

#[test]
fn an_answer_streams_while_it_is_made() {
    let stage = Stage::new(Bounds::default());
    let mut client =
        stage.sent("GET /events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
    let mut instance = stage.accept();
    head(&mut instance);
    let start = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    instance
        .get_mut()
        .write_all(start.as_bytes())
        .expect("the front reads");
    for word in ["one", "two", "three"] {
        let event = format!("data: {word}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        instance
            .get_mut()
            .write_all(chunk.as_bytes())
            .expect("the front reads");
        // Each event must arrive before the next is even written.
        assert!(read_until(&mut client, &event).contains(&event));
    }
}

#[test]
fn an_upload_streams_while_it_is_sent() {
    let stage = Stage::new(Bounds::default());
    let mut client =
        stage.sent("POST /up HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let mut instance = stage.accept();
    head(&mut instance);
    let mut first = [0; 8];
    instance
        .read_exact(&mut first)
        .expect("the first chunk before the last is sent");
    assert_eq!(&first, b"3\r\nabc\r\n");
    client.write_all(b"0\r\n\r\n").expect("the front reads");
    let mut last = [0; 5];
    instance.read_exact(&mut last).expect("the end");
    assert_eq!(&last, b"0\r\n\r\n");
}

#[test]
fn big_bodies_pass_both_ways_in_little_memory() {
    const SIZE: usize = 64 << 20;
    let stage = Stage::new(Bounds::default());
    let head_text = format!("PUT /big HTTP/1.1\r\nhost: localhost\r\ncontent-length: {SIZE}\r\n\r\n");
    let mut client = stage.sent(&head_text);
    let mut instance = stage.accept();
    head(&mut instance);
    let before = resident();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let piece = vec![7_u8; 1 << 20];
            for _ in 0..SIZE >> 20 {
                client.write_all(&piece).expect("the front reads");
            }
        });
        // An instance that does not read holds the client back instead of filling the front.
        let_pass(Duration::from_millis(500));
        let grown = resident().saturating_sub(before);
        assert!(grown < 16 << 20, "the front keeps {grown} bytes of an upload");
        let count = std::io::copy(&mut instance.by_ref().take(SIZE as u64), &mut std::io::sink());
        assert_eq!(count.expect("the upload"), SIZE as u64);
    });
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let to = instance.get_mut();
            to.write_all(answer.as_bytes()).expect("the front reads");
            let piece = vec![9_u8; 1 << 20];
            for _ in 0..SIZE >> 20 {
                to.write_all(&piece).expect("the front reads");
            }
        });
        let mut reader = BufReader::new(client.try_clone().expect("the client's socket"));
        head(&mut reader);
        let count = std::io::copy(&mut reader.take(SIZE as u64), &mut std::io::sink());
        assert_eq!(count.expect("the download"), SIZE as u64);
    });
}

/// Resident memory of this process, in bytes: `statm` counts pages (`proc(5)`).
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|field| field.parse::<usize>().ok());
    pages.expect("a count of pages") * 4096
}

#[test]
fn what_a_client_sends_reaches_the_instance_as_one_request() {
    // Each attempt hides a second request, `GET /hidden`, from a front that reads lengths otherwise than the
    // instance does. The instance may see one request, or none, and never the hidden one as its own.
    let hidden = "GET /hidden HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let length = hidden.len() + 5;
    let attempts = [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n\r\n0\r\n\r\n{hidden}"),
        format!("content-length: 0\r\ncontent-length: {length}\r\n\r\n{hidden}"),
        format!("content-length: +{length}\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!(
            "connection: content-length\r\ncontent-length: {}\r\n\r\n{hidden}",
            hidden.len()
        ),
        format!("x: y\r\n content-length: {}\r\n\r\n{hidden}", hidden.len()),
    ];
    for attempt in attempts {
        let stage = Stage::new(Bounds::default());
        let mut client = stage.sent(&format!("POST /seen HTTP/1.1\r\nhost: localhost\r\n{attempt}"));
        client.shutdown(Shutdown::Write).expect("the client's socket");
        let answer = std::thread::scope(|scope| {
            let reader = scope.spawn(|| read_until(&mut client, "\r\n\r\n"));
            stage
                .instance
                .set_nonblocking(true)
                .expect("the instance's socket");
            eventually("the front decides", Duration::from_secs(10), || {
                if reader.is_finished() {
                    return Ok(());
                }
                let Ok((stream, _)) = stage.instance.accept() else {
                    return Err("nothing yet");
                };
                stream.set_nonblocking(false).expect("a connection");
                stream
                    .set_read_timeout(Some(Duration::from_millis(400)))
                    .expect("a timeout");
                let mut all = Vec::new();
                let _ = BufReader::new(&stream).read_to_end(&mut all);
                let all = String::from_utf8_lossy(&all).into_owned();
                // As a request of its own it would stand alone on the wire; as the body of the first it is
                // announced by its length.
                let (seen_head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
                let announced = seen_head.lines().filter_map(|line| line.split_once(": "));
                let announced = announced
                    .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    .filter_map(|(_, value)| value.parse::<usize>().ok())
                    .sum::<usize>();
                assert!(
                    body.len() <= announced || body == "0\r\n\r\n",
                    "{attempt:?} went on as {all:?}"
                );
                Err("one request seen")
            });
            reader.join().expect("the client")
        });
        assert!(
            !answer.contains(" 200 "),
            "{attempt:?} was answered with {answer:?}"
        );
    }
}

#[test]
fn a_client_that_hangs_up_frees_the_instance() {
    let stage = Stage::new(Bounds::default());
    let client = stage.sent("GET /poll HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut instance = stage.accept();
    head(&mut instance);
    drop(client);
    assert_eq!(instance.read(&mut [0; 1]).expect("the end of it"), 0);
}

#[test]
fn an_instance_that_hangs_up_is_said_so() {
    let stage = Stage::new(Bounds::default());
    let mut client = stage.sent("GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\r\n");
    let mut instance = stage.accept();
    head(&mut instance);
    drop(instance);
    let said = read_until(&mut client, "</html>");
    assert!(said.starts_with("HTTP/1.1 502"), "{said}");
    assert!(said.contains("No answer from Node-RED"), "{said}");
}

#[test]
fn a_kept_connection_serves_one_client_after_another_request() {
    let stage = Stage::new(Bounds::default());
    let mut client = stage.client();
    let mut instance = None;
    for body in ["first", "second"] {
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .expect("the front reads");
        let instance = instance.get_or_insert_with(|| stage.accept());
        head(instance);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        instance
            .get_mut()
            .write_all(answer.as_bytes())
            .expect("the front reads");
        assert!(read_until(&mut client, body).contains("200 OK"));
    }
    // The instance drops the idle connection; the next request gets a new one and no error.
    drop(instance);
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .expect("the front reads");
    stage.serve_one("third");
    assert!(read_until(&mut client, "third").contains("200 OK"));
}

#[test]
fn requests_wait_for_an_instance_that_is_starting() {
    let bounds = Bounds {
        starting: Duration::from_secs(2),
        ..Bounds::default()
    };
    let stage = Stage::new(bounds);
    stage.upstream.send_replace(Upstream::Starting);
    let mut early = stage.sent("GET /early HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let_pass(Duration::from_millis(300));
    stage
        .upstream
        .send_replace(Upstream::Ready(stage.folder.path().join("s")));
    stage.serve_one("early");
    assert!(read_until(&mut early, "early").contains("200 OK"));

    stage.upstream.send_replace(Upstream::Starting);
    let mut late = stage.sent("GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\r\n");
    let said = read_until(&mut late, "</html>");
    assert!(
        said.starts_with("HTTP/1.1 503") && said.contains("refresh"),
        "{said}"
    );

    stage.upstream.send_replace(Upstream::Down {
        title: "Node-RED crashed".to_owned(),
        detail: "out of memory".to_owned(),
    });
    let down = client::get(&format!("http://127.0.0.1:{}/", stage.port)).expect("an answer");
    assert_eq!(
        (down.status, down.text().as_str()),
        (503, "Node-RED crashed: out of memory\n")
    );
}

#[test]
fn strangers_names_and_sites_are_turned_away() {
    let stage = Stage::new(Bounds::default());
    let url = format!("http://127.0.0.1:{}/flows", stage.port);
    let rebound = client::request("GET", &url, &[("host", "evil.example")], Vec::new()).expect("an answer");
    assert_eq!(rebound.status, 421);
    let foreign = [("origin", "https://evil.example")];
    let posted = client::request("POST", &url, &foreign, b"[]".to_vec()).expect("an answer");
    assert_eq!(posted.status, 403);
    let comms = format!("ws://127.0.0.1:{}/comms", stage.port);
    let refused = WebSocket::open(&comms, &foreign).expect_err("a foreign site");
    assert_eq!(refused, "refused with 403");
}

#[test]
fn the_instance_learns_who_asked_and_nothing_claimed() {
    let stage = Stage::new(Bounds::default());
    let mut client = stage.sent(
        "GET http://localhost:99/a?b=c HTTP/1.1\r\nhost: other\r\nx-forwarded-for: 1.2.3.4\r\n\
         connection: close, x-drop\r\nx-drop: 1\r\nexpect: 100-continue\r\nx-request-id: mine-1\r\n\
         x-redhold-voucher: forged\r\n\r\n",
    );
    let mut lines = stage.serve_one("ok");
    lines[1..].sort();
    assert_eq!(
        lines,
        [
            "GET /a?b=c HTTP/1.1",
            "host: localhost:99",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: localhost:99",
            "x-forwarded-proto: http",
            "x-request-id: mine-1",
        ]
    );
    assert!(read_until(&mut client, "ok").contains("200 OK"));
}

#[test]
fn a_websocket_passes_untouched_and_half_closed() {
    let stage = Stage::new(Bounds::default());
    let mut client = stage.sent(
        "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
    );
    let mut instance = stage.accept();
    let lines = head(&mut instance);
    assert!(
        lines
            .iter()
            .any(|line| line.eq_ignore_ascii_case("upgrade: websocket")),
        "{lines:?}"
    );
    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nearly";
    instance
        .get_mut()
        .write_all(switch.as_bytes())
        .expect("the front reads");
    let said = read_until(&mut client, "early");
    assert!(said.starts_with("HTTP/1.1 101"), "{said}");
    client.write_all(b"\x00raw\xff").expect("the front reads");
    client.shutdown(Shutdown::Write).expect("the client's socket");
    let mut bytes = Vec::new();
    instance.read_to_end(&mut bytes).expect("all of it");
    assert_eq!(bytes, b"\x00raw\xff");
    // The other direction is still open.
    instance.get_mut().write_all(b"late").expect("the front reads");
    assert_eq!(read_until(&mut client, "late"), "late");
}

#[test]
fn a_drain_lets_requests_end_and_waits_no_longer() {
    let stage = Stage::new(Bounds::default());
    let mut client = stage.sent("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut instance = stage.accept();
    head(&mut instance);
    let port = stage.port;
    std::thread::scope(|scope| {
        scope.spawn(move || stage.drain(Duration::from_secs(10)));
        eventually("the port is closed", Duration::from_secs(5), || {
            TcpStream::connect(("127.0.0.1", port)).err().ok_or("open")
        });
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
        instance.get_mut().write_all(answer).expect("the front reads");
        assert!(read_until(&mut client, "done").contains("200 OK"));
    });

    let stage = Stage::new(Bounds::default());
    let mut client = stage.sent("GET /never HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut instance = stage.accept();
    head(&mut instance);
    let begun = Instant::now();
    stage.drain(Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(read_until(&mut client, ""), "");
}
