//! The listener: accepts within bounds, gives each connection a task, and drains them all.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use hyper::header::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use crate::ids;
use crate::proxy::exchange::Client;
use crate::proxy::headers;
use crate::proxy::listener::{Door, Listening};
use crate::proxy::route::Routes;
use crate::shutdown::Tasks;

/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// Requests that one HTTP/2 connection may have under way.
const STREAMS: u32 = 128;

/// How long a client may leave alone what was sent to it, in milliseconds.
const TAKES: u32 = 180_000;

/// Without a new request for so long, an HTTP/2 connection is told to end; its requests under way go on.
const QUIET: Duration = Duration::from_secs(120);

/// Largest head of a request, in bytes. Node.js itself stops at 16 KiB.
const HEAD: usize = 64 * 1024;

/// How much, and how long, a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Until the head of a request is complete, idle time before it included.
    pub head: Duration,
    /// Silence in the middle of an upload.
    pub upload_silence: Duration,
    /// How long a request waits for an instance that is starting.
    pub starting: Duration,
    /// From the last piece of the request until the instance begins its answer. Long polls are normal, a day is not.
    pub answer: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: Duration::from_secs(60),
            upload_silence: Duration::from_secs(120),
            starting: Duration::from_secs(15),
            answer: Duration::from_secs(900),
        }
    }
}

/// What a front does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Accepts, and keeps them.
    Serves,
    /// Somebody else accepts: each ends with its next answer, or when nothing is left to do.
    Leaves,
    /// Those that are idle end at once, the others with their answer.
    Stops,
}

/// A running front; dropping it breaks everything off.
#[derive(Debug)]
pub struct Front {
    stage: watch::Sender<Stage>,
    tasks: Tasks,
    shared: Arc<Shared>,
}

/// Counts answers; lives as long as anybody asks.
#[derive(Clone, Debug)]
pub struct Answers(Arc<Shared>);

impl Answers {
    /// How many answers there were, by the first digit of their status.
    #[must_use]
    pub fn by_class(&self) -> [u64; 6] {
        std::array::from_fn(|class| self.0.counts[class].load(Ordering::Relaxed))
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// What all connections of a front share.
pub(super) struct Shared {
    pub(super) routes: Arc<dyn Routes>,
    /// The host's own service.
    pub(super) local: Option<Router>,
    pub(super) bounds: Bounds,
    pub(super) tasks: Tasks,
    stage: watch::Receiver<Stage>,
    /// The port of TLS, where it is not the usual one.
    pub(super) secure_port: Option<u16>,
    counts: [AtomicU64; 6],
    /// Told apart by this front's start and a count.
    begun: u32,
    next: AtomicU64,
}

/// How a request came to the host's own service.
#[derive(Clone, Debug)]
pub struct From {
    /// The one host that it names, in lower case and perhaps with a port.
    pub host: Option<String>,
    /// Whether it came over TLS.
    pub secure: bool,
}

impl Shared {
    /// Gives a request its name in the logs; one that a client chose is kept when it is harmless.
    pub(super) fn name<B>(&self, request: &mut Request<B>) -> Option<HeaderValue> {
        if let Some(chosen) = request.headers().get(headers::REQUEST_ID)
            && (1..=128).contains(&chosen.len())
            && chosen
                .as_bytes()
                .iter()
                .all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
        {
            return Some(chosen.clone());
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = HeaderValue::from_str(&format!("{:08x}-{number:x}", self.begun)).ok()?;
        request.headers_mut().insert(headers::REQUEST_ID, id.clone());
        Some(id)
    }

    /// Whether a client had better open another connection for its next request.
    pub(super) fn leaves(&self) -> bool {
        *self.stage.borrow() != Stage::Serves
    }

    pub(super) fn counted(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).min(5);
        self.counts[class].fetch_add(1, Ordering::Relaxed);
    }
}

impl Front {
    /// Serves the listeners inside the current tokio runtime. `local` is the host's own service.
    ///
    /// # Errors
    /// When a listener cannot be made non-blocking or registered.
    pub fn serve(
        listeners: Vec<Listening>,
        routes: Arc<dyn Routes>,
        local: Option<Router>,
        bounds: Bounds,
    ) -> io::Result<Self> {
        let (stage, stages) = watch::channel(Stage::Serves);
        let tasks = Tasks::default();
        let places = Arc::new(Semaphore::new(bounds.connections));
        let secure = listeners
            .iter()
            .find(|listening| matches!(listening.door, Door::Tls(_)))
            .map(|listening| listening.listener.local_addr())
            .transpose()?;
        let mut begun = [0; 4];
        ids::random(&mut begun);
        let shared = Arc::new(Shared {
            routes,
            local,
            bounds,
            tasks: tasks.clone(),
            stage: stages.clone(),
            secure_port: secure.map(|address| address.port()).filter(|port| *port != 443),
            counts: Default::default(),
            begun: u32::from_be_bytes(begun),
            next: AtomicU64::new(0),
        });
        for Listening { listener, door } in listeners {
            listener.set_nonblocking(true)?;
            let accepting = Accepting {
                listener: TcpListener::from_std(listener)?,
                door,
                places: places.clone(),
                stages: stages.clone(),
                shared: shared.clone(),
            };
            tasks.spawn(accepting.run());
        }
        Ok(Self { stage, tasks, shared })
    }

    /// Answers so far, by the first digit of their status.
    #[must_use]
    pub fn answers(&self) -> Answers {
        Answers(self.shared.clone())
    }

    /// Accepts no more, lets requests in progress end, and breaks off what is left after `grace`.
    pub async fn drain(self, grace: Duration) {
        self.stage.send_replace(Stage::Stops);
        self.tasks.end(tokio::time::sleep(grace)).await;
    }

    /// Accepts no more, because another process accepts on the same sockets. What is under way goes on for up to
    /// `bound`, WebSockets and downloads included; a connection in HTTP/1.1 ends with the next answer, and one without
    /// a next request when it has been idle for too long, so nobody's request meets a closed connection. HTTP/2 is told
    /// to go elsewhere (GOAWAY) and ends its streams. When `stopped` is over, all of it has `grace` left.
    pub async fn leave(self, bound: Duration, stopped: impl Future<Output = ()>, grace: Duration) {
        self.stage.send_replace(Stage::Leaves);
        let enough = async {
            if tokio::time::timeout(bound, stopped).await.is_ok() {
                self.stage.send_replace(Stage::Stops);
                tokio::time::sleep(grace).await;
            }
        };
        self.tasks.end(enough).await;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

/// One listener and what its connections need.
struct Accepting {
    listener: TcpListener,
    door: Door,
    places: Arc<Semaphore>,
    stages: watch::Receiver<Stage>,
    shared: Arc<Shared>,
}

impl Accepting {
    async fn run(self) {
        loop {
            let accept = async {
                let place = self.places.clone().acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                accepted = accept => accepted,
                () = told(self.stages.clone(), Stage::Leaves) => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    let connection = self.connection(stream, address);
                    self.shared.tasks.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of descriptors, mostly: the connection stays in the queue, so asking at once would spin.
                    debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> impl Future<Output = ()> + Send + 'static {
        let client = Arc::new(Client {
            address: address.ip().to_canonical(),
            secure: matches!(self.door, Door::Tls(_)),
            front: self.shared.clone(),
            idle: Mutex::default(),
        });
        let stages = self.stages.clone();
        let door = self.door.clone();
        let head = self.shared.bounds.head;
        async move {
            // Editor traffic is many small messages; waiting to fill segments only adds delay.
            let _ = stream.set_nodelay(true);
            watch_over(&stream);
            let ended = match door {
                Door::Plain => first(stream, client, stages).await,
                Door::Tls(config) => {
                    let accepting = TlsAcceptor::from(config).accept(stream);
                    match tokio::time::timeout(head.min(HANDSHAKE), accepting).await {
                        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                            second(stream, client, stages).await
                        }
                        Ok(Ok(stream)) => first(stream, client, stages).await,
                        Ok(Err(error)) => {
                            debug!(%error, %address, "no TLS came about");
                            return;
                        }
                        Err(_) => return,
                    }
                }
            };
            if let Err(error) = ended {
                debug!(%error, %address, "a connection broke");
            }
        }
    }
}

/// Has the kernel find out about clients that are gone without a word, and about those that do not take what was sent
/// to them (`tcp(7)`). A kernel that refuses leaves a connection open for longer, no more.
fn watch_over(stream: &TcpStream) {
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
    let _ = setsockopt(stream, sockopt::TcpKeepIdle, &60);
    let _ = setsockopt(stream, sockopt::TcpKeepInterval, &20);
    let _ = setsockopt(stream, sockopt::TcpUserTimeout, &TAKES);
}

/// HTTP/1.1 until it ends.
async fn first<S>(stream: S, client: Arc<Client>, stages: watch::Receiver<Stage>) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head = client.front.bounds.head;
    let service = service_fn(move |request| {
        let client = client.clone();
        async move { Ok::<_, Infallible>(client.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        ended = &mut connection => ended,
        () = told(stages, Stage::Stops) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// HTTP/2 until it ends.
async fn second<S>(stream: S, client: Arc<Client>, stages: watch::Receiver<Stage>) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Streams(client.front.tasks.clone());
    let head = client.front.bounds.head;
    let (begun, mut requests) = watch::channel(());
    let service = service_fn(move |request| {
        let client = client.clone();
        begun.send_replace(());
        async move { Ok::<_, Infallible>(client.answer(request).await) }
    });
    let connection = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD as u32)
        // One that is gone without a word is found out.
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        // One that has never asked for anything may not even speak the protocol, and would hear no farewell.
        () = tokio::time::sleep(head) => return Ok(()),
        _ = requests.changed() => {}
        () = told(stages.clone(), Stage::Leaves) => {}
    }
    tokio::select! {
        ended = &mut connection => return ended,
        () = silence(&mut requests, QUIET) => {}
        () = told(stages, Stage::Leaves) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// Returns when there was no new request for so long.
async fn silence(requests: &mut watch::Receiver<()>, long: Duration) {
    while let Ok(Ok(())) = tokio::time::timeout(long, requests.changed()).await {}
}

/// Runs the streams of HTTP/2 as tasks of the front.
#[derive(Clone, Debug)]
struct Streams(Tasks);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        self.0.spawn(async move {
            let _ = stream.await;
        });
    }
}

/// Returns when the front is that far, or is gone.
async fn told(mut stages: watch::Receiver<Stage>, stage: Stage) {
    let _ = stages.wait_for(|now| *now == stage || *now == Stage::Stops).await;
}
