//! The unix socket of the host: whoever is root, or whoever runs the host, is its administrator.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tower_service::Service;
use tracing::debug;

use super::errors;
use super::state::Asker;
use crate::audit::By;
use crate::paths;
use crate::proxy::Upload;
use crate::shutdown::Tasks;

/// Until the head of a request is complete.
const HEAD: Duration = Duration::from_secs(30);

/// How long a client may send nothing in the middle of an upload, as at the front.
const SILENCE: Duration = Duration::from_secs(60);

/// Connections of those who are refused: they get the reason, and no more descriptors than these.
const STRANGERS: usize = 16;

/// Makes the socket, in place of one that an earlier host left.
///
/// # Errors
/// The kernel's.
pub fn listen(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    // Everybody may knock; who they are is asked of the kernel, and the answer explains itself.
    let listener = paths::listen(path, 0o666)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts until `accepting` ends; who was accepted is served until `connections` end.
pub async fn serve(listener: UnixListener, router: Router, accepting: Tasks, connections: Tasks) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = accepting.ending() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let asker = asker(&stream);
                let place = strangers.clone().try_acquire_owned();
                if asker.is_none() && place.is_err() {
                    continue;
                }
                let connection = connection(stream, asker.clone(), router.clone(), connections.clone());
                connections.spawn(async move {
                    let _place = place.ok().filter(|_| asker.is_none());
                    connection.await;
                });
            }
            Err(error) => {
                debug!(%error, "cannot accept a local connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Who is at the other end, when they may be.
fn asker(stream: &UnixStream) -> Option<Asker> {
    let own = nix::unistd::geteuid().as_raw();
    let uid = stream.peer_cred().ok()?.uid();
    (uid == 0 || uid == own).then_some(Asker(By::Local { uid }))
}

async fn connection(stream: UnixStream, asker: Option<Asker>, router: Router, tasks: Tasks) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        let mut router = router.clone();
        let asker = asker.clone();
        async move {
            let Some(asker) = asker else {
                return Ok(refused());
            };
            request.extensions_mut().insert(asker);
            let request = request.map(|body| Body::new(Upload::new(body, SILENCE)));
            router.call(request).await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = tasks.ending() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a local connection broke");
    }
}

fn refused() -> Response {
    errors::answer(
        StatusCode::FORBIDDEN,
        "forbidden",
        "only root, and the account that runs this host, may use its socket",
        Some("use sudo, or the administrator's token with --host"),
    )
}
