//! The gate's own HTTP: as much of a registry as npm needs to install.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use npm::{Form, PackageName, Version};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::session::{Asked, Visit};
use super::{Judgement, packument, tarball};
use crate::problem::{Code, Problem};

/// Until the head of a request is complete.
const HEAD: Duration = Duration::from_secs(30);

/// Connections of one npm; it has 15 by itself.
const CONNECTIONS: usize = 32;

/// Archives in memory at the same time.
const ARCHIVES: usize = 4;

/// Where npm's own world says what it was told, and asks what came of it.
const TOLD: &str = "/-/redhold/told";
const VERDICTS: &str = "/-/redhold/verdicts";

/// Longest list of what npm was told, in bytes.
const TOLD_SIZE: usize = 64 << 10;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Why npm does not get what it asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// Policy does not let it through.
    Stopped(Judgement),
    /// There is no such thing.
    Missing(String),
    /// It is still being looked at.
    Late(String),
    /// It could not be had, or not be vetted.
    Broken(Problem),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        match problem.code() {
            Code::Missing => Self::Missing(problem.to_string()),
            _ => Self::Broken(problem),
        }
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Document(PackageName),
    Archive(PackageName, Version),
}

/// Serves until it is dropped, and all its connections with it.
pub(super) async fn serve(listener: UnixListener, visit: Arc<Visit>) {
    let archives = Arc::new(Semaphore::new(ARCHIVES));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (visit, archives) = (visit.clone(), archives.clone());
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, &visit, &archives));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                debug!(%error, "a connection of npm broke");
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    visit: &Arc<Visit>,
    archives: &Arc<Semaphore>,
) -> Result<Answer, Infallible> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, TOLD) => return Ok(told(request, visit).await),
        (&Method::GET, VERDICTS) => {
            let verdicts = visit.verdicts().await;
            return Ok(full(
                StatusCode::OK,
                "application/json",
                json!(verdicts).to_string(),
            ));
        }
        _ => {}
    }
    let wanted = (request.method() == Method::GET)
        .then(|| wanted(request.uri().path()))
        .flatten();
    let answer = match wanted {
        Some(Wanted::Document(name)) => {
            let session = request.headers().get("npm-session");
            visit.asked(&name, session.and_then(|value| value.to_str().ok()));
            let document = packument::packument(visit, &name, form(&request)).await;
            document.map(|document| full(StatusCode::OK, "application/json", document.to_string()))
        }
        Some(Wanted::Archive(name, version)) => {
            // Held until npm has taken the bytes. Never closed.
            let room = archives.clone().acquire_owned().await;
            let archive = tarball::tarball(visit, &name, &version).await;
            archive.map(|bytes| {
                let held = move |frame| {
                    let _ = &room;
                    frame
                };
                let mut answer = full(StatusCode::OK, "application/octet-stream", bytes);
                if let Some(notice) = visit.notice() {
                    answer.headers_mut().insert("npm-notice", notice);
                }
                answer.map(|body| body.map_frame(held).boxed())
            })
        }
        // npm asks for flaws, signatures and the like, and does without.
        None => Err(Failure::Missing(request.uri().path().to_owned())),
    };
    Ok(answer.unwrap_or_else(failed))
}

/// `gate.cjs` says what the npm was told that it is in: a list of `name@range`.
async fn told(request: Request<Incoming>, visit: &Arc<Visit>) -> Answer {
    let body = Limited::new(request.into_body(), TOLD_SIZE).collect();
    let body = tokio::time::timeout(HEAD, body).await;
    let list = body.ok().and_then(Result::ok).and_then(|body| {
        let list: Option<Vec<String>> = serde_json::from_slice(&body.to_bytes()).ok();
        list
    });
    match list {
        Some(list) => {
            visit.tell(list.iter().map(|spec| Asked::read(spec)).collect());
            full(StatusCode::ACCEPTED, "application/json", "{}")
        }
        None => full(StatusCode::BAD_REQUEST, "application/json", "{}"),
    }
}

/// Whether the whole document is asked for, or what installing needs.
fn form(request: &Request<Incoming>) -> Form {
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("vnd.npm.install-v1")) {
        Form::Abbreviated
    } else {
        Form::Full
    }
}

fn full(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed());
    *answer.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// npm prints what stands under `error`, word for word.
fn failed(failure: Failure) -> Answer {
    let (status, text) = match failure {
        Failure::Stopped(judgement) => (StatusCode::FORBIDDEN, judgement.to_string()),
        Failure::Missing(what) => (StatusCode::NOT_FOUND, what),
        Failure::Late(what) => (
            StatusCode::TOO_EARLY,
            format!("redhold's gate: {what} is still being vetted; do this once more in some minutes"),
        ),
        Failure::Broken(problem) => {
            warn!(%problem, "the gate cannot give npm what it asks for");
            let hint = problem
                .advice()
                .map_or_else(String::new, |hint| format!(" ({hint})"));
            // Not a status with which npm would ask again.
            (StatusCode::FORBIDDEN, format!("redhold's gate: {problem}{hint}"))
        }
    };
    full(status, "application/json", json!({ "error": text }).to_string())
}

/// Reads a path: `/name`, `/@scope%2fname`, `/name/-/base-1.0.0.tgz`; what a lock of another registry has before is
/// passed over.
fn wanted(path: &str) -> Option<Wanted> {
    let path = path.replace("%2f", "/").replace("%2F", "/").replace("%40", "@");
    let path = path.strip_prefix('/')?;
    let Some((before, file)) = path.rsplit_once("/-/") else {
        return path.parse().ok().map(Wanted::Document);
    };
    let mut words = before.rsplit('/');
    let base = words.next()?;
    let name = match words.next().filter(|scope| scope.starts_with('@')) {
        Some(scope) => format!("{scope}/{base}"),
        None => base.to_owned(),
    };
    let version = file.strip_prefix(base)?.strip_prefix('-')?.strip_suffix(".tgz")?;
    Some(Wanted::Archive(name.parse().ok()?, Version::parse(version).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let archive = |name: &str, version: &str| {
            Some(Wanted::Archive(
                name.parse().expect("a name"),
                Version::parse(version).expect("a version"),
            ))
        };
        let document = |name: &str| Some(Wanted::Document(name.parse().expect("a name")));
        for (path, expected) in [
            ("/thing", document("thing")),
            ("/@team%2fthing", document("@team/thing")),
            ("/@team/thing", document("@team/thing")),
            ("/thing/-/thing-1.2.3-rc.1.tgz", archive("thing", "1.2.3-rc.1")),
            ("/@team/thing/-/thing-1.0.0.tgz", archive("@team/thing", "1.0.0")),
            (
                "/npm/proxy/@team/thing/-/thing-1.0.0.tgz",
                archive("@team/thing", "1.0.0"),
            ),
            ("/-/npm/v1/keys", None),
            ("/thing/-/other-1.0.0.tgz", None),
            ("/../../etc/passwd", None),
            ("/", None),
        ] {
            assert_eq!(wanted(path), expected, "{path}");
        }
    }
}
