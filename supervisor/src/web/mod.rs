//! The host's interface for programs: `/api/v1`, and what it needs around it.
//!
//! Handlers translate and wait; whatever changes something runs in a task of the host, so that a client that goes
//! away leaves nothing half done (hyper drops a handler with its connection).

#[expect(
    unused_qualifications,
    reason = "the macro that describes an operation writes paths in full"
)]
pub mod api;
mod errors;
pub mod local;
mod metrics;
pub mod remote;
pub mod state;
pub mod switch;

use std::future::ready;
use std::sync::Arc;

use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use self::state::AppState;

use self::state::Upgrades;
use self::switch::Switch;

/// What the description of the interface says about itself.
#[derive(OpenApi)]
#[openapi(info(
    title = "Redhold",
    description = "Isolated Node-RED, hosted by one binary. Local programs use the unix socket of the host; \
                   others send the administrator's token as `Authorization: Bearer`."
))]
struct Document;

/// Every route that needs a store, and the description of all routes.
pub fn router(state: AppState) -> Router {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .nest("/api/v1", api::router())
        .split_for_parts();
    document.merge(always().1);
    // A rest of a path is written `{*name}` for the router and `{name}` for readers.
    let paths = std::mem::take(&mut document.paths.paths).into_iter();
    document.paths.paths = paths
        .map(|(path, item)| (path.replace("{*", "{"), item))
        .collect();
    let document = Arc::new(document);
    let described = move || ready(Json(&*document).into_response());
    router
        .route("/api/v1/openapi.json", get(described))
        .route("/metrics", get(metrics::metrics))
        .fallback(errors::no_such_path)
        .with_state(state)
}

/// Where requests to the interface come in: what is always there, and behind the switch what [`router`] made.
pub fn desk(switch: &Switch, upgrades: Upgrades) -> Router {
    let switch = switch.clone();
    always()
        .0
        .with_state(upgrades)
        .fallback(move |request| switch.clone().answer(request))
}

fn always() -> (Router<Upgrades>, utoipa::openapi::OpenApi) {
    OpenApiRouter::new()
        .nest("/api/v1", api::always())
        .split_for_parts()
}
