//! What the person, or the terminal, asks of a running `redhold dev`.

use tokio::signal::unix::{Signal, SignalKind};

use crate::problem::{Code, Problem};
use crate::shutdown::caught;

/// The signals that end it; caught from the first moment, so that none of them leaves something behind.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches them.
    pub(super) fn catch() -> Result<Self, Problem> {
        Ok(Self {
            interrupt: caught(SignalKind::interrupt())?,
            terminate: caught(SignalKind::terminate())?,
            hangup: caught(SignalKind::hangup())?,
        })
    }

    /// The next one. A closed terminal (SIGHUP) asks for the same as Ctrl-C.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// Does `work`, unless a signal comes first.
    pub(super) async fn unless<T>(
        &mut self,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        tokio::select! {
            done = work => done,
            () = self.next() => Err(Problem::new(Code::Interrupted, "stopped before Node-RED ran")),
        }
    }
}
