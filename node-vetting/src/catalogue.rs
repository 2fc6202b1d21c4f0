//! The list of nodes that an editor's palette manager shows, in Node-RED's catalogue format, with verdicts.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::policy::Decision;
use crate::report::{Report, Verdict};

/// One node of the catalogue. The first fields are Node-RED's; editors leave the rest alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Name of the package.
    pub id: String,
    /// The version that may be installed.
    pub version: String,
    /// One line, with the verdict before it, because that is what a palette shows.
    pub description: String,
    /// When it was published, as the registry says (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Node types.
    pub types: Vec<String>,
    /// Words to search by.
    pub keywords: Vec<String>,
    /// Where to read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is not trusted, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl Entry {
    /// The entry of a judged package; `url` is where its report can be read.
    #[must_use]
    pub fn of(report: &Report, decision: &Decision, url: Option<String>) -> Self {
        let facts = &report.facts;
        let badge = match decision.verdict {
            Verdict::Trusted => "\u{2714} trusted",
            Verdict::Review => "\u{26a0} needs review",
            Verdict::Refused => "\u{2718} refused",
        };
        let counting = decision
            .reasons
            .iter()
            .filter(|judged| judged.counts_as > Verdict::Trusted);
        Self {
            id: facts.package.to_string(),
            version: facts.version.to_string(),
            description: format!("{badge} \u{b7} {}", facts.description),
            updated_at: facts
                .published
                .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
                .map(|moment| moment.to_string()),
            types: facts.node_types.clone(),
            keywords: vec!["node-red".to_owned(), decision.verdict.name().to_owned()],
            url,
            verdict: decision.verdict,
            reasons: counting.map(|judged| judged.reason.says.clone()).collect(),
        }
    }
}

/// The catalogue: trusted nodes first, then those to review, each by name. What is refused is not offered; of
/// several versions the highest is.
#[must_use]
pub fn catalogue(name: &str, updated_at: &str, mut entries: Vec<Entry>) -> Value {
    entries.retain(|entry| entry.verdict < Verdict::Refused && !entry.types.is_empty());
    let version = |entry: &Entry| npm::Version::parse(&entry.version).ok();
    entries.sort_by(|a, b| {
        (a.verdict, &a.id)
            .cmp(&(b.verdict, &b.id))
            .then_with(|| version(b).cmp(&version(a)))
    });
    entries.dedup_by(|later, earlier| later.id == earlier.id);
    json!({ "name": name, "updated_at": updated_at, "modules": entries })
}
