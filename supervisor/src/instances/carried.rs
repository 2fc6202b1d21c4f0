//! A Node-RED user directory that comes from elsewhere: which settings mean the same here, and which file its flows are.

use std::fs;
use std::path::Path;

use runtime::spec::{Access, InstanceSpec, Isolation, Network};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::packages;
use crate::problem::{Code, Problem};

/// The project's file for settings of Node-RED that Redhold passes on.
pub(crate) const FILE: &str = "redhold.json";

/// Runs the settings file and says what of it is data.
const READER: &str = include_str!("../../assets/node-red/read-settings.cjs");

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
pub(crate) struct Found {
    pub(crate) values: Map<String, Value>,
    /// Settings that hold functions or objects of a program.
    pub(crate) programs: Vec<String>,
    /// Environment variables that it asked for and did not get.
    pub(crate) variables: Vec<String>,
    pub(crate) error: Option<String>,
}

impl Found {
    /// What the reader said; nothing when it was kept from it.
    pub(crate) fn heard(output: &[String]) -> Option<Self> {
        // It may print what it likes; the last line with the mark is the reader's.
        let answer = output.iter().rev().find_map(|line| line.strip_prefix("REDHOLD "));
        serde_json::from_str(answer?).ok()
    }

    /// What goes over, and in words what does not.
    pub(crate) fn sorted(&self) -> (Map<String, Value>, Vec<String>) {
        let (mut carried, mut left) = (Map::new(), Vec::new());
        if let Some(error) = &self.error {
            left.push(format!("settings.js, which fails: {error}"));
        }
        for (name, value) in &self.values {
            match reason(name, value) {
                None => {
                    carried.insert(name.clone(), value.clone());
                }
                Some("") => {}
                Some(reason) => left.push(format!("setting {name}: {reason}")),
            }
        }
        for name in &self.programs {
            left.push(format!("setting {name}: it is a program, not data"));
        }
        (carried, left)
    }

    /// A text among the settings.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()
    }
}

/// Has Node.js read a settings file, by its path inside, where it can do nothing: without network, over read-only
/// folders.
pub(crate) fn read_settings(spec: &mut InstanceSpec, script: &Path) {
    spec.program.args = ["-e", READER, &*script.to_string_lossy()]
        .map(str::to_owned)
        .into();
    for mount in &mut spec.mounts {
        mount.access = Access::ReadOnly;
    }
    if spec.isolation == Isolation::Namespaces {
        spec.network = Network::Loopback;
    }
}

/// Why a setting stays behind; empty when nobody misses it.
pub(crate) fn reason(name: &str, value: &Value) -> Option<&'static str> {
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

/// The settings that `redhold.json` in an instance's own folder passes on: a stranger may have written it, so what
/// does not fit is passed by.
pub(super) fn of_folder(folder: &Path) -> Map<String, Value> {
    let document = packages::document(folder, Path::new(FILE)).unwrap_or_default();
    let settings = document["settings"].as_object().cloned().unwrap_or_default();
    settings
        .into_iter()
        .filter(|(name, value)| reason(name, value).is_none())
        .collect()
}

/// `flows.json`; or the one `flows_<host>.json` that older versions of Node-RED made.
///
/// # Errors
/// [`Code::Usage`] when there are several.
pub(crate) fn flow_file(path: &Path) -> Result<String, Problem> {
    const DEFAULT: &str = "flows.json";
    if path.join(DEFAULT).exists() {
        return Ok(DEFAULT.to_owned());
    }
    let entries = fs::read_dir(path)
        .map_err(|error| Problem::io(format!("cannot read {}", path.display()), error))
        .map_err(|problem| problem.or_hint("choose a folder of your own: redhold dev DIR"))?;
    let mut old: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("flows_") && name.ends_with(".json") && !name.ends_with("_cred.json"))
        .collect();
    match old.len() {
        0 => Ok(DEFAULT.to_owned()),
        1 => Ok(old.remove(0)),
        _ => {
            old.sort();
            let message = format!("{} holds several flow files: {}", path.display(), old.join(", "));
            Err(Problem::new(Code::Usage, message).hint("rename the one to use to flows.json"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
