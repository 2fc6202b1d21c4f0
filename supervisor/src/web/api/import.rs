//! What comes from elsewhere: flows, or a whole user directory as a stream.

use std::io::{self, Read};

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::instances::{body, shown};
use crate::instances::service::View;
use crate::problem::{Code, Problem};
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::Asker;

/// Largest export of flows, in bytes.
const LARGEST: usize = 64 << 20;

/// Pieces on their way to the disk.
const PIECES: usize = 16;

/// How an import begins.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct ImportQuery {
    /// Whether a new instance starts at once.
    #[serde(default = "yes")]
    start: bool,
}

fn yes() -> bool {
    true
}

/// Replace the flows of an instance, or make a new one of a Node-RED user directory
///
/// `application/json`: flows as Node-RED exports them. The ones before stay in a file beside them, and what runs starts
/// again. `application/x-tar`: a user directory without `node_modules`, regular files and folders alone; no instance
/// has the name yet.
#[utoipa::path(post, path = "/instances/{name}/import", tag = "instances",
    params(("name" = String, Path, description = "name or identifier; the new name for a user directory"), ImportQuery),
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = 200, body = View), (status = 201, body = View), (status = 404, body = Answer),
        (status = 409, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn import(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path(name): Path<String>,
    Query(query): Query<ImportQuery>,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Refusal> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let instances = state.instances.clone();
    if kind != Some("application/x-tar") {
        let bytes = axum::body::to_bytes(content, LARGEST).await.map_err(|error| {
            let message = format!("the flows did not arrive, or are more than {} MiB", LARGEST >> 20);
            Problem::new(Code::Usage, message).because(error)
        })?;
        let flows = body(&bytes)?;
        let view = state
            .change(async move { instances.import_flows(&by, &name, flows).await })
            .await?;
        return Ok(shown(StatusCode::OK, view));
    }
    let (sender, pieces) = mpsc::channel(PIECES);
    let archive = Arriving {
        pieces,
        piece: Bytes::new(),
        over: false,
    };
    let change = state.change(async move { instances.import_folder(&by, &name, query.start, archive).await });
    let (view, ()) = tokio::join!(change, forward(content, sender));
    Ok(shown(StatusCode::CREATED, view?))
}

/// Passes a body on, and an empty piece at its proper end. A good deal of what nobody takes any more is read
/// all the same, so that the client hears the answer.
async fn forward(content: Body, to: mpsc::Sender<io::Result<Bytes>>) {
    let mut stream = content.into_data_stream();
    let mut unwanted = 0;
    while unwanted < LARGEST {
        let piece = match stream.next().await {
            Some(Ok(piece)) if piece.is_empty() => continue,
            Some(Ok(piece)) => Ok(piece),
            None => {
                let _ = to.send(Ok(Bytes::new())).await;
                return;
            }
            Some(Err(error)) => Err(io::Error::other(error)),
        };
        let last = piece.is_err();
        let size = piece.as_ref().map_or(0, Bytes::len);
        if to.send(piece).await.is_err() {
            unwanted += size;
        }
        if last {
            return;
        }
    }
}

/// A body as a reader; one that breaks off is no end.
struct Arriving {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    over: bool,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.over {
            self.piece = self
                .pieces
                .blocking_recv()
                .unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
            self.over = self.piece.is_empty();
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
