//! How a fetch is shown: a bar on a terminal, a few lines elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use runtime::store::{Plan, Progress};
use runtime::units::Bytes;

use crate::cli::output::Output;

/// Shows a fetch of one thing.
#[derive(Debug)]
pub struct Shown {
    what: String,
    output: Output,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bar: Option<ProgressBar>,
    plan: Option<Plan>,
    begun: Instant,
    here: u64,
    /// Quarters that were told.
    quarters: u64,
}

impl Shown {
    /// For fetching `what`, as people call it. Nothing is shown until there is work.
    #[must_use]
    pub fn new(what: &str, output: &Output) -> Self {
        Self {
            what: what.to_owned(),
            output: *output,
            state: Mutex::new(State {
                bar: None,
                plan: None,
                begun: Instant::now(),
                here: 0,
                quarters: 0,
            }),
        }
    }

    fn with(&self, act: impl FnOnce(&mut State)) {
        // A panic elsewhere while counting leaves numbers, and numbers are always usable.
        act(&mut self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

fn style() -> ProgressStyle {
    // The template is a constant; were it wrong, the library's own is good enough.
    ProgressStyle::with_template(
        "{prefix} [{bar:28}] {bytes:>10} of {total_bytes} {binary_bytes_per_sec:>12} {wide_msg:.dim}",
    )
    .map_or_else(
        |_| ProgressStyle::default_bar(),
        |style| style.progress_chars("=> "),
    )
}

impl Progress for Shown {
    fn started(&self, plan: &Plan) {
        self.with(|state| {
            state.begun = Instant::now();
            state.plan = Some(*plan);
            if std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
                let bar =
                    ProgressBar::with_draw_target(Some(plan.bytes), ProgressDrawTarget::stderr_with_hz(10));
                bar.set_style(style());
                bar.set_prefix(format!("fetching {}", self.what));
                bar.enable_steady_tick(Duration::from_millis(250));
                state.bar = Some(bar);
            } else {
                self.output.note(&format!(
                    "fetching {}: {} packages, {}",
                    self.what,
                    plan.packages,
                    Bytes(plan.bytes)
                ));
            }
        });
    }

    fn waiting(&self) {
        self.output.note(&format!(
            "another redhold is fetching {}; waiting for it",
            self.what
        ));
    }

    fn received(&self, package: &str, bytes: u64) {
        self.with(|state| {
            state.here += bytes;
            if let Some(bar) = &state.bar {
                bar.set_position(state.here);
                bar.set_message(package.to_owned());
                return;
            }
            let Some(plan) = state.plan.filter(|plan| plan.bytes > 0) else {
                return;
            };
            let quarters = (state.here * 4 / plan.bytes).min(3);
            if quarters > state.quarters {
                state.quarters = quarters;
                let rate = per_second(state.here, state.begun.elapsed());
                self.output.note(&format!(
                    "fetching {}: {} % of {}, {rate}/s",
                    self.what,
                    quarters * 25,
                    Bytes(plan.bytes)
                ));
            }
        });
    }

    fn lost(&self, _package: &str, bytes: u64) {
        self.with(|state| {
            state.here = state.here.saturating_sub(bytes);
            if let Some(bar) = &state.bar {
                bar.set_position(state.here);
            }
        });
    }

    fn finished(&self) {
        self.with(|state| {
            if let Some(bar) = state.bar.take() {
                bar.finish_and_clear();
            }
            if let Some(plan) = state.plan {
                let took = state.begun.elapsed();
                self.output.note(&format!(
                    "fetched {}: {} packages, {} in {:.1} s ({}/s)",
                    self.what,
                    plan.packages,
                    Bytes(state.here),
                    took.as_secs_f64(),
                    per_second(state.here, took)
                ));
            }
        });
    }
}

/// A bar that is still there when the work failed would stand in the way of the message.
impl Drop for Shown {
    fn drop(&mut self) {
        self.with(|state| {
            if let Some(bar) = state.bar.take() {
                bar.finish_and_clear();
            }
        });
    }
}

/// Bytes per second, rounded.
fn per_second(bytes: u64, time: Duration) -> Bytes {
    let millis = time.as_millis().max(1);
    Bytes(u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX))
}
