//! Pure: where a blocked event loop stands, by the account of the program that it blocks: text of a stranger.

use serde_json::Value;

/// Most frames that are kept, and longest text of each of their parts, in characters.
const MOST: usize = 30;
const LONGEST: usize = 300;

/// What Node-RED calls the script of a function node: this, ` setup`, ` cleanup` or nothing, `:ID`, and ` [NAME]`
/// where it has a name.
const FUNCTION: &str = "Function node";

/// Where it stands, innermost call first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stack(Vec<Frame>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    function: String,
    script: String,
    line: u64,
    column: u64,
}

/// Reads a message of type `stack`; nothing when it is another one, or says nothing.
pub(super) fn read(message: &Value) -> Option<Stack> {
    if message["type"] != "stack" {
        return None;
    }
    let text = |value: &Value| {
        let text = value.as_str().unwrap_or_default().chars().take(LONGEST);
        text.map(|each| if each.is_control() { '\u{fffd}' } else { each })
            .collect::<String>()
    };
    let frames = message["frames"].as_array()?.iter().take(MOST);
    let frames: Vec<Frame> = frames
        .map(|frame| Frame {
            function: text(&frame["function"]),
            script: text(&frame["script"]),
            line: frame["line"].as_u64().unwrap_or(0),
            column: frame["column"].as_u64().unwrap_or(0),
        })
        .collect();
    (!frames.is_empty()).then_some(Stack(frames))
}

impl Stack {
    /// A line per frame, as Node.js writes them.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().map(Frame::line).collect()
    }

    /// Who holds the loop: the innermost function node, else the innermost code that is not of Node.js itself.
    pub(super) fn holder(&self) -> String {
        if let Some((node, frame)) = self.0.iter().find_map(|frame| Some((frame.node()?, frame))) {
            // Node-RED puts one line before the code that a person wrote.
            return format!("{node}, line {}", frame.line.saturating_sub(1));
        }
        let outside = |frame: &&Frame| !frame.script.is_empty() && !frame.script.starts_with("node:");
        let frame = self.0.iter().find(outside).or_else(|| self.0.first());
        frame.map(Frame::line).unwrap_or_default()
    }
}

impl Frame {
    fn line(&self) -> String {
        let at = format!("{}:{}:{}", self.script, self.line, self.column);
        if self.function.is_empty() {
            at
        } else {
            format!("{} ({at})", self.function)
        }
    }

    /// The function node, if it is the code of one.
    fn node(&self) -> Option<String> {
        let (part, rest) = self.script.strip_prefix(FUNCTION)?.split_once(':')?;
        let part = match part {
            "" => "",
            " setup" => "the setup of ",
            " cleanup" => "the cleanup of ",
            _ => return None,
        };
        Some(match rest.split_once(" [") {
            Some((id, name)) => {
                format!(
                    "{part}function node \"{}\" ({id})",
                    name.strip_suffix(']').unwrap_or(name)
                )
            }
            None => format!("{part}function node {rest}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holder(scripts: &[&str]) -> Option<String> {
        let frame = |script: &&str| json!({ "function": "f", "script": script, "line": 3, "column": 7 });
        let frames: Vec<Value> = scripts.iter().map(frame).collect();
        read(&json!({ "type": "stack", "frames": frames })).map(|stack| stack.holder())
    }

    #[test]
    fn the_innermost_function_node_is_named() {
        for (scripts, expected) in [
            (
                &["Function node:ab12 [pump]", "node:vm"][..],
                "function node \"pump\" (ab12), line 2",
            ),
            (
                &["node:fs", "/data/x.js", "Function node:ab12"],
                "function node ab12, line 2",
            ),
            (
                &["Function node setup:ab [a [b]]"],
                "the setup of function node \"a [b]\" (ab), line 2",
            ),
            (&["Function node of mine:1"], "f (Function node of mine:1:3:7)"),
            (&["node:fs", "/data/x.js", "node:events"], "f (/data/x.js:3:7)"),
            (&["node:fs"], "f (node:fs:3:7)"),
        ] {
            assert_eq!(holder(scripts).as_deref(), Some(expected), "{scripts:?}");
        }
    }

    #[test]
    fn a_stranger_says_no_more_than_is_wanted() {
        for message in [
            json!({}),
            json!({ "type": "memory", "frames": [{}] }),
            json!({ "type": "stack" }),
            json!({ "type": "stack", "frames": [] }),
            json!({ "type": "stack", "frames": {} }),
        ] {
            assert_eq!(read(&message), None, "{message}");
        }
        let long = "\u{1b}[2J\n".repeat(1000);
        let frame = json!({ "function": long, "script": 7, "line": -1, "column": "x" });
        let stack = read(&json!({ "type": "stack", "frames": vec![frame; 500] })).expect("a stack");
        let lines = stack.lines();
        assert_eq!(lines.len(), MOST);
        for line in lines {
            assert!(
                line.chars().count() < 2 * LONGEST && !line.contains(char::is_control),
                "{line:?}"
            );
        }
    }
}
