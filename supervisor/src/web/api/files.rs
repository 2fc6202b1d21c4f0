//! The file storage of an instance.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::audit::{self, By};
use crate::files::{self, Entry, FileError, FilePath, Format, Kind, Page, Received, Reply, Tree};
use crate::instances::service::problems::stored;
use crate::problem::{Code, Problem};
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::{self, Asker};

pub(super) type Answered = Result<Response, Refusal>;

/// Entries of one page.
const PAGE: usize = 1000;

/// Says how far an upload has come, in bytes.
pub(super) const OFFSET: &str = "upload-offset";

/// One instance's storage.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    id: String,
    name: String,
    pub(super) tree: Arc<Tree>,
}

pub(super) async fn storage(state: &AppState, name: &str) -> Result<Storage, Problem> {
    let record = state.instances.record(name)?.record;
    let folder = state.instances.place(&record.id).files();
    let tree = blocking(move || Tree::open(&folder)).await?;
    Ok(Storage {
        id: record.id,
        name: record.name,
        tree: Arc::new(tree),
    })
}

/// Runs what blocks where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, Problem> {
    state::blocking(work).await?.map_err(Problem::from)
}

/// What is done, and who does it.
pub(super) struct Deed {
    pub(super) by: By,
    pub(super) action: &'static str,
    pub(super) path: FilePath,
    pub(super) more: Value,
}

/// Does something to its end, with an entry in the audit log. The entry is written first: a change without one would be
/// worse than one without its change, which says so itself.
pub(super) async fn noted<T: Send + 'static>(
    state: &AppState,
    storage: Storage,
    deed: Deed,
    work: impl FnOnce(&Tree) -> Result<T, FileError> + Send + 'static,
) -> Result<T, Problem> {
    let store = state.store.clone();
    let Deed {
        by,
        action,
        path,
        more,
    } = deed;
    state
        .change(async move {
            let Storage { id, name, tree } = storage;
            let mut after = json!({ "name": name, "path": path.as_str() });
            if let (Value::Object(after), Value::Object(more)) = (&mut after, more) {
                after.extend(more);
            }
            let entry = audit::entry(&by, action, &id, None, Some(after.clone())).map_err(stored)?;
            store.commit(entry).await.map_err(stored)?;
            let done = blocking(move || work(&tree)).await;
            if let Err(problem) = &done {
                after["failed"] = json!(problem.to_string());
                let action = format!("{action}.failed");
                let entry = audit::entry(&by, &action, &id, None, Some(after)).map_err(stored)?;
                store.commit(entry).await.map_err(stored)?;
            }
            done
        })
        .await
}

/// What of a path is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub(crate) struct FilesQuery {
    /// The whole folder as one file: `tar` or `zip`.
    #[param(inline)]
    archive: Option<Format>,
    /// How far an upload to this path has come, instead of what is there; any value.
    upload: Option<String>,
    /// With `upload`: the SHA-256 of what has come as well; any value.
    sha256: Option<String>,
    /// Only entries after this name.
    after: Option<String>,
    /// Entries at most, up to 1000.
    limit: Option<usize>,
}

/// The folder of an instance's storage: a list, or an archive
#[utoipa::path(get, path = "/instances/{name}/files", tag = "files",
    params(("name" = String, Path, description = "name or identifier"), FilesQuery),
    responses((status = 200, body = Page), (status = 404, body = Answer)))]
pub(crate) async fn root(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<FilesQuery>,
    method: Method,
    headers: HeaderMap,
) -> Answered {
    read(&state, &name, "", query, &method, &headers).await
}

/// A folder as a list or an archive, a file as it is, or how far an upload has come
///
/// Files answer `Range`, `If-Range` and `If-None-Match`. Links are not followed.
#[utoipa::path(get, path = "/instances/{name}/files/{*path}", tag = "files",
    params(("name" = String, Path, description = "name or identifier"),
        ("path" = String, Path, description = "path in the storage"), FilesQuery),
    responses((status = 200, body = Page, description = "a folder; a file as it is"),
        (status = 206, description = "a part of a file"), (status = 404, body = Answer), (status = 409, body = Answer)))]
pub(crate) async fn get(
    State(state): State<AppState>,
    Path((name, path)): Path<(String, String)>,
    Query(query): Query<FilesQuery>,
    method: Method,
    headers: HeaderMap,
) -> Answered {
    read(&state, &name, &path, query, &method, &headers).await
}

async fn read(
    state: &AppState,
    name: &str,
    path: &str,
    query: FilesQuery,
    method: &Method,
    headers: &HeaderMap,
) -> Answered {
    let path = FilePath::parse(path).map_err(Problem::from)?;
    let Storage { tree, name, .. } = storage(state, name).await?;
    if query.upload.is_some() {
        return received(tree, path, query.sha256.is_some()).await;
    }
    let found = {
        let (tree, path) = (tree.clone(), path.clone());
        blocking(move || tree.stat(&path)).await?
    };
    if found.kind != Kind::Folder {
        if query.archive.is_some() {
            return Err(Problem::from(FileError::NotFolder(path.to_string())).into());
        }
        return file(tree, path, method, headers).await;
    }
    if let Some(format) = query.archive {
        return archive(&tree, &path, format, &name, method);
    }
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let page = blocking(move || tree.list(&path, query.after.as_deref(), limit)).await?;
    Ok(Json(page).into_response())
}

async fn received(tree: Arc<Tree>, path: FilePath, hash: bool) -> Answered {
    let named = path.to_string();
    // Dropped when the client goes, and the hashing ends with it.
    let (stays, gone) = tokio::sync::oneshot::channel::<()>();
    let found = blocking(move || {
        let Some((file, size)) = tree.part(&path)? else {
            return Ok(None);
        };
        let failed = |source| FileError::Io {
            what: "read the upload of",
            path: path.to_string(),
            source,
        };
        let sha256 = if hash {
            files::sha256(&file, size, || !stays.is_closed()).map_err(failed)?
        } else {
            None
        };
        Ok(Some(Received {
            received: size,
            sha256,
        }))
    })
    .await?;
    drop(gone);
    let found = found.ok_or_else(|| {
        Problem::new(Code::Missing, format!("no upload to `{named}` is under way"))
            .hint("send the file with PUT")
    })?;
    let offset = HeaderValue::from(found.received);
    Ok(([(OFFSET, offset)], Json(found)).into_response())
}

async fn file(tree: Arc<Tree>, path: FilePath, method: &Method, headers: &HeaderMap) -> Answered {
    let opened = {
        let path = path.clone();
        blocking(move || tree.read(&path)).await?
    };
    let reply = Reply::to(headers, &path, &opened);
    let body = if *method == Method::HEAD || reply.length == 0 {
        Body::empty()
    } else {
        let stream = files::body(opened.file, reply.start, reply.length)
            .await
            .map_err(|error| Problem::io(format!("cannot read `{path}`"), error))?;
        Body::from_stream(stream)
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    Ok(response)
}

fn archive(tree: &Tree, path: &FilePath, format: Format, instance: &str, method: &Method) -> Answered {
    let (kind, end) = match format {
        Format::Tar => ("application/x-tar", "tar"),
        Format::Zip => ("application/zip", "zip"),
    };
    let body = if *method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(files::archive_stream(tree, path, format).map_err(Problem::from)?)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // The instance's name is harmless in a header, which its folders' names are not.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{instance}.{end}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// What is done with a path.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct PostQuery {
    /// Make a folder, and those on the way to it; any value.
    mkdir: Option<String>,
    /// Move it to this path in the storage.
    r#move: Option<String>,
}

/// Make a folder, or move a file or folder
#[utoipa::path(post, path = "/instances/{name}/files/{*path}", tag = "files",
    params(("name" = String, Path, description = "name or identifier"),
        ("path" = String, Path, description = "path in the storage"), PostQuery),
    responses((status = 200, body = Entry), (status = 201, body = Entry), (status = 404, body = Answer),
        (status = 409, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn post(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path((name, path)): Path<(String, String)>,
    Query(query): Query<PostQuery>,
) -> Answered {
    let path = FilePath::parse(&path).map_err(Problem::from)?;
    let storage = storage(&state, &name).await?;
    let tree = storage.tree.clone();
    match (query.mkdir, query.r#move) {
        (Some(_), None) => {
            let wanted = path.clone();
            blocking(move || match tree.stat(&wanted) {
                Ok(_) => Err(FileError::Exists(wanted.to_string())),
                Err(FileError::Missing(_)) => Ok(()),
                Err(error) => Err(error),
            })
            .await?;
            let deed = Deed {
                by,
                action: "file.mkdir",
                path: path.clone(),
                more: Value::Null,
            };
            let made = noted(&state, storage, deed, move |tree| {
                tree.make_folder(&path)?;
                tree.stat(&path)
            })
            .await?;
            Ok((StatusCode::CREATED, Json(made)).into_response())
        }
        (None, Some(to)) => {
            let to = FilePath::parse(&to).map_err(Problem::from)?;
            let (from, target) = (path.clone(), to.clone());
            blocking(move || {
                tree.stat(&from)?;
                match tree.stat(&target) {
                    Ok(_) => Err(FileError::Exists(target.to_string())),
                    Err(FileError::Missing(_)) => Ok(()),
                    Err(error) => Err(error),
                }
            })
            .await?;
            let deed = Deed {
                by,
                action: "file.move",
                path: path.clone(),
                more: json!({ "to": to.as_str() }),
            };
            let moved = noted(&state, storage, deed, move |tree| {
                tree.rename(&path, &to)?;
                tree.stat(&to)
            })
            .await?;
            Ok(Json(moved).into_response())
        }
        _ => Err(Problem::new(Code::Usage, "say either `?mkdir` or `?move=PATH`").into()),
    }
}

/// How something is removed.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct RemoveQuery {
    /// A folder with everything in it.
    #[serde(default)]
    recursive: bool,
    /// Forget what has come of an upload to this path, instead of what is there; any value.
    upload: Option<String>,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Done {}

/// Remove a file or folder, or forget an upload
///
/// A folder vanishes at one stroke. Links are removed themselves and never followed.
#[utoipa::path(delete, path = "/instances/{name}/files/{*path}", tag = "files",
    params(("name" = String, Path, description = "name or identifier"),
        ("path" = String, Path, description = "path in the storage"), RemoveQuery),
    responses((status = 200, description = "it is gone"), (status = 404, body = Answer), (status = 409, body = Answer)))]
pub(crate) async fn delete(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path((name, path)): Path<(String, String)>,
    Query(query): Query<RemoveQuery>,
) -> Answered {
    let path = FilePath::parse(&path).map_err(Problem::from)?;
    let storage = storage(&state, &name).await?;
    let tree = storage.tree.clone();
    if query.upload.is_some() {
        let deed = Deed {
            by,
            action: "file.forget-upload",
            path: path.clone(),
            more: Value::Null,
        };
        noted(&state, storage, deed, move |tree| tree.abandon(&path)).await?;
        return Ok(Json(Done {}).into_response());
    }
    let found = path.clone();
    let kind = blocking(move || Ok(tree.stat(&found)?.kind)).await?;
    let deed = Deed {
        by,
        action: "file.delete",
        path: path.clone(),
        more: json!({ "kind": kind }),
    };
    noted(&state, storage, deed, move |tree| {
        tree.remove(&path, query.recursive)
    })
    .await?;
    Ok(Json(Done {}).into_response())
}
