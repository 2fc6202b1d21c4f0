//! The channel to the program's own plugin: what it says is untrusted, bounded, and passed on as it came.
//!
//! An empty line says that the event loop turns; every other line is a JSON object. Nothing is built from an object
//! but the name of its kind: a line of 64 KiB could otherwise become a megabyte of values in the keeper. Kinds that mean
//! something here: `state`, kept for whoever comes later; `stack`, kept while the loop stands still; `interruptible` and
//! `askable`, what the program can do; `spawn`, whose code is about to start a program.

use std::borrow::Cow;
use std::io::{self, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, UnixAddr, UnixCredentials, recvmsg, setsockopt, sockopt::PassCred,
};
use nix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::pulse::{Pulse, Word};

/// Longest line; longer ones are dropped.
const LONGEST: usize = 64 * 1024;
/// Messages passed on per second; a program that says more hurts only itself.
const PER_SECOND: u32 = 1000;

/// What is kept of `spawn` until it is taken, which is after every read.
const MOST_SPAWNS: usize = 16;

/// The keeper's end.
pub(crate) struct Guest {
    stream: Option<UnixStream>,
    line: Vec<u8>,
    /// The rest of an over-long line is being skipped.
    skipping: bool,
    /// Lines that were not understood, too long or too many.
    pub(crate) dropped: u64,
    pulse: Pulse,
    /// The kernel does not show what the loop does, which nobody was told yet.
    blind: bool,
    state: Option<Box<RawValue>>,
    /// What holds the loop, said since it stands still.
    stack: Option<Box<RawValue>>,
    tells_its_stack: bool,
    /// Programs, and whose code is about to start them, since that was last asked for.
    spawns: Vec<(String, String)>,
    window: (Instant, u32),
}

#[derive(Deserialize)]
struct Head<'line> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'line, str>>,
}

#[derive(Deserialize)]
struct Spawn {
    program: String,
    by: String,
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
            pulse: Pulse::default(),
            blind: false,
            state: None,
            stack: None,
            tells_its_stack: false,
            spawns: Vec::new(),
            window: (Instant::now(), 0),
        })
    }

    /// What to poll, until the program has closed its end.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    /// When the program's event loop was last known to turn, in milliseconds since 1970.
    pub(crate) fn last_beat_ms(&self) -> Option<u64> {
        self.pulse.last_beat_ms()
    }

    /// The last message of kind `state`.
    pub(crate) fn state(&self) -> Option<&RawValue> {
        self.state.as_deref()
    }

    /// Programs, and whose code is about to start them, since this was last asked for.
    pub(crate) fn take_spawns(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.spawns)
    }

    /// Whether the program knows what to do when it is interrupted.
    pub(crate) fn tells_its_stack(&self) -> bool {
        self.tells_its_stack
    }

    /// Reads once, and gives every whole message to `pass`.
    pub(crate) fn read(&mut self, buffer: &mut [u8], mut pass: impl FnMut(&RawValue)) {
        let heard = self.stream.as_ref().map(|stream| hear(stream, buffer));
        let (count, speaker) = match heard {
            Some(Ok((count @ 1.., speaker))) => (count, speaker),
            Some(Err(Errno::EAGAIN | Errno::EINTR)) => return,
            _ => {
                self.stream = None;
                return;
            }
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
                    self.take(&line, speaker, &mut pass);
                }
            }
        }
    }

    fn take(&mut self, line: &[u8], speaker: Option<i32>, pass: &mut impl FnMut(&RawValue)) {
        if line.is_empty() {
            self.pulse.beat();
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
                self.note(head.kind.as_deref().unwrap_or_default(), object, speaker);
                pass(object);
            }
            _ => self.dropped += 1,
        }
    }

    fn note(&mut self, kind: &str, object: &RawValue, speaker: Option<i32>) {
        match kind {
            "state" => {
                self.state = Some(object.to_owned());
                self.pulse.begin();
            }
            "stack" if self.pulse.stuck_for().is_some() => self.stack = Some(object.to_owned()),
            "interruptible" => self.tells_its_stack = true,
            "spawn" if self.spawns.len() < MOST_SPAWNS => {
                self.spawns.extend(
                    serde_json::from_str::<Spawn>(object.get())
                        .ok()
                        .map(|spawn| (spawn.program, spawn.by)),
                );
            }
            "askable" => self.blind = !self.pulse.look_at(speaker),
            _ => {}
        }
    }

    /// Milliseconds of silence when the loop has just got stuck, 0 when it has just come back, else nothing. Looks at
    /// it and speaks to the program, when it is time for that.
    pub(crate) fn turn(&mut self) -> Option<u64> {
        // A program that has closed its end, or has ended, is not stuck.
        self.stream.as_ref()?;
        for word in self.pulse.look() {
            if self.say(word).is_err() {
                // One that does not read will not answer either; its silence says enough.
                self.pulse.unheard(word);
            }
        }
        let turned = self.pulse.turn();
        if turned == Some(0) {
            self.stack = None;
        }
        turned
    }

    fn say(&mut self, word: Word) -> io::Result<()> {
        match word {
            Word::Turn => {
                // The program reads the same clock, so how late it reads this is how long its loop was held up.
                let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
                self.tell(format!("{{\"op\":\"turn\",\"at\":{}}}\n", now.as_millis()).as_bytes())
            }
            Word::Report => self.tell(b"{\"op\":\"report\"}\n"),
            Word::Idle => self.tell(b"{\"op\":\"idle\"}\n"),
        }
    }

    /// True once when the program is asked every second although it may be idle.
    pub(crate) fn is_newly_blind(&mut self) -> bool {
        std::mem::take(&mut self.blind)
    }

    /// Somebody new listens, and wants to know how it is.
    pub(crate) fn report_soon(&mut self) {
        self.pulse.report_soon();
    }

    /// What holds the loop, said since it stands still. It cannot be asked twice: a second interruption is heard only
    /// when the loop has turned.
    pub(crate) fn stack(&self) -> Option<&RawValue> {
        self.stack.as_deref()
    }

    /// Milliseconds of silence, while the loop counts as stuck.
    pub(crate) fn stuck_for(&self) -> Option<u64> {
        self.pulse.stuck_for()
    }

    /// When [`Guest::turn`] will have something to do if nothing is heard until then.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.stream.as_ref().and_then(|_| self.pulse.deadline())
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

/// Both ends of a channel, the keeper's first. Whoever speaks at the other end is named by the kernel, by its number
/// out here (`SO_PASSCRED` of `unix(7)`); that has to be asked for before the first word.
///
/// # Errors
/// The kernel's.
pub(crate) fn channel() -> io::Result<(UnixStream, UnixStream)> {
    let (keeper, program) = UnixStream::pair()?;
    setsockopt(&keeper, PassCred, &true)?;
    Ok((keeper, program))
}

/// Reads once: how much, and from which process. Descriptors that ride on it find no room, and are closed.
fn hear(stream: &UnixStream, buffer: &mut [u8]) -> nix::Result<(usize, Option<i32>)> {
    let mut space = nix::cmsg_space!(UnixCredentials);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(stream.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let speaker = message.cmsgs().ok().and_then(|mut all| {
        all.find_map(|one| match one {
            ControlMessageOwned::ScmCredentials(who) => Some(who.pid()),
            _ => None,
        })
    });
    Ok((message.bytes, speaker))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(chunks: &[&[u8]]) -> io::Result<(Guest, Vec<String>)> {
        let (keeper, mut program) = channel()?;
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
    fn the_kernel_names_who_speaks() -> io::Result<()> {
        let (keeper, mut program) = channel()?;
        program.write_all(b"x")?;
        let (count, speaker) = super::hear(&keeper, &mut [0; 16])?;
        assert_eq!(count, 1);
        assert_eq!(
            speaker.and_then(|pid| u32::try_from(pid).ok()),
            Some(std::process::id())
        );
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
