//! The instance's log: the keeper writes it, this reads it after it, so that a terminal which does not take any
//! more delays neither Node-RED nor the front.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::telemetry::line::{Line, Parser};

/// Longest wait between two looks at the file; right after something was written the wait is short.
const IDLE: Duration = Duration::from_millis(200);
const BUSY: Duration = Duration::from_millis(15);

/// For this long after the beginning somebody watches closely.
const STARTING: Duration = Duration::from_secs(10);

/// How many lines are kept for the account of a crash.
const KEPT: usize = 12;

/// Follows a rotating file on a thread of its own.
#[derive(Debug)]
pub(super) struct Follower {
    stop: SyncSender<()>,
    thread: JoinHandle<VecDeque<String>>,
}

/// From where a follower reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Everything in the newest file.
    Start,
    /// Only what is written from now on.
    Now,
}

impl Follower {
    /// Begins to read; `show` gets every line.
    pub(super) fn start(
        file: &Path,
        from: From,
        mut show: impl FnMut(Line) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::sync_channel(1);
        let mut tail = Tail::new(file, from);
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                let mut parser = Parser::default();
                let mut kept = VecDeque::with_capacity(KEPT);
                let mut wait = BUSY;
                let begun = Instant::now();
                loop {
                    // Asked for before the last look, so that what was written before the end is shown.
                    let last = stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
                    let count = tail.read(|raw| {
                        for line in parser.line(raw) {
                            if kept.len() == KEPT {
                                kept.pop_front();
                            }
                            kept.push_back(line.text.clone());
                            show(line);
                        }
                    });
                    if last {
                        return kept;
                    }
                    let idle = if begun.elapsed() < STARTING { BUSY } else { IDLE };
                    wait = if count > 0 { BUSY } else { (wait * 2).min(idle) };
                }
            })?;
        Ok(Self { stop, thread })
    }

    /// Shows what there is and ends; gives the last lines back.
    pub(super) fn finish(self) -> Vec<String> {
        let _ = self.stop.send(());
        self.thread.join().map(Vec::from).unwrap_or_default()
    }
}

/// A file that grows, and is moved away and begun anew.
struct Tail {
    path: PathBuf,
    from: From,
    open: Option<(File, u64)>,
    rest: Vec<u8>,
}

impl Tail {
    fn new(path: &Path, from: From) -> Self {
        let mut tail = Self {
            path: path.to_path_buf(),
            from,
            open: None,
            rest: Vec::new(),
        };
        // Opened now, so that "from now" means this moment and not the thread's first look.
        tail.reopen();
        tail
    }

    fn reopen(&mut self) {
        let Ok(mut file) = File::open(&self.path) else {
            return;
        };
        if self.from == From::Now {
            let _ = file.seek(SeekFrom::End(0));
        }
        self.from = From::Start;
        let inode = file.metadata().map_or(0, |about| about.ino());
        self.open = Some((file, inode));
    }

    /// Hands over every complete line that is new; how many.
    fn read(&mut self, mut line: impl FnMut(&str)) -> usize {
        let mut count = 0;
        loop {
            // Asked before reading: what the old file got until it was moved is read to its end.
            let moved = match &self.open {
                None => true,
                Some((_, inode)) => std::fs::metadata(&self.path).is_ok_and(|now| now.ino() != *inode),
            };
            count += self.drain(&mut line);
            if !moved {
                return count;
            }
            let before = self.open.as_ref().map(|(_, inode)| *inode);
            self.reopen();
            if self.open.as_ref().map(|(_, inode)| *inode) == before {
                return count;
            }
        }
    }

    fn drain(&mut self, line: &mut impl FnMut(&str)) -> usize {
        let Some((file, _)) = &mut self.open else {
            return 0;
        };
        let mut count = 0;
        let mut piece = [0; 16 * 1024];
        while let Ok(read @ 1..) = file.read(&mut piece) {
            self.rest.extend_from_slice(&piece[..read]);
            let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
                continue;
            };
            for raw in self.rest[..end].split(|&byte| byte == b'\n') {
                line(&String::from_utf8_lossy(raw));
                count += 1;
            }
            self.rest.drain(..=end);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_rotated_log_loses_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut file = File::create(&path).expect("a file");
        writeln!(file, "1 o before").expect("a line");
        let sink = seen.clone();
        let follower = Follower::start(&path, From::Now, move |line| {
            sink.lock().expect("the lines").push(line.text);
        });
        let follower = follower.expect("a follower");
        write!(file, "1 o first\n1 o sec").expect("a line");
        writeln!(file, "ond").expect("a line");
        std::fs::rename(&path, folder.path().join("log.1")).expect("a rotation");
        writeln!(file, "1 o late").expect("a line");
        let mut file = File::create(&path).expect("a file");
        writeln!(file, "1 o third").expect("a line");
        let kept = follower.finish();
        assert_eq!(
            *seen.lock().expect("the lines"),
            ["first", "second", "late", "third"]
        );
        assert_eq!(kept.last().map(String::as_str), Some("third"));
    }
}
