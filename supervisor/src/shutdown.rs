//! What asks for the end, tasks with an owner, and an end with a deadline.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
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

/// Tasks with an owner: none outlives its end, none is forgotten. Clones share them.
#[derive(Clone, Debug)]
pub struct Tasks {
    set: Arc<Mutex<Set>>,
    stop: Arc<watch::Sender<bool>>,
}

#[derive(Debug, Default)]
struct Set {
    running: JoinSet<()>,
    /// Nothing begins any more.
    over: bool,
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
    /// Starts a task that ends by itself, or when it hears of the end. After the end nothing is started.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set();
        while set.running.try_join_next().is_some() {}
        if !set.over {
            set.running.spawn(task);
        }
    }

    /// Runs something that must not end half-way when whoever waits for it goes away; nothing when it was broken off,
    /// or not begun, because of the end.
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
        let broken_off = self.end(tokio::time::sleep(grace)).await;
        if broken_off > 0 {
            warn!("{broken_off} tasks did not end in time and are broken off");
        }
    }

    /// Waits for every task, also for those that are started meanwhile, and breaks off what is left when `enough` is
    /// over; how many those were. Nobody is told.
    pub async fn end(&self, enough: impl Future<Output = ()>) -> usize {
        tokio::select! {
            // One that has nothing to wait for breaks nothing off.
            biased;
            () = poll_fn(|context| self.poll_ended(context)) => 0,
            () = enough => {
                let left = self.abort();
                poll_fn(|context| self.poll_ended(context)).await;
                left
            }
        }
    }

    /// Breaks everything off; how many those were.
    pub fn abort(&self) -> usize {
        let mut set = self.set();
        set.over = true;
        set.running.abort_all();
        set.running.len()
    }

    /// Ready when every task has ended, and no other begins.
    fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut set = self.set();
        while ready!(set.running.poll_join_next(context)).is_some() {}
        set.over = true;
        Poll::Ready(())
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_begins_while_others_end_ends_as_well() {
        let tasks = Tasks::default();
        let (late, mut told) = tokio::sync::mpsc::channel(1);
        let of = tasks.clone();
        tasks.spawn(async move {
            of.ending().await;
            let work = async move {
                tokio::task::yield_now().await;
                late.send(()).await.ok();
            };
            // Whoever asked for it does not wait for it.
            of.spawn(work);
        });
        tasks.drain(Duration::from_secs(120)).await;
        assert_eq!(told.recv().await, Some(()));
        assert_eq!(tasks.finish(async {}).await, None, "nothing begins after the end");
    }

    #[tokio::test]
    async fn what_does_not_end_is_broken_off_and_counted() {
        let tasks = Tasks::default();
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        tasks.spawn(async {});
        tokio::task::yield_now().await;
        assert_eq!(tasks.end(std::future::ready(())).await, 1);
        dropped.await.expect_err("what it held is dropped with it");
    }
}
