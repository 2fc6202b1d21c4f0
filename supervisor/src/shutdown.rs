//! What asks for the end, tasks with an owner, and an end with a deadline.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

use crate::problem::{Code, Problem};

/// Catches a signal from now on.
///
/// # Errors
/// When the kernel, or the runtime, refuses.
pub fn caught(kind: SignalKind) -> Result<Signal, Problem> {
    signal(kind).map_err(|error| Problem::new(Code::Host, "cannot catch signals").because(error))
}

/// The tasks of a host. Clones share them.
#[derive(Clone, Debug)]
pub struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
    stop: Arc<watch::Sender<bool>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            set: Arc::default(),
            stop: Arc::new(watch::channel(false).0),
        }
    }
}

impl Tasks {
    /// Starts a task that ends by itself, or when it hears of the end.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    /// Runs something that must not end half-way when whoever waits for it goes away.
    ///
    /// # Panics
    /// When `work` does.
    pub async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.spawn(async move {
            // Nobody may be waiting any more.
            let _ = answer.send(work.await);
        });
        answered.await.ok()
    }

    /// Returns when the end has begun.
    pub async fn ending(&self) {
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Tells every task, waits for them, and breaks off what is left after `grace`.
    pub async fn drain(&self, grace: Duration) {
        self.stop.send_replace(true);
        let mut set = std::mem::take(&mut *self.set.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while set.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            warn!("{} tasks did not end in time and are broken off", set.len());
            set.shutdown().await;
        }
    }
}
