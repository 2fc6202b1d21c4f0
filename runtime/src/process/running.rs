//! A running instance seen from outside: requests to its keeper, and its end.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use crate::error::{RequestError, or_absent};
use crate::launch::{open_directory, process, socket_path};
use crate::record::{
    CONTROL_SOCKET, EXIT_FILE, Event, ExitRecord, Level, ProcessRef, RESOLVER_FILE, RUN_FILE, Reply, Request,
    RunRecord, Status,
};
use crate::sandbox::cgroup::{CgroupError, Group, Stats};
use crate::spec::Limits;
use crate::sys::pidfd;

/// A keeper answers within milliseconds; one that does not is stopped, frozen, or starved of processor time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running instance. It goes on running when this is dropped.
#[derive(Clone, Debug)]
pub struct Running {
    record: RunRecord,
    run_dir: PathBuf,
}

impl Running {
    pub(super) fn new(record: RunRecord, run_dir: PathBuf) -> Self {
        Self { record, run_dir }
    }

    /// What runs, and behind which walls.
    #[must_use]
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Its run directory.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// How it is now.
    ///
    /// # Errors
    /// [`RequestError::Gone`] when it has ended.
    pub fn status(&self) -> Result<Status, RequestError> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(*status),
            other => Err(self.refused(format!("not a status but {other:?}"))),
        }
    }

    /// Asks the program to end, and has everything killed after `grace`. Does not wait for the end.
    ///
    /// # Errors
    /// [`RequestError::Gone`] when it has ended.
    pub fn stop(&self, grace: Duration) -> Result<(), RequestError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.ask(&Request::Stop { grace_ms }).map(drop)
    }

    /// Has everything in the instance killed now. Does not wait for the end.
    ///
    /// # Errors
    /// [`RequestError::Gone`] when it has ended.
    pub fn kill(&self) -> Result<(), RequestError> {
        self.ask(&Request::Kill).map(drop)
    }

    /// Asks the program to collect its garbage.
    ///
    /// # Errors
    /// [`RequestError::Refused`] when the program does not listen.
    pub fn collect(&self) -> Result<(), RequestError> {
        self.ask(&Request::Collect).map(drop)
    }

    /// Passes a JSON object of at most 4 KiB on to the program's own plugin.
    ///
    /// # Errors
    /// [`RequestError::Refused`] when the program does not listen, or its keeper is too old to pass anything on.
    pub fn tell(&self, message: serde_json::Value) -> Result<(), RequestError> {
        self.ask(&Request::Tell { message }).map(drop)
    }

    /// Has the program interrupted, so that it tells its subscribers in a message of type `stack` what holds its
    /// event loop. Does not wait for that.
    ///
    /// # Errors
    /// [`RequestError::Refused`] when the program cannot, or the keeper is of a version that does not know how.
    pub fn diagnose(&self) -> Result<(), RequestError> {
        self.ask(&Request::Diagnose).map(drop)
    }

    /// Stops every process of it where it stands, or lets them go on; false where this machine cannot.
    ///
    /// # Errors
    /// When its groups are gone, or the kernel refuses.
    pub fn freeze(&self, frozen: bool) -> Result<bool, CgroupError> {
        self.group()?.freeze(frozen)
    }

    /// Whether it is frozen.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.group().is_ok_and(|group| group.is_frozen())
    }

    /// Sets other limits on memory, processor time and tasks while it runs; what is enforced now.
    ///
    /// # Errors
    /// When its groups are gone.
    pub fn limit(&self, limits: &Limits) -> Result<Vec<Level>, CgroupError> {
        Ok(self.group()?.change(limits)?.to_vec())
    }

    /// What it uses and has used, read without its keeper.
    ///
    /// # Errors
    /// When the record names groups that are not ours.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        Ok(self.group()?.stats())
    }

    fn group(&self) -> Result<Group, CgroupError> {
        Group::from_paths(&self.record.cgroups)
    }

    /// A connection that carries [`Event`]s, one JSON object per line, beginning with the last known state of the
    /// guest and whether its event loop stands still; its end without [`Event::Exit`] means that the keeper was lost
    /// or the reader too slow.
    ///
    /// # Errors
    /// [`RequestError::Gone`] when it has ended.
    pub fn subscribe(&self) -> Result<UnixStream, RequestError> {
        self.connect()
            .and_then(|mut stream| {
                send(&mut stream, &Request::Subscribe)?;
                stream.set_read_timeout(None)?;
                Ok(stream)
            })
            .map_err(|error| self.gone(error))
    }

    /// Blocks until it has ended, its keeper has removed what was left of it, and says how.
    ///
    /// # Errors
    /// [`RequestError::Gone`] when the keeper was lost and left no exit record.
    pub fn wait(&self) -> Result<ExitRecord, RequestError> {
        if let Ok(stream) = self.subscribe() {
            for line in BufReader::new(stream).lines() {
                match line.ok().and_then(|line| serde_json::from_str(&line).ok()) {
                    Some(Event::Exit(record)) => {
                        // It tells first and tidies up then; callers count on both.
                        wait_for(&self.record.keeper).map_err(|error| self.gone(error))?;
                        return Ok(record);
                    }
                    Some(_) => {}
                    None => break,
                }
            }
        }
        // The keeper has closed its socket, or this reader was too slow for it: its own end is the last word.
        wait_for(&self.record.keeper).map_err(|error| self.gone(error))?;
        let text = fs::read(self.run_dir.join(EXIT_FILE)).map_err(|error| self.gone(error))?;
        serde_json::from_slice(&text).map_err(|error| self.gone(error.into()))
    }

    /// Removes the records of an instance that has ended, after its end was noted elsewhere.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forget(self) -> io::Result<()> {
        forget(&self.run_dir)
    }

    fn ask(&self, request: &Request) -> Result<Reply, RequestError> {
        let mut line = String::new();
        let reply = self.connect().and_then(|mut stream| {
            send(&mut stream, request)?;
            BufReader::new(stream).read_line(&mut line)?;
            if line.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(serde_json::from_str(&line)?)
        });
        match reply {
            Ok(Reply::Failed { message }) => Err(self.refused(message)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.gone(error)),
        }
    }

    fn connect(&self) -> io::Result<UnixStream> {
        connect(&self.run_dir, &self.record)
    }

    fn gone(&self, source: io::Error) -> RequestError {
        RequestError::Gone {
            id: self.record.id.clone(),
            source,
        }
    }

    fn refused(&self, message: String) -> RequestError {
        RequestError::Refused {
            id: self.record.id.clone(),
            message,
        }
    }
}

/// Connects to the keeper that the record names, and to no other process.
pub(super) fn connect(run_dir: &Path, record: &RunRecord) -> io::Result<UnixStream> {
    let directory = open_directory(run_dir)?;
    let stream = UnixStream::connect(socket_path(directory.as_fd()))?;
    // The credentials are those of whoever called listen(2), and stay so (unix(7)).
    let peer = getsockopt(&stream, PeerCredentials)?;
    if peer.pid() != record.keeper.pid || process(peer.pid())? != record.keeper {
        return Err(io::Error::other("the control socket belongs to another process"));
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Waits until a process has ended, without being its parent.
fn wait_for(wanted: &ProcessRef) -> io::Result<()> {
    let Ok(descriptor) = pidfd::open(wanted.pid) else {
        return Ok(());
    };
    // Compared after the descriptor was opened: from now on it cannot become another's.
    if !process(wanted.pid).is_ok_and(|found| found == *wanted) {
        return Ok(());
    }
    loop {
        let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            outcome => return outcome.map(drop).map_err(Into::into),
        }
    }
}

fn send(stream: &mut UnixStream, request: &Request) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Removes the records of a run whose end was noted elsewhere.
///
/// # Errors
/// The kernel's.
pub fn forget(run_dir: &Path) -> io::Result<()> {
    for name in [
        CONTROL_SOCKET,
        RUN_FILE,
        EXIT_FILE,
        RESOLVER_FILE,
        ".run.json",
        ".exit.json",
    ] {
        or_absent(fs::remove_file(run_dir.join(name)))?;
    }
    Ok(())
}
