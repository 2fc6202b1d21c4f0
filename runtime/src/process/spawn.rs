//! Starts the keeper of an instance and waits for its word.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use super::running::Running;
use crate::error::StartError;
use crate::launch::{Answer, KEEPER, hand_over, read_answer};
use crate::spec::InstanceSpec;

/// What the program gets beside its output pipes.
#[derive(Debug, Default)]
pub struct Descriptors {
    /// A listening unix socket, as descriptor 3.
    pub listener: Option<OwnedFd>,
}

/// Starts an instance: a plain execution of `<executable> keeper`, because a process with threads cannot safely run
/// code between fork and execution. Returns when the program runs; blocks for some milliseconds.
///
/// From then on the instance depends neither on the caller nor on its life.
///
/// # Errors
/// The step that failed and on what; nothing is left of the instance then.
pub fn spawn(
    executable: &Path,
    spec: &InstanceSpec,
    descriptors: Descriptors,
) -> Result<Running, StartError> {
    let (mut here, there) = UnixStream::pair().map_err(StartError::Talk)?;
    let mut child = Command::new(executable)
        .arg(KEEPER)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(there)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| StartError::Execute {
            path: executable.to_owned(),
            source,
        })?;
    let sent = hand_over(&mut here, spec, descriptors.listener.as_ref().map(AsFd::as_fd));
    drop(descriptors);
    // The keeper leaves by a fork at once, so this does not wait for the instance.
    child.wait().map_err(StartError::Talk)?;
    let answer = match sent {
        Ok(()) => read_answer(&mut here).map_err(StartError::Talk)?,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => None,
        Err(error) => return Err(StartError::Talk(error)),
    };
    match answer {
        Some(Answer::Started(record)) => Ok(Running::new(*record, spec.run_dir.clone())),
        Some(Answer::Failed(failure)) => Err(StartError::Step(failure.into())),
        None => Err(StartError::Silent {
            path: executable.to_owned(),
        }),
    }
}
