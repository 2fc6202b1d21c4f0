//! `/metrics`: the host, its front and every instance, for Prometheus.
//!
//! Names follow its rules: base units, `_total` for what only grows, no label that its servers set themselves. A figure
//! that the kernel does not keep is missing and never zero.

mod host;
mod instances;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use runtime::sandbox::cgroup::{Pressure, Resource};

use super::AppState;
use super::errors::Refusal;
use super::state::blocking;
use crate::problem::Problem;
use crate::telemetry::exposition::{Exposition, Kind};

/// Figures of everything, in the text exposition format
pub(super) async fn metrics(State(state): State<AppState>) -> Result<Response, Refusal> {
    // Most of it is read from files of the kernel's, several for each instance.
    let text = blocking(move || text(&state)).await??;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text).into_response())
}

fn text(state: &AppState) -> Result<String, Problem> {
    let views = state.instances.list()?;
    let mut all = Exposition::default();
    host::machine(&mut all, &state.data_dir);
    host::supervisor(&mut all);
    host::front(&mut all, state);
    host::certificates(&mut all, state);
    instances::all(&mut all, state, &views);
    Ok(all.text())
}

/// Labels and value.
type Sample<'a> = (Vec<(&'a str, &'a str)>, f64);

/// The two families of waiting: `labels` and `pressure` of each `who`, by resource.
fn pressures<'a, Who>(
    all: &mut Exposition,
    prefix: &str,
    who: &[Who],
    labels: impl Fn(&Who) -> Vec<(&'a str, &'a str)>,
    pressure: impl Fn(&Who, Resource) -> Option<Pressure>,
) {
    type Read = fn(Pressure) -> Option<u64>;
    let families: [(&str, &str, Read); 2] = [
        (
            "waiting",
            "Time in which at least one task waited for the resource.",
            |one| Some(one.waiting_us),
        ),
        (
            "stalled",
            "Time in which every task waited for the resource and nothing was done.",
            |one| one.stalled_us,
        ),
    ];
    for (family, help, read) in families {
        let mut samples: Vec<Sample<'_>> = Vec::new();
        for one in who {
            for resource in Resource::ALL {
                if let Some(us) = pressure(one, resource).and_then(read) {
                    let mut labels = labels(one);
                    labels.push(("resource", resource.name()));
                    samples.push((labels, us as f64 / 1e6));
                }
            }
        }
        let name = format!("{prefix}_pressure_{family}_seconds_total");
        all.family(&name, Kind::Counter, help, &samples);
    }
}
