//! A newer supervisor in the place of the one that runs.

use std::path::PathBuf;

use axum::Json;
use axum::extract::{Extension, State};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::audit::By;
use crate::problem::{Code, Problem};
use crate::web::errors::{Answer, Refusal};
use crate::web::state::{Asker, Upgraded, Upgrades, Wish};

/// What to upgrade to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UpgradeTo {
    /// Absolute path of the program on the host; only for who asks on the host itself. Without it, the file from
    /// which the host was started, which may have been replaced since.
    #[schema(value_type = Option<String>)]
    binary: Option<PathBuf>,
}

/// Put a newer supervisor in the place of the one that runs
///
/// Answered when the new one has taken over, or when everything is as before. No instance and no connection ends.
#[utoipa::path(post, path = "/host/upgrade", tag = "host", request_body = UpgradeTo,
    responses((status = 200, body = Upgraded), (status = 409, body = Answer), (status = 422, body = Answer), (status = 503, body = Answer)))]
pub(crate) async fn upgrade(
    State(Upgrades(wishes)): State<Upgrades>,
    Extension(Asker(by)): Extension<Asker>,
    Json(to): Json<UpgradeTo>,
) -> Result<Json<Upgraded>, Refusal> {
    if let Some(binary) = &to.binary {
        let refused = |why: &str| Problem::new(Code::Usage, format!("{} {why}", binary.display()));
        if !binary.is_absolute() {
            return Err(refused("is no absolute path").into());
        }
        if !matches!(by, By::Local { .. }) {
            return Err(refused("can only be named on the host itself")
                .hint("run `redhold upgrade --binary` there")
                .into());
        }
    }
    let (wish, answered) = Wish::of(by, to.binary);
    wishes.try_send(wish).map_err(|_| {
        Problem::new(Code::Busy, "an upgrade is under way")
            .hint("see in a moment what runs: `redhold host show`")
    })?;
    let gone = || Problem::new(Code::Busy, "this host is stopping").hint("try again when it is back");
    Ok(Json(answered.await.map_err(|_| gone())??))
}
