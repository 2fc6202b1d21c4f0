//! One task per instance: tells the machine what happened and carries out what it answers.
//!
//! Nothing here blocks: what does is a job. Ending this task ends no instance.

mod account;
mod attempts;
mod blocked;
mod erase;
mod freeze;
mod life;
mod limits;
mod packages;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use runtime::process::Running;
use runtime::record::{Level, OomRecord};
use tokio::io::{BufReader, Lines};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use crate::instances::Shared;
use crate::instances::disk::Stage;
use crate::instances::events::Kind;
use crate::instances::figures::Account;
use crate::instances::health::Health;
use crate::instances::job::{self, Done, Served};
use crate::instances::machine::{Effect, Input, Machine, Phase};
use crate::instances::model::{Instance, Kept};
use crate::instances::npm::{Answer, Errands};
use crate::instances::observed::{Observed, Upstream};
use crate::instances::place::Place;
use crate::instances::queue::{self, Ticket};
use crate::problem::Code;
use crate::store::StoreError;
use crate::store::table::{Table, Versioned};

/// What an actor is told.
#[derive(Debug)]
pub(in crate::instances) enum Order {
    /// The record was changed.
    Record(Box<Versioned<Instance>>),
    /// A person wants it to end and start again.
    Restart { safe: bool },
    /// It is to go for good.
    Delete,
    /// Its time to be brought back may be over.
    DeleteWhenDue,
    /// A person does not want to wait for a gentle end.
    Kill,
    /// Answered when everything that was said before has been taken in.
    Sync(oneshot::Sender<()>),
}

/// The living process.
struct Life {
    running: Running,
    events: Lines<BufReader<UnixStream>>,
    /// Its end is being waited for.
    ending: bool,
    walls: Vec<Level>,
    oom: Option<OomRecord>,
    flows: bool,
    account: Account,
    started: Duration,
    /// When it was told to go on after it was frozen: silence before that says nothing.
    thawed: Option<Duration>,
    /// Since when events of the guest's own words are counted, and how many there were.
    said: (Duration, u32),
    /// What was noted of its attempts, once there was one.
    attempts: Option<attempts::Noted>,
}

/// Something to deal with.
enum Turn {
    Order(Option<Order>),
    Done(Option<Result<Done, tokio::task::JoinError>>),
    Heard(io::Result<Option<String>>),
    Place(Option<queue::Place>),
    Time,
}

/// See the module.
pub(in crate::instances) struct Actor {
    shared: Arc<Shared>,
    place: Place,
    record: Versioned<Instance>,
    machine: Machine,
    health: Health,
    orders: mpsc::Receiver<Order>,
    observed: watch::Sender<Observed>,
    upstream: watch::Sender<Upstream>,
    listener: Option<Arc<OwnedFd>>,
    life: Option<Life>,
    ticket: Option<Ticket>,
    held: Option<queue::Place>,
    due: Option<Instant>,
    probe: Option<Instant>,
    probing: bool,
    /// When it last answered, and the processor time that it had used by then, in microseconds.
    served: Option<(u64, Instant)>,
    /// When its use of the disk is looked at next, and how full it was.
    measure: Option<Instant>,
    stage: Stage,
    jobs: JoinSet<Done>,
    /// Its clock; it does not begin at zero, for what is found may have stood still before.
    begun: Instant,
    reason: Option<String>,
    /// Its event loop stands still.
    inquiry: Option<blocked::Inquiry>,
    /// Changes of limits under way.
    limiting: usize,
    starts: u64,
    /// It ended by itself, or had to be ended; the next start is a restart.
    fell: bool,
    restarts: u64,
    /// Who wants to know when everything that was said is done.
    waiting: Vec<oneshot::Sender<()>>,
    started_with: Option<Instance>,
    erased: bool,
    errands: Errands,
    /// Which request of the editor npm works on.
    installing: Option<String>,
    /// The last answer to one, in case it was lost.
    answered: Option<Answer>,
    /// When the editor was last told that it was heard.
    heard_at: Option<Instant>,
}

impl Actor {
    pub(in crate::instances) fn new(
        shared: Arc<Shared>,
        record: Versioned<Instance>,
        kept: &Kept,
        orders: mpsc::Receiver<Order>,
        observed: watch::Sender<Observed>,
        upstream: watch::Sender<Upstream>,
    ) -> Self {
        let id = record.record.id.clone();
        let place = Place::of(&shared.data_dir, &id);
        Self {
            machine: Machine::new(kept.safe, record.record.number),
            shared,
            place,
            record,
            health: Health::default(),
            orders,
            observed,
            upstream,
            listener: None,
            life: None,
            ticket: None,
            held: None,
            due: None,
            probe: None,
            probing: false,
            served: None,
            measure: None,
            stage: Stage::default(),
            jobs: JoinSet::new(),
            begun: Instant::now(),
            reason: None,
            inquiry: None,
            limiting: 0,
            starts: 0,
            fell: false,
            restarts: 0,
            waiting: Vec::new(),
            started_with: None,
            erased: false,
            errands: Errands::default(),
            installing: None,
            answered: None,
            heard_at: None,
        }
    }

    /// Runs until the instance is deleted, or the supervisor ends.
    pub(in crate::instances) async fn run(mut self, found: Option<Done>) {
        match found {
            Some(Done::Lives(listening)) => self.adopt(listening).await,
            Some(Done::Ended(exit)) => self.missed(exit).await,
            _ => {}
        }
        let desired = self.record.record.desired;
        self.feed(Input::Want(desired)).await;
        while !self.erased {
            self.publish();
            match self.next().await {
                Turn::Order(None) => return,
                Turn::Order(Some(order)) => self.order(order).await,
                Turn::Done(Some(Ok(done))) => self.done(done).await,
                Turn::Done(Some(Err(error))) => warn!(instance = self.id(), %error, "a job broke off"),
                Turn::Done(None) => {}
                Turn::Heard(Ok(Some(line))) => match serde_json::from_str(&line) {
                    Ok(event) => self.heard(event).await,
                    Err(error) => warn!(instance = self.id(), %error, "the keeper said something strange"),
                },
                Turn::Heard(_) => self.wait_for_end(false),
                Turn::Place(place) => {
                    self.ticket = None;
                    self.held = place;
                    self.feed(Input::Place).await;
                }
                Turn::Time => self.time().await,
            }
        }
        self.publish();
    }

    async fn next(&mut self) -> Turn {
        let deadline = self.deadline();
        let Self {
            orders,
            jobs,
            life,
            ticket,
            ..
        } = self;
        let listening = life.as_mut().filter(|life| !life.ending);
        let line = async {
            match listening {
                Some(life) => life.events.next_line().await,
                None => std::future::pending().await,
            }
        };
        let place = async {
            match ticket {
                Some(ticket) => ticket.place().await,
                None => std::future::pending().await,
            }
        };
        let time = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            order = orders.recv() => Turn::Order(order),
            done = jobs.join_next(), if !jobs.is_empty() => Turn::Done(done),
            line = line => Turn::Heard(line),
            place = place => Turn::Place(place),
            () = time => Turn::Time,
        }
    }

    /// When something is due without anybody saying so.
    fn deadline(&self) -> Option<Instant> {
        let watched = matches!(self.machine.phase(), Phase::Starting | Phase::Running) && self.life.is_some();
        let health = watched
            .then(|| self.health.deadline(&self.settings().health))
            .flatten()
            .map(|at| self.begun + at.saturating_sub(EPOCH));
        let probe = self.probe.filter(|_| watched && !self.probing);
        let measure = self.measure.filter(|_| self.life.is_some());
        let inquiry = self.inquiry.as_ref().and_then(|inquiry| inquiry.until);
        let others = [self.due, health, probe].into_iter().flatten();
        others.chain(measure).chain(inquiry).min()
    }

    async fn time(&mut self) {
        let now = Instant::now();
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.feed(Input::Due).await;
        }
        self.inquiry_due(now).await;
        if matches!(self.machine.phase(), Phase::Starting | Phase::Running) && self.life.is_some() {
            let settings = self.settings().health.clone();
            if let Some(alarm) = self.health.due(self.now(), &settings) {
                self.alarm(alarm).await;
            }
            self.probe_when_due(now);
        }
        self.measure_when_due(now);
    }

    fn probe_when_due(&mut self, now: Instant) {
        let Some(life) = &self.life else { return };
        if self.probing || self.probe.is_none_or(|at| at > now) {
            return;
        }
        let settings = &self.settings().health;
        let every = Duration::from_millis(settings.probe_every_ms.max(1000).into());
        let patience = Duration::from_millis(settings.probe_timeout_ms.max(100).into());
        self.probe = Some(now + every);
        // Of a loop that stands still it is known without asking.
        if self.health.turning() {
            self.probing = true;
            let path = format!("/{}", self.settings().editor.root.trim_matches('/'));
            let before = self.served.filter(|(_, at)| at.elapsed() < BELIEVED);
            let job = job::probe(
                life.running.clone(),
                self.place.socket(),
                path,
                patience,
                before.map(|(used, _)| used),
            );
            self.jobs.spawn(job);
        }
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Record(record) if record.revision > self.record.revision => {
                let before = std::mem::replace(&mut self.record, *record);
                let wanted = self.record.record.desired;
                if before.record.settings.limits != self.settings().limits {
                    self.limit();
                }
                if before.record.desired != wanted || wanted == crate::instances::model::Desired::Running {
                    self.feed(Input::Want(wanted)).await;
                }
            }
            Order::Record(_) => {}
            Order::Restart { safe } => self.feed(Input::Restart { safe }).await,
            Order::Delete => self.feed(Input::Delete).await,
            Order::DeleteWhenDue => {
                let deleted = self.record.record.delete_at_ms.is_some();
                if deleted && self.shared.undo_left(self.id()).is_zero() && self.claim().await {
                    self.feed(Input::Delete).await;
                }
            }
            Order::Kill => {
                if let Some(life) = &self.life {
                    let running = life.running.clone();
                    self.jobs.spawn(job::ask(move || running.kill()));
                }
            }
            Order::Sync(answer) => {
                self.waiting.push(answer);
                self.answer();
            }
        }
    }

    /// Writes the record once more, as it is: whoever brought it back in this moment was first, and whoever does it
    /// after this finds a record that is not the one they looked at.
    async fn claim(&mut self) -> bool {
        let record = &self.record.record;
        let claimed = match Table::<Instance>::put(&record.id, record, self.record.revision) {
            Ok(batch) => self.shared.store.commit(batch).await,
            Err(error) => Err(error),
        };
        match claimed {
            Ok(revision) => {
                self.record.revision = revision;
                true
            }
            // What changed it is on its way.
            Err(StoreError::Conflict { .. }) => false,
            Err(error) => {
                warn!(instance = self.id(), %error, "its deletion could not be noted; it goes all the same");
                true
            }
        }
    }

    /// Answers those who wait, unless something that they asked for is still under way.
    fn answer(&mut self) {
        if self.limiting > 0 {
            return;
        }
        self.publish();
        for waiting in self.waiting.drain(..) {
            // Who asked may have left.
            let _ = waiting.send(());
        }
    }

    /// Tells the machine and does what it answers.
    async fn feed(&mut self, input: Input) {
        let now = self.now();
        let was = self.machine.phase();
        let restart = self.settings().restart.clone();
        let effects = self.machine.step(now, input, &restart);
        if self.machine.phase() != was && !matches!(self.machine.phase(), Phase::Waiting | Phase::Queued) {
            self.due = None;
        }
        let living = matches!(
            self.machine.phase(),
            Phase::Starting | Phase::Running | Phase::Suspended
        );
        if self.machine.phase() != was && !living {
            self.errands.break_off();
        }
        for effect in effects {
            self.carry_out(effect).await;
        }
        if self.machine.phase() != was && self.machine.phase() == Phase::Starting {
            self.reason = None;
        }
    }

    async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Queue => self.ticket = Some(self.shared.queue.join(&self.record.record.id)),
            Effect::Leave => {
                self.ticket = None;
                self.held = None;
            }
            Effect::Spawn { safe } => self.spawn(safe),
            Effect::Stop => {
                if let Some(life) = &self.life {
                    let running = life.running.clone();
                    self.jobs.spawn(job::ask(move || running.stop(STOP_GRACE)));
                }
            }
            Effect::Kill => {
                if let Some(life) = &self.life {
                    let running = life.running.clone();
                    self.jobs.spawn(job::ask(move || running.kill()));
                }
            }
            Effect::Freeze => self.freeze(true).await,
            Effect::Thaw => self.freeze(false).await,
            Effect::Wait(wait) => {
                self.due = Some(Instant::now() + wait);
                let text = format!("starts again in {:.1} s", wait.as_secs_f64());
                self.note(Kind::Waiting, text, None).await;
            }
            Effect::RememberSafe(safe) => self.remember(safe).await,
            Effect::GaveUp => {
                let text = match &self.reason {
                    Some(reason) => format!("stays down: it {reason}, again and again"),
                    None => "stays down".to_owned(),
                };
                self.note(Kind::Down, text, None).await;
            }
            Effect::Erase => {
                self.jobs.spawn(job::erase(
                    self.shared.clone(),
                    self.place.clone(),
                    self.errands.clone(),
                ));
            }
        }
    }

    fn spawn(&mut self, safe: bool) {
        let listener = match &self.listener {
            Some(listener) => listener.clone(),
            None => match self.place.make_own().and_then(|()| self.place.listen()) {
                Ok(listener) => {
                    let listener = Arc::new(listener);
                    self.listener = Some(listener.clone());
                    listener
                }
                Err(error) => {
                    let problem = crate::problem::Problem::io(
                        format!("cannot make {}", self.place.socket().display()),
                        error,
                    );
                    self.jobs.spawn(async move { Done::Spawned(Err(problem), None) });
                    return;
                }
            },
        };
        self.started_with = Some(self.record.record.clone());
        let job = job::start(
            self.shared.clone(),
            self.record.record.clone(),
            safe,
            listener,
            self.errands.clone(),
            self.held.take(),
        );
        self.jobs.spawn(job);
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::Spawned(Ok(listening), place) => {
                // Of one that was told to end meanwhile the place is given back.
                self.held = place.filter(|_| self.machine.phase() == Phase::Starting);
                self.live(listening, false);
                self.starts += 1;
                self.restarts += u64::from(std::mem::take(&mut self.fell));
                self.note(Kind::Started, self.started_text(), None).await;
                self.feed(Input::Spawned).await;
            }
            Done::Spawned(Err(problem), _) if problem.code() == Code::Interrupted => {
                self.note(Kind::Stopped, problem.to_string(), None).await;
                self.feed(Input::SpawnFailed).await;
            }
            Done::Spawned(Err(problem), _) => {
                let mut text = problem.to_string();
                if let Some(advice) = problem.advice() {
                    text = format!("{text} ({advice})");
                }
                self.reason = Some(format!("could not be started: {problem}"));
                self.note(Kind::StartFailed, text, None).await;
                self.feed(Input::SpawnFailed).await;
            }
            Done::Ended(exit) => self.ended(exit).await,
            Done::Lives(listening) => {
                let flows = self.life.as_ref().is_some_and(|life| life.flows);
                self.live(listening, flows);
            }
            Done::Probed(served) => {
                self.probing = false;
                let answered = match served {
                    Served::Sleeps => return,
                    Served::Answers(used) => {
                        self.served = used.map(|used| (used, Instant::now()));
                        true
                    }
                    Served::Silent => false,
                };
                let settings = self.settings().health.clone();
                if let Some(alarm) = self.health.probed(answered, &settings) {
                    self.alarm(alarm).await;
                }
            }
            Done::Limited(outcome) => {
                self.limited(outcome).await;
                self.limiting = self.limiting.saturating_sub(1);
                self.answer();
            }
            Done::Measured(usage) => self.measured(usage).await,
            Done::Diagnosed(Ok(())) => {}
            Done::Diagnosed(Err(why)) => self.tell_blocked(&why).await,
            Done::Erased(Ok(())) => self.forget().await,
            Done::Npm(answer) => self.npm_done(answer),
            Done::Erased(Err(error)) => {
                warn!(instance = self.id(), %error, "its files could not be removed; tried again later");
                self.erase_later();
            }
            Done::Asked(Ok(())) => {}
            Done::Asked(Err(why)) => warn!(instance = self.id(), why, "the keeper refused"),
        }
    }

    fn id(&self) -> &str {
        &self.record.record.id
    }

    fn settings(&self) -> &crate::instances::model::Settings {
        &self.record.record.settings
    }

    fn now(&self) -> Duration {
        EPOCH + self.begun.elapsed()
    }
}

/// What the clock of an actor shows when it begins: longer than anything is worth to be remembered.
const EPOCH: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long the answer of an instance that sleeps is believed.
const BELIEVED: Duration = Duration::from_secs(300);

/// How long a gentle end may take.
const STOP_GRACE: Duration = Duration::from_secs(10);
