//! Pure: alerts in words.

use jiff::Timestamp;

use super::decide::{Topic, Trouble};
use crate::instances::events::Event;

/// Hidden values that are shorter are no secrets, and would take out parts of words.
const SHORTEST: usize = 4;

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// The instance that an alert is about.
pub(super) struct About<'a> {
    pub(super) name: &'a str,
    pub(super) id: &'a str,
    /// Where it is.
    pub(super) address: String,
    /// What its log must not show, in clear.
    pub(super) secrets: Vec<String>,
}

/// An alert: title and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) title: String,
    pub(super) text: String,
}

/// Of a trouble that began with `event`.
pub(super) fn trouble(about: &About<'_>, topic: Topic, event: &Event) -> Words {
    let name = about.name;
    let mut text = head(
        about,
        &format!("{} {}", subject(topic), about.harmless(&event.text)),
    );
    text.push_str(&format!("Since:    {}\n", time(event.at_ms)));
    let lines = event
        .detail
        .as_ref()
        .and_then(|detail| detail["lastLines"].as_array());
    let lines: Vec<String> = lines
        .into_iter()
        .flatten()
        .filter_map(|line| line.as_str())
        .map(|line| about.harmless(line))
        .collect();
    if !lines.is_empty() {
        text.push_str("\nThe last lines of its log:\n");
        for line in lines {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.push_str(&format!("\nWhat to do: {}\n", advice(topic, name)));
    Words {
        title: format!("{name} {}", verb(topic)),
        text,
    }
}

/// That all of this is over.
pub(super) fn recovery(about: &About<'_>, over: &[(Topic, Trouble)], now_ms: u64) -> Words {
    let name = about.name;
    let process = over
        .iter()
        .any(|(topic, _)| !matches!(topic, Topic::Cpu | Topic::Memory | Topic::Disk | Topic::Packages));
    let what = if process { "runs again" } else { "is well again" };
    let mut text = head(about, &format!("It {what}."));
    for (topic, trouble) in over {
        let times = match trouble.count {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        text.push_str(&format!(
            "Over:     {} ({times}, first at {}, told to be over at {})\n",
            verb(*topic),
            time(trouble.since_ms),
            time(now_ms)
        ));
    }
    text.push_str("\nWhat to do: nothing.\n");
    Words {
        title: format!("{name} {what}"),
        text,
    }
}

/// A test.
pub(super) fn test(domain: &str) -> Words {
    Words {
        title: format!("a test from {domain}"),
        text: format!(
            "Somebody tries whether alerts of the host {domain} arrive here. They do.\n\nWhat to do: nothing.\n"
        ),
    }
}

fn head(about: &About<'_>, what: &str) -> String {
    format!(
        "Instance: {} ({})\nAddress:  {}\nWhat:     {what}\n",
        about.name, about.id, about.address
    )
}

const fn subject(topic: Topic) -> &'static str {
    match topic {
        Topic::Crash | Topic::OutOfMemory => "Node-RED",
        Topic::Packages => "Its package",
        _ => "It",
    }
}

const fn verb(topic: Topic) -> &'static str {
    match topic {
        Topic::Crash => "crashed",
        Topic::Down => "is down",
        Topic::SafeMode => "is in safe mode",
        Topic::Hang => "hung",
        Topic::OutOfMemory => "ran out of memory",
        Topic::Cpu => "uses much processor time",
        Topic::Memory => "uses much memory",
        Topic::Disk => "has little disk space",
        Topic::Capabilities => "tried what it was not vetted for",
        Topic::Packages => "has a package that fell in its verdict",
    }
}

fn advice(topic: Topic, name: &str) -> String {
    match topic {
        Topic::Crash => format!(
            "it is started again by itself, later each time, and after several crashes with its flows stopped. \
             `redhold events {name}` and `redhold logs {name}` say more."
        ),
        Topic::Down => format!(
            "it is not started again by itself. Find the reason with `redhold events {name}` and `redhold logs {name}`, \
             then `redhold instance start {name}`, or `redhold instance safe-mode {name}` to mend its flows."
        ),
        Topic::SafeMode => format!(
            "its editor runs, its flows do not. Open it, mend the flows and deploy them, or start all of it again with \
             `redhold instance restart {name}`."
        ),
        Topic::Hang => format!(
            "it is started again by itself. A loop that never ends is the usual cause: `redhold events {name}` names the \
             code that held it, where that is known."
        ),
        Topic::OutOfMemory => format!(
            "it is started again by itself. Give it more with `redhold instance set {name} limits.memoryMib=...`, or find \
             what in its flows keeps growing."
        ),
        Topic::Cpu => format!(
            "`redhold top` shows it live. Give it more with `redhold instance set {name} limits.cpuPercent=...`, or find \
             what in its flows works so much."
        ),
        Topic::Memory => format!(
            "`redhold top` shows it live. Give it more with `redhold instance set {name} limits.memoryMib=...` before the \
             kernel ends it, or find what in its flows keeps growing."
        ),
        Topic::Disk => format!(
            "remove what is not needed (`redhold files ls {name}`), or give it more with \
             `redhold instance set {name} limits.diskMib=...`."
        ),
        Topic::Capabilities => format!(
            "`redhold events {name}` says what else it tried. If it should, `redhold instance allow {name} CAPABILITY`; if it \
             should not, find the node that does it, and refuse it until then with `redhold instance set {name} \
             capabilities.mode=enforce`."
        ),
        Topic::Packages => format!(
            "it goes on as it is. `redhold instance packages {name}` shows what each package stands at, and why; then remove \
             it in the editor, install another version, or `redhold waiver add` when a person has looked at it."
        ),
    }
}

impl About<'_> {
    /// A text of a stranger without this instance's secrets, and without what does something to a reader's terminal.
    fn harmless(&self, text: &str) -> String {
        let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
        for secret in &self.secrets {
            if secret.len() >= SHORTEST {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        text
    }
}

/// A moment, as everybody reads it the same.
fn time(ms: u64) -> String {
    let at = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::instances::events::Kind;

    #[test]
    fn an_alert_says_what_to_do_and_no_secret() {
        let about = About {
            name: "pump",
            id: "0123",
            address: "https://pump.example.org/".to_owned(),
            secrets: vec!["hunter2".to_owned(), "a".to_owned()],
        };
        let event = Event {
            at_ms: 1_795_762_800_000,
            kind: Kind::Crashed,
            text: "ended with exit code 1".to_owned(),
            detail: Some(json!({ "lastLines": ["login with hunter2 failed", "bye\u{1b}[2J"] })),
        };
        let words = trouble(&about, Topic::Crash, &event);
        assert_eq!(words.title, "pump crashed");
        for part in [
            "What:     Node-RED ended with exit code 1\n",
            "Since:    2026-11-27 07:00:00 UTC\n",
            "  login with (hidden) failed\n  bye[2J\n",
            "redhold logs pump",
            "https://pump.example.org/",
        ] {
            assert!(words.text.contains(part), "{part} in {}", words.text);
        }
        assert!(!words.text.contains("hunter2"));
        let over = Trouble {
            since_ms: event.at_ms,
            count: 3,
        };
        let words = recovery(&about, &[(Topic::Crash, over)], event.at_ms + 1000);
        assert_eq!(words.title, "pump runs again");
        assert!(
            words
                .text
                .contains("crashed (3 times, first at 2026-11-27 07:00:00 UTC")
        );
    }

    #[test]
    fn every_topic_has_advice() {
        for topic in [
            Topic::Crash,
            Topic::Down,
            Topic::SafeMode,
            Topic::Hang,
            Topic::OutOfMemory,
            Topic::Cpu,
            Topic::Memory,
            Topic::Disk,
            Topic::Capabilities,
            Topic::Packages,
        ] {
            assert!(advice(topic, "pump").contains("pump"), "{topic:?}");
        }
    }
}
