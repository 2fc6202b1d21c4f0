//! What the gate says, on its way to the editor, to events and to the audit log; and which install scripts may run.

use std::path::Path;

use node_vetting::policy::Script;
use serde_json::{Value, json};
use tracing::warn;

use super::Shared;
use super::events::Kind;
use super::model::Instance;
use super::packages::{document, error_lines};
use crate::audit::{self, By};
use crate::problem::{Code, Problem};

/// What the gate said is why, else npm's first word.
pub(super) fn reason(errors: &[String]) -> String {
    let lines = error_lines(errors);
    let said = |line: &String| [GATE, TROUBLE].iter().find_map(|begins| line.find(begins));
    let gate = lines.iter().find_map(|line| Some(&line[said(line)?..]));
    let first = gate.or_else(|| lines.first().map(String::as_str));
    first.unwrap_or("it ended without a word").to_owned()
}

pub(super) fn failed(why: &str) -> Kind {
    if why.starts_with(GATE) {
        Kind::InstallRefused
    } else {
        Kind::InstallFailed
    }
}

/// Begins what the gate says of a package that it does not let through.
const GATE: &str = "redhold: ";

/// Begins what the gate says when it cannot do its work.
const TROUBLE: &str = "redhold's gate: ";

/// What packages came, and which did not, is for the audit log as well.
pub(super) async fn note(shared: &Shared, instance: &Instance, kind: Kind, text: &str, detail: &Value) {
    let action = match kind {
        Kind::Installed => "package.install",
        Kind::InstallRefused => "package.refuse",
        _ => return,
    };
    let after = json!({ "text": text, "vetting": detail["vetting"] });
    let noted = match audit::entry(&By::Host, action, &instance.id, None, Some(after)) {
        Ok(batch) => shared.store.commit(batch).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = noted {
        warn!(instance = instance.id, %error, "cannot note an installation in the audit log");
    }
}

/// Packages whose install scripts are all what the policy names.
pub(super) fn may_run(folder: &Path, scripts: &[Script]) -> Vec<String> {
    let named = scripts.iter().filter(|script| {
        let place = Path::new("node_modules")
            .join(script.package.as_str())
            .join("package.json");
        let manifest = document(folder, &place).unwrap_or_default();
        let all = ["preinstall", "install", "postinstall"].map(|event| manifest["scripts"][event].as_str());
        let mut commands = all.into_iter().flatten().peekable();
        manifest["version"] == script.version.to_string()
            && commands.peek().is_some()
            && commands.all(|command| {
                let same = |other: &&Script| other.package == script.package && other.command == command;
                scripts.iter().any(|other| same(&other))
            })
    });
    named.map(|script| script.package.to_string()).collect()
}

/// A problem in npm's own way of saying it.
pub(super) fn as_npm(problem: &Problem) -> String {
    let code = match problem.code() {
        Code::Refused | Code::Review => "E403",
        Code::Missing => "E404",
        _ => "EGATE",
    };
    let number = code.trim_start_matches('E');
    let hint = problem.advice().map(str::to_owned);
    let said = problem.to_string();
    let lines = said.lines().map(str::to_owned).chain(hint);
    let told = lines.map(|line| format!("npm error {number} {line}"));
    [format!("npm error code {code}")]
        .into_iter()
        .chain(told)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gates_word_is_the_reason_and_its_kind() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let refused = "npm error code E403\nnpm error 403 403 Forbidden - GET http://gate/x - redhold: x@1.0.0 is refused";
        let why = reason(&lines(refused));
        assert_eq!(why, "redhold: x@1.0.0 is refused");
        assert_eq!(failed(&why), Kind::InstallRefused);
        let trouble = reason(&lines("npm error 403 redhold's gate: cannot fetch"));
        assert_eq!(
            (trouble.as_str(), failed(&trouble)),
            ("redhold's gate: cannot fetch", Kind::InstallFailed)
        );
        assert_eq!(reason(&[]), "it ended without a word");
    }

    #[test]
    fn only_scripts_that_are_all_named_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = Script {
            package: "gauge".parse().expect("a name"),
            version: "1.0.0".parse().expect("a version"),
            integrity: npm::Integrity::from_shasum(&"1".repeat(40)).expect("a hash"),
            command: "node mark.js".to_owned(),
        };
        let place = folder.path().join("node_modules/gauge");
        std::fs::create_dir_all(&place).expect("a folder");
        for (scripts, runs) in [
            (json!({ "postinstall": "node mark.js" }), true),
            (
                json!({ "postinstall": "node mark.js", "preinstall": "sh x" }),
                false,
            ),
            (json!({ "postinstall": "node mark.js && sh" }), false),
            (json!({}), false),
        ] {
            let manifest = json!({ "version": "1.0.0", "scripts": scripts });
            std::fs::write(place.join("package.json"), manifest.to_string()).expect("a manifest");
            let named = may_run(folder.path(), std::slice::from_ref(&script));
            assert_eq!(!named.is_empty(), runs, "{manifest}");
        }
    }
}
