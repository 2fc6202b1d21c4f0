//! The host's log as entries of systemd's journal, with fields that can be searched: `journalctl INSTANCE=...`.
//!
//! The journal's own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram per entry, a line per field. What is at
//! hand for it (`tracing-journald`) shows a reader of plain `journalctl` the message alone, without the error or the
//! instance that it is about, and its fields cannot be put in there; so it is written here.

use std::fmt::{Debug, Write};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::sys::stat::fstat;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Longest value; a datagram of all fields must fit into a socket's buffer of some 200 kilobytes.
const LONGEST: usize = 16 * 1024;
/// A journal that does not take an entry for so long loses it to the standard error.
const PATIENCE: Duration = Duration::from_millis(500);

/// Writes to the journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// # Errors
    /// When no journal listens here.
    pub fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let journal = Self { socket };
        // Nothing is said; a journal that is not there is told of all the same.
        journal.send(&[])?;
        Ok(journal)
    }

    /// Not connected: the journal may be started anew.
    fn send(&self, entry: &[u8]) -> io::Result<()> {
        self.socket.send_to(entry, Path::new(SOCKET)).map(drop)
    }
}

/// Whether a stream leads into the journal, by what systemd says of it in `JOURNAL_STREAM` (systemd.exec(5)): a program
/// that it started may have been given another standard error since.
#[must_use]
pub fn leads_to_the_journal(stream: impl AsFd, said: Option<&str>) -> bool {
    let ours = fstat(stream)
        .ok()
        .map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    ours.is_some() && ours.as_deref() == said
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        let bytes = entry.bytes(*event.metadata().level());
        if let Err(error) = self.send(&bytes) {
            // The last place that is left; nobody may be listening there either.
            let _ = io::Write::write_all(
                &mut io::stderr(),
                format!("{} (not in the journal: {error})\n", entry.line()).as_bytes(),
            );
        }
    }
}

/// What an event says.
#[derive(Default)]
struct Entry {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field.name(), format!("{value:?}"));
    }
}

impl Entry {
    fn take(&mut self, name: &'static str, mut value: String) {
        if value.len() > LONGEST {
            value.truncate(value.floor_char_boundary(LONGEST));
            value.push('…');
        }
        if name == "message" {
            self.message = value;
        } else {
            self.fields.push((name, value));
        }
    }

    /// As a person reads it.
    fn line(&self) -> String {
        let mut line = self.message.clone();
        for (name, value) in &self.fields {
            // Writing into a text cannot fail.
            let _ = write!(line, " {name}={value}");
        }
        line
    }

    fn bytes(&self, level: Level) -> Vec<u8> {
        // The priorities of syslog(3).
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            _ => "7",
        };
        let mut bytes = Vec::new();
        let mut put = |name: &str, value: &str| {
            bytes.extend_from_slice(name.as_bytes());
            // One of several lines is written with its length.
            if value.contains('\n') {
                bytes.push(b'\n');
                bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
            } else {
                bytes.push(b'=');
            }
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(b'\n');
        };
        put("SYSLOG_IDENTIFIER", "redhold");
        put("PRIORITY", priority);
        put("MESSAGE", &self.line());
        for (name, value) in &self.fields {
            put(&journal_name(name), value);
        }
        bytes
    }
}

/// Capital letters, digits and underscores, with a letter first: the journal drops all others.
fn journal_name(name: &str) -> String {
    let known = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(known).take(60).collect();
    match name.chars().next() {
        Some(first) if first.is_ascii_uppercase() => name,
        _ => format!("F{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_several_lines_cannot_forge_a_field() {
        let mut entry = Entry::default();
        entry.take("message", "it failed".to_owned());
        entry.take("error", "bad\nPRIORITY=0".to_owned());
        entry.take("1.odd", "x".to_owned());
        let bytes = entry.bytes(Level::WARN);
        let expected: &[u8] = b"SYSLOG_IDENTIFIER=redhold\nPRIORITY=4\n\
            MESSAGE\n\x26\0\0\0\0\0\0\0it failed error=bad\nPRIORITY=0 1.odd=x\n\
            ERROR\n\x0e\0\0\0\0\0\0\0bad\nPRIORITY=0\nF1_ODD=x\n";
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expected));
    }

    #[test]
    fn only_the_stream_that_was_named_leads_there() {
        let (here, there) = UnixDatagram::pair().expect("sockets");
        let stat = fstat(&here).expect("a stat");
        let said = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(leads_to_the_journal(&here, Some(&said)));
        for wrong in [None, Some(""), Some("8:1")] {
            assert!(!leads_to_the_journal(&here, wrong));
        }
        assert!(!leads_to_the_journal(&there, Some(&said)));
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let mut entry = Entry::default();
        entry.take("message", "é".repeat(LONGEST));
        assert!(entry.message.len() <= LONGEST + 3 && entry.message.ends_with("é…"));
    }
}
