//! What becomes of connections when another process accepts in the place of a front.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::certificates::{LocalAuthority, server_config};
use super::serve::{Bounds, Front};
use super::{Asked, Door, Listening, Route, Routes};

/// Much longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Here;

impl Routes for Here {
    fn find(&self, _: &Asked<'_>) -> Route {
        Route::Local
    }
}

/// A front whose `/slow` sends what the test sends, and its address.
fn front(door: Door, mut pieces: mpsc::Receiver<&'static str>) -> (Front, std::net::SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (send, receive) = mpsc::channel::<Result<&'static str, std::io::Error>>(1);
    tokio::spawn(async move {
        while let Some(piece) = pieces.recv().await {
            send.send(Ok(piece)).await.ok();
        }
    });
    let receive = Arc::new(std::sync::Mutex::new(Some(receive)));
    let slow = async move || {
        let pieces = receive.lock().expect("a lock").take().expect("asked for once");
        Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(pieces))
    };
    let router = Router::new()
        .route("/slow", get(slow))
        .route("/", get(async || "here"));
    let listening = vec![Listening { listener, door }];
    let front = Front::serve(listening, Arc::new(Here), Some(router), Bounds::default());
    (front.expect("a front"), address)
}

fn ask(path: &str) -> Request<Empty<Bytes>> {
    Request::builder()
        .uri(format!("https://localhost{path}"))
        .header("host", "localhost")
        .body(Empty::new())
        .expect("a request")
}

#[tokio::test]
async fn http_2_finishes_its_streams_and_is_told_to_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = LocalAuthority::open(folder.path(), "localhost").expect("an authority");
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(authority.file()).expect("a certificate");
    roots.add(root).expect("added");
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (pieces, received) = mpsc::channel(1);
    let door = Door::Tls(server_config(Arc::new(authority)).expect("TLS"));
    let (front, address) = front(door, received);
    let stream = TcpStream::connect(address).await.expect("connected");
    let name = "localhost".try_into().expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream.expect("TLS")))
        .await
        .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut answer = sender.send_request(ask("/slow")).await.expect("an answer");
    pieces.send("one").await.expect("sent");
    assert!(answer.body_mut().frame().await.is_some());

    let left = tokio::spawn(front.leave(LONG, std::future::pending(), LONG));
    // It is told at once: soon no new stream is taken, while the old one lives.
    loop {
        match sender.ready().await {
            Ok(()) => tokio::task::yield_now().await,
            Err(_) => break,
        }
        if let Ok(answer) = sender.send_request(ask("/")).await {
            assert_eq!(
                answer.status(),
                StatusCode::OK,
                "what was still taken is answered"
            );
        }
    }
    assert!(!left.is_finished());
    pieces.send("two").await.expect("sent");
    drop(pieces);
    let rest = answer.into_body().collect().await.expect("the rest").to_bytes();
    assert_eq!(rest, "two");
    connection.await.expect("no panic").expect("a clean end");
    left.await.expect("it has left");
}

#[tokio::test]
async fn an_idle_connection_gets_one_more_answer() {
    let (pieces, received) = mpsc::channel(1);
    let (front, address) = front(Door::Plain, received);
    let stream = TcpStream::connect(address).await.expect("connected");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(ask("/")).await.expect("an answer");
    assert_eq!(answer.headers().get("connection"), None);
    answer.into_body().collect().await.expect("a body");

    let left = tokio::spawn(front.leave(LONG, std::future::pending(), LONG));
    // Nobody accepts any more, once that has been said.
    nobody_listens(address).await;
    sender.ready().await.expect("it is still open");
    let answer = sender
        .send_request(ask("/"))
        .await
        .expect("an answer after all that");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["connection"], "close");
    answer.into_body().collect().await.expect("a body");
    connection.await.expect("no panic").expect("a clean end");
    left.await.expect("it has left");
    drop(pieces);
}

/// Returns when nobody listens there.
async fn nobody_listens(address: std::net::SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_outlives_the_bound_is_broken_off() {
    for stopped in [false, true] {
        let (pieces, received) = mpsc::channel(1);
        let (front, address) = front(Door::Plain, received);
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        pieces.send("one").await.expect("sent");
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200");
        if stopped {
            front.leave(LONG, std::future::ready(()), Duration::ZERO).await;
        } else {
            front.leave(Duration::ZERO, std::future::pending(), LONG).await;
        }
        let mut rest = Vec::new();
        // Cut short: without the last chunk of length 0.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!String::from_utf8_lossy(&rest).ends_with("0\r\n\r\n"));
        drop(pieces);
    }
}
