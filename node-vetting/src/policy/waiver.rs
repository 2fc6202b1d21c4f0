//! Waivers: a person's dated, reasoned exceptions.

use npm::{Integrity, PackageName, Version};
use serde::{Deserialize, Serialize};

use crate::policy::Day;
use crate::report::Reason;

/// An exception: these rules do not count against these bytes, because somebody says so, until some day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The package whose verdict it changes.
    pub package: PackageName,
    /// In this version only.
    pub version: Version,
    /// In exactly these bytes. Without it, whatever the registry gives under that version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Integrity>,
    /// Rules that do not count, as reports name them; a grant that is missing is `grant` with the capability.
    pub rules: Vec<String>,
    /// Who says so.
    pub who: String,
    /// Why.
    pub why: String,
    /// The last day on which it counts.
    pub until: Day,
}

impl Waiver {
    /// Whether it is about these bytes, and counts on `today`.
    #[must_use]
    pub fn counts(&self, name: &PackageName, version: &Version, integrity: &Integrity, today: Day) -> bool {
        self.package == *name
            && self.version == *version
            && self.integrity.as_ref().is_none_or(|pinned| pinned == integrity)
            && today <= self.until
    }

    /// Whether it names the rule of a reason, whole or with what it is about: `grant{proc.spawn{ping}}`.
    #[must_use]
    pub fn names(&self, reason: &Reason) -> bool {
        self.rules.iter().any(|rule| {
            *rule == reason.rule
                || reason
                    .fact
                    .get("capability")
                    .and_then(|value| value.as_str())
                    .is_some_and(|capability| *rule == format!("{}{{{capability}}}", reason.rule))
        })
    }
}
