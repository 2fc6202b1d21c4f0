//! A front: what all of its connections share, and how it ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use ipnet::IpNet;
use tokio::sync::watch;

use crate::ids;
use crate::proxy::accept::{Accepting, Places};
use crate::proxy::headers;
use crate::proxy::listener::{Door, Listening};
use crate::proxy::route::Routes;
use crate::shutdown::Tasks;

/// How much, and how long, a client may take.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Connections at once of one client: an IPv4 address, or the 64 first bits of an IPv6 address. On a loopback
    /// address nobody is counted: only this machine connects there, mostly a proxy.
    pub per_client: usize,
    /// Clients that speak for many, and are not counted.
    pub proxies: Vec<IpNet>,
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
            per_client: 1024,
            proxies: Vec::new(),
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
        let places = Arc::new(Places::of(&bounds));
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
        for listening in listeners {
            let accepting = Accepting::on(listening, places.clone(), stages.clone(), shared.clone())?;
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
