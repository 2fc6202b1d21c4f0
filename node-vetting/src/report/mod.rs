//! What is told about a package: reasons with evidence, and the verdict that follows from them.

pub mod rules;

use npm::{Integrity, PackageName, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::closure::Gap;
use crate::trace::{End, Site};

/// What a package may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// May be installed.
    Trusted,
    /// May be installed when a person has looked and said so.
    Review,
    /// May not be installed.
    Refused,
}

impl Verdict {
    /// As documents name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Review => "review",
            Self::Refused => "refused",
        }
    }
}

/// One thing that stands in the way of trust, first as data, then in a sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// The rule, one of [`RULES`](rules::RULES).
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// All that is known of a package in its closure. The same bytes and the same tools give the same facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// The package in question.
    #[schemars(with = "String")]
    pub package: PackageName,
    /// Its version.
    #[schemars(with = "String")]
    pub version: Version,
    /// The hash of its archive.
    #[schemars(with = "String")]
    pub integrity: Integrity,
    /// The digest of the closure: what the verdict is about.
    pub closure: String,
    /// All packages of the closure, by place.
    pub packages: Vec<Member>,
    /// What is missing from the closure or not pinned.
    pub gaps: Vec<Gap>,
    /// Bytes that the closure unpacks to.
    pub unpacked: u64,
    /// When the version was published, in seconds since 1970, as the registry says. Optional: not every registry says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<i64>,
    /// What it says of itself in a line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its licence, as an SPDX expression where it is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
    /// Node types that it registers.
    pub node_types: Vec<String>,
    /// What it can do to the world.
    pub uses: Vec<Use>,
    /// What was tried.
    pub runs: Vec<Run>,
    /// How far its nodes got in the first run.
    #[serde(default)]
    pub tried: Tried,
    /// Share of the package's own functions that ran in some run, in percent. None when nothing was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<u8>,
    /// With what it was looked at.
    pub tools: Tools,
}

impl Facts {
    /// `name@version`.
    #[must_use]
    pub fn spec(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }
}

/// How far the nodes of a package got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tried {
    /// Types that registered.
    pub registered: usize,
    /// Those of which a node stood.
    pub constructed: usize,
    /// Nodes that were sent messages; each type is made in several ways.
    pub fed: u64,
    /// Messages that came out of them.
    pub sent: u64,
}

/// One package of a closure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Where it lies below the user directory.
    pub place: String,
    /// `name@version`.
    pub package: String,
    /// The hash of its archive.
    #[schemars(with = "String")]
    pub integrity: Integrity,
    /// Its licence, as it says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
}

/// One run, in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub end: End,
    /// Fuel used: engine instructions.
    pub fuel: u64,
    /// Largest memory of the guest, in bytes.
    pub memory: u64,
    /// Events recorded.
    pub events: usize,
}

/// What a vetting was made with. Another engine or another rule may see something else, so a record names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tools {
    /// Hash of the engine with its stand-ins.
    pub engine: String,
    /// Version of this program.
    pub redhold: String,
    /// Who was asked for known flaws.
    #[serde(default)]
    pub flaws: Flaws,
}

/// Who knows of flaws. Known ones change with time and not with the bytes, so a report says who was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flaws {
    /// The registry of npm's configuration.
    Registry,
    /// A feed on the disk.
    Feed,
    /// Nobody: none being named means nothing.
    #[default]
    Nobody,
}

/// Facts with the reasons that rules see in them. No policy has spoken yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Format of this document: 1.
    pub format: u32,
    /// What is known.
    #[serde(flatten)]
    pub facts: Facts,
    /// What stands in the way of trust, before the policy.
    pub reasons: Vec<Reason>,
}

impl Reason {
    /// A reason by a rule about a package, with the severity that the rule asks for.
    ///
    /// # Panics
    /// When there is no such rule; a test goes through all of them.
    #[must_use]
    pub fn about(rule: &str, package: &str) -> Self {
        let rule = rules::find(rule).unwrap_or_else(|| panic!("no rule {rule}"));
        Self {
            rule: rule.id.to_owned(),
            severity: rule.severity,
            package: package.to_owned(),
            site: None,
            run: None,
            at: None,
            fact: serde_json::Map::new(),
            says: rule.finds.to_owned(),
        }
    }

    /// The same, with its sentence.
    #[must_use]
    pub fn says(mut self, says: impl Into<String>) -> Self {
        self.says = says.into();
        self
    }

    /// The same, with the place.
    #[must_use]
    pub fn in_place(mut self, site: Option<Site>) -> Self {
        self.site = site;
        self
    }

    /// The same, with something that programs may want to know.
    #[must_use]
    pub fn fact(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.fact.insert(key.to_owned(), value.into());
        self
    }
}
