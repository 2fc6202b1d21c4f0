//! Waivers: exceptions from the policy, each with who, why and until when.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nix::unistd::{Uid, User};
use node_vetting::policy::Waiver;
use npm::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::instances::body;
use crate::audit::By;
use crate::problem::{Code, Problem};
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::{Asker, blocking};

/// A waiver: these rules do not count against a package, until some day.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaiverView {
    /// Name of the package.
    package: String,
    /// Its version.
    version: String,
    /// The hash of its archive: for exactly these bytes. Without it, for whatever the registry gives under that version.
    integrity: Option<String>,
    /// Rules that do not count, as reports name them: `editor.network`, or `grant{proc.spawn{ping}}`.
    rules: Vec<String>,
    /// Who says so; without it, who asks.
    who: Option<String>,
    /// Why.
    why: String,
    /// The last day on which it counts: `2027-05-01`.
    until: String,
}

/// All waivers, also those that have ended
#[utoipa::path(get, path = "/vetting/waivers", tag = "vetting",
    responses((status = 200, body = Vec<WaiverView>, description = "with an ETag that names the list"), (status = 500, body = Answer)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Response, Refusal> {
    shown(StatusCode::OK, &state).await
}

/// Waive rules for a package; the answer has all waivers
///
/// It takes the place of one for the same rules of the same version. Packages that are installed are judged again by it.
#[utoipa::path(post, path = "/vetting/waivers", tag = "vetting", request_body = WaiverView,
    params(("If-Match" = Option<String>, Header, description = "the ETag of the list on which it was decided")),
    responses((status = 201, body = Vec<WaiverView>), (status = 409, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn add(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Refusal> {
    let mut wish: WaiverView = body(&bytes)?;
    wish.who.get_or_insert_with(|| name(&by));
    let waiver = serde_json::to_value(&wish).and_then(serde_json::from_value::<Waiver>);
    let waiver = waiver.map_err(|error| {
        Problem::new(Code::Usage, format!("this is no waiver: {error}"))
            .hint("/api/v1/openapi.json describes one")
    })?;
    let (exceptions, based_on) = (state.exceptions.clone(), if_match(&headers)?);
    state
        .change(async move { exceptions.add(&by, waiver, based_on).await })
        .await?;
    shown(StatusCode::CREATED, &state).await
}

/// Take back the waivers of a package in a version; the answer has those that are left
#[utoipa::path(delete, path = "/vetting/waivers/{package}", tag = "vetting",
    params(("package" = String, Path, description = "NAME@VERSION"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the list on which it was decided")),
    responses((status = 200, body = Vec<WaiverView>), (status = 404, body = Answer), (status = 409, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path(package): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let parts = package.rsplit_once('@').filter(|(name, _)| !name.is_empty());
    let parsed = parts.and_then(|(name, version)| Some((name.parse().ok()?, Version::parse(version).ok()?)));
    let parsed = parsed.ok_or_else(|| {
        Problem::new(
            Code::Usage,
            format!("`{package}` does not name one version of a package"),
        )
        .hint("write NAME@VERSION")
    })?;
    let (exceptions, based_on) = (state.exceptions.clone(), if_match(&headers)?);
    state
        .change(async move { exceptions.remove(&by, parsed, based_on).await })
        .await?;
    shown(StatusCode::OK, &state).await
}

async fn shown(status: StatusCode, state: &AppState) -> Result<Response, Refusal> {
    let exceptions = state.exceptions.clone();
    let (all, digest) = blocking(move || exceptions.list()).await??;
    // Waivers are plain data.
    let all = serde_json::to_value(all).unwrap_or(Value::Null);
    Ok((status, [(header::ETAG, format!("\"{digest}\""))], Json(all)).into_response())
}

/// The list that `If-Match` names.
fn if_match(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    if text == "*" {
        return Ok(None);
    }
    let digest = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    digest.map(|digest| Some(digest.to_owned())).ok_or_else(|| {
        Problem::new(Code::Usage, "the If-Match header is no ETag of the waivers")
            .hint("send the ETag of the last answer, quotes included")
    })
}

/// Who asks, by a name where there is one.
fn name(by: &By) -> String {
    match by {
        By::Local { uid } => {
            let user = User::from_uid(Uid::from_raw(*uid)).ok().flatten();
            user.map_or_else(|| format!("user {uid}"), |user| user.name)
        }
        _ => "the administrator".to_owned(),
    }
}
