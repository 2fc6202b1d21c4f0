//! A backup of the whole host, as a stream.

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

use crate::audit;
use crate::backup::take;
use crate::instances::service::problems::stored;
use crate::problem::{Code, Problem};
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::Asker;

/// Pieces on their way to a client that reads slowly.
const PIECES: usize = 16;

/// Size of a piece, in bytes.
const PIECE: usize = 64 * 1024;

/// Everything, as a tar archive, taken while the host runs
///
/// It ends with a manifest; an archive without one was cut short. It holds the host's secrets.
#[utoipa::path(get, path = "/backup", tag = "host",
    responses((status = 200, content_type = "application/x-tar"), (status = 500, body = Answer)))]
pub(crate) async fn backup(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
) -> Result<Response, Refusal> {
    let mut lines = Vec::new();
    let exported = state.store.export(&mut lines).await;
    let sequence =
        exported.map_err(|error| Problem::new(Code::Failed, "cannot export the store").because(error))?;
    let records = state.instances.records()?;
    let ids: Vec<String> = records.map(|instance| instance.record.id).collect();
    let entry = audit::entry(&by, "host.backup", "host", None, None).map_err(stored)?;
    state.store.commit(entry).await.map_err(stored)?;
    let (sender, receiver) = mpsc::channel(PIECES);
    let data_dir = state.data_dir.clone();
    let work = tokio::task::spawn_blocking(move || {
        let mut pieces = io::BufWriter::with_capacity(PIECE, Pieces(sender.clone()));
        let taken = take(&data_dir, (sequence, &lines), &ids, &mut pieces).and_then(|()| pieces.flush());
        if let Err(error) = taken {
            warn!(%error, "a backup broke off");
            // Breaks the connection off, so that nobody takes half of it for the whole.
            let _ = sender.blocking_send(Err(error));
        }
    });
    state.tasks.spawn(async move {
        // It ends when everything is sent, or when nobody takes any more.
        let _ = work.await;
    });
    let kind = [(header::CONTENT_TYPE, "application/x-tar")];
    Ok((kind, Body::from_stream(ReceiverStream::new(receiver))).into_response())
}

/// A writer whose other end is a stream.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
