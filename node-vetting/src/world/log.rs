//! The recording itself, with its budgets.

use crate::trace::{Event, Origin, Phase, What};
use crate::world::args::Spent;

/// What was seen so far.
pub(super) struct Log {
    pub(super) events: Vec<Event>,
    pub(super) loaded: Vec<String>,
    pub(super) phase: Phase,
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
            most_events,
            most_output,
            printed: 0,
            told: 1 << 16,
        }
    }

    pub(super) fn record(&mut self, at: u64, origin: Origin, what: What) -> Result<(), Spent> {
        if self.events.len() >= self.most_events {
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
