//! Reads many files at once, where a hostile one can neither blow the stack nor hold up the others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The parser descends as deep as code is nested, up to the bound that is checked before. A level takes some
/// hundred bytes of stack in a release build and some thousand in a debug build; pages that are not used cost nothing.
pub(crate) const STACK: usize = 256 << 20;
/// No real file takes a hundredth of this, nor does any that the other limits let through; this is the net below them.
const PATIENCE: Duration = Duration::from_secs(60);
/// Each may hold what is made of the largest source, so that their number bounds the memory.
const MOST_THREADS: usize = 4;
/// Threads that may be given up, because they are stuck, before the rest of the files is given up too.
const MAX_STUCK: usize = 2;

/// With what files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Means {
    /// Most files that are read at the same time; not more than the machine has processors.
    pub threads: usize,
    /// Stack for each of them, in bytes.
    pub stack: usize,
}

impl Default for Means {
    fn default() -> Self {
        Self {
            threads: MOST_THREADS,
            stack: STACK,
        }
    }
}

/// What came of one job.
pub(crate) enum Outcome<T> {
    /// It was done.
    Done(T),
    /// It took too long, or others had.
    GivenUp,
}

/// Does all jobs, in some threads, and gives what came of them in their order.
pub(crate) fn all<J, T>(
    jobs: Vec<J>,
    means: Means,
    work: impl Fn(&J) -> T + Send + Sync + 'static,
) -> Vec<Outcome<T>>
where
    J: Send + Sync + 'static,
    T: Send + 'static,
{
    let (jobs, work) = (Arc::new(jobs), Arc::new(work));
    let next = Arc::new(AtomicUsize::new(0));
    let (send, receive) = mpsc::sync_channel(64);
    let start = |send: mpsc::SyncSender<(usize, Option<T>)>| {
        let (jobs, next, work) = (jobs.clone(), next.clone(), work.clone());
        let body = move || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(at) else { return };
                if send.send((at, None)).is_err() || send.send((at, Some(work(job)))).is_err() {
                    return;
                }
            }
        };
        // Without another thread the others do the work; without any, nothing is read, which is told of every file.
        if let Err(error) = thread::Builder::new().stack_size(means.stack).spawn(body) {
            tracing::warn!(%error, "cannot start a thread to read code");
        }
    };
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(means.threads)
        .min(jobs.len());
    for _ in 0..threads {
        start(send.clone());
    }
    let mut results: Vec<Outcome<T>> = (0..jobs.len()).map(|_| Outcome::GivenUp).collect();
    let mut running: Vec<(usize, Instant)> = Vec::new();
    let (mut left, mut stuck) = (jobs.len(), 0);
    // A sender of our own is kept for threads that take the place of stuck ones.
    let spare = send;
    let mut alive = threads;
    while left > 0 && alive > 0 {
        let oldest = running.iter().map(|(_, since)| *since).min();
        let patience = oldest.map_or(PATIENCE, |since| PATIENCE.saturating_sub(since.elapsed()));
        match receive.recv_timeout(patience) {
            Ok((at, None)) => running.push((at, Instant::now())),
            Ok((at, Some(result))) => {
                running.retain(|(other, _)| *other != at);
                // What was given up counts as given up, even when it ends after all.
                if matches!(results[at], Outcome::GivenUp) {
                    results[at] = Outcome::Done(result);
                    left -= 1;
                }
            }
            Err(_) => {
                let late: Vec<usize> = running
                    .iter()
                    .filter(|(_, since)| since.elapsed() >= PATIENCE)
                    .map(|(at, _)| *at)
                    .collect();
                if late.is_empty() && oldest.is_none() {
                    // No thread could be started.
                    break;
                }
                running.retain(|(at, _)| !late.contains(at));
                stuck += late.len();
                left -= late.len();
                alive -= late.len();
                if stuck > MAX_STUCK {
                    next.store(usize::MAX / 2, Ordering::Relaxed);
                    break;
                }
                for _ in late {
                    start(spare.clone());
                    alive += 1;
                }
            }
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        let jobs: Vec<usize> = (0..1000).collect();
        let results = all(jobs, Means::default(), |job| job * 2);
        for (at, result) in results.into_iter().enumerate() {
            assert!(matches!(result, Outcome::Done(value) if value == at * 2));
        }
        assert!(all(Vec::<usize>::new(), Means::default(), |job| *job).is_empty());
    }

    #[test]
    fn the_stack_is_deep() {
        fn descend(depth: u32) -> u64 {
            let room = std::hint::black_box([u64::from(depth); 64]);
            if depth == 0 {
                0
            } else {
                descend(depth - 1) + room[5] / u64::from(depth)
            }
        }
        let results = all(vec![100_000_u32], Means::default(), |depth| descend(*depth));
        assert!(matches!(results[..], [Outcome::Done(100_000)]));
    }
}
