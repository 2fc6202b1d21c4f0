//! The host itself: what runs, its stacks, who changed what, and all of its records.

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use runtime::record::Level;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::acme::Standing;
use crate::audit::Entry;
use crate::instances::networks::NetworksView;
use crate::instances::service::problems::stored;
use crate::problem::{Code, Problem};
use crate::stacks;
use crate::store::table::Table;
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::blocking;

/// What runs here.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct About {
    /// Version of Redhold.
    version: &'static str,
    /// Instances, deleted ones that can be brought back included.
    instances: usize,
    /// Where an instance is, with `{name}` for its name.
    addresses: String,
    /// Where everything is on the disk.
    data_dir: String,
    /// What holds for every instance, and how strongly, as the newest one found it.
    #[schema(value_type = Vec<Object>)]
    walls: Vec<Level>,
    /// Why no change can be stored: the disk failed. It is tried again with each change, and what runs goes on
    /// meanwhile. `null` while all is well.
    store_refuses: Option<String>,
    /// What instances are connected to, and why that is less than it should be.
    network: NetworksView,
    /// Certificates of the host's names by ACME; empty where they come from elsewhere.
    certificates: Vec<Standing>,
}

/// The host at a glance
#[utoipa::path(get, path = "/host", tag = "host", responses((status = 200, body = About)))]
pub(crate) async fn about(State(state): State<AppState>) -> Result<Json<About>, Refusal> {
    let instances = state.instances.list()?;
    let newest = instances.iter().max_by_key(|view| view.observed.started_ms);
    Ok(Json(About {
        version: env!("CARGO_PKG_VERSION"),
        addresses: state.addresses.of("{name}"),
        data_dir: state.data_dir.display().to_string(),
        walls: newest.map_or_else(Vec::new, |view| view.observed.walls.clone()),
        instances: instances.len(),
        store_refuses: state.store.refusing().borrow().clone(),
        network: state.networks.clone(),
        certificates: state
            .certificates
            .as_ref()
            .map_or_else(Vec::new, |shelf| shelf.standings()),
    }))
}

/// A stack that instances can have.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StackView {
    name: String,
    node_red: String,
    /// Version of Node.js for this machine.
    node: Option<String>,
    /// Whether it is on the disk; the others are fetched when they are needed.
    here: bool,
}

/// Stacks that instances can have
#[utoipa::path(get, path = "/stacks", tag = "host", responses((status = 200, body = Vec<StackView>)))]
pub(crate) async fn stacks(State(state): State<AppState>) -> Result<Json<Vec<StackView>>, Refusal> {
    let mut views = Vec::new();
    for lock in state.stacks.offered()? {
        views.push(StackView {
            name: lock.name().to_owned(),
            node_red: lock.node_red().to_string(),
            node: stacks::host_arch()
                .ok()
                .and_then(|arch| Some(lock.node(arch)?.artifact.version.to_string())),
            here: state.stacks.find(&lock)?.is_some(),
        });
    }
    Ok(Json(views))
}

/// A page of the audit log.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct AuditQuery {
    /// Only entries after this one.
    after: Option<String>,
    /// Entries at most, up to 1000.
    limit: Option<usize>,
}

/// Entries, and where to go on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditPage {
    entries: Vec<Entry>,
    /// For `after`; `null` when there are no more.
    next: Option<String>,
}

/// Who changed what
#[utoipa::path(get, path = "/audit", tag = "host", params(AuditQuery), responses((status = 200, body = AuditPage)))]
pub(crate) async fn audit(
    State(state): State<AppState>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditPage>, Refusal> {
    let after = query.after.unwrap_or_default();
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let table = Table::<Entry>::of(&state.store);
    let read = blocking(move || table.scan(""));
    // In the order in which they were written, which no clock that is set back can change.
    let mut all: Vec<(String, Entry)> = read
        .await?
        .map_err(stored)?
        .into_iter()
        .map(|(name, entry)| (format!("{:016x}-{name}", entry.revision), entry.record))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    let mut rest = all.into_iter().filter(|(place, _)| *place > after);
    let mut next = None;
    let mut entries = Vec::new();
    for (place, entry) in rest.by_ref().take(limit) {
        next = Some(place);
        entries.push(entry);
    }
    let next = next.filter(|_| rest.next().is_some());
    Ok(Json(AuditPage { entries, next }))
}

/// All records of the store, one JSON line each, as they are at one moment
#[utoipa::path(get, path = "/export", tag = "host", responses((status = 200, content_type = "application/x-ndjson"), (status = 500, body = Answer)))]
pub(crate) async fn export(State(state): State<AppState>) -> Result<Response, Refusal> {
    let mut text = Vec::new();
    state
        .store
        .export(&mut text)
        .await
        .map_err(|error| Problem::new(Code::Failed, "cannot export the store").because(error))?;
    let kind = [("content-type", "application/x-ndjson")];
    Ok((kind, Body::from(text)).into_response())
}
