//! What can go wrong with starting and finding instances: which step, on what, and why.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One step of building a sandbox that failed, wherever it ran.
#[derive(Debug, Error)]
#[error("cannot {step}{}{on}", if on.is_empty() { "" } else { ": " })]
pub struct StepError {
    /// What was being done, as it stands after "cannot".
    pub step: Cow<'static, str>,
    /// The path or name it was done to; empty where there is none.
    pub on: String,
    /// The kernel's answer, or what was found instead of what was expected.
    #[source]
    pub cause: io::Error,
}

/// [`StepError`] on its way from the keeper or from inside the sandbox to the caller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    step: String,
    path: String,
    errno: Option<i32>,
    message: String,
}

/// An instance that was not started. Nothing of it is left behind.
#[derive(Debug, Error)]
pub enum StartError {
    /// The keeper could not be executed.
    #[error("cannot execute {} as the keeper of the instance", .path.display())]
    Execute {
        /// What was to be executed.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The keeper and the caller could not talk.
    #[error("cannot talk to the keeper of the instance")]
    Talk(#[source] io::Error),
    /// The keeper ended without saying why: it was killed, or `path` is not this program.
    #[error("{} ended without answering as the keeper of the instance", .path.display())]
    Silent {
        /// What was executed.
        path: PathBuf,
    },
    /// A step of building the sandbox failed.
    #[error("the sandbox of the instance could not be built")]
    Step(#[from] StepError),
}

/// A run directory whose records cannot be understood.
#[derive(Debug, Error)]
#[error("cannot read {}", .path.display())]
pub struct AdoptError {
    /// The record.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: io::Error,
}

/// A request to a keeper that was not answered, or not with consent.
#[derive(Debug, Error)]
pub enum RequestError {
    /// No keeper answers: it has ended, and so has the instance, or its end can be learned by adopting.
    #[error("the keeper of {id} does not answer")]
    Gone {
        /// The instance.
        id: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The keeper refused.
    #[error("the keeper of {id} refused: {message}")]
    Refused {
        /// The instance.
        id: String,
        /// Its words.
        message: String,
    },
}

/// What is not there need not go, or move: an outcome in which its absence counts as success.
///
/// # Errors
/// What `outcome` holds, unless that is `NotFound`.
pub fn or_absent(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// An error with everything that caused it, in one line.
#[must_use]
pub fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl StepError {
    pub(crate) fn new(
        step: impl Into<Cow<'static, str>>,
        on: impl Into<String>,
        cause: impl Into<io::Error>,
    ) -> Self {
        Self {
            step: step.into(),
            on: on.into(),
            cause: cause.into(),
        }
    }
}

/// Names the step in which something failed.
pub(crate) trait During<T> {
    /// A step that concerns no path.
    fn during(self, step: &'static str) -> Result<T, StepError>;
    /// A step on a path.
    fn during_on(self, step: &'static str, path: &Path) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: &'static str) -> Result<T, StepError> {
        self.map_err(|cause| StepError::new(step, "", cause))
    }

    fn during_on(self, step: &'static str, path: &Path) -> Result<T, StepError> {
        self.map_err(|cause| StepError::new(step, path.display().to_string(), cause))
    }
}

impl From<&StepError> for Failure {
    fn from(error: &StepError) -> Self {
        Self {
            step: error.step.to_string(),
            path: error.on.clone(),
            errno: error.cause.raw_os_error(),
            message: error.cause.to_string(),
        }
    }
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        let cause = match failure.errno {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::other(failure.message),
        };
        Self::new(failure.step, failure.path, cause)
    }
}
