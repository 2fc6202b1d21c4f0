//! Pure: what an instance does next. The actor tells what happened and carries out what is answered.
//!
//! ```text
//!              want            place            flows run
//!   Stopped ----------> Queued ------> Starting ----------> Running <----> Suspended
//!      ^                   ^              |                    |   freeze, thaw
//!      |                   | wait over    | ended, hung,       | ended, hung
//!      |    want no more   |              | too slow           |
//!      +-------------- Waiting <----------+--------------------+
//!      |                                  | crashed too often
//!      +----------- Stopping             Down (until a person acts)
//! ```
//!
//! Two things are counted, because the kernel does not care what was decided: whether a process may exist
//! (`alive`), and whether a start is under way whose outcome is not known yet (`Starting` before
//! [`Input::Spawned`]). Nothing is started while either is true.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::model::{Desired, RestartSettings};
use super::restart::{Crashes, Verdict};

/// Since when its flows must have run for a deploy to count as a person's.
const SETTLED: Duration = Duration::from_secs(10);

/// Where an instance is; people read it as its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = State)]
pub enum Phase {
    /// Nothing runs, and nothing should.
    Stopped,
    /// It waits for its place among those that start.
    Queued,
    /// A process is made, or exists and its flows do not run yet.
    Starting,
    /// Its flows run; in safe mode, its editor does.
    Running,
    /// Its processes are frozen.
    Suspended,
    /// It was told to end.
    Stopping,
    /// It ended by itself and waits for its next start.
    Waiting,
    /// It ended by itself too often.
    Down,
    /// It is no more.
    Deleted,
}

impl Phase {
    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Stopping => "stopping",
            Self::Waiting => "waiting",
            Self::Down => "down",
            Self::Deleted => "deleted",
        }
    }
}

/// What follows when a process that was told to end has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Stay,
    Start,
    /// It was ended because it hung: that counts as a crash.
    Judge,
    Delete,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A person, or the desired state at the host's start, wants this.
    Want(Desired),
    /// A person wants it to end and start again, with the flows stopped when `safe`.
    Restart {
        /// Whether it starts in safe mode.
        safe: bool,
    },
    /// Its time to be brought back is over.
    Delete,
    /// It is its turn to start.
    Place,
    /// The process exists.
    Spawned,
    /// No process could be made.
    SpawnFailed,
    /// A living process of an earlier supervisor was found.
    Adopted {
        /// Its flows run.
        ready: bool,
        /// It was frozen.
        frozen: bool,
    },
    /// Its flows run, or in safe mode its editor does.
    Ready,
    /// A person deployed flows.
    Deployed,
    /// It has ended.
    Ended,
    /// Its event loop does not turn, or its start takes too long.
    Hung,
    /// The wait is over.
    Due,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask for a place among those that start.
    Queue,
    /// Give the place back, or stop waiting for it.
    Leave,
    /// Make a process.
    Spawn {
        /// With the flows stopped.
        safe: bool,
    },
    /// Ask it to end, and kill it after its grace.
    Stop,
    /// Kill it now.
    Kill,
    /// Freeze its processes.
    Freeze,
    /// Let them go on.
    Thaw,
    /// Say [`Input::Due`] after this time.
    Wait(Duration),
    /// Remember whether it is kept in safe mode.
    RememberSafe(bool),
    /// It stays down.
    GaveUp,
    /// Remove everything that it has.
    Erase,
}

/// One instance's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    phase: Phase,
    desired: Desired,
    safe: bool,
    crashes: Crashes,
    after: After,
    /// A process exists, or may.
    alive: bool,
    /// A start's outcome is not known yet.
    spawning: bool,
    /// When its flows began to run.
    ready_at: Duration,
    seed: u32,
}

impl Machine {
    /// An instance of which nothing runs.
    #[must_use]
    pub fn new(safe: bool, seed: u32) -> Self {
        Self {
            phase: Phase::Stopped,
            desired: Desired::Stopped,
            safe,
            crashes: Crashes::default(),
            after: After::Stay,
            alive: false,
            spawning: false,
            ready_at: Duration::ZERO,
            seed,
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether it is kept in safe mode.
    #[must_use]
    pub const fn safe(&self) -> bool {
        self.safe
    }

    /// Whether it starts again by itself as soon as it has ended.
    #[must_use]
    pub fn returns(&self) -> bool {
        self.phase == Phase::Stopping && matches!(self.after, After::Start | After::Judge)
    }

    /// Crashes that count at the moment.
    #[must_use]
    pub fn crashes(&self) -> usize {
        self.crashes.count()
    }

    /// Takes what happened at `now`, by a monotonic clock, and says what to do, in order.
    pub fn step(&mut self, now: Duration, input: Input, settings: &RestartSettings) -> Vec<Effect> {
        if self.phase == Phase::Deleted {
            return Vec::new();
        }
        match input {
            Input::Want(desired) => {
                self.desired = desired;
                match desired {
                    Desired::Running => self.want_running(),
                    Desired::Suspended => self.want_suspended(),
                    Desired::Stopped => self.end(After::Stay),
                }
            }
            Input::Restart { safe } => self.restart(safe),
            Input::Delete => {
                self.desired = Desired::Stopped;
                self.end(After::Delete)
            }
            Input::Place if self.phase == Phase::Queued => {
                self.phase = Phase::Starting;
                self.alive = true;
                self.spawning = true;
                vec![Effect::Spawn { safe: self.safe }]
            }
            // It was not wanted any more when its turn came.
            Input::Place => vec![Effect::Leave],
            Input::Spawned => self.spawned(),
            Input::SpawnFailed if self.spawning => {
                self.spawning = false;
                self.ended(now, settings)
            }
            Input::Adopted { ready, frozen } => self.adopted(ready, frozen),
            Input::Ready if self.phase == Phase::Starting && !self.spawning => self.ready(now),
            Input::Deployed => self.deployed(now),
            Input::Ended if self.alive && !self.spawning => self.ended(now, settings),
            Input::Hung if matches!(self.phase, Phase::Starting | Phase::Running) && !self.spawning => {
                let mut effects = self.leave();
                self.phase = Phase::Stopping;
                self.after = After::Judge;
                // A loop that hangs never hears a gentle word.
                effects.push(Effect::Kill);
                effects
            }
            Input::Due if self.phase == Phase::Waiting => self.queue(),
            Input::SpawnFailed | Input::Ready | Input::Ended | Input::Hung | Input::Due => Vec::new(),
        }
    }

    fn want_running(&mut self) -> Vec<Effect> {
        match self.phase {
            Phase::Stopped | Phase::Waiting => self.queue(),
            Phase::Down => {
                self.crashes.forget();
                self.queue()
            }
            Phase::Suspended => {
                self.phase = Phase::Running;
                vec![Effect::Thaw]
            }
            Phase::Stopping if self.after == After::Stay => {
                self.after = After::Start;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Only what runs can be frozen; what does not run stays so.
    fn want_suspended(&mut self) -> Vec<Effect> {
        match self.phase {
            Phase::Running => {
                self.phase = Phase::Suspended;
                vec![Effect::Freeze]
            }
            Phase::Queued | Phase::Waiting | Phase::Down => self.end(After::Stay),
            _ => Vec::new(),
        }
    }

    fn restart(&mut self, safe: bool) -> Vec<Effect> {
        self.desired = Desired::Running;
        self.crashes.forget();
        let mut effects = self.remember_safe(safe);
        match self.phase {
            Phase::Stopped | Phase::Waiting | Phase::Down => effects.extend(self.queue()),
            Phase::Queued => {}
            Phase::Stopping if self.after == After::Delete => {}
            Phase::Stopping => self.after = After::Start,
            _ => effects.extend(self.end(After::Start)),
        }
        effects
    }

    /// Ends whatever there is.
    fn end(&mut self, after: After) -> Vec<Effect> {
        let mut effects = Vec::new();
        match self.phase {
            Phase::Stopping => {
                // Deleting is final; everything else may change its mind.
                if self.after != After::Delete {
                    self.after = after;
                }
            }
            Phase::Starting | Phase::Running | Phase::Suspended => {
                if self.phase == Phase::Suspended {
                    effects.push(Effect::Thaw);
                }
                effects.extend(self.leave());
                self.phase = Phase::Stopping;
                self.after = after;
                // Of one whose start is under way nobody can be asked yet: `spawned` does it.
                if !self.spawning {
                    effects.push(Effect::Stop);
                }
            }
            Phase::Stopped | Phase::Queued | Phase::Waiting | Phase::Down | Phase::Deleted => {
                effects.extend(self.leave());
                effects.extend(self.settle(after));
            }
        }
        effects
    }

    fn spawned(&mut self) -> Vec<Effect> {
        if !std::mem::take(&mut self.spawning) {
            return Vec::new();
        }
        if self.phase == Phase::Stopping {
            vec![Effect::Stop]
        } else {
            Vec::new()
        }
    }

    fn adopted(&mut self, ready: bool, frozen: bool) -> Vec<Effect> {
        if self.alive {
            return Vec::new();
        }
        self.alive = true;
        self.phase = match (ready, frozen) {
            (_, true) => Phase::Suspended,
            (true, false) => Phase::Running,
            (false, false) => Phase::Starting,
        };
        Vec::new()
    }

    fn ready(&mut self, now: Duration) -> Vec<Effect> {
        self.phase = Phase::Running;
        self.ready_at = now;
        let mut effects = vec![Effect::Leave];
        if self.desired == Desired::Suspended {
            effects.extend(self.want_suspended());
        }
        effects
    }

    /// New flows deserve a new beginning, and a deploy in safe mode has started them. Not at once after a start: a
    /// program that says so each time before it crashes would never be found to do so.
    fn deployed(&mut self, now: Duration) -> Vec<Effect> {
        if now.saturating_sub(self.ready_at) >= SETTLED {
            self.crashes.forget();
        }
        self.remember_safe(false)
    }

    fn ended(&mut self, now: Duration, settings: &RestartSettings) -> Vec<Effect> {
        self.alive = false;
        let was = self.phase;
        let mut effects = self.leave();
        if was == Phase::Stopping && self.after != After::Judge {
            effects.extend(self.settle(self.after));
            return effects;
        }
        if self.desired != Desired::Running {
            // Frozen, or on its way there, and gone: there is nothing to go on with.
            effects.extend(self.settle(After::Stay));
            return effects;
        }
        let (wait, safe) = match self.crashes.judge(now, self.safe, settings, self.seed) {
            Verdict::Again(wait) => (wait, false),
            Verdict::Safe(wait) => (wait, true),
            Verdict::Down => {
                self.phase = Phase::Down;
                effects.push(Effect::GaveUp);
                return effects;
            }
        };
        effects.extend(self.remember_safe(safe));
        if wait.is_zero() {
            effects.extend(self.queue());
        } else {
            self.phase = Phase::Waiting;
            effects.push(Effect::Wait(wait));
        }
        effects
    }

    /// What follows an end that was asked for.
    fn settle(&mut self, after: After) -> Vec<Effect> {
        match after {
            After::Stay | After::Judge => {
                self.phase = Phase::Stopped;
                Vec::new()
            }
            After::Start => self.queue(),
            After::Delete => {
                self.phase = Phase::Deleted;
                vec![Effect::Erase]
            }
        }
    }

    fn queue(&mut self) -> Vec<Effect> {
        self.phase = Phase::Queued;
        vec![Effect::Queue]
    }

    /// Gives the place among those that start back, when there is one.
    fn leave(&self) -> Vec<Effect> {
        match self.phase {
            Phase::Queued | Phase::Starting => vec![Effect::Leave],
            _ => Vec::new(),
        }
    }

    fn remember_safe(&mut self, safe: bool) -> Vec<Effect> {
        if self.safe == safe {
            return Vec::new();
        }
        self.safe = safe;
        vec![Effect::RememberSafe(safe)]
    }
}

#[cfg(test)]
mod tests;
