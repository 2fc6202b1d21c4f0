//! `/api/v1`: one file per kind of thing.

mod alerts;
mod backup;
mod catalogue;
mod files;
mod host;
mod import;
mod instances;
mod logs;
mod materials;
mod tokens;
mod upgrade;
mod uploads;
mod waivers;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::{AppState, Upgrades};

/// Every operation in one list.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(host::about))
        .routes(routes!(host::stacks))
        .routes(routes!(catalogue::catalogue))
        .routes(routes!(waivers::list, waivers::add))
        .routes(routes!(waivers::remove))
        .routes(routes!(host::audit))
        .routes(routes!(host::export))
        .routes(routes!(backup::backup))
        .routes(routes!(instances::list, instances::create))
        .routes(routes!(instances::get, instances::change, instances::delete))
        .routes(routes!(instances::act))
        .routes(routes!(instances::copy))
        .routes(routes!(import::import))
        .routes(routes!(instances::events))
        .routes(routes!(instances::watch))
        .routes(routes!(instances::stats))
        .routes(routes!(materials::bom))
        .routes(routes!(materials::packages))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::test))
        .routes(routes!(files::root))
        .routes(routes!(files::get, uploads::put, files::post, files::delete))
        .routes(routes!(logs::page))
        .routes(routes!(logs::follow))
}

/// What is answered while nobody decides, too.
pub(super) fn always() -> OpenApiRouter<Upgrades> {
    OpenApiRouter::new().routes(routes!(upgrade::upgrade))
}
