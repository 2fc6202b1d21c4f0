//! Everything that is printed: the only file of the binary that writes to the terminal.
//!
//! Results go to standard output, everything said along the way to standard error, so that a pipe gets results
//! only. A reader that has gone (`redhold ... | head`) is no failure.

use std::env;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::{Value, json};

use crate::problem::Problem;

/// A colour or weight of the terminal's own palette, so that it fits light and dark schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As the terminal prints.
    Plain,
    /// Stands out.
    Bold,
    /// Steps back.
    Dim,
    /// A failure.
    Red,
    /// A warning.
    Yellow,
    /// Good news.
    Green,
    /// A thing to click or copy.
    Cyan,
}

/// How this run prints.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    colour_out: bool,
    colour_err: bool,
}

impl Output {
    /// Reads the terminal and the environment once. Colours follow `NO_COLOR` (any value that is not empty) and
    /// `TERM=dumb`, each stream for itself.
    #[must_use]
    pub fn new(json: bool) -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && env::var_os("TERM").is_none_or(|value| value != "dumb");
        Self {
            json,
            colour_out: wanted && !json && io::stdout().is_terminal(),
            colour_err: wanted && io::stderr().is_terminal(),
        }
    }

    /// Whether results are to be JSON.
    #[must_use]
    pub const fn json(&self) -> bool {
        self.json
    }

    /// A line of the result.
    pub fn line(&self, text: &str) {
        write_line(&mut io::stdout().lock(), text);
    }

    /// The result as one JSON document, for `--json`.
    pub fn document(&self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| {
            // Plain data with text keys always serializes; if a type breaks that, its reader must see it.
            json!({ "error": { "code": "failed", "message": error.to_string() } }).to_string()
        });
        write_line(&mut io::stdout().lock(), &text);
    }

    /// One event of a stream, as a JSON object on a line of its own, for `--json`.
    pub fn event(&self, value: &Value) {
        write_line(&mut io::stdout().lock(), &value.to_string());
    }

    /// A part of a result that is no text: a file.
    ///
    /// # Errors
    /// When nobody takes it.
    pub fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = io::stdout().lock();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// A line said along the way.
    pub fn note(&self, text: &str) {
        write_line(&mut io::stderr().lock(), text);
    }

    /// Something that works, but less well than it could.
    pub fn warning(&self, text: &str) {
        self.note(&format!("{} {text}", self.paint_note(Style::Yellow, "warning:")));
    }

    /// The failure that ends this run, with its hint; as a document on standard output too for `--json`.
    pub fn problem(&self, problem: &Problem) {
        if self.json && !problem.is_reported() {
            self.document(&json!({ "error": {
                "code": problem.code().name(),
                "message": problem.to_string(),
                "hint": problem.advice(),
            } }));
        }
        self.note(&format!("{} {problem}", self.paint_note(Style::Red, "error:")));
        if let Some(hint) = problem.advice() {
            self.note(&format!("{} {hint}", self.paint_note(Style::Cyan, "hint:")));
        }
    }

    /// `text` in a style, for standard output.
    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        paint(self.colour_out, style, text)
    }

    /// `text` in a style, for standard error.
    #[must_use]
    pub fn paint_note(&self, style: Style, text: &str) -> String {
        paint(self.colour_err, style, text)
    }
}

fn paint(on: bool, style: Style, text: &str) -> String {
    let code = match style {
        Style::Plain => return text.to_owned(),
        Style::Bold => 1,
        Style::Dim => 2,
        Style::Red => 31,
        Style::Green => 32,
        Style::Yellow => 33,
        Style::Cyan => 36,
    };
    if on {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// One write per line, so that lines of several threads do not mix. Nothing sensible can be done when the
/// terminal itself is gone.
fn write_line(stream: &mut impl Write, text: &str) {
    let _ = stream
        .write_all(format!("{text}\n").as_bytes())
        .and_then(|()| stream.flush());
}

/// Makes foreign text harmless to a terminal: control characters other than tabs become visible stand-ins.
///
/// A flow's output is written by strangers; escape sequences in it could rewrite the screen or answer into the
/// shell's input.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => '\t',
            '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
            '\x7f' => '\u{2421}',
            '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        for (text, shown) in [
            ("plain \u{e9}\ttab", "plain \u{e9}\ttab"),
            ("\x1b[31mred", "\u{241b}[31mred"),
            ("a\rb\x7f", "a\u{240d}b\u{2421}"),
            ("\u{9b}2J", "\u{fffd}2J"),
            ("user\u{202e}txt", "user\u{fffd}txt"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn colours_only_where_they_are_on() {
        assert_eq!(paint(false, Style::Red, "x"), "x");
        assert_eq!(paint(true, Style::Red, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(paint(true, Style::Plain, "x"), "x");
    }
}
