//! One connection to an instance, moved along by whoever uses it: without a task of its own, an exchange costs no
//! wake-up of another task, and never one on another processor.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::Instant;
use tracing::debug;

use crate::proxy::exchange::{Client, ExchangeError};
use crate::proxy::upload::Upload;

/// The connection itself; hyper does not name its type.
type Wire = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// A connection to an instance.
pub(super) struct Way {
    socket: PathBuf,
    sender: SendRequest<Upload>,
    /// None when it has ended.
    wire: Option<Wire>,
}

impl Way {
    pub(super) async fn open(socket: &Path) -> Result<Self, ExchangeError> {
        let stream = patiently(socket).await.map_err(ExchangeError::Connect)?;
        let (sender, wire) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ExchangeError::Broken)?;
        Ok(Self {
            socket: socket.to_owned(),
            sender,
            wire: Some(Box::pin(wire.with_upgrades())),
        })
    }

    /// Whether it leads to this socket.
    pub(super) fn leads_to(&self, socket: &Path) -> bool {
        self.socket == socket
    }

    /// Whether it can take a request: looked at anew, because nobody watched it meanwhile.
    pub(super) async fn usable(&mut self) -> bool {
        poll_fn(|context| {
            self.poll(context);
            Poll::Ready(())
        })
        .await;
        self.is_usable()
    }

    fn is_usable(&self) -> bool {
        self.wire.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let wire = &mut self.wire;
        poll_fn(move |context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            advance(wire, context);
            answer.as_mut().poll(context)
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        advance(&mut self.wire, context);
    }

    /// Moves it along until it has ended, or has been handed over to another protocol.
    pub(super) async fn finish(self) {
        if let Some(wire) = self.wire
            && let Err(error) = wire.await
        {
            debug!(%error, "the instance's side of a connection broke");
        }
    }
}

fn advance(wire: &mut Option<Wire>, context: &mut Context<'_>) {
    let Some(open) = wire else { return };
    if let Poll::Ready(ended) = open.as_mut().poll(context) {
        if let Err(error) = ended {
            debug!(%error, "the instance's side of a connection broke");
        }
        *wire = None;
    }
}

/// Connects; a full queue answers "try again" at once on a unix socket (`connect(2)`), so trying again is ours.
async fn patiently(socket: &Path) -> io::Result<UnixStream> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            other => return other,
        }
    }
}

/// An answer's body; at its end the way goes back to its client.
pub(super) struct Download {
    body: Incoming,
    way: Option<Way>,
    client: Arc<Client>,
}

impl Download {
    pub(super) async fn new(body: Incoming, way: Way, client: Arc<Client>) -> Self {
        let mut download = Self {
            body,
            way: Some(way),
            client,
        };
        // An empty one is never asked for its end.
        if download.body.is_end_stream() {
            poll_fn(|context| {
                download.give_back(context);
                Poll::Ready(())
            })
            .await;
        }
        download
    }

    fn give_back(&mut self, context: &mut Context<'_>) {
        if let Some(mut way) = self.way.take() {
            // It learns of the end by this.
            way.poll(context);
            if way.is_usable() {
                self.client.park(way);
            }
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending()
            && let Some(way) = &mut self.way
        {
            way.poll(context);
            frame = Pin::new(&mut self.body).poll_frame(context);
        }
        let ended = match &frame {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => self.body.is_end_stream(),
            Poll::Ready(Some(Err(_))) => {
                self.way = None;
                false
            }
            Poll::Pending => false,
        };
        if ended {
            self.give_back(context);
        }
        frame.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
