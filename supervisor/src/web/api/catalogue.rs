//! What was vetted on this host: as a list for people and programs, and as the catalogue that editors show.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::blocking;

/// Nodes that were vetted here, in Node-RED's catalogue format, with verdicts and reasons: trusted ones first
///
/// What is refused is not in it. Editors get the same from `/.redhold/catalogue.json` of any host name.
#[utoipa::path(get, path = "/catalogue", tag = "host",
    responses((status = 200, body = Value, description = "a catalogue as Node-RED's palette manager reads it"), (status = 500, body = Answer)))]
pub(crate) async fn catalogue(State(state): State<AppState>) -> Result<Json<Value>, Refusal> {
    let gate = state.instances.gate().clone();
    Ok(Json(blocking(move || gate.catalogue()).await??))
}
