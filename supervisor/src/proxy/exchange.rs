//! One client connection: its requests, one after the other, to the instance and back.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{EXPECT, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tracing::debug;

use crate::proxy::page::{Body, Page, whole};
use crate::proxy::serve::{Bounds, Tasks};
use crate::proxy::{Upstream, guard, headers};

/// A client connection's state.
pub(super) struct Client {
    address: IpAddr,
    upstream: watch::Receiver<Upstream>,
    bounds: Bounds,
    tasks: Arc<Tasks>,
    /// The instance's side of this connection, when it is between two requests.
    idle: Mutex<Option<SendRequest<Upload>>>,
}

/// Why an exchange has no answer.
#[derive(Debug, Error)]
enum ExchangeError {
    #[error("it does not accept connections")]
    Connect(#[source] io::Error),
    #[error("it broke off the connection")]
    Broken(#[source] hyper::Error),
    #[error("it has not begun to answer for {} seconds", .0.as_secs())]
    Silent(Duration),
    #[error("it changed the protocol unasked")]
    Upgrade,
}

impl Client {
    pub(super) fn new(
        address: IpAddr,
        upstream: watch::Receiver<Upstream>,
        bounds: Bounds,
        tasks: Arc<Tasks>,
    ) -> Self {
        Self {
            address,
            upstream,
            bounds,
            tasks,
            idle: Mutex::new(None),
        }
    }

    /// Answers one request; a failure is an answer too.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let method = request.method().clone();
        let about = request.headers().clone();
        if let Err(refusal) = guard::judge(&request) {
            let page = Page {
                status: refusal.status,
                title: "Not allowed",
                detail: &refusal.reason,
                retry: None,
            };
            return page.answer(&method, &about);
        }
        let socket = match self.ready(&method, &about).await {
            Ok(socket) => socket,
            Err(page) => return *page,
        };
        match self.exchange(request, &socket).await {
            Ok(response) => response,
            Err(error) => {
                debug!(error = &error as &dyn Error, "no answer from the instance");
                let status = match error {
                    ExchangeError::Silent(_) => StatusCode::GATEWAY_TIMEOUT,
                    _ => StatusCode::BAD_GATEWAY,
                };
                let detail = format!("The reason: {error}.");
                let page = Page {
                    status,
                    title: "No answer from Node-RED",
                    detail: &detail,
                    retry: Some(2),
                };
                page.answer(&method, &about)
            }
        }
    }

    /// The instance's socket, as soon as its flows run; else what to say.
    async fn ready(&self, method: &Method, about: &HeaderMap) -> Result<PathBuf, Box<Response<Body>>> {
        let mut upstream = self.upstream.clone();
        let settled = upstream.wait_for(|now| *now != Upstream::Starting);
        let now = match tokio::time::timeout(self.bounds.starting, settled).await {
            Ok(Ok(now)) => now.clone(),
            Ok(Err(_)) => Upstream::Down {
                title: "Redhold is stopping".to_owned(),
                detail: "Start it again with `redhold dev`.".to_owned(),
            },
            Err(_) => Upstream::Starting,
        };
        let (title, detail) = match &now {
            Upstream::Ready(socket) => return Ok(socket.clone()),
            Upstream::Starting => ("Node-RED is starting", "This page opens by itself."),
            Upstream::Down { title, detail } => (title.as_str(), detail.as_str()),
        };
        let page = Page {
            status: StatusCode::SERVICE_UNAVAILABLE,
            title,
            detail,
            retry: Some(2),
        };
        Err(Box::new(page.answer(method, about)))
    }

    async fn exchange(
        &self,
        mut request: Request<Incoming>,
        socket: &Path,
    ) -> Result<Response<Body>, ExchangeError> {
        // Only WebSocket: an upgrade to cleartext HTTP/2 would carry requests past this front unseen.
        let protocol = headers::upgrade(request.headers())
            .filter(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let client_side = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
        let (sender, response) = self
            .send(self.translate(request, protocol.as_ref()), socket)
            .await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // It becomes usable again when this answer's body has been read.
            self.park(sender);
            let (mut head, body) = response.into_parts();
            headers::strip(&mut head.headers, None);
            head.version = Version::HTTP_11;
            return Ok(Response::from_parts(head, body.boxed()));
        }
        let (Some(client_side), Some(protocol)) = (client_side, protocol) else {
            return Err(ExchangeError::Upgrade);
        };
        Ok(self.joined(response, client_side, protocol))
    }

    /// Keeps the instance's connection for the next request of this client; there is never a second one.
    fn park(&self, sender: SendRequest<Upload>) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    fn parked(&self) -> Option<SendRequest<Upload>> {
        let sender = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        sender.filter(SendRequest::is_ready)
    }

    /// Ties the two sides together until either ends.
    fn joined(
        &self,
        mut response: Response<Incoming>,
        client_side: hyper::upgrade::OnUpgrade,
        protocol: HeaderValue,
    ) -> Response<Body> {
        let instance_side = hyper::upgrade::on(&mut response);
        self.tasks.spawn(async move {
            let (Ok(client), Ok(instance)) = (client_side.await, instance_side.await) else {
                return;
            };
            // Passes a half-close on and ends when both directions have; an error on one side ends both.
            let mut client = TokioIo::new(client);
            let mut instance = TokioIo::new(instance);
            if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut instance).await {
                debug!(%error, "a WebSocket broke");
            }
        });
        let (mut head, _) = response.into_parts();
        headers::strip(&mut head.headers, Some(protocol));
        Response::from_parts(head, whole(String::new()))
    }

    /// The request as the instance gets it.
    fn translate(&self, request: Request<Incoming>, protocol: Option<&HeaderValue>) -> Request<Upload> {
        let (mut head, body) = request.into_parts();
        headers::strip(&mut head.headers, protocol.cloned());
        headers::forwarded(&mut head.headers, &head.uri, self.address);
        // This front has answered it already, by reading the body.
        head.headers.remove(EXPECT);
        head.version = Version::HTTP_11;
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
        head.extensions.clear();
        Request::from_parts(head, Upload::new(body, self.bounds.upload_silence))
    }

    async fn send(
        &self,
        request: Request<Upload>,
        socket: &Path,
    ) -> Result<(SendRequest<Upload>, Response<Incoming>), ExchangeError> {
        let mut request = request;
        if let Some(mut sender) = self.parked() {
            match self.timed(sender.try_send_request(request)).await? {
                Ok(response) => return Ok((sender, response)),
                // The instance closed the idle connection before it saw anything: the request is whole, so it
                // may go again on a new one.
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(ExchangeError::Broken(failed.into_error())),
                },
            }
        }
        let mut sender = self.connect(socket).await?;
        let response = self
            .timed(sender.send_request(request))
            .await?
            .map_err(ExchangeError::Broken)?;
        Ok((sender, response))
    }

    async fn timed<T>(&self, answer: impl Future<Output = T>) -> Result<T, ExchangeError> {
        tokio::time::timeout(self.bounds.answer, answer)
            .await
            .map_err(|_| ExchangeError::Silent(self.bounds.answer))
    }

    async fn connect(&self, socket: &Path) -> Result<SendRequest<Upload>, ExchangeError> {
        let stream = patiently(socket).await.map_err(ExchangeError::Connect)?;
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ExchangeError::Broken)?;
        self.tasks.spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "the instance's side of a connection broke");
            }
        });
        Ok(sender)
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

/// A request's body on its way to the instance; a client that falls silent in the middle is given up.
struct Upload {
    body: Incoming,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Upload {
    fn new(body: Incoming, limit: Duration) -> Self {
        Self {
            body,
            limit,
            timer: Box::pin(tokio::time::sleep(limit)),
        }
    }
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let next = Instant::now() + self.limit;
            self.timer.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match self.timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err("the client fell silent".into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
