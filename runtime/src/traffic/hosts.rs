//! Where a program has something to do in the world: the hosts of what was vetted, of its operator, and of files that it
//! goes by.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Target;

/// Hosts, whatever the port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    /// Whether others are refused, or only recorded.
    pub enforce: bool,
    /// By name or address.
    pub allow: Vec<Target>,
    /// Files on the host, in folders of the program's, whose text names further ones ([`named`](super::named())). They are
    /// read again when they change.
    pub named_in: Vec<PathBuf>,
    /// All of this in words, with why, for a person.
    pub words: String,
}

impl Hosts {
    /// Whether a name is one of them; in lower case and without a dot at its end.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.allow.iter().any(|target| target.covers(name))
    }

    /// Whether an address is, by itself.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|target| match target {
            Target::Range(range) => range.contains(address),
            Target::Anywhere => true,
            Target::Name(_) => false,
        })
    }
}
