//! A blocking HTTP client: one request, one connection, the whole answer.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} is no JSON: {error}: {}", self.status, self.text()))
    }

    /// A header's first value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Gets a URL.
///
/// # Errors
/// When there is no answer, in words.
pub fn get(url: &str) -> Result<Answer, String> {
    request("GET", url, &[], Vec::new())
}

/// Posts JSON.
///
/// # Errors
/// When there is no answer, in words.
pub fn post(url: &str, body: &serde_json::Value) -> Result<Answer, String> {
    let headers = [("content-type", "application/json")];
    request("POST", url, &headers, body.to_string().into_bytes())
}

/// Any request. A `host` header in `headers` replaces the URL's.
///
/// # Errors
/// When there is no answer, in words.
///
/// # Panics
/// When the URL, method or a header is no such thing.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer, String> {
    let uri: Uri = url.parse().expect("a URL");
    let authority = uri.authority().expect("a URL with a host").clone();
    let mut request = Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()));
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", authority.as_str());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
    block_on(async move {
        let stream = TcpStream::connect(&address)
            .await
            .map_err(|error| error.to_string())?;
        exchange(stream, request).await
    })
}

/// A client that keeps its connection for the next request, and opens another one only when it was told that this one
/// ends.
#[derive(Debug)]
pub struct Kept {
    runtime: tokio::runtime::Runtime,
    address: String,
    host: String,
    open: Option<hyper::client::conn::http1::SendRequest<Full<Bytes>>>,
}

impl Kept {
    /// To an address, asking for a host name; not connected yet.
    ///
    /// # Panics
    /// When the machine has no event loop.
    #[must_use]
    pub fn new(address: &str, host: &str) -> Self {
        // A thread of its own notices what comes while nobody asks.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        Self {
            runtime,
            address: address.to_owned(),
            host: host.to_owned(),
            open: None,
        }
    }

    /// Gets a path.
    ///
    /// # Errors
    /// When there is no answer, in words: also when the connection was closed without a word about it.
    ///
    /// # Panics
    /// When the path is none.
    pub fn get(&mut self, path: &str) -> Result<Answer, String> {
        let request = Request::builder().uri(path).header("host", &self.host);
        let request = request.body(Full::new(Bytes::new())).expect("a request");
        let Self {
            runtime,
            address,
            open,
            ..
        } = self;
        runtime.block_on(async {
            let mut sender = match open.take() {
                Some(sender) => sender,
                None => {
                    let stream = TcpStream::connect(&*address)
                        .await
                        .map_err(|error| error.to_string())?;
                    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                        .await
                        .map_err(|error| error.to_string())?;
                    tokio::spawn(async move { connection.await.ok() });
                    sender
                }
            };
            sender.ready().await.map_err(|error| error.to_string())?;
            let answer = answer(&mut sender, request);
            let answer = tokio::time::timeout(PATIENCE, answer)
                .await
                .map_err(|_| format!("no answer within {PATIENCE:?}"))??;
            if answer.header("connection") != Some("close") {
                *open = Some(sender);
            }
            Ok(answer)
        })
    }
}

/// Any request over a unix socket.
///
/// # Errors
/// When there is no answer, in words.
///
/// # Panics
/// When the path, method or a header is no such thing.
pub fn unix(
    socket: &Path,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Answer, String> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    block_on(async move {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| error.to_string())?;
        exchange(stream, request).await
    })
}

fn block_on(work: impl Future<Output = Result<Answer, String>>) -> Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, work).await })
        .map_err(|_| format!("no answer within {PATIENCE:?}"))?
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let exchange = answer(&mut sender, request);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end before the last bytes of its answer were collected.
        _ = connection => exchange.await,
    }
}

async fn answer(
    sender: &mut hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect(),
        body: body.to_bytes().to_vec(),
    })
}

/// A port that nothing listens on at the moment.
///
/// # Panics
/// When the machine has none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
