//! One client connection: its requests, each to where it belongs, and the answers back.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_SECURITY_POLICY, EXPECT, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tower_service::Service;
use tracing::debug;

use crate::proxy::accept::Place;
use crate::proxy::page::{self, Body, Page, whole};
use crate::proxy::route::{Asked, Route, Target};
use crate::proxy::serve::{From, Shared};
use crate::proxy::table::without_port;
use crate::proxy::upload::{Progress, Upload};
use crate::proxy::way::{Download, Way};
use crate::proxy::{Upstream, access, guard, headers, shared};

/// Ways to instances that one client connection keeps between two requests.
const KEPT: usize = 8;

/// A client connection's state.
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// Whether it came over TLS.
    pub(super) secure: bool,
    pub(super) front: Arc<Shared>,
    /// The instances' sides of this connection that are between two requests, by their sockets.
    pub(super) idle: Mutex<Vec<Way>>,
    pub(super) place: Place,
}

/// Why an exchange has no answer.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
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
    /// Answers one request; a failure is an answer too.
    pub(super) async fn answer(self: &Arc<Self>, mut request: Request<Incoming>) -> Response<Body> {
        let id = self.front.name(&mut request);
        let version = request.version();
        let mut response = self.answered(request).await;
        // A connection that changes its protocol lives on; HTTP/2 says it in a frame of its own.
        if (self.front.leaves() || self.place.is_refused())
            && version <= Version::HTTP_11
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        if let Some(id) = id {
            response.headers_mut().insert(headers::REQUEST_ID, id);
        }
        self.front.counted(response.status());
        response
    }

    async fn answered(self: &Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let wants_page = page::wants_page(request.method(), request.headers());
        if self.place.is_refused() {
            return self.too_many(wants_page);
        }
        let host = match guard::judge(&request) {
            Ok(host) => host,
            Err(refusal) => return not_allowed(&refusal, wants_page),
        };
        let asked = Asked {
            host: host.as_deref(),
            path: request.uri().path(),
            headers: request.headers(),
            secure: self.secure,
        };
        match self.front.routes.find(&asked) {
            Route::To(target) => self.to(target, request, host.as_deref(), wants_page).await,
            Route::Shared(file) => shared::answer(file, request.method(), request.headers()).await,
            Route::Local => self.local(request, host).await,
            Route::Redirect(to) => see_other(&to),
            Route::Proof(text) => Response::new(whole(text)),
            Route::Secure => redirect(host.as_deref(), request.uri(), self.front.secure_port),
            Route::Refused {
                status,
                title,
                detail,
                challenge,
            } => {
                let page = Page {
                    status,
                    title,
                    detail: &detail,
                    retry: None,
                };
                let mut response = page.answer(wants_page);
                if let Some(challenge) = challenge {
                    let challenge = HeaderValue::from_static(challenge);
                    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                }
                response
            }
        }
    }

    fn too_many(&self, wants_page: bool) -> Response<Body> {
        let detail = format!(
            "From {} there are {} connections to this host, and one client may have no more. Close some of them; whoever \
             runs the host can raise `connections-per-client`, or name a proxy in `proxies`.",
            self.address, self.front.bounds.per_client
        );
        let page = Page {
            status: StatusCode::TOO_MANY_REQUESTS,
            title: "Too many connections",
            detail: &detail,
            retry: Some(10),
        };
        page.answer(wants_page)
    }

    async fn local(&self, mut request: Request<Incoming>, host: Option<String>) -> Response<Body> {
        request.extensions_mut().insert(From {
            host,
            secure: self.secure,
        });
        let Some(mut router) = self.front.local.clone() else {
            return Page {
                status: StatusCode::NOT_FOUND,
                title: "Nothing here",
                detail: "This host serves nothing under this name.",
                retry: None,
            }
            .answer(false);
        };
        let silence = self.front.bounds.upload_silence;
        let request = request.map(|body| axum::body::Body::new(Upload::new(body, silence)));
        let Ok(response) = router.call(request).await;
        response.map(|body| body.map_err(Into::into).boxed_unsync())
    }

    async fn to(
        self: &Arc<Self>,
        mut target: Target,
        mut request: Request<Incoming>,
        host: Option<&str>,
        wants_page: bool,
    ) -> Response<Body> {
        request.headers_mut().remove(headers::PREFIX);
        if let Some(prefix) = &target.prefix {
            headers::cut(&mut request, prefix);
            // Judged once more, by the path that the instance sees.
            let (method, path) = (request.method(), request.uri().path());
            if let Err(refusal) = guard::origin(method, path, request.headers(), host) {
                return not_allowed(&refusal, wants_page);
            }
        }
        let socket = match self.ready(&mut target.upstream, wants_page).await {
            Ok(socket) => socket,
            Err(page) => return *page,
        };
        match self.exchange(request, &socket, &target).await {
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
                page.answer(wants_page)
            }
        }
    }

    /// The instance's socket, as soon as its flows run; else what to say.
    async fn ready(
        &self,
        upstream: &mut watch::Receiver<Upstream>,
        wants_page: bool,
    ) -> Result<PathBuf, Box<Response<Body>>> {
        if let Upstream::Ready(socket) = &*upstream.borrow() {
            return Ok(socket.clone());
        }
        let settled = upstream.wait_for(|now| *now != Upstream::Starting);
        let now = match tokio::time::timeout(self.front.bounds.starting, settled).await {
            Ok(Ok(now)) => now.clone(),
            Ok(Err(_)) => Upstream::Down {
                title: "Redhold is stopping".to_owned(),
                detail: "This page opens when it is back.".to_owned(),
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
        Err(Box::new(page.answer(wants_page)))
    }

    async fn exchange(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
        socket: &Path,
        target: &Target,
    ) -> Result<Response<Body>, ExchangeError> {
        // Only WebSocket: an upgrade to cleartext HTTP/2 would carry requests past this front unseen.
        let protocol = headers::upgrade(request.headers())
            .filter(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let client_side = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
        let (way, response) = self
            .send(self.translate(request, protocol.as_ref(), target), socket)
            .await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (mut head, body) = response.into_parts();
            headers::strip(&mut head.headers, None);
            headers::keep_cookies_apart(&mut head.headers, &access::COOKIES);
            if let Some(policy) = &target.frames {
                // Beside what the instance says itself: browsers hold to both.
                head.headers.append(CONTENT_SECURITY_POLICY, policy.clone());
            }
            head.version = Version::HTTP_11;
            let body = Download::new(body, way, self.clone()).await.boxed_unsync();
            return Ok(Response::from_parts(head, body));
        }
        let (Some(client_side), Some(protocol)) = (client_side, protocol) else {
            return Err(ExchangeError::Upgrade);
        };
        Ok(self.joined(way, response, client_side, protocol))
    }

    /// Keeps the way to the instance for the next request of this client.
    pub(super) fn park(&self, way: Way) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() == KEPT {
            idle.remove(0);
        }
        idle.push(way);
    }

    async fn parked(&self, socket: &Path) -> Option<Way> {
        loop {
            let mut way = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                let at = idle.iter().rposition(|way| way.leads_to(socket))?;
                idle.remove(at)
            };
            if way.usable().await {
                return Some(way);
            }
        }
    }

    /// Ties the two sides together until either ends.
    fn joined(
        self: &Arc<Self>,
        way: Way,
        mut response: Response<Incoming>,
        client_side: hyper::upgrade::OnUpgrade,
        protocol: HeaderValue,
    ) -> Response<Body> {
        let instance_side = hyper::upgrade::on(&mut response);
        let connection = self.clone();
        self.front.tasks.spawn(async move {
            // It takes its place until it ends.
            let _connection = connection;
            way.finish().await;
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
        headers::keep_cookies_apart(&mut head.headers, &access::COOKIES);
        Response::from_parts(head, whole(String::new()))
    }

    /// The request as the instance gets it.
    fn translate(
        &self,
        request: Request<Incoming>,
        protocol: Option<&HeaderValue>,
        target: &Target,
    ) -> Request<Upload> {
        let (mut head, body) = request.into_parts();
        headers::strip(&mut head.headers, protocol.cloned());
        headers::forwarded(&mut head.headers, &head.uri, self.address, self.secure);
        // With these whoever wrote the flows could come back as whoever asked, on this instance or on the host.
        headers::without_cookies(&mut head.headers, &access::COOKIES);
        if target.token {
            head.headers.remove(AUTHORIZATION);
        }
        if let Some(voucher) = &target.voucher {
            head.headers.insert(headers::VOUCHER, voucher.clone());
        }
        // This front has answered it already, by reading the body.
        head.headers.remove(EXPECT);
        head.version = Version::HTTP_11;
        head.uri = head
            .uri
            .into_parts()
            .path_and_query
            .map_or_else(Uri::default, Uri::from);
        head.extensions.clear();
        Request::from_parts(head, Upload::new(body, self.front.bounds.upload_silence))
    }

    async fn send(
        &self,
        mut request: Request<Upload>,
        socket: &Path,
    ) -> Result<(Way, Response<Incoming>), ExchangeError> {
        let progress = request.body_mut().progress();
        let progress = progress.as_ref();
        if let Some(mut way) = self.parked(socket).await {
            match self.timed(progress, way.send(request)).await? {
                Ok(response) => return Ok((way, response)),
                // The instance closed the idle connection before it saw anything: the request is whole, so it
                // may go again on a new one.
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(ExchangeError::Broken(failed.into_error())),
                },
            }
        }
        let mut way = Way::open(socket).await?;
        let response = self.timed(progress, way.send(request)).await?;
        response
            .map(|response| (way, response))
            .map_err(|failed| ExchangeError::Broken(failed.into_error()))
    }

    /// Waits for as long as an answer may take, from the last piece of the upload on where there is one.
    async fn timed<T>(
        &self,
        upload: Option<&Progress>,
        answer: impl Future<Output = T>,
    ) -> Result<T, ExchangeError> {
        let limit = self.front.bounds.answer;
        let mut answer = pin!(answer);
        let mut until = Instant::now() + limit;
        loop {
            if let Ok(answer) = tokio::time::timeout_at(until, answer.as_mut()).await {
                return Ok(answer);
            }
            let later = upload.map(|progress| progress.last() + limit);
            until = later
                .filter(|later| *later > until)
                .ok_or(ExchangeError::Silent(limit))?;
        }
    }
}

fn not_allowed(refusal: &guard::Refusal, wants_page: bool) -> Response<Body> {
    let page = Page {
        status: refusal.status,
        title: "Not allowed",
        detail: &refusal.reason,
        retry: None,
    };
    page.answer(wants_page)
}

/// To another path, with GET (RFC 9110, 15.4.4).
fn see_other(to: &str) -> Response<Body> {
    let mut response = Response::new(whole(String::new()));
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

/// To the same address with TLS; the method stays (RFC 9110, 15.4.9).
fn redirect(host: Option<&str>, uri: &Uri, port: Option<u16>) -> Response<Body> {
    let name = host.map_or("localhost", without_port);
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut response = Response::new(whole(String::new()));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(to) = HeaderValue::from_str(&format!("https://{name}{port}{path}")) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}
