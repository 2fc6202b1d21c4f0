//! The policy: a file in TOML from what a package does to what it may be. Read strictly, all mistakes at once.

mod day;
mod decide;
mod file;
mod grant;
mod layers;
mod lines;
#[cfg(test)]
mod tests;
mod waiver;

use std::collections::{BTreeMap, BTreeSet};

use npm::{Integrity, PackageName, Version};
use serde::{Deserialize, Serialize};

pub use self::day::Day;
pub use self::decide::{Changed, Decision, Judged, Scene, decide};
pub use self::file::{Mistake, Mistakes};
pub use self::grant::{Allowed, Grant, Pattern};
pub use self::layers::{Effective, Layers, Setting};
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
    /// Narrower policies, by name, that may be less strict than this one: their values count as they are, and their
    /// grants, scripts and waivers besides.
    pub delegate: Vec<Pattern>,
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
    /// The single values that its file names itself, by key.
    pub said: BTreeSet<&'static str>,
}

/// What the gate of a host lets through to its instances; the strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// As a policy names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Off => "off",
        }
    }

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
        let policy = file::parse("the built-in policy", DEFAULT, file::nothing);
        Self {
            // What it says is what holds where no file says anything.
            said: BTreeSet::new(),
            ..policy.expect("the built-in policy is tested")
        }
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

    /// A narrower policy, of an organization or a team: what it does not say is as the wider one has it.
    ///
    /// # Errors
    /// With every mistake in it.
    pub fn parse_narrower(what: &str, text: &str) -> Result<Self, Mistakes> {
        file::parse(what, text, file::nothing)
    }

    /// Names the policy by content, for the record of a verdict.
    #[must_use]
    pub fn digest(&self) -> String {
        use sha2::{Digest, Sha256};
        crate::closure::hex(&Sha256::digest(format!("{self:?}")))
    }
}
