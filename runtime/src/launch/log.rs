//! The bounded log: lines of the program's two output pipes, one record each, in rotating files.
//!
//! A record is `<milliseconds since 1970> <o|e> <text>`; a line longer than a record goes on in records marked `O` or
//! `E`. Nothing here ever waits for anything but the disk. When the disk refuses, records are dropped and counted,
//! and the next one that fits is preceded by the count.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::clock::now_ms;
use crate::error::or_absent;
use crate::spec::LogSpec;

/// Longest text of one record.
const LONGEST: usize = 8 * 1024;
/// Records are written together up to about this size: a program that prints in a loop costs few system calls.
const TOGETHER: usize = 16 * 1024;

/// Which pipe a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipe {
    Output,
    Errors,
}

/// What of a pipe has not become a record yet.
#[derive(Debug, Default)]
struct Unfinished {
    text: Vec<u8>,
    /// The line has begun in an earlier record.
    continued: bool,
}

/// The open log.
#[derive(Debug)]
pub(crate) struct Log {
    spec: LogSpec,
    file: Option<File>,
    size: u64,
    ready: Vec<u8>,
    unfinished: [Unfinished; 2],
    dropped: u64,
    /// Why, as of the last refusal.
    refusal: String,
}

impl Log {
    /// Opens the newest file, to append to it.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn open(spec: &LogSpec) -> io::Result<Self> {
        let mut log = Self {
            spec: spec.clone(),
            file: None,
            size: 0,
            ready: Vec::new(),
            unfinished: Default::default(),
            dropped: 0,
            refusal: String::new(),
        };
        log.reopen()?;
        Ok(log)
    }

    /// Takes what a pipe gave.
    pub(crate) fn feed(&mut self, pipe: Pipe, mut bytes: &[u8]) {
        let longest = self.longest();
        let now = now_ms();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let line = &bytes[..end.unwrap_or(bytes.len())];
            let unfinished = &mut self.unfinished[pipe as usize];
            let room = longest.saturating_sub(unfinished.text.len());
            if line.len() > room {
                unfinished.text.extend_from_slice(&line[..room]);
                bytes = &bytes[room..];
                self.finish(pipe, now, true);
            } else {
                unfinished.text.extend_from_slice(line);
                bytes = bytes.get(line.len() + 1..).unwrap_or_default();
                if end.is_some() {
                    self.finish(pipe, now, false);
                }
            }
        }
        self.flush();
    }

    /// Writes what has no end of line yet: nothing more will come.
    pub(crate) fn close(&mut self) {
        for pipe in [Pipe::Output, Pipe::Errors] {
            if !self.unfinished[pipe as usize].text.is_empty() {
                self.finish(pipe, now_ms(), false);
            }
        }
        self.flush();
    }

    /// Says something in the program's error stream, marked as the keeper's.
    pub(crate) fn note(&mut self, text: &str) {
        let line = format!("{} e redhold: {text}\n", now_ms());
        self.ready.extend_from_slice(line.as_bytes());
        self.flush();
    }

    /// A record must fit into a file several times, or rotation would break lines.
    fn longest(&self) -> usize {
        usize::try_from(self.spec.max_size.0 / 4).map_or(LONGEST, |quarter| quarter.clamp(64, LONGEST))
    }

    fn finish(&mut self, pipe: Pipe, now: u64, more: bool) {
        let unfinished = &mut self.unfinished[pipe as usize];
        let mark = match (pipe, unfinished.continued) {
            (Pipe::Output, false) => 'o',
            (Pipe::Output, true) => 'O',
            (Pipe::Errors, false) => 'e',
            (Pipe::Errors, true) => 'E',
        };
        unfinished.continued = more;
        // Writing into a vector cannot fail.
        let _ = write!(self.ready, "{now} {mark} ");
        self.ready.append(&mut unfinished.text);
        self.ready.push(b'\n');
        let together = TOGETHER.min(usize::try_from(self.spec.max_size.0 / 2).unwrap_or(TOGETHER));
        if self.ready.len() >= together {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let mut ready = std::mem::take(&mut self.ready);
        if self.dropped > 0 {
            let (lines, refusal) = (self.dropped, &self.refusal);
            let note = format!("{} e redhold: {lines} log lines were lost: {refusal}\n", now_ms());
            ready.splice(0..0, note.into_bytes());
        }
        let records = count(&ready) - u64::from(self.dropped > 0);
        match self.write(&ready) {
            Ok(()) => self.dropped = 0,
            Err((written, error)) => {
                let kept =
                    count(&ready[..written]).saturating_sub(u64::from(self.dropped > 0 && written > 0));
                if written > 0 {
                    self.dropped = 0;
                }
                self.dropped += records - kept;
                self.refusal = error.to_string();
            }
        }
        // Its room is used again, but not more than is usual.
        ready.clear();
        ready.shrink_to(TOGETHER);
        self.ready = ready;
    }

    /// Appends whole records; on refusal tells how many bytes of whole records are in the file.
    fn write(&mut self, records: &[u8]) -> Result<(), (usize, io::Error)> {
        if self.size > 0 && self.size + records.len() as u64 > self.spec.max_size.0 {
            self.rotate();
        }
        if self.file.is_none() {
            self.reopen().map_err(|error| (0, error))?;
        }
        let Some(file) = &mut self.file else {
            return Err((0, io::ErrorKind::NotFound.into()));
        };
        let mut written = 0;
        let error = loop {
            match file.write(&records[written..]) {
                Ok(0) => break io::ErrorKind::WriteZero.into(),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
            if written == records.len() {
                self.size += records.len() as u64;
                return Ok(());
            }
        };
        // A broken record would be glued to the next one.
        let whole = records[..written]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        self.size += whole as u64;
        if written > whole && file.set_len(self.size).is_err() {
            self.file = None;
        }
        Err((whole, error))
    }

    /// Moves every file one place back. When the disk refuses, the newest is emptied instead: the bound holds.
    fn rotate(&mut self) {
        let name = |number: u8| {
            let mut name = self.spec.file.clone().into_os_string();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            PathBuf::from(name)
        };
        let mut moved = self.spec.keep > 0;
        for number in (0..self.spec.keep).rev() {
            moved &= or_absent(fs::rename(name(number), name(number + 1))).is_ok();
        }
        if moved {
            self.file = None;
        } else if let Some(file) = &self.file
            && file.set_len(0).is_ok()
        {
            self.size = 0;
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&self.spec.file)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }
}

fn count(records: &[u8]) -> u64 {
    records.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;

    fn log(max_size: u64, keep: u8) -> io::Result<(tempfile::TempDir, Log)> {
        let folder = tempfile::tempdir()?;
        let log = Log::open(&LogSpec {
            file: folder.path().join("log"),
            max_size: Bytes(max_size),
            keep,
        })?;
        Ok((folder, log))
    }

    /// The records without their times.
    fn records(folder: &tempfile::TempDir, name: &str) -> io::Result<Vec<String>> {
        let text = fs::read_to_string(folder.path().join(name))?;
        let without = |line: &str| {
            line.split_once(' ')
                .map_or(String::new(), |(_, rest)| rest.to_owned())
        };
        Ok(text.lines().map(without).collect())
    }

    #[test]
    fn lines_become_records_whatever_the_pieces() -> io::Result<()> {
        let (folder, mut log) = log(1 << 20, 1)?;
        log.feed(Pipe::Output, b"one\ntw");
        log.feed(Pipe::Errors, b"error\n\n");
        log.feed(Pipe::Output, b"o\nthree");
        log.close();
        assert_eq!(
            records(&folder, "log")?,
            ["o one", "e error", "e ", "o two", "o three"]
        );
        Ok(())
    }

    #[test]
    fn long_lines_go_on_in_marked_records() -> io::Result<()> {
        let (folder, mut log) = log(1 << 20, 1)?;
        log.feed(Pipe::Output, &vec![b'x'; 2 * LONGEST + 5]);
        log.feed(Pipe::Output, b"\nnext\n");
        let lengths: Vec<(String, usize)> = records(&folder, "log")?
            .iter()
            .map(|record| (record[..1].to_owned(), record.len() - 2))
            .collect();
        let expected = [("o", LONGEST), ("O", LONGEST), ("O", 5), ("o", 4)];
        assert_eq!(lengths, expected.map(|(mark, length)| (mark.to_owned(), length)));
        Ok(())
    }

    #[test]
    fn files_are_bounded_in_size_and_number() -> io::Result<()> {
        let (folder, mut log) = log(1000, 2)?;
        for number in 0..500 {
            log.feed(Pipe::Output, format!("line {number}\n").as_bytes());
        }
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(folder.path())? {
            let entry = entry?;
            assert!(entry.metadata()?.len() <= 1000);
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        assert_eq!(names, ["log", "log.1", "log.2"]);
        assert_eq!(
            records(&folder, "log")?.last().map(String::as_str),
            Some("o line 499")
        );
        Ok(())
    }

    #[test]
    fn what_a_disk_refuses_is_counted_and_said() -> io::Result<()> {
        let (folder, mut log) = log(1 << 20, 1)?;
        // The kernel's always-full device stands in for the file; see full(4).
        log.file = Some(OpenOptions::new().write(true).open("/dev/full")?);
        log.feed(Pipe::Output, b"lost\nlost too\n");
        log.feed(Pipe::Errors, b"also lost\n");
        log.reopen()?;
        log.feed(Pipe::Output, b"kept\n");
        let found = records(&folder, "log")?;
        assert!(
            found[0].starts_with("e redhold: 3 log lines were lost: No space left"),
            "{found:?}"
        );
        assert_eq!(found[1..], ["o kept"]);
        Ok(())
    }
}
