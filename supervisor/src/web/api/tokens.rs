//! Access tokens of an instance's endpoints.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::instances::body;
use crate::instances::service::{NewToken, TokenView};
use crate::web::AppState;
use crate::web::errors::{Answer, Refusal};
use crate::web::state::Asker;

/// The access tokens of an instance's endpoints, without the tokens themselves
#[utoipa::path(get, path = "/instances/{name}/tokens", tag = "instances",
    params(("name" = String, Path, description = "name or identifier")),
    responses((status = 200, body = Vec<TokenView>), (status = 404, body = Answer)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Vec<TokenView>>, Refusal> {
    Ok(Json(state.instances.tokens(&name)?))
}

/// Create an access token; only this answer shows it
///
/// It is taken where `http.access`, or the access of a shared folder, is `tokens` or `basic`. Flows never see it.
#[utoipa::path(post, path = "/instances/{name}/tokens", tag = "instances", request_body = NewToken,
    params(("name" = String, Path, description = "name or identifier")),
    responses((status = 201, body = TokenView), (status = 404, body = Answer), (status = 409, body = Answer), (status = 422, body = Answer)))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<Response, Refusal> {
    let new: NewToken = body(&bytes)?;
    let instances = state.instances.clone();
    let view = state
        .change(async move { instances.create_token(&by, &name, new).await })
        .await?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// Revoke an access token: with the answer it is taken no more
#[utoipa::path(delete, path = "/instances/{name}/tokens/{token}", tag = "instances",
    params(("name" = String, Path, description = "name or identifier"),
        ("token" = String, Path, description = "name of the token")),
    responses((status = 204), (status = 404, body = Answer)))]
pub(crate) async fn revoke(
    State(state): State<AppState>,
    Extension(Asker(by)): Extension<Asker>,
    Path((name, token)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let instances = state.instances.clone();
    state
        .change(async move { instances.revoke_token(&by, &name, &token).await })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
