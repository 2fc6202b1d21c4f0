//! When an instance is restarted or upgraded by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Windows by weekday. Hours are those of the instance's time zone (`timeZone`), UTC where it has none.
pub type Windows = BTreeMap<Weekday, Window>;

/// Days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "days of the week")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// An hour in which something is done, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Window {
    /// The hour at whose beginning it begins, 0 to 23. It ends an hour later.
    pub hour: u8,
    /// What is done.
    #[serde(default)]
    pub action: Upkeep,
}

/// What is done in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Upkeep {
    /// Ends it and starts it again.
    #[default]
    Restart,
    /// Puts it onto the newest stack of this host; where it has that already, nothing is done. One that does not
    /// become healthy on it goes back by itself.
    Upgrade,
}
