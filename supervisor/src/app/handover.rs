//! From one supervisor to the next: what is handed over, and what the two say to each other.
//!
//! They share a socket pair; the new one's end is its standard input. The old one sends the listening sockets and the
//! ways to supervisors before it, each with a byte that says what it is ([`runtime::handover`]), and then [`GO`] when
//! the store is free. The new one says [`READY`], or [`FAILED`] and why, and later [`STOP`] when it is told to stop, so
//! that connections of all of them end with it. A new one that is killed says nothing: then they live on.
//!
//! The new one is started by a short-lived process between the two ([`successor`]), so that it is not the old one's
//! child: systemd watches over its own children, and over those whose parent has gone.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;

use crate::paths;
use crate::problem::{Code, Problem};
use crate::proxy::activation::Given;
use crate::proxy::{Door, Listening};

/// The argument by which the binary starts a new supervisor and goes.
pub const SUCCESSOR: &str = "successor";

/// How long a new supervisor may take to become ready.
const READINESS: Duration = Duration::from_secs(30);

/// How long one that was killed may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// Longest reason for a failure, in bytes.
const REASON: u64 = 4096;

const CLEAR: u8 = b'h';
const TLS: u8 = b's';
const API: u8 = b'a';
const EARLIER: u8 = b'p';
const GO: u8 = b'.';
const READY: u8 = b'r';
const FAILED: u8 = b'f';
const STOP: u8 = b'x';

/// Listening sockets, to be handed on.
pub(super) struct Doors {
    clear: Vec<TcpListener>,
    tls: Vec<TcpListener>,
    api: UnixListener,
}

impl Doors {
    /// The same sockets once more.
    pub(super) fn of(listeners: &[Listening], api: &UnixListener) -> io::Result<Self> {
        let mut doors = Self {
            clear: Vec::new(),
            tls: Vec::new(),
            api: api.try_clone()?,
        };
        for Listening { listener, door } in listeners {
            let to = match door {
                Door::Plain => &mut doors.clear,
                Door::Tls(_) => &mut doors.tls,
            };
            to.push(listener.try_clone()?);
        }
        Ok(doors)
    }

    fn send(&self, socket: &UnixStream, earlier: &[Predecessor]) -> io::Result<()> {
        let clear = self.clear.iter().map(|listener| (CLEAR, listener.as_fd()));
        let tls = self.tls.iter().map(|listener| (TLS, listener.as_fd()));
        let earlier = earlier.iter().map(|way| (EARLIER, way.0.as_fd()));
        let api = std::iter::once((API, self.api.as_fd()));
        for (kind, descriptor) in clear.chain(tls).chain(api).chain(earlier) {
            runtime::handover::send(socket, kind, descriptor)?;
        }
        Ok(())
    }
}

/// A supervisor before this one, which may still have connections.
pub(super) struct Predecessor(UnixStream);

impl Predecessor {
    /// Tells it to come to an end; it may have done so already.
    pub(super) fn stop(&self) {
        let _ = (&self.0).write_all(&[STOP]);
    }
}

/// What an earlier supervisor left, beside the sockets of the front; nothing, where there was none.
#[derive(Default)]
pub struct Inherited {
    way: Option<UnixStream>,
    pub(super) api: Option<UnixListener>,
    pub(super) predecessors: Vec<Predecessor>,
    /// How often systemd wants to hear that the event loop turns.
    pub(super) watchdog: Option<Duration>,
}

impl std::fmt::Debug for Inherited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inherited")
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

impl Inherited {
    /// Takes everything from the supervisor at the standard input, and waits until that one has let go of the store.
    /// `watchdog` is in microseconds, 0 where systemd does not watch. To be called once, before the first thread.
    ///
    /// # Errors
    /// When there is none, or it changed its mind.
    pub fn take(watchdog: u64) -> Result<(Given, Self), Problem> {
        let cannot = |error: io::Error| {
            Problem::new(Code::Usage, "no supervisor hands over at the standard input")
                .because(error)
                .hint("`redhold upgrade` starts a new supervisor; leave --takes-over out")
        };
        let way = runtime::handover::take_standard_input().map_err(cannot)?;
        let mut given = Given::default();
        let mut inherited = Self {
            watchdog: Some(Duration::from_micros(watchdog)).filter(|time| !time.is_zero()),
            ..Self::default()
        };
        loop {
            let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
            let (kind, descriptor) = runtime::handover::receive(&way)
                .and_then(|received| received.ok_or_else(gone))
                .map_err(cannot)?;
            match (kind, descriptor) {
                (CLEAR, Some(descriptor)) => given.http.push(descriptor.into()),
                (TLS, Some(descriptor)) => given.https.push(descriptor.into()),
                (API, Some(descriptor)) => inherited.api = Some(descriptor.into()),
                (EARLIER, Some(descriptor)) => inherited.predecessors.push(Predecessor(descriptor.into())),
                (GO, None) => break,
                (other, _) => {
                    let what = format!("it hands over something unknown: {other}");
                    return Err(cannot(io::Error::other(what)));
                }
            }
        }
        let kept = way.try_clone().map_err(cannot)?;
        inherited.predecessors.push(Predecessor(kept));
        inherited.way = Some(way);
        Ok((given, inherited))
    }

    /// Tells the earlier supervisor that this one serves. One that has died meanwhile need not know.
    pub(super) fn ready(&self) {
        if let Some(mut way) = self.way.as_ref() {
            let _ = way.write_all(&[READY]);
        }
    }

    /// Tells it that this one cannot.
    pub(super) fn failed(&self, problem: &Problem) {
        if let Some(mut way) = self.way.as_ref() {
            let _ = way.write_all(&[&[FAILED], problem.to_string().as_bytes()].concat());
        }
    }
}

/// The process between: starts the program that `words` begin with, with the same standard input, says how it is
/// called or why it cannot be, and goes.
#[must_use]
pub fn successor(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let Ok(way) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    // A group of its own, so that it can be ended with whatever it starts.
    let started = Command::new(words.next().unwrap_or_default())
        .args(words)
        .process_group(0)
        .spawn();
    let line = match &started {
        Ok(child) => format!("{}\n", child.id()),
        Err(error) => format!("{error}\n"),
    };
    match UnixStream::from(way).write_all(line.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A new supervisor that has taken over.
pub(super) struct Successor {
    way: tokio::net::UnixStream,
    pub(super) pid: i32,
}

/// Ends a new supervisor with everything that it started, unless it is ready.
struct Trial(Option<Pid>);

impl Drop for Trial {
    fn drop(&mut self) {
        // It cannot be somebody else's number yet: there is a group of that number for as long as one of it lives, and
        // numbers are given out in a circle that no machine goes round in half a minute.
        if let Some(group) = self.0.take() {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Successor {
    /// Starts `binary` and returns when it is ready; when that does not come about, nothing is left of it. Dropping
    /// the future ends it, too.
    pub(super) async fn start(
        binary: &Path,
        words: &[OsString],
        doors: &Doors,
        earlier: &[Predecessor],
    ) -> Result<Self, Problem> {
        let talk =
            |error: io::Error| Problem::new(Code::Host, "cannot talk to the new supervisor").because(error);
        let (here, there) = UnixStream::pair().map_err(talk)?;
        doors.send(&here, earlier).map_err(talk)?;
        here.set_nonblocking(true).map_err(talk)?;
        let mut way = tokio::net::UnixStream::from_std(here).map_err(talk)?;
        let mut between = tokio::process::Command::new(paths::EXECUTABLE)
            .arg(SUCCESSOR)
            .arg(binary)
            .args(words)
            .stdin(Stdio::from(OwnedFd::from(there)))
            .kill_on_drop(true)
            .spawn()
            .map_err(talk)?;
        let started = async {
            let line = line(&mut way).await?;
            between.wait().await?;
            Ok(line)
        };
        let deadline = tokio::time::sleep(READINESS);
        tokio::pin!(deadline);
        let said = tokio::select! {
            said = started => said.map_err(talk)?,
            () = &mut deadline => {
                return Err(Problem::new(Code::Host, "no new supervisor was started within 30 seconds"));
            }
        };
        let Ok(pid) = said.parse::<i32>() else {
            let message = format!("{} cannot be executed: {said}", binary.display());
            return Err(Problem::new(Code::Usage, message));
        };
        let mut trial = Trial(Some(Pid::from_raw(pid)));
        let answered = async {
            tokio::io::AsyncWriteExt::write_all(&mut way, &[GO]).await?;
            answer(&mut way).await
        };
        let answered = tokio::select! {
            answered = answered => answered,
            () = &mut deadline => Ok(Err("did not become ready within 30 seconds and was ended".to_owned())),
        };
        match answered {
            Ok(Ok(())) => {
                trial.0 = None;
                Ok(Self { way, pid })
            }
            outcome => {
                drop(trial);
                // Until then it may have the store.
                let mut rest = Vec::new();
                let _ = tokio::time::timeout(GONE, way.read_to_end(&mut rest)).await;
                let why = match outcome {
                    Ok(Err(why)) => why,
                    _ => "ended before it was ready".to_owned(),
                };
                Err(Problem::new(
                    Code::Failed,
                    format!("the new supervisor, {}, {why}", binary.display()),
                ))
            }
        }
    }

    /// Returns when the new supervisor is told to stop; never when it is killed.
    pub(super) async fn stopped(&mut self) {
        match self.way.read_u8().await {
            Ok(STOP) => {}
            _ => std::future::pending().await,
        }
    }
}

/// One line, without its end.
async fn line(way: &mut tokio::net::UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match way.read_u8().await? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            byte => line.push(byte),
        }
    }
}

/// Whether it is ready, or why not.
async fn answer(way: &mut tokio::net::UnixStream) -> io::Result<Result<(), String>> {
    match way.read_u8().await? {
        READY => Ok(Ok(())),
        FAILED => {
            let mut why = Vec::new();
            way.take(REASON).read_to_end(&mut why).await?;
            Ok(Err(format!("cannot start: {}", String::from_utf8_lossy(&why))))
        }
        other => Ok(Err(format!("answers with something unknown: {other}"))),
    }
}

/// How a supervisor is called that takes over from this one: as this one was, and told to take over.
pub(super) fn words(watchdog: Option<Duration>) -> Vec<OsString> {
    again(std::env::args_os().skip(1), watchdog)
}

fn again(words: impl Iterator<Item = OsString>, watchdog: Option<Duration>) -> Vec<OsString> {
    const FLAG: &str = "--takes-over=";
    let micros = watchdog.map_or(0, |time| time.as_micros());
    words
        .filter(|word| !word.as_encoded_bytes().starts_with(FLAG.as_bytes()))
        .chain([OsString::from(format!("{FLAG}{micros}"))])
        .collect()
}

/// Words on one line, for a message.
pub(super) fn shown(words: &[impl AsRef<OsStr>]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_upgrades_is_told_once_to_take_over() {
        let first = ["serve", "--tls", "off"].map(OsString::from);
        let second = again(first.into_iter(), None);
        assert_eq!(shown(&second), "serve --tls off --takes-over=0");
        let third = again(second.into_iter(), Some(Duration::from_secs(30)));
        assert_eq!(shown(&third), "serve --tls off --takes-over=30000000");
    }

    #[test]
    fn what_is_handed_over_arrives() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let folder = tempfile::tempdir().expect("a folder");
        let api = UnixListener::bind(folder.path().join("s")).expect("a socket");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let doors = Doors::of(&[Listening::plain(listener)], &api).expect("doors");
        let (other, mut end) = UnixStream::pair().expect("a pair");
        doors.send(&here, &[Predecessor(other)]).expect("sent");
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let (kind, descriptor) = runtime::handover::receive(&there)
                .expect("received")
                .expect("something");
            let descriptor = descriptor.expect("a descriptor");
            match kind {
                CLEAR => assert_eq!(TcpListener::from(descriptor).local_addr().expect("one"), address),
                EARLIER => Predecessor(descriptor.into()).stop(),
                _ => {}
            }
            kinds.push(kind);
        }
        assert_eq!(kinds, [CLEAR, API, EARLIER]);
        let mut told = [0];
        io::Read::read_exact(&mut end, &mut told).expect("told");
        assert_eq!(told, [STOP]);
    }
}
