//! Pure: what an editor asks npm for, as far as it is granted, and the answer as its guest takes it.

use serde_json::{Value, json};

use super::lists;
use super::model::PaletteSettings;
use crate::gate::Asked;

/// Longest answer to the guest, in bytes: its keeper takes 4096 with everything around.
const LONGEST_ANSWER: usize = 3500;

/// What an editor asks npm for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The guest's own mark.
    pub(super) id: String,
    pub(super) arguments: Vec<String>,
}

/// How it went, for the guest.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Of which request.
    pub(super) id: String,
    /// As it is sent.
    pub(super) message: Value,
}

impl Request {
    /// Reads a message of the guest, which is a stranger's: what Node-RED asks of npm and nothing else passes.
    pub(super) fn read(message: &Value) -> Option<Self> {
        const FLAGS: [&str; 8] = [
            "--no-audit",
            "--no-update-notifier",
            "--no-fund",
            "--save",
            "--save-prefix=~",
            "--omit=dev",
            "--engine-strict",
            "--json",
        ];
        if message["type"] != "npm" {
            return None;
        }
        let id = message["id"].as_str().filter(|id| id.len() <= 64)?.to_owned();
        let list = message["args"].as_array().filter(|list| list.len() <= 64)?;
        let mut words = list
            .iter()
            .map(|word| word.as_str().filter(|word| word.len() <= 1024));
        let verb = words.next()??;
        if !["install", "remove", "info"].contains(&verb) {
            return None;
        }
        let (mut flags, mut names) = (vec![verb.to_owned()], Vec::new());
        for word in words {
            match word? {
                "--" => {}
                flag if FLAGS.contains(&flag) => flags.push(flag.to_owned()),
                name if !name.is_empty() && !name.starts_with('-') && !name.contains('\0') => {
                    names.push(name.to_owned());
                }
                _ => return None,
            }
        }
        if names.is_empty() {
            return None;
        }
        flags.push("--".to_owned());
        flags.extend(names);
        Some(Self { id, arguments: flags })
    }

    pub(super) fn verb(&self) -> &str {
        self.arguments.first().map_or("install", String::as_str)
    }

    /// What it is about, as npm is told it.
    pub(super) fn specs(&self) -> impl Iterator<Item = &str> {
        let after = self.arguments.iter().skip_while(|word| *word != "--").skip(1);
        after.map(String::as_str)
    }

    /// Whether it is granted to an instance with these settings.
    pub(super) fn is_granted(&self, palette: &PaletteSettings) -> bool {
        let any = palette.allow_install || palette.allow_modules;
        any && (self.verb() != "install" || self.specs().all(|spec| lists::allows(palette, spec)))
    }

    /// What the gate is asked for before npm is.
    pub(super) fn asked(&self) -> Vec<Asked> {
        if self.verb() != "install" {
            return Vec::new();
        }
        self.specs().map(Asked::read).collect()
    }

    pub(super) fn names(&self) -> String {
        self.specs().collect::<Vec<_>>().join(", ")
    }
}

/// The answer to a message that is no request, or none that is granted.
pub(super) fn refusal(message: &Value) -> Value {
    let id = message["id"].as_str().unwrap_or_default();
    answer(
        &cut(id, 64),
        None,
        "",
        "npm error the settings of this instance do not allow it (palette.allowInstall, allowList, denyList); whoever runs \
         this host can change them",
    )
}

/// Of what npm knows about a package, what Node-RED looks at.
pub(super) fn about(output: &[String]) -> String {
    let known: Value = serde_json::from_str(&output.join("\n")).unwrap_or_default();
    json!({ "version": known["version"], "error": known["error"] }).to_string()
}

/// The answer as it is sent, cut until it fits.
pub(super) fn answer(id: &str, code: Option<i32>, output: &str, errors: &str) -> Value {
    let mut most = LONGEST_ANSWER;
    loop {
        let message = json!({
            "op": "npm",
            "id": id,
            "code": code.unwrap_or(1),
            "stdout": cut(output, most / 3),
            "stderr": cut(errors, most),
        });
        if message.to_string().len() <= LONGEST_ANSWER || most == 0 {
            return message;
        }
        most /= 2;
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_node_red_asks_for_passes() {
        let read = |args: Value| Request::read(&json!({ "type": "npm", "id": "1", "args": args }));
        let request = read(json!(["install", "--save", "--omit=dev", "--", "a@1"])).expect("a request");
        assert_eq!(
            request.arguments,
            ["install", "--save", "--omit=dev", "--", "a@1"]
        );
        assert_eq!((request.verb(), &*request.names()), ("install", "a@1"));
        assert_eq!(
            read(json!(["remove", "a"])).expect("a request").arguments,
            ["remove", "--", "a"]
        );
        for bad in [
            json!(["exec", "--", "a"]),
            json!(["install", "--ignore-scripts=false", "--", "a"]),
            json!(["install", "--", "-g"]),
            json!(["install", "--"]),
            json!(["install", 7]),
            json!(["install", "x".repeat(2000)]),
            json!([]),
            json!("install"),
        ] {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
        assert_eq!(
            Request::read(&json!({ "type": "state", "id": "1", "args": ["info", "a"] })),
            None
        );
    }

    #[test]
    fn answers_fit_whatever_npm_says() {
        for text in [
            "x".repeat(100_000),
            "\u{1}".repeat(100_000),
            "\u{1f600}".repeat(9000),
        ] {
            let answer = answer("7", None, &text, &text);
            assert!(answer.to_string().len() <= LONGEST_ANSWER);
            assert_eq!(answer["code"], 1);
            assert!(!answer["stderr"].as_str().expect("a text").is_empty());
        }
    }
}
