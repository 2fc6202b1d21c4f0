//! An errand in the project's own sandbox before Node-RED runs; a signal ends it.

use runtime::spec::InstanceSpec;

use crate::dev::launch::Launcher;
use crate::dev::signals::Signals;
use crate::instances::errand::{self, Outcome};
use crate::problem::{Code, Problem};

/// Runs Node.js with `arguments` in the launcher's world, changed by `adjust`, to its end; a signal kills it.
pub(super) async fn run(
    launcher: &Launcher<'_>,
    signals: &mut Signals,
    arguments: Vec<String>,
    adjust: impl FnOnce(&mut InstanceSpec),
) -> Result<Outcome, Problem> {
    let mut spec = launcher.errand()?;
    spec.program.args = arguments;
    adjust(&mut spec);
    let outcome = errand::run(&launcher.executable, &spec, signals.next()).await?;
    if outcome.broken_off {
        return Err(Problem::new(Code::Interrupted, "stopped before Node-RED ran"));
    }
    Ok(outcome)
}
