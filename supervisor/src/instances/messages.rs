//! Pure: what the guest says over its channel, taken for what it is: text of a stranger.

use serde_json::Value;

/// Longest text that is passed on from the guest.
const LONGEST: usize = 2000;

/// Longest name that is passed on from the guest.
const NAME: usize = 100;

/// How the flows are, by the guest's own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flows {
    /// They run.
    Run,
    /// Safe mode: the editor is open, the flows wait for a deploy.
    Safe,
    /// Node types, or modules of function nodes, are missing; the flows wait for them.
    Missing(Vec<String>),
    /// They were stopped by a person.
    Stopped,
    /// They could not be started.
    Failed(String),
}

/// Reads one message; everything but a `state` is somebody else's.
pub(crate) fn flows(message: &Value) -> Option<Flows> {
    if message["type"] != "state" {
        return None;
    }
    let clip = |text: &str| clip(text, LONGEST);
    Some(match message["state"].as_str()? {
        "ready" => Flows::Run,
        "safe" => Flows::Safe,
        "stopped" => Flows::Stopped,
        "missing" => {
            let lists = [&message["types"], &message["modules"]];
            let names = lists.into_iter().filter_map(Value::as_array).flatten();
            Flows::Missing(names.filter_map(Value::as_str).take(50).map(name).collect())
        }
        "failed" => Flows::Failed(clip(message["message"].as_str().unwrap_or("no reason given"))),
        _ => return None,
    })
}

/// The revision that a `deploy` names.
pub(crate) fn revision(message: &Value) -> Option<String> {
    message["revision"].as_str().map(name)
}

fn name(text: &str) -> String {
    clip(text, NAME).replace('\n', " ")
}

/// So many characters, without those that would do something to a terminal or a log.
fn clip(text: &str, most: usize) -> String {
    let harmless = text.chars().filter(|c| !c.is_control() || *c == '\n');
    harmless.take(most).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_states_that_are_known() {
        for (message, expected) in [
            (json!({"type": "state", "state": "ready"}), Some(Flows::Run)),
            (
                json!({"type": "state", "state": "missing", "types": ["a", 1, "b"]}),
                Some(Flows::Missing(vec!["a".to_owned(), "b".to_owned()])),
            ),
            (
                json!({"type": "state", "state": "missing"}),
                Some(Flows::Missing(vec![])),
            ),
            (json!({"type": "state", "state": "later"}), None),
            (json!({"type": "state", "state": 7}), None),
            (json!({"type": "memory", "state": "ready"}), None),
            (json!([]), None),
        ] {
            assert_eq!(flows(&message), expected, "{message}");
        }
    }
}
