//! The policy: a file in TOML from what a package does to what it may be. Read strictly, all mistakes at once.

mod day;
mod decide;
mod file;
mod grant;
#[cfg(test)]
mod tests;
mod waiver;

use std::collections::BTreeMap;

use npm::{Integrity, PackageName, Version};
use serde::{Deserialize, Serialize};

pub use self::day::Day;
pub use self::decide::{Changed, Decision, Judged, Scene, decide};
pub use self::file::{Mistake, Mistakes};
pub use self::grant::{Allowed, Grant, Pattern};
pub use self::waiver::Waiver;

use crate::report::Verdict;

/// The policy that holds where nobody wrote one.
pub const DEFAULT: &str = include_str!("../../policies/default.toml");

/// What is asked of packages. Everything is decided; [`Policy::parse`] fills what a file leaves out from [`DEFAULT`].
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What becomes of a package with an open question: never `trusted`.
    pub default: Verdict,
    /// What the gate lets through; none leaves it to the kind of host.
    pub gate: Option<Gate>,
    /// Whether narrower policies may add grants and waivers.
    pub delegate: bool,
    /// Days that a version must have been public.
    pub min_days: u32,
    /// Names that may be younger.
    pub young: Vec<Pattern>,
    /// Where dependencies may come from besides the registry.
    pub sources: Vec<Source>,
    /// Most packages in a closure.
    pub max_packages: usize,
    /// Most bytes that a closure may unpack to.
    pub max_unpacked: u64,
    /// What machine code makes of a package.
    pub native: Verdict,
    /// Install scripts that may run.
    pub scripts: Vec<Script>,
    /// What packages may do.
    pub grants: Vec<Grant>,
    /// Rules that only the host's operator can waive, for exact bytes.
    pub always: Vec<String>,
    /// Rules whose severity was changed; none is off.
    pub rules: BTreeMap<String, Option<Verdict>>,
    /// What a vetting may use up.
    pub budget: Budget,
    /// Archives for what no registry has, by the text of the dependency.
    pub mirror: BTreeMap<String, Integrity>,
}

/// What the gate of a host lets through to its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// What is trusted.
    Enforce,
    /// What is not refused; what needs review is told.
    Warn,
    /// Everything, and nothing is vetted.
    Off,
}

impl Gate {
    /// Whether a package with this verdict passes.
    #[must_use]
    pub fn lets(self, verdict: Verdict) -> bool {
        match self {
            Self::Enforce => verdict == Verdict::Trusted,
            Self::Warn => verdict != Verdict::Refused,
            Self::Off => true,
        }
    }
}

/// A source of dependencies besides the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Addresses.
    Url,
    /// Git repositories.
    Git,
    /// Files of the host that installs.
    File,
}

/// An install script that may run.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// Whose.
    pub package: PackageName,
    /// In which version.
    pub version: Version,
    /// In exactly these bytes.
    pub integrity: Integrity,
    /// Exactly this.
    pub command: String,
}

/// What a vetting may use up. Spending it is never trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Engine instructions for all runs together.
    pub fuel: u64,
    /// Bytes of guest memory in one run.
    pub memory: u64,
    /// Events in one run.
    pub events: usize,
    /// Seconds for all runs together: a net below the fuel, for slow machines.
    pub seconds: u32,
}

impl Default for Policy {
    fn default() -> Self {
        file::parse("the built-in policy", DEFAULT, file::nothing).expect("the built-in policy is tested")
    }
}

impl Policy {
    /// A policy from its text; `what` names the file in mistakes.
    ///
    /// # Errors
    /// With every mistake in it.
    pub fn parse(what: &str, text: &str) -> Result<Self, Mistakes> {
        file::parse(what, text, Self::default)
    }

    /// Names the policy by content, for the record of a verdict.
    #[must_use]
    pub fn digest(&self) -> String {
        use sha2::{Digest, Sha256};
        crate::closure::hex(&Sha256::digest(format!("{self:?}")))
    }
}
