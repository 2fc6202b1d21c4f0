//! What is remembered of alerts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decide::{Topic, Trouble};
use crate::store::table::Record;

/// Something that people were told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Identifier; in order of time.
    pub id: String,
    /// When it was decided, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it is.
    pub kind: Kind,
    /// What it is about; more than one where several troubles are over.
    pub topics: Vec<Topic>,
    /// Identifier of the instance.
    pub instance: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// In one line.
    pub title: String,
    /// For a person: what, since when, the last lines of the log, what to do.
    pub text: String,
    /// Who was told, and how that went.
    pub deliveries: Vec<Delivery>,
}

impl Record for Alert {
    const TABLE: &'static str = "alerts";
    const FORMAT: u32 = 1;
}

/// Kinds of alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something is wrong.
    Trouble,
    /// It is well again.
    Recovery,
    /// Somebody tries whether telling works.
    Test,
}

/// One recipient of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// An e-mail address, or `webhook:NAME`.
    pub to: String,
    /// How it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was tried last, or is tried next while it waits, in milliseconds since 1970.
    pub at_ms: u64,
    /// Why it did not arrive yet.
    pub error: Option<String>,
}

/// How a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is tried, or tried again.
    Waiting,
    /// It was taken.
    Sent,
    /// It is not tried any more.
    Failed,
    /// There were too many of this instance in the last hour.
    Held,
}

/// What is wrong with an instance, as far as people were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Troubles {
    /// What is wrong.
    pub(super) open: BTreeMap<Topic, Trouble>,
    /// Since when its flows run again, in milliseconds since 1970.
    pub(super) well_since_ms: Option<u64>,
    /// When people were told something, in the last hour, in milliseconds since 1970.
    pub(super) told_ms: Vec<u64>,
}

impl Record for Troubles {
    const TABLE: &'static str = "troubles";
    const FORMAT: u32 = 1;
}

/// Up to which change of the store events were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The change.
    pub(super) sequence: u64,
}

impl Record for Cursor {
    const TABLE: &'static str = "alert-cursor";
    const FORMAT: u32 = 1;
}
