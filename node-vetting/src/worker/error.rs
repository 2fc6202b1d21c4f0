//! Why a worker has no answer, and whose doing it is.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use thiserror::Error;

use super::wire::WireError;

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
        /// What it was reading, as a path below the user directory, where it is known.
        at: Option<String>,
        /// What was wrong with its answer.
        #[source]
        source: WireError,
    },
    /// It said that it failed.
    #[error("the vetting worker failed: {0}")]
    Failed(String),
    /// There is more to say than anybody takes.
    #[error("the vetting worker had an answer of {0} bytes, which is too long")]
    TooMuch(u64),
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

impl WorkerError {
    /// Where in the closure the fault is, as a path below the user directory, as far as it is known.
    #[must_use]
    pub fn at(&self) -> Option<&str> {
        match self {
            Self::Died { at, .. } => at.as_deref(),
            _ => None,
        }
    }

    /// What the package did to the worker, where it is the package's doing: the same package does it again. None where
    /// it can be the host's: a worker that cannot start, or that somebody else ended.
    #[must_use]
    pub fn of_the_package(&self) -> Option<String> {
        match self {
            Self::Hung(patience) => Some(format!("it took more than {} s", patience.as_secs())),
            Self::TooMuch(_) => Some("there is too much to say of it".to_owned()),
            Self::Died { status, said, .. } => fault(*status, said),
            Self::Start(_) | Self::Failed(_) | Self::Wait(_) => None,
        }
    }
}

/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// Words that do not depend on where and when it happened: the same bytes have the same report.
fn fault(status: ExitStatus, said: &str) -> Option<String> {
    if said.contains("overflowed its stack") {
        return Some("it took more stack than there is".to_owned());
    }
    // So says Rust, and so the parser's own allocator.
    if said.contains("memory allocation of") || said.contains("out of memory") {
        return Some("it took more memory than there is".to_owned());
    }
    if status.code() == Some(PANICKED) {
        return Some("the reader met what it did not expect".to_owned());
    }
    let signal = Signal::try_from(status.signal()?).ok()?;
    let faults = [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGABRT,
        Signal::SIGILL,
        Signal::SIGFPE,
        Signal::SIGTRAP,
        Signal::SIGSYS,
    ];
    faults
        .contains(&signal)
        .then(|| format!("it ended its process by {signal}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn died(raw: i32, said: &str) -> Option<String> {
        let error = WorkerError::Died {
            status: ExitStatus::from_raw(raw),
            said: said.to_owned(),
            at: None,
            source: std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into(),
        };
        error.of_the_package()
    }

    #[test]
    fn a_package_answers_for_faults_and_not_for_the_host() {
        let stack = died(Signal::SIGABRT as i32, "thread 'x' (7) has overflowed its stack");
        assert_eq!(stack.as_deref(), Some("it took more stack than there is"));
        let memory = died(Signal::SIGABRT as i32, "memory allocation of 99 bytes failed");
        assert_eq!(memory.as_deref(), Some("it took more memory than there is"));
        let arena = died(
            Signal::SIGABRT as i32,
            "thread 'x' panicked at a.rs:1:1:\nout of memory",
        );
        assert_eq!(arena, memory);
        assert!(died(Signal::SIGSEGV as i32, "").is_some());
        assert!(died(PANICKED << 8, "panicked").is_some());
        // The kernel that is out of memory, an operator, an image that is not there.
        assert_eq!(died(Signal::SIGKILL as i32, ""), None);
        assert_eq!(died(Signal::SIGTERM as i32, ""), None);
        assert_eq!(died(1 << 8, "no image"), None);
        assert_eq!(WorkerError::Failed("no engine".to_owned()).of_the_package(), None);
        assert!(
            WorkerError::Hung(Duration::from_secs(1))
                .of_the_package()
                .is_some()
        );
        assert!(WorkerError::TooMuch(1).of_the_package().is_some());
    }
}
