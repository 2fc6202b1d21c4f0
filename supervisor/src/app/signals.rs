//! What reaches a host from outside its interface: signals; and what it says to systemd.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind};
use tracing::warn;

use crate::problem::Problem;
use crate::shutdown::{Tasks, caught};

/// What ends, or renews, a host.
pub(super) struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    user: Signal,
}

pub(super) enum End {
    Stop,
    Reload,
    Upgrade,
}

impl Ends {
    pub(super) fn catch() -> Result<Self, Problem> {
        Ok(Self {
            interrupt: caught(SignalKind::interrupt())?,
            terminate: caught(SignalKind::terminate())?,
            hangup: caught(SignalKind::hangup())?,
            user: caught(SignalKind::user_defined2())?,
        })
    }

    pub(super) async fn next(&mut self) -> End {
        tokio::select! {
            _ = self.interrupt.recv() => End::Stop,
            _ = self.terminate.recv() => End::Stop,
            _ = self.hangup.recv() => End::Reload,
            _ = self.user.recv() => End::Upgrade,
        }
    }

    /// The outcome of some work, or `None` when the host is told to stop before it is done.
    pub(super) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                end = self.next() => if matches!(end, End::Stop) {
                    return None;
                },
            }
        }
    }
}

/// Where there is no systemd, nobody hears it.
pub(super) fn say_to_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        warn!(%error, "systemd could not be told");
    }
}

/// How often systemd wants to hear that the event loop turns.
pub(super) fn watched() -> Option<Duration> {
    let mut micros = 0;
    sd_notify::watchdog_enabled(false, &mut micros).then(|| Duration::from_micros(micros))
}

/// Tells systemd that the event loop turns, twice in this time.
pub(super) fn watchdog(tasks: &Tasks, within: Option<Duration>) {
    let Some(within) = within else { return };
    let ending = tasks.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(within / 2) => say_to_systemd(&[sd_notify::NotifyState::Watchdog]),
                () = ending.ending() => return,
            }
        }
    });
}
