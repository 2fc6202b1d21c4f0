//! The channel to the program's own plugin: what it says is untrusted, bounded, and passed on as it came.
//!
//! An empty line says that the event loop turns; every other line is a JSON object. Nothing is built from an object
//! but the name of its kind: a line of 64 KiB could otherwise become a megabyte of values in the keeper.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::clock::now_ms;

/// Longest line; longer ones are dropped.
const LONGEST: usize = 64 * 1024;
/// Messages passed on per second; a program that says more hurts only itself.
const PER_SECOND: u32 = 1000;
/// Silence after which the event loop counts as stuck; beats come once per second.
const PATIENCE: Duration = Duration::from_secs(5);

/// The keeper's end.
pub(crate) struct Guest {
    stream: Option<UnixStream>,
    line: Vec<u8>,
    /// The rest of an over-long line is being skipped.
    skipping: bool,
    /// Lines that were not understood, too long or too many.
    pub(crate) dropped: u64,
    beat: Option<(Instant, u64)>,
    stuck: bool,
    state: Option<Box<RawValue>>,
    tells_its_stack: bool,
    window: (Instant, u32),
}

#[derive(Deserialize)]
struct Head<'line> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'line, str>>,
}

impl Guest {
    /// # Errors
    /// The kernel's.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: Some(stream),
            line: Vec::new(),
            skipping: false,
            dropped: 0,
            beat: None,
            stuck: false,
            state: None,
            tells_its_stack: false,
            window: (Instant::now(), 0),
        })
    }

    /// What to poll, until the program has closed its end.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    /// When the program last said that its event loop turns, in milliseconds since 1970.
    pub(crate) fn last_beat_ms(&self) -> Option<u64> {
        self.beat.map(|(_, at)| at)
    }

    /// The last message of kind `state`.
    pub(crate) fn state(&self) -> Option<&RawValue> {
        self.state.as_deref()
    }

    /// Whether the program knows what to do when it is interrupted.
    pub(crate) fn tells_its_stack(&self) -> bool {
        self.tells_its_stack
    }

    /// Reads once, and gives every whole message to `pass`.
    pub(crate) fn read(&mut self, buffer: &mut [u8], mut pass: impl FnMut(&RawValue)) {
        let count = match &mut self.stream {
            None => return,
            Some(stream) => match stream.read(buffer) {
                Ok(0) => {
                    self.stream = None;
                    return;
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.stream = None;
                    return;
                }
            },
        };
        for piece in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            let (text, whole) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            if !self.skipping && self.line.len() + text.len() > LONGEST {
                self.skipping = true;
                self.dropped += 1;
            }
            if !self.skipping {
                self.line.extend_from_slice(text);
            }
            if whole {
                let line = std::mem::take(&mut self.line);
                if !std::mem::replace(&mut self.skipping, false) {
                    self.take(&line, &mut pass);
                }
            }
        }
    }

    fn take(&mut self, line: &[u8], pass: &mut impl FnMut(&RawValue)) {
        if line.is_empty() {
            self.beat = Some((Instant::now(), now_ms()));
            return;
        }
        if self.window.0.elapsed() >= Duration::from_secs(1) {
            self.window = (Instant::now(), 0);
        }
        self.window.1 = self.window.1.saturating_add(1);
        let object = serde_json::from_slice::<&RawValue>(line)
            .ok()
            .filter(|value| value.get().starts_with('{'));
        let head = object.and_then(|value| serde_json::from_str::<Head<'_>>(value.get()).ok());
        match (object, head) {
            (Some(object), Some(head)) if self.window.1 <= PER_SECOND => {
                if head.kind.as_deref() == Some("state") {
                    self.state = Some(object.to_owned());
                    // From here on silence means something: flows may block the loop before its first beat.
                    self.beat.get_or_insert_with(|| (Instant::now(), now_ms()));
                }
                self.tells_its_stack |= head.kind.as_deref() == Some("interruptible");
                pass(object);
            }
            _ => self.dropped += 1,
        }
    }

    /// Milliseconds of silence when the loop has just got stuck, 0 when it has just come back, else nothing.
    pub(crate) fn turn(&mut self) -> Option<u64> {
        // A program that has closed its end, or has ended, is not stuck.
        self.stream.as_ref()?;
        let silence = self.beat?.0.elapsed();
        let stuck = silence >= PATIENCE;
        if stuck == std::mem::replace(&mut self.stuck, stuck) {
            return None;
        }
        let silent_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        Some(if stuck { silent_ms } else { 0 })
    }

    /// Milliseconds of silence, while the loop counts as stuck.
    pub(crate) fn stuck_for(&self) -> Option<u64> {
        let (at, _) = self.beat.filter(|_| self.stuck)?;
        Some(u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When [`Guest::turn`] will have something to say if nothing is heard until then.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.beat {
            Some((at, _)) if !self.stuck && self.stream.is_some() => Some(at + PATIENCE),
            _ => None,
        }
    }

    /// Asks the program to collect its garbage.
    ///
    /// # Errors
    /// When it has closed its end or does not read it.
    pub(crate) fn collect(&mut self) -> io::Result<()> {
        self.tell(b"{\"op\":\"collect\"}\n")
    }

    /// Says a whole line to the program.
    ///
    /// # Errors
    /// When it has closed its end or does not read it.
    pub(crate) fn tell(&mut self, line: &[u8]) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        match stream.write(line)? {
            count if count == line.len() => Ok(()),
            // Half a line would spoil the next: nothing more can be said on this channel.
            _ => {
                self.stream = None;
                Err(io::ErrorKind::WriteZero.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(chunks: &[&[u8]]) -> io::Result<(Guest, Vec<String>)> {
        let (mut program, keeper) = UnixStream::pair()?;
        let mut guest = Guest::new(keeper)?;
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        for chunk in chunks {
            for piece in chunk.chunks(2048) {
                program.write_all(piece)?;
                guest.read(&mut buffer, |message| heard.push(message.get().to_owned()));
            }
        }
        Ok((guest, heard))
    }

    #[test]
    fn messages_pass_and_the_last_state_stays() -> io::Result<()> {
        let (guest, heard) = hear(&[
            b"{\"type\":\"state\",\"n\":1}\n{\"type\":\"st",
            b"ate\",\"n\":2}\n\n{}\n",
        ])?;
        assert_eq!(
            heard,
            [
                "{\"type\":\"state\",\"n\":1}",
                "{\"type\":\"state\",\"n\":2}",
                "{}"
            ]
        );
        assert_eq!(
            guest.state().map(RawValue::get),
            Some("{\"type\":\"state\",\"n\":2}")
        );
        assert!(guest.last_beat_ms().is_some());
        assert_eq!(guest.dropped, 0);
        Ok(())
    }

    #[test]
    fn only_who_says_so_is_interrupted() -> io::Result<()> {
        let (silent, _) = hear(&[b"{\"type\":\"hello\"}\n{\"interruptible\":true}\n"])?;
        assert!(!silent.tells_its_stack());
        let (ready, _) = hear(&[b"{\"type\":\"interruptible\"}\n{\"type\":\"hello\"}\n"])?;
        assert!(ready.tells_its_stack());
        Ok(())
    }

    #[test]
    fn nonsense_is_counted_and_passed_by() -> io::Result<()> {
        let long = vec![b'x'; 3 * LONGEST];
        let deep = "[".repeat(30_000);
        let (guest, heard) = hear(&[
            b"not json\n[1]\n{\"type\":7}\n\xff\xfe\n",
            &long,
            b"\n",
            deep.as_bytes(),
            b"\n{\"type\":\"x\"}\n",
        ])?;
        assert_eq!(heard, ["{\"type\":\"x\"}"]);
        assert_eq!(guest.dropped, 6);
        Ok(())
    }

    #[test]
    fn a_flood_is_cut_off() -> io::Result<()> {
        let flood = "{}\n".repeat(3000);
        let (guest, heard) = hear(&[flood.as_bytes()])?;
        assert!(heard.len() >= 1000 && heard.len() < 3000, "{}", heard.len());
        assert_eq!(heard.len() as u64 + guest.dropped, 3000);
        Ok(())
    }
}
