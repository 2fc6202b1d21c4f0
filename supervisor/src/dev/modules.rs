//! Modules that the project asks for and does not have: fetched by npm, in the sandbox, before the first start.

use std::path::Path;

use runtime::spec::{InstanceSpec, Isolation};

use crate::dev::errand;
use crate::dev::folder::Project;
use crate::dev::launch::Launcher;
use crate::dev::screen::{Said, Screen};
use crate::dev::signals::Signals;
use crate::problem::Problem;

/// Installs what package.json names and node_modules lacks. A failure is told and does not stop the start: the
/// flows then wait for their types, and the editor shows which.
pub(super) async fn install(
    project: &Project,
    launcher: &Launcher<'_>,
    signals: &mut Signals,
    screen: &dyn Screen,
) -> Result<(), Problem> {
    let missing = project.missing_modules();
    if missing.is_empty() {
        return Ok(());
    }
    screen.show(Said::Note(&format!("installing {} with npm", missing.join(", "))));
    let modules = match launcher.isolation {
        Isolation::Namespaces => Path::new("/stack/node_modules"),
        Isolation::Landlock => &launcher.stack.modules,
    };
    let npm = modules.join("npm/bin/npm-cli.js");
    let arguments = [
        &*npm.to_string_lossy(),
        "install",
        "--omit=dev",
        "--engine-strict",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
    ];
    let outcome = errand::run(launcher, signals, &arguments, room_for_npm).await?;
    if outcome.succeeded() {
        return Ok(());
    }
    let said: Vec<&str> = outcome
        .lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.starts_with("npm error") && line.len() > "npm error ".len())
        .take(4)
        .collect();
    screen.show(Said::Warning(&format!(
        "npm could not install {}: {}\n  Node-RED starts without; mend package.json or the network and start again",
        missing.join(", "),
        said.join("; ")
    )));
    Ok(())
}

/// npm alone needs more memory than many an instance; it runs before it, not beside it.
fn room_for_npm(spec: &mut InstanceSpec) {
    let least = runtime::units::Bytes::mib(768);
    spec.limits.memory = spec.limits.memory.map(|memory| memory.max(least));
}
