//! Connections: accepted within bounds, each in a task of its own that speaks HTTP/1.1 or HTTP/2.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::clients::{Clients, Seat};
use super::exchange::Client;
use super::listener::{Door, Listening};
use super::serve::{Bounds, Shared, Stage};
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

/// Connections at once of clients that have too many: they are told so, and those beyond are closed without a word.
const REFUSALS: usize = 64;

/// How long it may take to tell one.
const FAREWELL: Duration = Duration::from_secs(5);

/// One listener and what its connections need.
pub(super) struct Accepting {
    listener: TcpListener,
    door: Door,
    places: Arc<Places>,
    /// Whether clients are told apart here.
    counts: bool,
    stages: watch::Receiver<Stage>,
    shared: Arc<Shared>,
}

/// Room for connections, at all listeners of a front.
pub(super) struct Places {
    all: Arc<Semaphore>,
    clients: Arc<Clients>,
    refused: Arc<Semaphore>,
}

/// What a connection takes up for as long as anything of it lives, a WebSocket included.
pub(super) struct Place {
    _one: OwnedSemaphorePermit,
    /// Among those of its client, where clients are counted, or among those that are refused.
    among: Among,
}

enum Among {
    All,
    Client { _seat: Seat },
    Refused { _turn: OwnedSemaphorePermit },
}

impl Place {
    /// Whether its client has too many of them, and is only told so.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.among, Among::Refused { .. })
    }
}

impl Places {
    pub(super) fn of(bounds: &Bounds) -> Self {
        Self {
            all: Arc::new(Semaphore::new(bounds.connections)),
            clients: Arc::new(Clients::new(bounds.per_client, bounds.proxies.clone())),
            refused: Arc::new(Semaphore::new(REFUSALS)),
        }
    }

    /// A place for a connection from this address; none when there is not even room to refuse it.
    fn take(&self, one: OwnedSemaphorePermit, client: Option<IpAddr>) -> Option<Place> {
        let among = match client.map(|client| self.clients.admit(client)) {
            None => Among::All,
            Some(Some(seat)) => Among::Client { _seat: seat },
            Some(None) => Among::Refused {
                _turn: self.refused.clone().try_acquire_owned().ok()?,
            },
        };
        Some(Place { _one: one, among })
    }
}

impl Accepting {
    pub(super) fn on(
        Listening { listener, door }: Listening,
        places: Arc<Places>,
        stages: watch::Receiver<Stage>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            counts: !listener.local_addr()?.ip().to_canonical().is_loopback(),
            listener: TcpListener::from_std(listener)?,
            door,
            places,
            stages,
            shared,
        })
    }

    pub(super) async fn run(self) {
        loop {
            let accept = async {
                // Never closed.
                let one = self.places.all.clone().acquire_owned().await.ok();
                (one, self.listener.accept().await)
            };
            let (one, accepted) = tokio::select! {
                accepted = accept => accepted,
                () = told(self.stages.clone(), Stage::Leaves) => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    let client = self.counts.then(|| address.ip().to_canonical());
                    let place = one.and_then(|one| self.places.take(one, client));
                    if let Some(place) = place {
                        self.begin(stream, address, place);
                    }
                }
                Err(error) => {
                    // Out of descriptors, mostly: the connection stays in the queue, so asking at once would spin.
                    debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, address: SocketAddr, place: Place) {
        let refused = place.is_refused();
        let connection = self.connection(stream, address, place);
        if refused {
            self.shared.tasks.spawn(async move {
                let _ = tokio::time::timeout(FAREWELL, connection).await;
            });
        } else {
            self.shared.tasks.spawn(connection);
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        place: Place,
    ) -> impl Future<Output = ()> + Send + 'static {
        let client = Arc::new(Client {
            address: address.ip().to_canonical(),
            secure: matches!(self.door, Door::Tls(_)),
            front: self.shared.clone(),
            idle: Mutex::default(),
            place,
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
