//! The command line as a client of a host: over its local socket.

pub mod alerts;
pub mod backup;
mod bom;
pub mod events;
pub mod files;
pub mod host;
pub mod import;
pub mod instance;
pub mod logs;
mod packages;
pub mod table;
mod token;
pub mod top;
mod transfer;
pub mod upgrade;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::cli::Global;
use crate::paths;
use crate::problem::{Code, Problem};

/// How long the host may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A host.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Runs a command against a host.
///
/// # Errors
/// The command's own.
pub fn run<T>(global: &Global, work: impl AsyncFnOnce(&Client) -> Result<T, Problem>) -> Result<T, Problem> {
    run_with(&Client::find(global)?, work)
}

/// The same against the host with this data directory, if one runs.
///
/// # Errors
/// The command's own.
pub fn run_if_there<T>(
    data_dir: &Path,
    work: impl AsyncFnOnce(&Client) -> Result<T, Problem>,
) -> Option<Result<T, Problem>> {
    let client = Client {
        socket: paths::api_socket(data_dir),
    };
    let nobody = |error: &std::io::Error| {
        matches!(
            error.kind(),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
        )
    };
    match std::os::unix::net::UnixStream::connect(&client.socket) {
        Err(error) if nobody(&error) => None,
        // Whatever else is wrong is said by the request.
        _ => Some(run_with(&client, work)),
    }
}

fn run_with<T>(client: &Client, work: impl AsyncFnOnce(&Client) -> Result<T, Problem>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Host, "cannot start the event loop").because(error))?;
    runtime.block_on(work(client))
}

impl Client {
    fn find(global: &Global) -> Result<Self, Problem> {
        Ok(Self {
            socket: paths::api_socket(&paths::client_data_dir(global.data_dir.as_deref())?),
        })
    }

    /// Asks for something.
    ///
    /// # Errors
    /// The host's refusal, or that there is no host.
    pub async fn get(&self, path: &str) -> Result<Value, Problem> {
        self.ask(Method::GET, path, None).await
    }

    /// Sends something.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, Problem> {
        self.ask(method, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Problem> {
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let response = self.request(method, path, bytes).await?;
        Self::document(response).await
    }

    /// The JSON of an answer.
    ///
    /// # Errors
    /// When it breaks off, or is none.
    pub async fn document(response: Response<Incoming>) -> Result<Value, Problem> {
        let broken = |error: hyper::Error| Problem::new(Code::Failed, "the host broke off").because(error);
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|error| Problem::new(Code::Failed, "the host's answer makes no sense").because(error))
    }

    /// The whole answer, refusals turned into problems.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Problem> {
        self.request_of_kind(method, path, "application/json", body).await
    }

    /// The same with a body that is something else than JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn request_of_kind(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Problem> {
        let headers = [("content-type", kind.to_owned())];
        let asked = self.exchange(method, path, &headers, Full::new(body));
        tokio::time::timeout(PATIENCE, asked)
            .await
            .map_err(|_| Problem::new(Code::Failed, "the host does not answer"))?
    }

    /// The whole answer to a request with any headers and body, however long the body takes; refusals turned into
    /// problems.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn exchange<B>(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: B,
    ) -> Result<Response<Incoming>, Problem>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            let message = format!("no host answers on {}", self.socket.display());
            let problem = Problem::new(Code::Host, message);
            match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                    problem.hint("start it with `redhold serve`, or name its data directory with --data-dir")
                }
                _ => problem.because(error),
            }
        })?;
        let broken = |error: hyper::Error| Problem::new(Code::Failed, "the host broke off").because(error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the answer; nobody needs to hear how.
        tokio::spawn(async move { connection.await.ok() });
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(body).map_err(|error| {
            Problem::new(Code::Usage, format!("`{path}` cannot be asked for")).because(error)
        })?;
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        Err(refusal(status.as_u16(), &body))
    }

    /// Calls `each` with every server-sent event until it says that it has enough; false when the host ended it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn follow(
        &self,
        path: &str,
        mut each: impl FnMut(Value) -> Result<bool, Problem>,
    ) -> Result<bool, Problem> {
        let response = self.request(Method::GET, path, Bytes::new()).await?;
        let mut body = response.into_body();
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Ok(false) };
            let Some(data) = frame.data_ref() else { continue };
            rest.extend_from_slice(data);
            while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = rest.drain(..end + 2).collect();
                let text = String::from_utf8_lossy(&event);
                let data: String = text
                    .lines()
                    .filter_map(|line| line.strip_prefix("data: "))
                    .collect();
                if let Ok(value) = serde_json::from_str(&data)
                    && !each(value)?
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// A problem document as a problem again.
fn refusal(status: u16, body: &[u8]) -> Problem {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = match value["code"].as_str().unwrap_or_default() {
        "usage" => Code::Usage,
        "host" => Code::Host,
        "busy" => Code::Busy,
        "not-found" => Code::Missing,
        "conflict" => Code::Conflict,
        _ => Code::Failed,
    };
    let title = value["title"]
        .as_str()
        .map_or_else(|| format!("the host refused with status {status}"), str::to_owned);
    let problem = Problem::new(code, title);
    match value["hint"].as_str() {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// A text as one segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
