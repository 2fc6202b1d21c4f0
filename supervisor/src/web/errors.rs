//! Problems as answers: RFC 9457.

use axum::Json;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Code, Problem};

/// A problem as it goes over the wire (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer {
    /// The HTTP status again.
    pub(crate) status: u16,
    /// Which kind of problem.
    pub(crate) code: String,
    /// What failed, and on what.
    pub(crate) title: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

/// The error of every handler.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.0.code() {
            Code::Usage => StatusCode::UNPROCESSABLE_ENTITY,
            Code::Missing => StatusCode::NOT_FOUND,
            Code::Conflict | Code::Review | Code::Refused => StatusCode::CONFLICT,
            Code::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Code::Failed | Code::Host | Code::Interrupted => StatusCode::INTERNAL_SERVER_ERROR,
        };
        answer(status, self.0.code().name(), &self.0.to_string(), self.0.advice())
    }
}

/// A problem document.
pub(crate) fn answer(status: StatusCode, code: &str, title: &str, hint: Option<&str>) -> Response {
    let body = Answer {
        status: status.as_u16(),
        code: code.to_owned(),
        title: title.to_owned(),
        hint: hint.map(str::to_owned),
    };
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        Json(body),
    )
        .into_response()
}

/// Where nothing is.
pub(super) async fn no_such_path(uri: Uri) -> Response {
    answer(
        StatusCode::NOT_FOUND,
        "not-found",
        &format!("there is nothing at {}", uri.path()),
        Some("/api/v1/openapi.json describes what there is"),
    )
}
