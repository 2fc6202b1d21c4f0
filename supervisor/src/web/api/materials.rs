//! What an instance is made of: its packages with their verdicts, and all of it as a bill of materials.

use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use node_vetting::bom::{cyclonedx, spdx};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::instances::service::PackageView;
use crate::materials::{components, subject};
use crate::stacks::host_arch;
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::blocking;

/// How it is to be written.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standard {
    /// CycloneDX 1.6.
    #[default]
    CycloneDx,
    /// SPDX 2.3.
    Spdx,
}

/// How a bill of materials is wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct BomQuery {
    /// The standard it follows; `cyclonedx` without it.
    #[serde(default)]
    #[param(inline)]
    format: Standard,
}

/// The bill of materials of an instance: its stack, and what npm has installed besides
#[utoipa::path(get, path = "/instances/{name}/bom", tag = "instances",
    params(("name" = String, Path, description = "name or identifier"), BomQuery),
    responses((status = 200, body = Value, description = "CycloneDX 1.6 or SPDX 2.3, as JSON"), (status = 404, body = Answer)))]
pub(crate) async fn bom(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<BomQuery>,
) -> Result<Json<Value>, Refusal> {
    let record = state.instances.record(&name)?.record;
    let stack = state.stacks.resolve(Some(&record.stack))?;
    let place = state.instances.place(&record.id);
    let arch = host_arch()?;
    let components = blocking(move || components(&place, &stack, arch)).await??;
    let subject = subject(
        &record.id,
        &record.name,
        Timestamp::now().to_string(),
        &components,
    );
    Ok(Json(match query.format {
        Standard::CycloneDx => cyclonedx(&subject, &components),
        Standard::Spdx => spdx(&subject, &components),
    }))
}

/// What an instance has installed beside its stack, each with the verdict as it is at present, why, and what to do
#[utoipa::path(get, path = "/instances/{name}/packages", tag = "instances",
    params(("name" = String, Path, description = "name or identifier")),
    responses((status = 200, body = Vec<PackageView>), (status = 404, body = Answer)))]
pub(crate) async fn packages(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Vec<PackageView>>, Refusal> {
    let instances = state.instances;
    Ok(Json(blocking(move || instances.packages(&name)).await??))
}
