//! Alerts: those that were sent, and one to try.

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::alerts::{Alert, Delivery};
use crate::problem::{Code, Problem};
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};

/// A page of alerts.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct AlertQuery {
    /// Only alerts after this one.
    after: Option<String>,
    /// Only those of this instance, by name or identifier.
    instance: Option<String>,
    /// Alerts at most, up to 1000; without a cursor the newest ones.
    limit: Option<usize>,
}

/// Alerts, and where to go on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertPage {
    /// Oldest first.
    alerts: Vec<Alert>,
    /// For `after`; `null` where there are none.
    next: Option<String>,
}

/// Alerts, and how each was delivered
#[utoipa::path(get, path = "/alerts", tag = "alerts", params(AlertQuery),
    responses((status = 200, body = AlertPage), (status = 404, body = Answer)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(query): Query<AlertQuery>,
) -> Result<Json<AlertPage>, Refusal> {
    let id = match &query.instance {
        Some(name) => Some(state.instances.record(name)?.record.id),
        None => None,
    };
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let mut all = state
        .alerts
        .list(id.as_deref(), query.after.as_deref().unwrap_or_default())?;
    if query.after.is_none() && all.len() > limit {
        all.drain(..all.len() - limit);
    }
    all.truncate(limit);
    let next = all.last().map(|alert| alert.id.clone()).or(query.after);
    Ok(Json(AlertPage { alerts: all, next }))
}

/// Send a test to everybody who can be told of something, now
#[utoipa::path(post, path = "/alerts/test", tag = "alerts",
    responses((status = 200, body = Vec<Delivery>), (status = 409, body = Answer)))]
pub(crate) async fn test(State(state): State<AppState>) -> Result<Json<Vec<Delivery>>, Refusal> {
    let alerts = state.alerts.clone();
    let sent = state.change(async move { alerts.test().await }).await?;
    if sent.is_empty() {
        let message = "nobody is told of anything: there is no recipient";
        return Err(Refusal(Problem::new(Code::Conflict, message).hint(
            "name some as `to` in the table [alerts] of redhold.toml, or as alerts.recipients of an instance",
        )));
    }
    Ok(Json(sent))
}
