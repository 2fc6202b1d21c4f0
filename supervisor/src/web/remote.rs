//! The host's own service as the front offers it: the same interface behind the administrator's token, and the page
//! on which a browser shows that token.

use std::sync::Arc;

use axum::extract::{Extension, Form, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Router, middleware};
use serde::Deserialize;
use tower_service::Service;

use super::errors;
use super::state::Asker;
use crate::audit::By;
use crate::proxy::From;
use crate::proxy::access::Gate;
use crate::proxy::table::without_port;

/// The page that asks for the token.
const SIGN_IN: &str = include_str!("../../assets/sign-in.html");

/// Where the palette manager of an editor finds what was vetted on this host.
pub const CATALOGUE: &str = "/.redhold/catalogue.json";

/// What the front serves itself.
pub fn router(api: Router, gate: Arc<Gate>) -> Router {
    let editors = api.clone();
    let guarded = api.layer(middleware::from_fn_with_state(gate.clone(), admit));
    Router::new()
        .route("/.redhold/sign-in", get(page).post(sign_in))
        .route("/", get(home))
        .route(
            CATALOGUE,
            get(
                async |State(gate): State<Arc<Gate>>, Extension(from): Extension<From>, request: Request| {
                    catalogue(&gate, &from, request, editors).await
                },
            ),
        )
        .with_state(gate)
        .fallback_service(guarded)
}

fn unauthorized() -> Response {
    let mut response = errors::answer(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "this needs the administrator's token",
        Some("send it as `Authorization: Bearer TOKEN`; on the host, `redhold host token` prints it"),
    );
    let challenge = header::HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// Lets nobody through without the token.
async fn admit(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    if !gate.bears_token(request.headers()) {
        return unauthorized();
    }
    request.extensions_mut().insert(Asker(By::Token));
    next.run(request).await
}

/// The catalogue, for a browser that has signed in on this host name as well as for who has the token.
async fn catalogue(gate: &Gate, from: &From, mut request: Request, mut api: Router) -> Response {
    let host = without_port(from.host.as_deref().unwrap_or_default());
    if !gate.bears_token(request.headers()) && !gate.signed_in(request.headers(), host) {
        return unauthorized();
    }
    *request.uri_mut() = axum::http::Uri::from_static("/api/v1/catalogue");
    request.extensions_mut().insert(Asker(By::Token));
    let Ok(answer) = api.call(request).await;
    answer
}

async fn home() -> &'static str {
    "Redhold. The interface for programs is at /api/v1/openapi.json; instances have names of their own below this one.\n"
}

/// The form; `to` is a path of this host, by [`back`].
fn document(problem: &str, to: &str) -> Html<String> {
    Html(SIGN_IN.replace("{{problem}}", problem).replace("{{to}}", to))
}

/// Where a browser goes after it has signed in: a path of this host made of harmless letters, or its root.
fn back(to: Option<&str>) -> &str {
    let harmless = |c: u8| c.is_ascii_alphanumeric() || b"/-_.".contains(&c);
    to.filter(|to| to.starts_with('/') && !to.starts_with("//") && to.bytes().all(harmless))
        .unwrap_or("/")
}

#[derive(Deserialize)]
struct Wanted {
    to: Option<String>,
}

async fn page(Query(wanted): Query<Wanted>) -> Response {
    (
        [(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        )],
        document("", back(wanted.to.as_deref())),
    )
        .into_response()
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
    to: Option<String>,
}

async fn sign_in(
    State(gate): State<Arc<Gate>>,
    Extension(from): Extension<From>,
    Form(form): Form<SignIn>,
) -> Response {
    if !gate.admits(&form.token) {
        // Guessing 24 random bytes is hopeless at any speed; this only keeps a mistyped one from being hammered.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        return (
            StatusCode::FORBIDDEN,
            document("That is not the token.", back(form.to.as_deref())),
        )
            .into_response();
    }
    let host = from.host.as_deref().unwrap_or_default();
    let cookie = gate.cookie(without_port(host), from.secure);
    (
        [(header::SET_COOKIE, cookie)],
        Redirect::to(back(form.to.as_deref())),
    )
        .into_response()
}
