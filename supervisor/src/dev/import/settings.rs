//! Which of a person's Node-RED settings go over, and why the others do not.

use std::fs;
use std::path::{Path, PathBuf};

use runtime::spec::{Access, Isolation, Mount};
use serde_json::{Map, Value, json};

use crate::dev::errand;
use crate::dev::files;
use crate::dev::folder::Project;
use crate::dev::launch::Launcher;
use crate::dev::signals::Signals;
use crate::instances::carried::{FILE, Found, read_settings, reason};
use crate::problem::{Code, Problem};

/// Reads `settings.js`, if there is one, by running it in the sandbox: without network, over read-only folders.
pub(super) async fn read(
    source: &Path,
    launcher: &Launcher<'_>,
    signals: &mut Signals,
) -> Result<Found, Problem> {
    if !source.join("settings.js").is_file() {
        return Ok(Found::default());
    }
    let inside = match launcher.isolation {
        Isolation::Namespaces => PathBuf::from("/from"),
        Isolation::Landlock => source.to_path_buf(),
    };
    let script = inside.join("settings.js");
    let outcome = errand::run(launcher, signals, Vec::new(), |spec| {
        spec.mounts.push(Mount {
            source: source.to_path_buf(),
            target: inside.clone(),
            access: Access::ReadOnly,
            optional: false,
        });
        read_settings(spec, &script);
    })
    .await?;
    let found = Found::heard(&outcome.output);
    found.ok_or_else(|| {
        let message = format!("{} could not be read", source.join("settings.js").display());
        Problem::new(Code::Failed, message).hint("move it away to import without settings")
    })
}

/// Keeps what goes over in the project, and says what does not.
pub(super) fn keep(
    project: &Project,
    found: &Found,
    brought: &mut Vec<String>,
    left: &mut Vec<String>,
) -> Result<(), Problem> {
    let (carried, stays) = found.sorted();
    left.extend(stays);
    if !found.variables.is_empty() {
        let names = found.variables.join(", ");
        left.push(format!(
            "what settings.js makes of the variables {names}: give them with --env-file"
        ));
    }
    if carried.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = carried.keys().cloned().collect();
    brought.push(format!("settings {} (in {FILE})", names.join(", ")));
    let file = project.path.join(FILE);
    let document = json!({ "settings": carried });
    files::write(&file, format!("{document:#}\n").as_bytes())
        .map_err(|error| Problem::io(format!("cannot write {}", file.display()), error))
}

/// The settings that the project's `redhold.json` passes on.
pub(in crate::dev) fn settings(project: &Project) -> Result<Map<String, Value>, Problem> {
    let file = project.path.join(FILE);
    let Ok(text) = fs::read(&file) else {
        return Ok(Map::new());
    };
    let wrong = |what: &str| {
        let message = format!("{} {what}", file.display());
        Problem::new(Code::Usage, message).hint("it is {\"settings\": {…}} with Node-RED's own names")
    };
    let document: Value =
        serde_json::from_slice(&text).map_err(|error| wrong("is not valid JSON").because(error))?;
    let Some(settings) = document["settings"].as_object() else {
        return Err(wrong("has no object `settings`"));
    };
    for (name, value) in settings {
        if let Some(reason) = reason(name, value) {
            let reason = if reason.is_empty() {
                "Redhold decides it"
            } else {
                reason
            };
            return Err(wrong(&format!("cannot set {name}: {reason}")));
        }
    }
    Ok(settings.clone())
}
