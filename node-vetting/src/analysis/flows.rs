//! Example flows: they may bring code of their own, which runs when somebody imports them.

use serde_json::Value;

use super::finding::About;

/// Node types whose settings are code.
const FUNCTIONS: [&str; 3] = ["function", "ui_template", "template-function"];
/// Node types that run commands.
const COMMANDS: [&str; 3] = ["exec", "daemon", "pythonshell in"];

/// What an example flow brings; nothing when it is none, or brings nothing that runs.
pub(crate) fn example(text: &[u8]) -> Option<About> {
    let nodes: Vec<Value> = serde_json::from_slice(text).ok()?;
    let count = |types: &[&str]| {
        nodes
            .iter()
            .filter(|node| node["type"].as_str().is_some_and(|kind| types.contains(&kind)))
            .count()
    };
    let (functions, commands) = (count(&FUNCTIONS), count(&COMMANDS));
    (functions + commands > 0).then_some(About::ExampleFlow { functions, commands })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_that_run_something_are_told() {
        let flow = br#"[{"id": "a", "type": "inject"}, {"type": "function", "func": "return msg"}, {"type": "exec"}]"#;
        assert_eq!(
            example(flow),
            Some(About::ExampleFlow {
                functions: 1,
                commands: 1
            })
        );
        for innocent in [&br#"[{"type": "inject"}]"#[..], b"{}", b"[1, 2]", b"no JSON"] {
            assert_eq!(example(innocent), None);
        }
    }
}
