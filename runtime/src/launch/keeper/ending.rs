//! The end of an instance: its last words, its record, and nothing left behind.

use std::fs;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Keeper;
use crate::launch::clock::now_ms;
use crate::launch::init::end_descendants;
use crate::launch::log::Pipe;
use crate::launch::message::Ended;
use crate::launch::names::Names;
use crate::record::{CONTROL_SOCKET, Event, ExitRecord, RESOLVER_FILE};
use crate::sandbox::cable;

/// What is still taken from the pipes after the end: descendants that got away may hold them open and go on writing.
const LAST_WORDS: usize = 4 * 1024 * 1024;

/// How long the keeper outlives its instance for the sake of subscribers that read slowly.
const LINGER: Duration = Duration::from_millis(500);

impl Keeper {
    /// Reads the last words, records the end, tells it, and removes what is left.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let ended = self.collect_end();
        // In the lesser mode descendants may have got away from the first process.
        if let Err(error) = self.instance.group.kill_all() {
            self.log.note(&error.to_string());
        }
        end_descendants();
        for pipe in [Pipe::Output, Pipe::Errors] {
            let mut taken = 0;
            while let Some(count @ 1..) = self.drain(pipe) {
                taken += count;
                if taken > LAST_WORDS {
                    break;
                }
            }
        }
        while self.guest.source().is_some_and(has_more) {
            self.hear();
        }
        self.notice_oom();
        if self.guest.dropped > 0 {
            let text = format!(
                "{} messages of the program were not understood or too many",
                self.guest.dropped
            );
            self.log.note(&text);
        }
        for tried in self.names.as_mut().map(Names::rest).unwrap_or_default() {
            self.note(&tried);
        }
        if let Some(Err(error)) = self.instance.record.network.as_deref().map(cable::remove) {
            self.log.note(&error.to_string());
        }
        self.log.close();
        let stats = self.instance.group.stats();
        let record = ExitRecord {
            id: self.instance.record.id.clone(),
            code: ended.code,
            signal: ended.signal,
            oom: self.oom.take(),
            stopping: self.stopping,
            started_ms: self.instance.record.started_ms,
            ended_ms: now_ms(),
            cpu_us: stats.cpu_us.or(ended.cpu_us),
            memory_peak: stats.memory_peak,
            attempts: self.attempts.all().cloned().collect(),
        };
        let written = self.exit.write(&record);
        if let Err(error) = &written {
            self.log
                .note(&format!("the exit record could not be written: {error}"));
        }
        self.clients.publish(&Event::Exit(record));
        if let Err(error) = self.instance.group.remove() {
            self.log.note(&error.to_string());
        }
        self.linger();
        // Last: as long as the socket is there, somebody may be about to connect and is owed an answer.
        for name in [RESOLVER_FILE, CONTROL_SOCKET] {
            let _ = fs::remove_file(self.folder.join(name));
        }
        written
    }

    /// Gives subscribers that are behind a moment to hear of the end; the record has it in any case.
    fn linger(&mut self) {
        let deadline = Instant::now() + LINGER;
        while self.clients.is_behind() {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut polled: Vec<PollFd<'_>> = self
                .clients
                .sources()
                .filter(|(_, behind)| *behind)
                .map(|(client, _)| PollFd::new(client, PollFlags::POLLOUT))
                .collect();
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            if !poll(&mut polled, left).is_ok_and(|ready| ready > 0) {
                return;
            }
            self.clients.flush();
        }
    }

    /// What init said, and when it was killed before it could, how that was.
    fn collect_end(&mut self) -> Ended {
        let mut text = Vec::new();
        let told = self
            .instance
            .ended
            .try_clone()
            .map(fs::File::from)
            .and_then(|mut ended| ended.read_to_end(&mut text));
        let status = waitpid(
            Pid::from_raw(self.instance.record.init.pid),
            Some(WaitPidFlag::__WALL),
        );
        if told.is_ok()
            && let Ok(ended) = serde_json::from_slice::<Ended>(&text)
        {
            return ended;
        }
        match status {
            Ok(WaitStatus::Signaled(_, signal, _)) => Ended {
                signal: Some(signal as i32),
                ..Ended::default()
            },
            Ok(WaitStatus::Exited(_, code)) => Ended {
                code: Some(code),
                ..Ended::default()
            },
            _ => Ended::default(),
        }
    }
}

fn has_more(at: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(at, PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
