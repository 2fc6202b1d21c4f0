//! Files that an instance shares, served by the front from the instance's storage, also while Node-RED is stopped.

use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{ALLOW, CACHE_CONTROL, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tracing::debug;

use super::page::{Body, Page, wants_page, whole};
use super::route::SharedFile;
use crate::files::{self, FileError, FilePath, Opened, Reply, Tree};

/// Answers with a file, or a part of it. Folders have no list here: nobody outside sees more than was told to them.
pub(super) async fn answer(file: SharedFile, method: &Method, headers: &HeaderMap) -> Response<Body> {
    if *method != Method::GET && *method != Method::HEAD {
        let mut response = refused(
            StatusCode::METHOD_NOT_ALLOWED,
            "These files can only be read.",
            false,
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let opened = tokio::task::spawn_blocking(move || open(&file)).await;
    let (path, opened) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(FileError::Io { source, .. })) => {
            debug!(%source, "cannot open a shared file");
            let detail = "The host cannot read this file.";
            return refused(StatusCode::INTERNAL_SERVER_ERROR, detail, false);
        }
        // A link, a folder and a path that is none: whoever asks need not know which.
        _ => {
            return refused(
                StatusCode::NOT_FOUND,
                "There is no such file.",
                wants_page(method, headers),
            );
        }
    };
    let reply = Reply::to(headers, &path, &opened);
    let mut response = Response::new(whole(String::new()));
    if *method == Method::GET && reply.length > 0 {
        match files::body(opened.file, reply.start, reply.length).await {
            Ok(stream) => {
                let frames = futures_util::StreamExt::map(stream, |piece| match piece {
                    Ok(bytes) => Ok(Frame::data(bytes)),
                    Err(error) => Err(error.into()),
                });
                *response.body_mut() = StreamBody::new(frames).boxed_unsync();
            }
            Err(_) => {
                let detail = "The host cannot read this file.";
                return refused(StatusCode::INTERNAL_SERVER_ERROR, detail, false);
            }
        }
    }
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    // Asked again every time, which costs nothing while it is the same.
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn open(file: &SharedFile) -> Result<(FilePath, Opened), FileError> {
    let folder = FilePath::parse(&file.folder)?;
    let inside = FilePath::from_address(&file.path)?;
    let path = FilePath::parse(&format!("{folder}/{inside}"))?;
    let opened = Tree::open(&file.storage)?.read(&path)?;
    Ok((path, opened))
}

fn refused(status: StatusCode, detail: &str, wants_page: bool) -> Response<Body> {
    Page {
        status,
        title: "Nothing to read",
        detail,
        retry: None,
    }
    .answer(wants_page)
}
