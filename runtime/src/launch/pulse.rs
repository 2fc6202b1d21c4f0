//! Whether the program's event loop turns, and when to say so.
//!
//! A program either says by itself that its loop turns, or tells that it answers when it is asked. The latter is looked
//! at once per second from outside ([`Eye`]): a loop that waits for events turns, and is left asleep; any other is asked,
//! and the answer is the proof. So an idle loop costs the program nothing, and a busy one a message per second.

use std::time::{Duration, Instant};

use super::clock::now_ms;
use super::effort::Effort;
use super::eye::Eye;

/// Silence after which the event loop counts as stuck; five looks or beats.
const PATIENCE: Duration = Duration::from_secs(5);
/// From one look to the next.
const LOOK: Duration = Duration::from_secs(1);

/// Something to say to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Answer with a beat.
    Turn,
    /// Tell figures about yourself.
    Report,
    /// Nothing happens: give back what you do not need.
    Idle,
}

/// See the module.
#[derive(Default)]
pub(super) struct Pulse {
    beat: Option<(Instant, u64)>,
    stuck: bool,
    looked_at: Option<Looked>,
}

/// A program that answers.
struct Looked {
    /// None where the kernel does not show it.
    eye: Option<Eye>,
    next: Instant,
    /// A question is on its way.
    asked: bool,
    effort: Effort,
}

impl Pulse {
    /// The loop turns.
    pub(super) fn beat(&mut self) {
        self.beat = Some((Instant::now(), now_ms()));
        if let Some(looked) = &mut self.looked_at {
            looked.asked = false;
        }
    }

    /// From here on silence means something: flows may block the loop before its first beat.
    pub(super) fn begin(&mut self) {
        self.beat.get_or_insert_with(|| (Instant::now(), now_ms()));
    }

    /// The process of this number answers when it is asked; false when the kernel does not show what it does.
    pub(super) fn look_at(&mut self, pid: Option<i32>) -> bool {
        let eye = pid.and_then(|pid| Eye::on(pid).ok());
        let sees = eye.is_some();
        self.looked_at = Some(Looked {
            eye,
            next: Instant::now() + LOOK,
            asked: false,
            effort: Effort::default(),
        });
        sees
    }

    /// Somebody new wants the program's figures.
    pub(super) fn report_soon(&mut self) {
        if let Some(looked) = &mut self.looked_at {
            looked.effort.report_soon();
        }
    }

    /// When the loop was last known to turn, in milliseconds since 1970.
    pub(super) fn last_beat_ms(&self) -> Option<u64> {
        self.beat.map(|(_, at)| at)
    }

    /// Looks, when it is time for it; what is to be said.
    pub(super) fn look(&mut self) -> Vec<Word> {
        let now = Instant::now();
        let due = |looked: &&mut Looked| looked.next <= now;
        let Some(looked) = self.looked_at.as_mut().filter(due) else {
            return Vec::new();
        };
        looked.next = now + LOOK;
        if self.beat.is_none() {
            return Vec::new();
        }
        let waits = looked.eye.as_mut().is_some_and(Eye::waits);
        let mut words = Vec::new();
        if !waits && !looked.asked {
            looked.asked = true;
            words.push(Word::Turn);
        }
        let eye = looked.eye.as_ref();
        words.extend(looked.effort.looked(|| eye.and_then(Eye::ran)));
        if waits {
            self.beat();
        }
        words
    }

    /// The program did not take this.
    pub(super) fn unheard(&mut self, word: Word) {
        if let (Word::Turn, Some(looked)) = (word, &mut self.looked_at) {
            looked.asked = false;
        }
    }

    /// Milliseconds of silence when the loop has just got stuck, 0 when it has just come back, else nothing.
    pub(super) fn turn(&mut self) -> Option<u64> {
        let silence = self.beat?.0.elapsed();
        let stuck = silence >= PATIENCE;
        if stuck == std::mem::replace(&mut self.stuck, stuck) {
            return None;
        }
        Some(if stuck { milliseconds(silence) } else { 0 })
    }

    /// Milliseconds of silence, while the loop counts as stuck.
    pub(super) fn stuck_for(&self) -> Option<u64> {
        let (at, _) = self.beat.filter(|_| self.stuck)?;
        Some(milliseconds(at.elapsed()))
    }

    /// When there is something to do if nothing is heard until then.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (at, _) = self.beat?;
        let stuck = (!self.stuck).then(|| at + PATIENCE);
        let look = self.looked_at.as_ref().map(|looked| looked.next);
        stuck.into_iter().chain(look).min()
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
