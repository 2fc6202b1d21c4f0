//! Reads and exercises closures in processes of their own, which are worth nothing: whoever breaks out of the parser or
//! the engine finds himself in a process without files, network and privileges that ends after one closure.
//!
//! Files go over a pipe from where they are, so the only copy is the worker's, and its limit of memory holds for it.
//! Archives and documents of registries are still unpacked by the parent: they decide what there is to send. That is
//! done by streams and plain JSON, with limits on sizes, counts and depths ([`package::LIMITS`](crate::package::LIMITS),
//! [`resolve::Limits`](crate::resolve::Limits)).
//!
//! [`read`] and [`exercise()`] are the worker's side, one for each half; they expect that their caller has locked the
//! process up. [`Client`] is the parent's side, which never looks into a package itself. A worker that dies, hangs or
//! talks nonsense is an error, and an error is never a good verdict; [`WorkerError::of_the_package`] says when it is the
//! package that brought it down.

mod error;
mod wire;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::panic;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::analysis::{Findings, Means, Told, analyse_with};
use crate::closure::Closure;
use crate::engine::Engine;
use crate::exercise::{self, Observations, Profile};
use crate::resolve::Listing;
use wire::{MOST_ANSWERED, read_frame, read_request, write_frame, write_request};

pub use error::WorkerError;
pub use wire::WireError;

/// What registries say of the members of a closure, by `name@version`.
pub type Listings = BTreeMap<String, Listing>;

/// How long a worker that broke off may take to end.
const ENDING: Duration = Duration::from_secs(2);
/// Bytes of what a worker says about its end that are kept.
const SAID: u64 = 4096;

/// What a worker answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer<T> {
    /// What it comes to next, as a path below the user directory. Any number of these come before one of the others.
    At(String),
    /// What was asked for.
    Done(T),
    /// Why there is nothing.
    Failed(String),
    /// The answer would have so many bytes.
    TooMuch(u64),
}

/// What is to be read.
#[derive(Serialize, Deserialize)]
struct Reading {
    listings: Listings,
    means: Means,
}

/// Answers one request for the static half of a closure. The caller has given up everything but the pipes. A panic in
/// any thread ends the process from here on.
///
/// # Errors
/// When the request is damaged or the parent is gone.
pub fn read(from: impl Read, to: impl Write + Send + 'static) -> Result<(), WireError> {
    // The parser panics when there is no more memory. Without the file at hand the same bytes would not give the same
    // findings, so that is the end, as any other want of memory is.
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        print(info);
        std::process::abort();
    }));
    let to = Arc::new(Mutex::new(to));
    let told: Told = {
        let to = to.clone();
        Arc::new(move |place| {
            let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
            // Without a parent the end comes by itself.
            let _ = answer(&mut *to, &Answer::<Findings>::At(place.to_owned()));
        })
    };
    let (closure, Reading { listings, means }) = read_request(&mut { from })?;
    let findings = analyse_with(&closure, &listings, means, &told);
    let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
    answer(&mut *to, &Answer::Done(findings))
}

/// Answers one request to exercise a closure. The caller has opened the image and then given up everything else.
///
/// # Errors
/// When the request is damaged or the parent is gone.
pub fn exercise(engine: &Engine, from: impl Read, to: impl Write) -> Result<(), WireError> {
    let (closure, profile): (_, Profile) = read_request(&mut { from })?;
    let seen = match exercise::exercise(engine, &closure, &profile) {
        Ok(seen) => Answer::Done(seen),
        Err(error) => Answer::Failed(error.to_string()),
    };
    answer(&mut { to }, &seen)
}

fn answer<T: Serialize>(to: &mut impl Write, said: &Answer<T>) -> Result<(), WireError> {
    match write_frame(to, said, "the answer", MOST_ANSWERED) {
        Err(WireError::TooLong { got, .. }) => {
            write_frame(to, &Answer::<T>::TooMuch(got), "the answer", MOST_ANSWERED)
        }
        written => written,
    }
}

/// The parent's side of workers.
#[derive(Clone, Debug)]
pub struct Client {
    /// How long a worker may take for one closure.
    pub patience: Duration,
}

impl Client {
    /// Has the static half of a closure read by a fresh worker, which the command starts. Blocks.
    ///
    /// Files are read several at a time, and which ones are in memory together depends on chance. So a worker that a
    /// package brings down is followed by one that reads file by file: what is enough for each of them is enough, and
    /// otherwise the file at fault is known, the same each time.
    ///
    /// # Errors
    /// When the worker gives no answer in time, for whatever reason. It is gone then.
    pub fn read(
        &self,
        worker: impl Fn() -> std::io::Result<Command>,
        closure: &Closure,
        listings: &Listings,
        means: Means,
    ) -> Result<Findings, WorkerError> {
        let read = |means| {
            let command = worker().map_err(WorkerError::Start)?;
            let listings = listings.clone();
            self.ask(command, closure, Reading { listings, means })
        };
        match read(means) {
            Err(error @ WorkerError::Died { .. }) if error.of_the_package().is_some() => {
                read(Means { threads: 1, ..means })
            }
            answer => answer,
        }
    }

    /// Has a closure exercised by a fresh worker, which the command starts. Blocks.
    ///
    /// # Errors
    /// When the worker gives no answer in time, for whatever reason. It is gone then.
    pub fn exercise(
        &self,
        worker: Command,
        closure: &Closure,
        profile: &Profile,
    ) -> Result<Observations, WorkerError> {
        self.ask(worker, closure, *profile)
    }

    fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        mut worker: Command,
        closure: &Closure,
        errand: impl Serialize + Send + 'static,
    ) -> Result<T, WorkerError> {
        let mut child = worker
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(WorkerError::Start)?;
        let (Some(mut stdin), Some(mut stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(WorkerError::Start(std::io::ErrorKind::BrokenPipe.into()));
        };
        let (tell, told) = mpsc::channel();
        // Bytes are shared, so a copy of the closure is small; the threads end with the pipes, and those with the worker.
        let closure = closure.clone();
        let writing = thread::spawn(move || {
            // A worker that does not want to hear it says why by its end.
            let _ = write_request(&mut stdin, &closure, &errand);
        });
        let (say, heard) = mpsc::channel();
        let saying = thread::spawn(move || {
            let _ = say.send(last_words(stderr));
        });
        let reading = thread::spawn(move || {
            let mut at = None;
            let answer = loop {
                match read_frame::<Answer<T>>(&mut stdout, "the answer", MOST_ANSWERED) {
                    Ok(Answer::At(place)) => at = Some(place),
                    answer => break answer,
                }
            };
            // Nobody waits any more when the worker took too long.
            let _ = tell.send(answer.map_err(|source| (source, at)));
        });
        let answer = told.recv_timeout(self.patience);
        // One that broke off is about to end, and how it ends is worth knowing.
        let said = match &answer {
            Ok(Err(_)) => heard.recv_timeout(ENDING).unwrap_or_default(),
            _ => String::new(),
        };
        // Whatever it is still doing is of no use to anybody.
        let _ = child.kill();
        let status = child.wait().map_err(WorkerError::Wait)?;
        for thread in [writing, reading, saying] {
            let _ = thread.join();
        }
        match answer {
            Ok(Ok(Answer::Done(done))) => Ok(done),
            Ok(Ok(Answer::Failed(why))) => Err(WorkerError::Failed(why)),
            Ok(Ok(Answer::TooMuch(bytes))) => Err(WorkerError::TooMuch(bytes)),
            Ok(Ok(Answer::At(_))) => unreachable!("these are passed over"),
            Ok(Err((source, at))) => Err(WorkerError::Died {
                status,
                said,
                at,
                source,
            }),
            Err(RecvTimeoutError::Timeout) => Err(WorkerError::Hung(self.patience)),
            Err(RecvTimeoutError::Disconnected) => Err(WorkerError::Died {
                status,
                said,
                at: None,
                source: std::io::Error::from(std::io::ErrorKind::BrokenPipe).into(),
            }),
        }
    }
}

/// The beginning of what a worker says; the rest is taken and dropped, so that it never blocks.
fn last_words(mut from: impl Read) -> String {
    let mut said = Vec::new();
    let _ = (&mut from).take(SAID).read_to_end(&mut said);
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    String::from_utf8_lossy(&said).into_owned()
}
