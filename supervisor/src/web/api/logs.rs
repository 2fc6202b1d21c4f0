//! An instance's log: pages, and live.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event as Sse, KeepAlive, Sse as Stream};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::{Code, Problem};
use crate::shutdown::Tasks;
use crate::telemetry::line::{Level, Line};
use crate::telemetry::logs;
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::blocking;

/// How often a file that is followed is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What of a log is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub(crate) struct LogQuery {
    /// Only lines after this cursor; without it the newest ones.
    after: Option<String>,
    /// Lines at most, up to 10000.
    limit: Option<usize>,
    /// Least grave level: trace, debug, info, warn or error.
    level: Option<String>,
    /// A text that must be in the line, in any case of letters.
    text: Option<String>,
    /// Not before, in milliseconds since 1970.
    since: Option<u64>,
    /// Before, in milliseconds since 1970.
    until: Option<u64>,
}

/// One line.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LineView {
    /// When, in milliseconds since 1970; `null` for the further lines of an entry.
    time_ms: Option<u64>,
    level: &'static str,
    /// The node it is about, as `type:name`.
    node: Option<String>,
    text: String,
}

/// Lines, and where to go on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogPage {
    /// Oldest first.
    lines: Vec<LineView>,
    /// For `after`.
    next: Option<String>,
}

impl From<Line> for LineView {
    fn from(line: Line) -> Self {
        Self {
            time_ms: line.time_ms,
            level: line.level.name(),
            node: line.node,
            text: line.text,
        }
    }
}

impl From<logs::Page> for LogPage {
    fn from(page: logs::Page) -> Self {
        Self {
            lines: page.lines.into_iter().map(LineView::from).collect(),
            next: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

impl LogQuery {
    fn resolve(self) -> Result<logs::Query, Problem> {
        let level = |text: String| {
            text.parse()
                .map_err(|why: String| Problem::new(Code::Usage, format!("`{text}` is no level: {why}")))
        };
        let after = self.after.map(|text| text.parse()).transpose();
        Ok(logs::Query {
            after: after
                .map_err(|error: logs::InvalidCursor| Problem::new(Code::Usage, error.to_string()))?,
            limit: self.limit.unwrap_or(100).clamp(1, 10_000),
            level: self.level.map_or(Ok(Level::Trace), level)?,
            text: self.text,
            since_ms: self.since,
            until_ms: self.until,
        })
    }
}

async fn read(log: PathBuf, query: logs::Query) -> Result<logs::Page, Problem> {
    blocking(move || logs::page(&log, &query))
        .await?
        .map_err(|error| Problem::io("cannot read the log", error))
}

/// Lines of an instance's log
#[utoipa::path(get, path = "/instances/{name}/logs", tag = "logs",
    params(("name" = String, Path, description = "name or identifier"), LogQuery),
    responses((status = 200, body = LogPage), (status = 404, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn page(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogPage>, Refusal> {
    let id = state.instances.record(&name)?.record.id;
    let page = read(state.instances.place(&id).log(), query.resolve()?).await?;
    Ok(Json(page.into()))
}

/// What the log's follower carries from one look to the next.
struct Following {
    log: PathBuf,
    query: logs::Query,
    tasks: Tasks,
    first: bool,
}

/// The newest lines of a log and every one that comes, as server-sent events; an event's id is a cursor
#[utoipa::path(get, path = "/instances/{name}/logs/follow", tag = "logs",
    params(("name" = String, Path, description = "name or identifier"), LogQuery),
    responses((status = 200, content_type = "text/event-stream"), (status = 404, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn follow(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Refusal> {
    let id = state.instances.record(&name)?.record.id;
    let following = Following {
        log: state.instances.place(&id).log(),
        query: query.resolve()?,
        tasks: state.tasks.clone(),
        first: true,
    };
    let events = stream::unfold(following, |mut following| async move {
        loop {
            if !std::mem::replace(&mut following.first, false) {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = following.tasks.ending() => return None,
                }
            }
            let page = read(following.log.clone(), following.query.clone()).await.ok()?;
            if page.lines.is_empty() {
                following.query.after = page.next.or(following.query.after);
                continue;
            }
            following.query.after = page.next;
            let page = LogPage::from(page);
            let id = page.next.clone().unwrap_or_default();
            let event = Sse::default()
                .event("lines")
                .id(id)
                .json_data(page)
                .unwrap_or_default();
            return Some((Ok::<_, Infallible>(event), following));
        }
    });
    Ok(Stream::new(events)
        .keep_alive(KeepAlive::default())
        .into_response())
}
