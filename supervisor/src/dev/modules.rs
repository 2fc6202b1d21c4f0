//! Modules that the project asks for and does not have: fetched by npm, in the sandbox, before the first start.

use std::collections::BTreeMap;

use runtime::spec::InstanceSpec;

use crate::dev::errand;
use crate::dev::folder::Project;
use crate::dev::launch::Launcher;
use crate::dev::screen::{Said, Screen};
use crate::dev::signals::Signals;
use crate::gate::{Session, attach};
use crate::instances::packages::{Missing, error_lines, npm_program};
use crate::problem::{Code, Problem};

/// Installs what package.json names and node_modules lacks. A failure is told and does not stop the start: the
/// flows then wait for their types, and the editor shows which.
pub(super) async fn install(
    project: &Project,
    launcher: &Launcher<'_>,
    gate: &Session,
    signals: &mut Signals,
    screen: &dyn Screen,
) -> Result<(), Problem> {
    let missing = Missing::in_folder(&project.path, &BTreeMap::new());
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.names.join(", ");
    screen.show(Said::Note(&format!("installing {names} with npm")));
    let npm = npm_program(launcher.stack, launcher.isolation);
    let mut arguments = vec![npm.to_string_lossy().into_owned()];
    arguments.extend(missing.arguments());
    if let Err(problem) = signals.unless(gate.admit(&missing.asked)).await {
        if problem.code() == Code::Interrupted {
            return Err(problem);
        }
        let said = format!("{names} cannot be installed: {problem}\n  Node-RED starts without");
        screen.show(Said::Warning(&said));
        return Ok(());
    }
    let through = |spec: &mut InstanceSpec| {
        room_for_npm(spec);
        attach(spec, &launcher.gate_folder());
    };
    let outcome = errand::run(launcher, signals, arguments, through).await?;
    if outcome.succeeded() {
        return Ok(());
    }
    screen.show(Said::Warning(&format!(
        "npm could not install {names}: {}\n  Node-RED starts without; mend package.json or the network and start again",
        error_lines(&outcome.errors).join("; ")
    )));
    Ok(())
}

/// npm alone needs more memory than many an instance; it runs before it, not beside it.
fn room_for_npm(spec: &mut InstanceSpec) {
    let least = runtime::units::Bytes::mib(768);
    spec.limits.memory = spec.limits.memory.map(|memory| memory.max(least));
}
