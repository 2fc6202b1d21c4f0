//! Under which conditions a run takes place.

use std::collections::BTreeMap;

use crate::world::machine::Machine;
use crate::world::secrets::Set;

/// Where chance comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// From a seed.
    Seed(u64),
    /// The smallest value, always.
    Lowest,
    /// The largest value, always.
    Highest,
}

/// Under which conditions a run takes place. Equal conditions give equal runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// The name of the run.
    pub run: String,
    /// Milliseconds since 1970 when it starts.
    pub start: i64,
    /// Where chance comes from.
    pub chance: Chance,
    /// Which secrets are planted.
    pub secrets: Set,
    /// What the environment has besides.
    pub environment: BTreeMap<String, String>,
    /// Who and where the guest is told to be.
    pub machine: Machine,
    /// Where services on the network say that the machine is, as ISO 3166 has it.
    pub country: String,
    /// Whether there is a network.
    pub online: bool,
    /// Whether functions and branches tell that they ran.
    pub coverage: bool,
    /// Most events.
    pub events: usize,
    /// Most bytes printed.
    pub output: u64,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            run: "base".to_owned(),
            // A Tuesday in working hours.
            start: 1_767_693_600_000,
            chance: Chance::Seed(7),
            secrets: Set::A,
            environment: BTreeMap::new(),
            machine: Machine::default(),
            country: "US".to_owned(),
            online: true,
            coverage: false,
            events: 50_000,
            output: 64 << 20,
        }
    }
}
