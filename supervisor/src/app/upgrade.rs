//! A newer supervisor in the place of the one that runs, without a connection or an instance that ends; an upgrade
//! that fails is as if it had not been tried.
//!
//! In order: the new program is asked whether it could; requests to the interface are refused for a moment; actors and
//! store are closed; the new one gets the listening sockets and starts; when it is ready it accepts, and the old one
//! only finishes what it has: requests, downloads, WebSockets. Until then the old front goes on as before.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::control::Control;
use super::ground::open_store;
use super::handover::{Successor, shown, words};
use super::signals::{End, say_to_systemd};
use super::{DRAIN, Running};
use crate::audit;
use crate::instances::service::problems::stored;
use crate::paths;
use crate::problem::{Code, Problem};
use crate::web::state::{Upgraded, Wish};

/// How long the new program may take to answer a question.
const QUESTION: Duration = Duration::from_secs(10);

/// What is read of an answer, in bytes.
const ANSWER: u64 = 16 * 1024;

/// How long whatever still uses the store may take: starts of instances that are under way are finished.
const RELEASE: Duration = Duration::from_secs(20);

/// How long the store may stay taken by a new supervisor that was ended.
const REOPEN: Duration = Duration::from_secs(10);

/// How the process is called while it only finishes connections, in at most 15 bytes (`prctl(2)`).
const LEAVING: &std::ffi::CStr = c"redhold-leaving";

/// How a supervisor goes on after an upgrade was tried.
pub(super) enum After {
    /// As before.
    Stays,
    /// It was told to stop meanwhile.
    Stops,
    /// Another one has taken over.
    Leaves(Successor),
}

impl Running {
    /// Tries it.
    ///
    /// # Errors
    /// When it failed, and this supervisor cannot take its store back.
    pub(super) async fn upgrade(&mut self, wish: Wish) -> Result<After, Problem> {
        let Wish { by, binary, answer } = wish;
        // Who asked may have left; the log has it in any case.
        let mut answer = Some(answer);
        let mut tell = move |outcome: Result<Upgraded, Problem>| {
            match &outcome {
                Ok(upgraded) => info!(
                    "redhold {} has taken over as process {}; the interface paused for {} ms, and connections that \
                     there are go on here",
                    upgraded.version, upgraded.pid, upgraded.paused_ms
                ),
                Err(problem) => warn!(%problem, "the upgrade did not come about; everything is as before"),
            }
            if let Some(answer) = answer.take() {
                let _ = answer.send(outcome);
            }
        };
        let unharmed = |problem: Problem| problem.or_hint("nothing was changed: this host runs as before");
        let stopping = || Problem::new(Code::Interrupted, "this host was told to stop meanwhile");
        let words = words(self.watchdog);
        let checked = async {
            let binary = match binary {
                Some(binary) => binary,
                None => own_file().map_err(|error| Problem::io("cannot find this program", error))?,
            };
            let version = check(&binary, &words).await?;
            Ok((binary, version))
        };
        let (binary, version) = match self.ends.unless_stopped(checked).await {
            Some(Ok(checked)) => checked,
            Some(Err(problem)) => {
                tell(Err(unharmed(problem)));
                return Ok(After::Stays);
            }
            None => {
                tell(Err(stopping()));
                return Ok(After::Stops);
            }
        };
        let Some(control) = self.control.take() else {
            return Ok(After::Stays);
        };
        let before = json!({ "version": env!("CARGO_PKG_VERSION") });
        let after = json!({ "name": binary, "version": version });
        let noted = match audit::entry(&by, "host.upgrade", "host", Some(before), Some(after)) {
            Ok(entry) => control.store.commit(entry).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            self.control = Some(control);
            tell(Err(unharmed(stored(error))));
            return Ok(After::Stays);
        }

        info!("upgrading to {}, version {version}", binary.display());
        let began = Instant::now();
        let store = control.close(&self.base, DRAIN).await;
        if let Err(store) = store.release(RELEASE).await {
            self.control = Some(Control::open(&self.base, store).await?);
            let message = "something that was begun before still uses the store";
            let problem =
                Problem::new(Code::Busy, message).hint("nothing was changed; try again in a moment");
            tell(Err(problem));
            return Ok(After::Stays);
        }
        let start = Successor::start(&binary, &words, &self.doors, &self.predecessors);
        match self.ends.unless_stopped(start).await {
            Some(Ok(successor)) => {
                tell_systemd(successor.pid);
                tell(Ok(Upgraded {
                    version,
                    pid: successor.pid,
                    paused_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                }));
                Ok(After::Leaves(successor))
            }
            Some(Err(problem)) => {
                self.take_back().await?;
                tell(Err(unharmed(problem)));
                Ok(After::Stays)
            }
            None => {
                tell(Err(stopping()));
                Ok(After::Stops)
            }
        }
    }

    /// Opens again what was closed.
    async fn take_back(&mut self) -> Result<(), Problem> {
        let deadline = Instant::now() + REOPEN;
        let store = loop {
            match open_store(&self.folders.store).await {
                // The new one may take a moment to die.
                Err(problem) if problem.code() == Code::Busy && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                other => break other?,
            }
        };
        self.control = Some(Control::open(&self.base, store).await?);
        Ok(())
    }

    /// Finishes the connections that there are, and nothing else.
    pub(super) async fn leave(self, mut successor: Successor) {
        // Only how it is listed.
        let _ = nix::sys::prctl::set_name(LEAVING);
        let Self {
            mut ends,
            base,
            front,
            doors,
            wishes,
            predecessors,
            ..
        } = self;
        // One orders certificates at a time.
        base.ordering.drain(Duration::from_secs(2)).await;
        // The new one has them all; were it to end, nobody should wait in a queue that nobody looks at.
        drop((doors, base.api, wishes, predecessors));
        let bound = base.config.drain;
        info!(
            "leaving: connections that there are may go on for {} minutes",
            bound.as_secs() / 60
        );
        let stop = CancellationToken::new();
        let told = async {
            tokio::select! {
                () = successor.stopped() => {}
                () = async { while !matches!(ends.next().await, End::Stop) {} } => {}
            }
            stop.cancel();
            tokio::time::sleep(DRAIN).await;
        };
        let finished = async {
            tokio::join!(
                front.leave(bound, stop.cancelled(), DRAIN),
                base.tasks.drain(bound)
            )
        };
        tokio::select! {
            () = told => {}
            ((), ()) = finished => {}
        }
        info!("left");
    }
}

/// From now on systemd watches over the new process (`sd_notify(3)`).
fn tell_systemd(pid: i32) {
    if let Ok(pid) = u32::try_from(pid) {
        say_to_systemd(&[sd_notify::NotifyState::MainPid(pid)]);
    }
}

/// The file from which this program was started, by its name: another one may be there since.
fn own_file() -> io::Result<PathBuf> {
    let file = std::fs::read_link(paths::EXECUTABLE)?;
    Ok(still_named(&file))
}

fn still_named(file: &Path) -> PathBuf {
    // The kernel says so of a file that was replaced (`proc_pid_exe(5)`).
    match file.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(name) => name.into(),
        None => file.to_owned(),
    }
}

/// Asks a program whether it is a Redhold that would start here; its version.
async fn check(binary: &Path, words: &[OsString]) -> Result<String, Problem> {
    let version = ask(binary, &["--version".into()]).await?;
    let Some(number) = version.trim().strip_prefix("redhold ") else {
        let message = format!(
            "{} is no redhold: to `--version` it says `{}`",
            binary.display(),
            short(&version)
        );
        return Err(Problem::new(Code::Usage, message));
    };
    let number = short(number);
    let words: Vec<OsString> = words.iter().cloned().chain(["--check".into()]).collect();
    ask(binary, &words).await?;
    Ok(number)
}

/// What a program says when it is called like this; an error when it does not succeed.
async fn ask(binary: &Path, words: &[OsString]) -> Result<String, Problem> {
    let called = format!("`{} {}`", binary.display(), shown(words));
    let cannot = |error: io::Error| {
        Problem::new(Code::Usage, format!("{} cannot be executed", binary.display())).because(error)
    };
    let mut child = tokio::process::Command::new(binary)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let answered = async {
        let (said, complained) = tokio::join!(beginning(out), beginning(err));
        Ok((child.wait().await?, said?, complained?))
    };
    let (status, said, complained) = tokio::time::timeout(QUESTION, answered)
        .await
        .map_err(|_| {
            let message = format!("{called} does not end within {} seconds", QUESTION.as_secs());
            Problem::new(Code::Usage, message)
        })?
        .map_err(cannot)?;
    if status.success() {
        return Ok(said);
    }
    let why = [complained, said]
        .into_iter()
        .find(|text| !text.trim().is_empty());
    let why = why.map_or_else(|| "nothing".to_owned(), |text| format!("`{}`", short(&text)));
    let message = format!("{called} fails with {status} and says {why}");
    Err(Problem::new(Code::Usage, message))
}

/// What comes out of a pipe, as far as anybody wants to read it.
async fn beginning(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(ANSWER).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A stranger's words on one line, without what could play with a terminal.
fn short(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .join(" ")
        .chars()
        .filter(|letter| !letter.is_control())
        .take(400)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_replaced_is_looked_for_by_its_name() {
        for (link, expected) in [
            ("/usr/bin/redhold", "/usr/bin/redhold"),
            ("/usr/bin/redhold (deleted)", "/usr/bin/redhold"),
        ] {
            assert_eq!(still_named(Path::new(link)), Path::new(expected));
        }
    }

    #[test]
    fn a_strangers_words_are_made_harmless() {
        assert_eq!(short("no\x1b[2J \n\n way\u{7}"), "no[2J way");
        assert_eq!(short(&"x".repeat(10_000)).len(), 400);
    }
}
