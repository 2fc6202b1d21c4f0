//! Pure: the lines of an instance's log, as the keeper wrote them and as a person reads them.

use std::str::FromStr;

use serde::Deserialize;

/// Marks a record of the guest.
const MARK: char = '\u{1e}';

/// Longest record that is put together again.
const LONGEST: usize = 256 * 1024;

/// How grave a line is, by Node-RED's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Trace,
    /// For whoever looks for a mistake.
    Debug,
    /// What a person wants to know.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written, in milliseconds since 1970; `None` for the further lines of a record.
    pub time_ms: Option<u64>,
    /// Its level, or that of the record it continues.
    pub level: Level,
    /// The node it is about, as `type:name`.
    pub node: Option<String>,
    /// The rest. Untrusted: see `output::harmless`.
    pub text: String,
}

impl Level {
    /// Node-RED's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "trace" | "metric" | "audit" => Self::Trace,
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" => Self::Warn,
            "error" | "fatal" => Self::Error,
            _ => return Err("choose one of error, warn, info, debug, trace".to_owned()),
        })
    }
}

/// Pure: turns the keeper's lines into Node-RED's records.
///
/// The keeper writes `<unix_ms> <o|e> <text>`, and `O` or `E` for the next piece of a line that was too long. The
/// guest writes a record as a record separator (RFC 7464) and a JSON object; anything else was printed by a node.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// A record of which more is to come.
    begun: Option<(Option<u64>, String)>,
}

/// What the guest says in a record.
#[derive(Deserialize)]
struct Record {
    level: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    msg: String,
    stack: Option<String>,
}

impl Parser {
    /// Takes one line as the keeper wrote it, and gives what is complete.
    pub(crate) fn line(&mut self, raw: &str) -> Vec<Line> {
        let (time, stream, text) = split(raw);
        let mut lines = Vec::new();
        if let Some((begun, mut record)) = self.begun.take() {
            if matches!(stream, 'O' | 'E') && record.len() < LONGEST {
                record.push_str(text);
                match record_lines(begun, &record) {
                    Some(done) => lines.extend(done),
                    None => self.begun = Some((begun, record)),
                }
                return lines;
            }
            // Its end never came: it is shown as it stands.
            lines.push(printed(begun, 'o', &record));
        }
        match text.strip_prefix(MARK) {
            None => lines.push(printed(time, stream, text)),
            Some(record) => match record_lines(time, record) {
                Some(done) => lines.extend(done),
                None => self.begun = Some((time, record.to_owned())),
            },
        }
        lines
    }
}

/// Time, stream and text of a keeper's line.
pub(crate) fn split(raw: &str) -> (Option<u64>, char, &str) {
    let mut fields = raw.splitn(3, ' ');
    if let (Some(time), Some(stream @ ("o" | "e" | "O" | "E")), text) =
        (fields.next(), fields.next(), fields.next())
        && let Ok(time) = time.parse()
    {
        return (
            Some(time),
            stream.chars().next().unwrap_or('o'),
            text.unwrap_or(""),
        );
    }
    (None, 'o', raw)
}

fn printed(time: Option<u64>, stream: char, text: &str) -> Line {
    Line {
        time_ms: time,
        level: if matches!(stream, 'e' | 'E') {
            Level::Warn
        } else {
            Level::Info
        },
        node: None,
        text: text.to_owned(),
    }
}

/// A record's lines, if it is whole.
fn record_lines(time: Option<u64>, json: &str) -> Option<Vec<Line>> {
    let record: Record = serde_json::from_str(json).ok()?;
    let level = record.level.parse().unwrap_or(Level::Info);
    let name = record.name.filter(|name| !name.is_empty()).or(record.id);
    let node = match (record.kind, name) {
        (Some(kind), Some(name)) => Some(format!("{kind}:{name}")),
        (kind, name) => kind.or(name),
    };
    // A stack begins with the message; what it adds are the places.
    let places = record.stack.unwrap_or_default();
    let places = places.lines().filter(|line| line.trim_start().starts_with("at "));
    // Node-RED sets its greeting and warnings off by empty lines.
    let texts = record.msg.trim_matches('\n').lines().chain(places);
    let mut lines: Vec<Line> = texts
        .map(|text| Line {
            time_ms: None,
            level,
            node: None,
            text: text.to_owned(),
        })
        .collect();
    if let Some(first) = lines.first_mut() {
        first.time_ms = time;
        first.node = node;
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_node_red() {
        let mut parser = Parser::default();
        let mut line = |raw: &str| parser.line(raw);
        let warned = line(
            "17 o \u{1e}{\"level\":\"warn\",\"type\":\"function\",\"name\":\"my node\",\"msg\":\"hot\"}",
        );
        let expected = Line {
            time_ms: Some(17),
            level: Level::Warn,
            node: Some("function:my node".to_owned()),
            text: "hot".to_owned(),
        };
        assert_eq!(warned, [expected]);
        let failed = line(
            "18 o \u{1e}{\"level\":\"error\",\"msg\":\"Error: x\\nsecond\",\"stack\":\"Error: x\\n  at a.js:1\"}",
        );
        let texts: Vec<_> = failed
            .iter()
            .map(|line| (line.time_ms, line.text.as_str()))
            .collect();
        assert_eq!(
            texts,
            [(Some(18), "Error: x"), (None, "second"), (None, "  at a.js:1")]
        );

        assert_eq!(line("19 o \u{1e}{\"level\":\"info\",\"msg\":\"lo"), []);
        assert_eq!(line("20 O ng\"}")[0].text, "long");
        assert_eq!(line("21 e printed")[0].level, Level::Warn);
        assert_eq!(line("no keeper wrote this")[0].text, "no keeper wrote this");
        assert_eq!(line("22 o \u{1e}{\"level\""), []);
        let torn: Vec<_> = line("23 o next").into_iter().map(|line| line.text).collect();
        assert_eq!(torn, ["{\"level\"", "next"]);
    }
}
