//! Exercises closures in a process of its own, which is worth nothing: whoever breaks out of the engine finds himself in
//! a process without files, network and privileges that ends after one closure.
//!
//! [`serve`] is the worker's side; it expects that its caller has locked the process up. [`Client`] is the parent's side.
//! A worker that dies, hangs or talks nonsense is an error, and an error is never a good verdict.

mod wire;

use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::closure::Closure;
use crate::engine::Engine;
use crate::exercise::{Observations, Profile, exercise};
use wire::{MOST_ANSWERED, read_frame, read_request, write_frame, write_request};

pub use wire::WireError;

/// How long a worker that broke off may take to end.
const ENDING: Duration = Duration::from_secs(2);
/// Bytes of what a worker says about its end that are kept.
const SAID: u64 = 4096;

/// What a worker answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    /// What was seen.
    Seen(Observations),
    /// Why nothing was.
    Failed(String),
}

/// Why a worker has no answer.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("cannot start the vetting worker: {0}")]
    Start(std::io::Error),
    /// It took too long.
    #[error("the vetting worker did not answer within {} s and was ended", .0.as_secs())]
    Hung(Duration),
    /// It ended without an answer.
    #[error("the vetting worker ended without an answer ({status}){}", last(.said))]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// The last that it said.
        said: String,
        /// What was wrong with its answer.
        #[source]
        source: WireError,
    },
    /// It said that it failed.
    #[error("the vetting worker failed: {0}")]
    Failed(String),
    /// Its end could not be awaited.
    #[error("cannot await the vetting worker: {0}")]
    Wait(std::io::Error),
}

fn last(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// Answers one request. The caller has opened the image and then given up everything else.
///
/// # Errors
/// When the request is damaged or the parent is gone.
pub fn serve(engine: &Engine, mut from: impl Read, mut to: impl Write) -> Result<(), WireError> {
    let (closure, profile) = read_request(&mut from)?;
    let answer = match exercise(engine, &closure, &profile) {
        Ok(seen) => Answer::Seen(seen),
        Err(error) => Answer::Failed(error.to_string()),
    };
    write_frame(&mut to, &answer, "the answer", MOST_ANSWERED)
}

/// The parent's side of workers.
#[derive(Clone, Debug)]
pub struct Client {
    /// How long a worker may take for one closure.
    pub patience: Duration,
}

impl Client {
    /// Has a closure exercised by a fresh worker, which the command starts. Blocks.
    ///
    /// # Errors
    /// When the worker gives no answer in time, for whatever reason. It is gone then.
    pub fn exercise(
        &self,
        mut worker: Command,
        closure: &Closure,
        profile: &Profile,
    ) -> Result<Observations, WorkerError> {
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
        let (closure, profile) = (closure.clone(), *profile);
        let writing = thread::spawn(move || {
            // A worker that does not want to hear it says why by its end.
            let _ = write_request(&mut stdin, &closure, &profile);
        });
        let (say, heard) = mpsc::channel();
        let saying = thread::spawn(move || {
            let _ = say.send(last_words(stderr));
        });
        let reading = thread::spawn(move || {
            let answer = read_frame::<Answer>(&mut stdout, "the answer", MOST_ANSWERED);
            // Nobody waits any more when the worker took too long.
            let _ = tell.send(answer);
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
            Ok(Ok(Answer::Seen(seen))) => Ok(seen),
            Ok(Ok(Answer::Failed(why))) => Err(WorkerError::Failed(why)),
            Ok(Err(source)) => Err(WorkerError::Died { status, said, source }),
            Err(RecvTimeoutError::Timeout) => Err(WorkerError::Hung(self.patience)),
            Err(RecvTimeoutError::Disconnected) => Err(WorkerError::Died {
                status,
                said,
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
