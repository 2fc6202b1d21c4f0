//! Files on their way into the storage of an instance.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde_json::json;

use super::files::{Answered, Deed, OFFSET, blocking, noted, storage};
use crate::files::{Entry, FileError, FilePath, Received, Upload};
use crate::problem::{Code, Problem};
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::{self, Asker};

/// Bytes that are written at once.
const BATCH: usize = 512 * 1024;

/// The part of a file that a request brings: `Content-Range: bytes FIRST-LAST/SIZE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    first: u64,
    /// After the last byte.
    end: u64,
    /// Of the whole file; unknown as yet is `*`.
    size: Option<u64>,
}

fn piece(headers: &HeaderMap) -> Result<Option<Piece>, Problem> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else {
        return Ok(None);
    };
    let read = || {
        let text = value.to_str().ok()?.strip_prefix("bytes ")?;
        let (range, size) = text.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let first = first.parse().ok()?;
        let end = last.parse::<u64>().ok()?.checked_add(1)?;
        let size = match size {
            "*" => None,
            size => Some(size.parse().ok()?),
        };
        (first < end && size.is_none_or(|size| end <= size)).then_some(Piece { first, end, size })
    };
    read().map(Some).ok_or_else(|| {
        Problem::new(Code::Usage, "the Content-Range header makes no sense")
            .hint("write `bytes FIRST-LAST/SIZE`, or `*` for a size that is not known yet")
    })
}

/// Upload a file of any size
///
/// It takes the place of a file that is there when all of it has come. An upload that is cut off stays: `?upload` says
/// how far it came, and a PUT with `Content-Range: bytes FIRST-LAST/SIZE` goes on from there.
#[utoipa::path(put, path = "/instances/{name}/files/{*path}", tag = "files",
    params(("name" = String, Path, description = "name or identifier"),
        ("path" = String, Path, description = "path in the storage; its folder must be there"),
        ("Content-Range" = Option<String>, Header, description = "which part of the file this is")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Entry, description = "in place of another file"), (status = 201, body = Entry),
        (status = 202, body = Received, description = "there is more to come"),
        (status = 404, body = Answer), (status = 409, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn put(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path((name, path)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answered {
    let path = FilePath::parse(&path).map_err(Problem::from)?;
    let piece = piece(&headers)?;
    let storage = storage(&state, &name).await?;
    let begun = {
        let (tree, path) = (storage.tree.clone(), path.clone());
        state::blocking(move || tree.upload(&path, piece.map(|piece| piece.first))).await?
    };
    let upload = match begun {
        Ok(upload) => upload,
        Err(error) => {
            let offset = match &error {
                FileError::Offset { have, .. } => Some(HeaderValue::from(*have)),
                _ => None,
            };
            let mut response = Refusal(error.into()).into_response();
            if let Some(offset) = offset {
                response.headers_mut().insert(OFFSET, offset);
            }
            return Ok(response);
        }
    };
    let upload = receive(upload, body, piece.map(|piece| piece.end)).await?;
    let size = upload.received();
    if piece.is_some_and(|piece| piece.size != Some(size)) {
        let kept = blocking(move || upload.keep()).await;
        kept?;
        let received = Received {
            received: size,
            sha256: None,
        };
        let offset = HeaderValue::from(size);
        return Ok((StatusCode::ACCEPTED, [(OFFSET, offset)], Json(received)).into_response());
    }
    let deed = Deed {
        by,
        action: "file.put",
        path: path.clone(),
        more: json!({ "size": size }),
    };
    let (before, now) = noted(&state, storage, deed, move |tree| {
        let before = tree.stat(&path).is_ok();
        tree.finish(upload)?;
        Ok((before, tree.stat(&path)?))
    })
    .await?;
    let status = if before {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, Json(now)).into_response())
}

/// Writes what comes as it comes; what has come stays whatever happens.
async fn receive(mut upload: Upload, mut body: Body, end: Option<u64>) -> Result<Upload, Problem> {
    let mut waiting = BytesMut::with_capacity(BATCH);
    loop {
        let (bytes, ended) = match body.frame().await {
            Some(Ok(frame)) => (frame.into_data().unwrap_or_default(), None),
            None => (Bytes::new(), Some(Ok(()))),
            Some(Err(error)) => {
                let cut = Problem::new(Code::Failed, "the upload was cut off").because(error);
                (Bytes::new(), Some(Err(cut)))
            }
        };
        let have = upload.received() + waiting.len() as u64 + bytes.len() as u64;
        if end.is_some_and(|end| have > end) {
            return Err(Problem::new(Code::Usage, "more came than Content-Range says"));
        }
        waiting.extend_from_slice(&bytes);
        if waiting.len() >= BATCH || (ended.is_some() && !waiting.is_empty()) {
            (upload, waiting) = blocking(move || {
                upload.add(&waiting)?;
                waiting.clear();
                Ok((upload, waiting))
            })
            .await?;
        }
        match ended {
            None => {}
            Some(Err(problem)) => {
                return Err(problem.hint("go on with it: `?upload` says how far it came"));
            }
            Some(Ok(())) if end.is_some_and(|end| upload.received() < end) => {
                return Err(Problem::new(Code::Usage, "less came than Content-Range says"));
            }
            Some(Ok(())) => return Ok(upload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_lies_in_its_file() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, text.parse().expect("a header"));
            piece(&headers)
        };
        let of = |first, end, size| Some(Piece { first, end, size });
        assert_eq!(piece(&HeaderMap::new()).expect("none"), None);
        assert_eq!(read("bytes 0-9/10").expect("a piece"), of(0, 10, Some(10)));
        assert_eq!(read("bytes 5-9/*").expect("a piece"), of(5, 10, None));
        for wrong in [
            "bytes 0-10/10",
            "bytes 5-4/10",
            "bytes */10",
            "0-9/10",
            "bytes 0-18446744073709551615/*",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
