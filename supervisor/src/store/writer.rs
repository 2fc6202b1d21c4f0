//! The one thread that writes: judges conditions, makes groups of changes durable, then applies and announces them.
//!
//! After a write of which nobody knows what is on the disk, nothing is promised until everything was written once
//! more, elsewhere: a checkpoint of what was acknowledged, and a new segment behind it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, oneshot, watch};
use tracing::{error, info, warn};

use super::batch::{Batch, Change, Commit, Digest, Line};
use super::error::StoreError;
use super::index::{Index, State};
use super::journal::checkpoint::{self, Records};
use super::journal::frame;
use super::open::Opened;
use crate::problem::{Code, Problem};

/// Size of a segment, in bytes, after which a checkpoint is made and the next one begins.
const SEGMENT: u64 = 16 << 20;

/// Changes that are made durable together at most.
const GROUP: usize = 512;

/// Least time between two tries to get over a disk that failed.
const AGAIN: Duration = Duration::from_secs(1);

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked.
pub(super) enum Order {
    Commit(Batch, Answer<u64>),
    /// Everything at one moment, with the change it is after.
    Dump(Answer<(u64, Records)>),
    /// Make a checkpoint now.
    Checkpoint(Answer<u64>),
}

/// The thread and the way to it.
#[derive(Debug)]
pub(super) struct Writer {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    refusing: watch::Receiver<Option<String>>,
}

impl Writer {
    pub(super) fn start(opened: Opened, changes: broadcast::Sender<Arc<Commit>>) -> Result<Self, StoreError> {
        let (orders, received) = channel();
        let (refused, refusing) = watch::channel(None);
        let work = Work {
            opened,
            changes,
            failed: None,
            refused,
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || work.run(&received))
            .map_err(StoreError::file("start the writer of", "the store"))?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
            refusing,
        })
    }

    /// Why changes are refused, live; `None` while they are taken.
    pub(super) fn refusing(&self) -> watch::Receiver<Option<String>> {
        self.refusing.clone()
    }

    pub(super) fn ask<T>(
        &self,
        order: impl FnOnce(Answer<T>) -> Order,
    ) -> oneshot::Receiver<Result<T, StoreError>> {
        let (answer, answered) = oneshot::channel();
        if let Some(orders) = &self.orders {
            // A writer that is gone drops the answer, which the receiver sees.
            let _ = orders.send(order(answer));
        }
        answered
    }
}

/// Ends when everything that was asked is done.
impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    opened: Opened,
    changes: broadcast::Sender<Arc<Commit>>,
    /// Why nothing is written, and when that was last to be mended.
    failed: Option<(String, Instant)>,
    /// The same, for whoever wants to know.
    refused: watch::Sender<Option<String>>,
}

/// Changes on their way to the disk together.
#[derive(Default)]
struct Group {
    lines: Vec<u8>,
    commits: Vec<(Commit, Digest, Answer<u64>)>,
    /// What they change: the value, with its revision, or nothing.
    pending: HashMap<String, Option<(u64, String)>>,
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut next = orders.recv().ok();
        while let Some(order) = next.take() {
            self.recover();
            let mut group = Group::default();
            let mut after = self.take(order, &mut group);
            while after.is_none() && group.commits.len() < GROUP {
                let Ok(order) = orders.try_recv() else { break };
                after = self.take(order, &mut group);
            }
            self.write(group);
            if let Some(order) = after {
                self.other(order);
            }
            self.roll();
            next = orders.recv().ok();
        }
        if let Err(error) = self.opened.index.flush() {
            warn!(%error, "the store's index was not written out; it is made again at the next start");
        }
    }

    /// From now on nothing is promised.
    fn fail(&mut self, why: String) {
        self.refused.send_replace(Some(why.clone()));
        self.failed = Some((why, Instant::now()));
    }

    /// After a failed write: everything that was acknowledged once more, where nothing has failed yet.
    fn recover(&mut self) {
        if !matches!(&self.failed, Some((_, at)) if at.elapsed() >= AGAIN) {
            return;
        }
        match self.checkpoint() {
            Ok(applied) => {
                info!(
                    applied,
                    "the disk takes writes again: the store has written everything anew and goes on"
                );
                self.failed = None;
                self.refused.send_replace(None);
            }
            Err(error) => self.fail(cause(error)),
        }
    }

    /// Takes a change into the group; anything else is given back, to be done after it.
    fn take(&mut self, order: Order, group: &mut Group) -> Option<Order> {
        match order {
            Order::Commit(batch, answer) => {
                match self.judge(&batch, group) {
                    Ok(digest) => {
                        let commit = Commit {
                            sequence: self.next(group),
                            changes: batch.changes,
                        };
                        group.commits.push((commit, digest, answer));
                    }
                    // Nobody may be waiting any more.
                    Err(error) => drop(answer.send(Err(error))),
                }
                None
            }
            other => Some(other),
        }
    }

    /// Checks the conditions of a batch and writes its line into the group.
    fn judge(&self, batch: &Batch, group: &mut Group) -> Result<Digest, StoreError> {
        if let Some((why, _)) = &self.failed {
            return Err(StoreError::Failed(why.clone()));
        }
        for (key, revision) in &batch.conditions {
            let now = self.current(group, key)?.map_or(0, |(revision, _)| revision);
            if now != *revision {
                return Err(StoreError::Conflict {
                    key: key.clone(),
                    now,
                });
            }
        }
        let mut digest = group
            .commits
            .last()
            .map_or(self.opened.state.digest, |(_, digest, _)| *digest);
        let sequence = self.next(group);
        let mut pending: HashMap<String, Option<(u64, String)>> = HashMap::new();
        for Change { key, value } in &batch.changes {
            let before = match pending.get(key) {
                Some(value) => value.clone(),
                None => self.current(group, key)?,
            };
            if let Some((revision, text)) = before {
                digest.toggle(key, revision, &text);
            }
            let value = value.as_ref().map(|value| (sequence, value.get().to_owned()));
            if let Some((revision, text)) = &value {
                digest.toggle(key, *revision, text);
            }
            pending.insert(key.clone(), value);
        }
        let line = Line {
            group: self.opened.state.applied + 1,
            digest,
            changes: batch
                .changes
                .iter()
                .map(|change| (change.key.clone(), change.value.as_deref()))
                .collect(),
        };
        let payload = serde_json::to_vec(&line).map_err(|error| StoreError::Record {
            key: batch
                .changes
                .first()
                .map_or_else(String::new, |change| change.key.clone()),
            reason: error.to_string(),
        })?;
        if payload.len() > frame::LARGEST {
            return Err(StoreError::TooLarge(payload.len()));
        }
        frame::write(&mut group.lines, sequence, &payload);
        group.pending.extend(pending);
        Ok(digest)
    }

    /// Number of the change after those in the group.
    fn next(&self, group: &Group) -> u64 {
        self.opened.state.applied + group.commits.len() as u64 + 1
    }

    fn current(&self, group: &Group, key: &str) -> Result<Option<(u64, String)>, StoreError> {
        if let Some(value) = group.pending.get(key) {
            return Ok(value.clone());
        }
        let entry = self.opened.index.get(key)?;
        Ok(entry.map(|entry| (entry.revision, entry.value.get().to_owned())))
    }

    /// Makes the group durable, then visible, then acknowledged; in this order.
    fn write(&mut self, group: Group) {
        if group.commits.is_empty() {
            return;
        }
        if let Err(error) = self.opened.journal.append(&group.lines) {
            error!(
                error = &error as &dyn std::error::Error,
                "the store could not write"
            );
            if let StoreError::Failed(why) = &error {
                self.fail(why.clone());
            }
            let why = error.to_string();
            let mut first = Some(error);
            for (_, _, answer) in group.commits {
                let error = first.take().unwrap_or_else(|| StoreError::Failed(why.clone()));
                let _ = answer.send(Err(error));
            }
            return;
        }
        for (commit, digest, answer) in group.commits {
            self.opened.state = State {
                applied: commit.sequence,
                digest,
            };
            if let Err(error) = self.opened.index.apply(&commit, digest) {
                error!(%error, "the store's index failed, and the journal cannot be read");
                self.fail(cause(error));
            }
            let sequence = commit.sequence;
            let _ = self.changes.send(Arc::new(commit));
            let _ = answer.send(Ok(sequence));
        }
    }

    fn other(&mut self, order: Order) {
        match order {
            Order::Commit(..) => {}
            Order::Dump(answer) => {
                let records = self.opened.index.scan("");
                let _ = answer.send(records.map(|records| (self.opened.state.applied, records)));
            }
            Order::Checkpoint(answer) => {
                let outcome = match &self.failed {
                    Some((why, _)) => Err(StoreError::Failed(why.clone())),
                    None => self.checkpoint(),
                };
                // Nobody may be waiting any more.
                drop(answer.send(outcome));
            }
        }
    }

    fn roll(&mut self) {
        if self.failed.is_none()
            && self.opened.journal.length() > SEGMENT
            && let Err(error) = self.checkpoint()
        {
            // It grows meanwhile, and the next change tries again.
            warn!(%error, "the store could not make a checkpoint");
        }
    }

    /// Writes everything that was acknowledged into a file of its own, and begins a new segment behind it.
    fn checkpoint(&mut self) -> Result<u64, StoreError> {
        let State { applied, digest } = self.opened.state;
        let records = self.records(digest)?;
        checkpoint::write(&self.opened.folder, applied, digest, &records)?;
        if let Err(error) = self.opened.index.flush() {
            self.opened.index.stand_in(error)?;
        }
        self.opened.journal.roll(applied)?;
        Ok(applied)
    }

    /// All records, proven; from the journal when the index has other ones.
    fn records(&mut self, digest: Digest) -> Result<Records, StoreError> {
        let proven = |records: &Records| Digest::of(records) == digest;
        if let Ok(records) = self.opened.index.scan("")
            && proven(&records)
        {
            return Ok(records);
        }
        let other = || StoreError::Index("its records are not those that were written".to_owned());
        self.opened.index.stand_in(other())?;
        // The journal has what was written, and is needed to make the index again: it must not go.
        self.opened
            .index
            .scan("")
            .and_then(|records| proven(&records).then_some(records).ok_or_else(other))
    }
}

/// What is behind a failure, in a line.
fn cause(error: StoreError) -> String {
    match error {
        StoreError::Failed(why) => why,
        error => Problem::new(Code::Failed, "it cannot write everything anew")
            .because(error)
            .to_string(),
    }
}

/// Readers ask it directly.
impl Writer {
    pub(super) fn index(opened: &Opened) -> Index {
        opened.index.clone()
    }
}
