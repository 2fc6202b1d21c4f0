//! Instances: everything that can be asked of them and done to them.

use std::convert::Infallible;

use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event as Sse, KeepAlive, Sse as Stream};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Bytes};
use futures_util::StreamExt;
use runtime::sandbox::cgroup::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_stream::wrappers::WatchStream;
use utoipa::{IntoParams, ToSchema};

use crate::instances::events::Event;
use crate::instances::figures::Figures;
use crate::instances::model::Settings;
use crate::instances::service::{Action, Copy, New, View};
use crate::problem::{Code, Problem};
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::{Asker, blocking};

type Answered = Result<Response, Refusal>;

/// A body of JSON, with a problem that names what does not fit.
pub(super) fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(Code::Usage, format!("the body does not fit: {error}"))
            .hint("/api/v1/openapi.json describes what fits")
    })
}

/// A view with its ETag.
pub(super) fn shown(status: StatusCode, view: View) -> Response {
    let tag = format!("\"{}\"", view.revision);
    (status, [(header::ETAG, tag)], Json(view)).into_response()
}

/// The revision that `If-Match` names.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    if text == "*" {
        return Ok(None);
    }
    let revision = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    revision
        .and_then(|revision| revision.parse().ok())
        .map(Some)
        .ok_or_else(|| {
            Problem::new(Code::Usage, "the If-Match header is no ETag of an instance")
                .hint("send the ETag of the last answer, quotes included")
        })
}

/// All instances, by name
#[utoipa::path(get, path = "/instances", tag = "instances", responses((status = 200, body = Vec<View>)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<Vec<View>>, Refusal> {
    Ok(Json(state.instances.list()?))
}

/// Create an instance
///
/// With an `Idempotency-Key` a request that is repeated within a day makes no second instance: it gets the first one's
/// answer.
#[utoipa::path(post, path = "/instances", tag = "instances", request_body = New,
    params(("Idempotency-Key" = Option<String>, Header, description = "a text of the caller's choice, at most 64 characters")),
    responses((status = 201, body = View), (status = 409, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answered {
    let new: New = body(&bytes)?;
    let key = headers
        .get("idempotency-key")
        .map(|value| value.to_str().unwrap_or_default().to_owned());
    let instances = state.instances.clone();
    let view = state
        .change(async move { instances.create(&by, new, key.as_deref()).await })
        .await?;
    Ok(shown(StatusCode::CREATED, view))
}

/// One instance
#[utoipa::path(get, path = "/instances/{name}", tag = "instances",
    params(("name" = String, Path, description = "name or identifier")),
    responses((status = 200, body = View), (status = 404, body = Answer)))]
pub(crate) async fn get(State(state): State<AppState>, Path(name): Path<String>) -> Answered {
    Ok(shown(StatusCode::OK, state.instances.get(&name)?))
}

/// What can be changed; absent parts stay as they are (RFC 7396).
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Changes {
    /// Another name.
    name: Option<String>,
    /// Another stack.
    stack: Option<String>,
    /// Another team, `ORGANIZATION/TEAM`; `null` for none.
    team: Option<String>,
    /// Settings.
    settings: Option<Settings>,
}

/// Change name, stack, team or settings
///
/// Memory, processor time, tasks, health and restart settings hold at once, everything else after a restart.
#[utoipa::path(patch, path = "/instances/{name}", tag = "instances",
    params(("name" = String, Path, description = "name or identifier"),
        ("If-Match" = Option<String>, Header, description = "the ETag on which the change is based")),
    request_body(content = Changes, content_type = "application/merge-patch+json"),
    responses((status = 200, body = View), (status = 404, body = Answer), (status = 409, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn change(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answered {
    let changes: Value = body(&bytes)?;
    let revision = if_match(&headers)?;
    let instances = state.instances.clone();
    let view = state
        .change(async move { instances.change(&by, &name, revision, changes).await })
        .await?;
    Ok(shown(StatusCode::OK, view))
}

/// How an instance is deleted.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct DeleteQuery {
    /// For good at once, without time to bring it back.
    #[serde(default)]
    now: bool,
}

/// Delete an instance; for 24 hours it can be brought back
#[utoipa::path(delete, path = "/instances/{name}", tag = "instances",
    params(("name" = String, Path, description = "name or identifier"), DeleteQuery),
    responses((status = 202, body = View), (status = 404, body = Answer)))]
pub(crate) async fn delete(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path(name): Path<String>,
    Query(query): Query<DeleteQuery>,
) -> Answered {
    let instances = state.instances.clone();
    let view = state
        .change(async move { instances.delete(&by, &name, query.now).await })
        .await?;
    Ok(shown(StatusCode::ACCEPTED, view))
}

/// Start, stop, restart, suspend, resume, bring back
#[utoipa::path(post, path = "/instances/{name}/actions/{action}", tag = "instances",
    params(("name" = String, Path, description = "name or identifier"), ("action" = Action, Path)),
    responses((status = 202, body = View), (status = 404, body = Answer), (status = 409, body = Answer)))]
pub(crate) async fn act(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path((name, action)): Path<(String, String)>,
) -> Answered {
    let action: Action = serde_json::from_value(Value::String(action.clone())).map_err(|_| {
        Problem::new(Code::Missing, format!("there is no action `{action}`"))
            .hint("choose start, stop, kill, restart, safe-mode, suspend, resume or undelete")
    })?;
    let instances = state.instances.clone();
    let view = state
        .change(async move { instances.act(&by, &name, action).await })
        .await?;
    Ok(shown(StatusCode::ACCEPTED, view))
}

/// Make a new instance like another one
#[utoipa::path(post, path = "/instances/{name}/copy", tag = "instances", request_body = Copy,
    params(("name" = String, Path, description = "name or identifier")),
    responses((status = 201, body = View), (status = 409, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn copy(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answered {
    let wish: Copy = body(&bytes)?;
    let instances = state.instances.clone();
    let view = state
        .change(async move { instances.copy(&by, &name, wish).await })
        .await?;
    Ok(shown(StatusCode::CREATED, view))
}

/// A page of events.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct EventQuery {
    /// Only events after this cursor.
    after: Option<u64>,
    /// Events at most, up to 1000; without a cursor the newest ones.
    limit: Option<usize>,
}

/// Events, and where to go on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventPage {
    /// Oldest first.
    events: Vec<Event>,
    /// For `after`.
    next: u64,
}

/// What happened to an instance, in order
#[utoipa::path(get, path = "/instances/{name}/events", tag = "instances",
    params(("name" = String, Path, description = "name or identifier"), EventQuery),
    responses((status = 200, body = EventPage), (status = 404, body = Answer)))]
pub(crate) async fn events(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<EventQuery>,
) -> Result<Json<EventPage>, Refusal> {
    let id = state.instances.record(&name)?.record.id;
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let instances = state.instances;
    let all = blocking(move || instances.events(&id, query.after, limit)).await??;
    let next = all.last().map(|(number, _)| *number).or(query.after).unwrap_or(0);
    Ok(Json(EventPage {
        events: all.into_iter().map(|(_, event)| event).collect(),
        next,
    }))
}

/// What an instance is seen to be doing, live, as server-sent events
#[utoipa::path(get, path = "/instances/{name}/watch", tag = "instances",
    params(("name" = String, Path, description = "name or identifier")),
    responses((status = 200, content_type = "text/event-stream"), (status = 404, body = Answer)))]
pub(crate) async fn watch(State(state): State<AppState>, Path(name): Path<String>) -> Answered {
    let id = state.instances.record(&name)?.record.id;
    let seen = state
        .instances
        .watch(&id)
        .ok_or_else(|| Problem::new(Code::Missing, "this instance is no more"))?;
    let tasks = state.tasks.clone();
    let stream = WatchStream::new(seen)
        .map(|observed| {
            Ok::<_, Infallible>(
                Sse::default()
                    .event("state")
                    .json_data(observed)
                    .unwrap_or_default(),
            )
        })
        .take_until(Box::pin(async move { tasks.ending().await }));
    Ok(Stream::new(stream)
        .keep_alive(KeepAlive::default())
        .into_response())
}

/// What an instance uses and has used; `null` where nobody says.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatsView {
    memory_bytes: Option<u64>,
    memory_peak_bytes: Option<u64>,
    cpu_us: Option<u64>,
    throttled_us: Option<u64>,
    tasks: Option<u64>,
    /// Bytes on the disk; where nobody counts them, as they were last measured.
    disk_bytes: Option<u64>,
    /// Bytes that there can be on the disk; `null` is no limit.
    disk_limit_bytes: Option<u64>,
    /// Share of the last ten seconds in which something waited, by resource; a kernel of control groups v1 alone does
    /// not keep it.
    waiting: Waiting,
    /// What it says about itself, every ten seconds while it works.
    figures: Option<Figures>,
}

/// Shares of time in which something waited for a resource.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Waiting {
    cpu: Option<f64>,
    memory: Option<f64>,
    io: Option<f64>,
}

/// Memory, processor time, tasks, disk space and messages of an instance
#[utoipa::path(get, path = "/instances/{name}/stats", tag = "instances",
    params(("name" = String, Path, description = "name or identifier")),
    responses((status = 200, body = StatsView), (status = 404, body = Answer)))]
pub(crate) async fn stats(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<StatsView>, Refusal> {
    let record = state.instances.record(&name)?.record;
    let seen = state.instances.watch(&record.id);
    let figures = seen.and_then(|seen| seen.borrow().figures);
    let instances = state.instances.clone();
    let read = blocking(move || {
        let waiting = |resource| Some(instances.pressure(&record.id, resource)?.waiting_ratio);
        let waiting = Waiting {
            cpu: waiting(Resource::Cpu),
            memory: waiting(Resource::Memory),
            io: waiting(Resource::Io),
        };
        (instances.stats(&record.id), instances.disk(&record), waiting)
    });
    let (stats, disk, waiting) = read.await?;
    let stats = stats.unwrap_or_default();
    Ok(Json(StatsView {
        memory_bytes: stats.memory,
        memory_peak_bytes: stats.memory_peak,
        cpu_us: stats.cpu_us,
        throttled_us: stats.throttled_us,
        tasks: stats.pids,
        disk_bytes: disk.map(|disk| disk.used),
        disk_limit_bytes: disk.and_then(|disk| disk.limit),
        waiting,
        figures,
    }))
}
