//! What starter, keeper and init say to each other while an instance starts.
//!
//! Starter to keeper: four bytes of length with the descriptors riding on them, then an [`Order`]. Keeper to starter:
//! one [`Answer`]. Inside to keeper: a line per [`Report`]; the pipe's end without a failure means that the program
//! runs, because only its execution closes the last copy.

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::record::{Level, RunRecord};
use crate::spec::InstanceSpec;
use crate::sys::descriptors::{receive, send};

/// Larger specs are a mistake: the environment alone ends at 2 MiB (`execve(2)`).
const LARGEST: u32 = 4 << 20;

/// What the keeper is to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) spec: InstanceSpec,
    /// Whether the one descriptor is the listener.
    pub(crate) listener: bool,
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Started(Box<RunRecord>),
    Failed(Failure),
}

/// What is heard from inside before the program runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Report {
    Level(Level),
    Failed(Failure),
}

/// What init says when the program has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// Processor time of everything inside that was waited for, in microseconds.
    pub(crate) cpu_us: Option<u64>,
}

/// Sends the order.
///
/// # Errors
/// The kernel's: `EPIPE` when the keeper is gone.
pub(crate) fn hand_over(
    keeper: &mut UnixStream,
    spec: &InstanceSpec,
    listener: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Borrowed<'spec> {
        spec: &'spec InstanceSpec,
        listener: bool,
    }
    let text = serde_json::to_vec(&Borrowed {
        spec,
        listener: listener.is_some(),
    })?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    let descriptors: Vec<BorrowedFd<'_>> = listener.into_iter().collect();
    if send(keeper, &length.to_be_bytes(), &descriptors)? != 4 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    keeper.write_all(&text)
}

/// Receives the order, and the listener where there is one.
///
/// # Errors
/// The kernel's, or when the starter ends before it has said everything.
pub(crate) fn take_order(starter: &mut UnixStream) -> io::Result<(Order, Option<OwnedFd>)> {
    let mut length = [0; 4];
    let (count, descriptors) = receive(starter, &mut length)?;
    starter.read_exact(length.get_mut(count..).unwrap_or_default())?;
    let length = u32::from_be_bytes(length);
    if length > LARGEST {
        return Err(io::Error::other("the spec is too large"));
    }
    let mut text = vec![0; length as usize];
    starter.read_exact(&mut text)?;
    let order: Order = serde_json::from_slice(&text)?;
    let listener = descriptors.into_iter().next();
    if order.listener != listener.is_some() {
        return Err(io::Error::other("the listener did not arrive with the spec"));
    }
    Ok((order, listener))
}

/// Waits for the answer; `None` when the keeper ended without one.
///
/// # Errors
/// The kernel's, or an answer that cannot be understood.
pub(crate) fn read_answer(keeper: &mut UnixStream) -> io::Result<Option<Answer>> {
    let mut text = Vec::new();
    match keeper.read_to_end(&mut text) {
        Ok(_) if text.is_empty() => Ok(None),
        Ok(_) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_that_ends_early_is_no_answer() -> io::Result<()> {
        let (mut here, there) = UnixStream::pair()?;
        drop(there);
        assert!(read_answer(&mut here)?.is_none());
        Ok(())
    }

    #[test]
    fn a_starter_that_ends_early_is_no_order() -> io::Result<()> {
        let (mut here, mut there) = UnixStream::pair()?;
        there.write_all(&100u32.to_be_bytes())?;
        there.write_all(b"{")?;
        drop(there);
        assert!(take_order(&mut here).is_err());
        Ok(())
    }
}
