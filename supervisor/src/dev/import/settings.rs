//! Which of a person's Node-RED settings go over, and why the others do not.

use std::fs;
use std::path::{Path, PathBuf};

use runtime::spec::{Access, Isolation, Mount, Network};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::dev::errand;
use crate::dev::files;
use crate::dev::folder::Project;
use crate::dev::launch::Launcher;
use crate::dev::signals::Signals;
use crate::problem::{Code, Problem};

/// The project's file for settings of Node-RED that Redhold passes on.
const FILE: &str = "redhold.json";

/// Runs the settings file and says what of it is data.
const READER: &str = include_str!("../../../assets/node-red/read-settings.cjs");

/// Settings that mean the same here.
const CARRIED: [&str; 32] = [
    "apiMaxLength",
    "contextStorage",
    "dashboard",
    "debugMaxLength",
    "debugUseColors",
    "diagnostics",
    "editorTheme",
    "execMaxBufferSize",
    "exportGlobalContextKeys",
    "externalModules",
    "functionExternalModules",
    "functionGlobalContext",
    "globalFunctionTimeout",
    "httpNodeCors",
    "httpNodeRoot",
    "httpRequestTimeout",
    "inboundWebSocketTimeout",
    "lang",
    "mqttReconnectTime",
    "nodeDefaults",
    "nodeMessageBufferMaxLength",
    "nodesExcludes",
    "paletteCategories",
    "runtimeState",
    "serialReconnectTime",
    "socketReconnectTime",
    "socketTimeout",
    "tcpMsgQueueSize",
    "telemetry",
    "tlsConfigDisableLocalFiles",
    "ui",
    "webSocketNodeVerifyClient",
];

/// Settings that are dealt with otherwise, without a word.
const HANDLED: [&str; 4] = ["flowFile", "credentialSecret", "flowFilePretty", "userDir"];

/// What was found in a settings file.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Found {
    values: Map<String, Value>,
    /// Settings that hold functions or objects of a program.
    programs: Vec<String>,
    /// Environment variables that it asked for and did not get.
    variables: Vec<String>,
    error: Option<String>,
}

impl Found {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()
    }
}

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
    let arguments = ["-e", READER, &*script.to_string_lossy()].map(str::to_owned);
    let outcome = errand::run(launcher, signals, arguments.into(), |spec| {
        for mount in &mut spec.mounts {
            mount.access = Access::ReadOnly;
        }
        spec.mounts.push(Mount {
            source: source.to_path_buf(),
            target: inside.clone(),
            access: Access::ReadOnly,
            optional: false,
        });
        if launcher.isolation == Isolation::Namespaces {
            spec.network = Network::Isolated;
        }
    })
    .await?;
    // It may print what it likes; the last line with the mark is the reader's.
    let answer = outcome
        .output
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix("REDHOLD "));
    let found = answer.and_then(|answer| serde_json::from_str::<Found>(answer).ok());
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
    if let Some(error) = &found.error {
        left.push(format!("settings.js, which fails: {error}"));
    }
    let mut carried = Map::new();
    for (name, value) in &found.values {
        match reason(name, value) {
            None => {
                carried.insert(name.clone(), value.clone());
            }
            Some("") => {}
            Some(reason) => left.push(format!("setting {name}: {reason}")),
        }
    }
    for name in &found.programs {
        left.push(format!("setting {name}: it is a program, not data"));
    }
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

/// Why a setting stays behind; empty when nobody misses it.
fn reason(name: &str, value: &Value) -> Option<&'static str> {
    if HANDLED.contains(&name) {
        return Some("");
    }
    if name == "contextStorage" && !known_stores(value) {
        return Some("it names a store that is not one of Node-RED's own");
    }
    if CARRIED.contains(&name) {
        return None;
    }
    Some(match name {
        "adminAuth" | "httpNodeAuth" | "httpStaticAuth" => "only this computer reaches the editor",
        "https" | "requireHttps" => "the address is on this computer only, without TLS",
        "uiPort" | "uiHost" => "choose with --port",
        "httpStatic" | "httpStaticRoot" => "it shows a folder that the sandbox does not",
        "httpAdminRoot" => "the editor is at the root",
        "logging" => "choose with --log-level",
        "functionTimeout" | "safeMode" | "readOnly" => "Redhold decides it",
        _ => "Redhold does not know it",
    })
}

fn known_stores(value: &Value) -> bool {
    let known = |module: &Value| matches!(module.as_str(), Some("memory" | "localfilesystem"));
    value.as_object().is_some_and(|stores| {
        stores.values().all(|store| {
            let alias = store.is_string();
            // A folder of its own for the store would lie outside the sandbox.
            alias || known(&store["module"]) && store["config"]["dir"].is_null()
        })
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_goes_over_or_is_named() {
        for (name, value, said) in [
            ("httpNodeRoot", json!("/api"), None),
            ("flowFile", json!("flows.json"), Some("")),
            ("uiPort", json!(1880), Some("choose with --port")),
            (
                "contextStorage",
                json!({"default": "disk", "disk": {"module": "localfilesystem"}}),
                None,
            ),
            (
                "contextStorage",
                json!({"default": {"module": "localfilesystem", "config": {"dir": "/x"}}}),
                Some("it names a store that is not one of Node-RED's own"),
            ),
            ("myOwn", json!(1), Some("Redhold does not know it")),
        ] {
            assert_eq!(reason(name, &value), said, "{name}");
        }
    }
}
