//! The listener: accepts within bounds, gives each connection a task, and drains them all.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::debug;

use crate::proxy::Upstream;
use crate::proxy::exchange::Client;

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
    /// Until the instance begins its answer. Long polls are normal, a day is not.
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

/// A running front; dropping it breaks everything off.
#[derive(Debug)]
pub struct Front {
    stop: watch::Sender<bool>,
    tasks: Arc<Tasks>,
}

/// Every task of a front: none outlives it, none is forgotten.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<JoinSet<()>>);

impl Front {
    /// Serves the listeners inside the current tokio runtime.
    ///
    /// # Errors
    /// When a listener cannot be made non-blocking or registered.
    pub fn serve(
        listeners: Vec<std::net::TcpListener>,
        upstream: &watch::Receiver<Upstream>,
        bounds: Bounds,
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let tasks = Arc::new(Tasks::default());
        let places = Arc::new(Semaphore::new(bounds.connections));
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let accepting = Accepting {
                listener: TcpListener::from_std(listener)?,
                places: places.clone(),
                tasks: tasks.clone(),
                stopped: stopped.clone(),
                upstream: upstream.clone(),
                bounds,
            };
            tasks.spawn(accepting.run());
        }
        Ok(Self { stop, tasks })
    }

    /// Accepts no more, lets requests in progress end, and breaks off what is left after `grace`.
    pub async fn drain(self, grace: Duration) {
        self.stop.send_replace(true);
        let mut left = self.tasks.take();
        let all = async { while left.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            left.shutdown().await;
        }
        // Connections that were being accepted meanwhile.
        self.tasks.take().shutdown().await;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.tasks.take().abort_all();
    }
}

impl Tasks {
    /// Starts a task and forgets those that have ended.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    fn take(&self) -> JoinSet<()> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One listener and what its connections need.
struct Accepting {
    listener: TcpListener,
    places: Arc<Semaphore>,
    tasks: Arc<Tasks>,
    stopped: watch::Receiver<bool>,
    upstream: watch::Receiver<Upstream>,
    bounds: Bounds,
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
                () = told(self.stopped.clone()) => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    let connection = self.connection(stream, address);
                    self.tasks.spawn(async move {
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
        let client = Arc::new(Client::new(
            address.ip(),
            self.upstream.clone(),
            self.bounds,
            self.tasks.clone(),
        ));
        let stopped = self.stopped.clone();
        let head = self.bounds.head;
        async move {
            // Editor traffic is many small messages; waiting to fill segments only adds delay.
            let _ = stream.set_nodelay(true);
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
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = told(stopped) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                debug!(%error, %address, "a connection broke");
            }
        }
    }
}

/// Returns when the front is to stop, or is gone.
async fn told(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}
