//! What is told about a package: reasons with evidence, and the verdict that follows from them.

use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::trace::Site;

/// What a package may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// May be installed.
    Trusted,
    /// May be installed when a person has looked and said so.
    Review,
    /// May not be installed.
    Refused,
}

/// One thing that stands in the way of trust, first as data, then in a sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The rule: `flow.secret.unconfigured`. The list of rules is `judge::RULES`.
    pub rule: String,
    /// What the rule asks for, before the policy has spoken.
    pub severity: Verdict,
    /// The package at fault, `name@version`; not always the one that was asked about.
    pub package: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// In which run it was seen; none when it was read in the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When in that run, in virtual milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// What was seen, for programs.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub fact: serde_json::Map<String, serde_json::Value>,
    /// What was seen, for people: one sentence.
    pub says: String,
}

/// A capability with where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Use {
    /// What can be done.
    pub capability: Capability,
    /// By which package, `name@version`.
    pub package: String,
    /// Where; the first place found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Whether the code says so.
    pub said: bool,
    /// Whether it was seen to happen.
    pub seen: bool,
}
