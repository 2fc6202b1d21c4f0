//! The recording itself, with its budgets.

use crate::trace::{Event, Origin, Phase, What};
use crate::world::args::Spent;

/// What an event takes besides the texts in it, in bytes.
const EVENT: usize = 600;
/// Most that all events of a run may take.
const MOST_HELD: usize = 128 << 20;

/// What was seen so far.
pub(super) struct Log {
    pub(super) events: Vec<Event>,
    pub(super) loaded: Vec<String>,
    pub(super) phase: Phase,
    /// Bytes of the arguments of the call that is being answered: about what its events hold.
    pub(super) weight: usize,
    held: usize,
    most_events: usize,
    most_output: u64,
    printed: u64,
    /// The next power of two of printed bytes that is an event.
    told: u64,
}

impl Log {
    pub(super) const fn new(most_events: usize, most_output: u64) -> Self {
        Self {
            events: Vec::new(),
            loaded: Vec::new(),
            phase: Phase::Register,
            weight: 0,
            held: 0,
            most_events,
            most_output,
            printed: 0,
            told: 1 << 16,
        }
    }

    pub(super) fn record(&mut self, at: u64, origin: Origin, what: What) -> Result<(), Spent> {
        self.held += self.weight + EVENT;
        if self.events.len() >= self.most_events || self.held > MOST_HELD {
            return Err(Spent("events"));
        }
        self.events.push(Event {
            at,
            phase: self.phase.clone(),
            site: origin.site,
            callers: origin.callers,
            what,
        });
        Ok(())
    }

    /// Counts what was printed; gives the total when it passed a power of two that is worth an event.
    pub(super) fn print(&mut self, bytes: u64) -> Result<Option<u64>, Spent> {
        self.printed = self.printed.saturating_add(bytes);
        if self.printed > self.most_output {
            return Err(Spent("output"));
        }
        if self.printed < self.told {
            return Ok(None);
        }
        self.told = self.printed.next_power_of_two().saturating_add(1);
        Ok(Some(self.printed))
    }
}
