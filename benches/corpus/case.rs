//! What is looked at, and what should come of it.

use serde::Deserialize;
use test_support::corpus::Sample;

/// Which part of the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Must be refused, by one of its rules.
    Attack,
    /// Generated, must not be refused.
    Twin,
    /// Real, must not be refused but for what stands in the list.
    Real,
}

/// One package.
pub(crate) struct Case {
    pub(crate) kind: Kind,
    /// The behaviour; the name for real packages.
    pub(crate) id: String,
    /// What it is, or why it is here.
    pub(crate) title: String,
    /// `name@version`.
    pub(crate) spec: String,
    /// Rules of which one must be among the reasons.
    pub(crate) right: Vec<String>,
    /// The rule by which a policy that is not about behaviour refuses it.
    pub(crate) refused_by: Option<String>,
    pub(crate) integrity: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    version: String,
    #[serde(default)]
    integrity: Option<String>,
    why: String,
    #[serde(default)]
    refused_by: Option<String>,
}

impl Case {
    pub(crate) fn of(sample: &Sample, kind: Kind) -> Self {
        Self {
            kind,
            id: sample.id.to_owned(),
            title: format!("{} ({})", sample.title, sample.way),
            spec: format!("{}@1.0.0", sample.name()),
            right: sample.right.iter().map(|rule| (*rule).to_owned()).collect(),
            refused_by: None,
            integrity: None,
        }
    }
}

/// The real packages, pinned.
pub(crate) fn real() -> Vec<Case> {
    let listed: Vec<Listed> =
        serde_json::from_str(include_str!("packages.json")).expect("the list of packages");
    let cases = listed.into_iter().map(|one| Case {
        kind: Kind::Real,
        spec: format!("{}@{}", one.name, one.version),
        id: one.name,
        title: one.why,
        right: Vec::new(),
        refused_by: one.refused_by,
        integrity: one.integrity,
    });
    cases.collect()
}
