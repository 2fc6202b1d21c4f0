//! What can be asked for, and how an instance is shown.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::instances::model::{Desired, Settings};
use crate::instances::observed::Observed;
use crate::team::Team;

/// What is asked for when an instance is created.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct New {
    /// Its name.
    pub name: String,
    /// Its stack; without one, the host's default.
    pub stack: Option<String>,
    /// The team that it belongs to, `ORGANIZATION/TEAM`; without one it is the host's own.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub team: Option<Team>,
    /// Settings that are not the defaults, as a merge patch.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Value>,
    /// Flows to begin with, as Node-RED exports them.
    #[schema(value_type = Option<Object>)]
    pub flows: Option<Value>,
    /// Whether it starts at once.
    #[serde(default = "yes")]
    pub start: bool,
}

fn yes() -> bool {
    true
}

/// What is asked for when an instance is copied.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Copy {
    /// Name of the copy.
    pub name: String,
    /// Whether it gets the flows.
    #[serde(default = "yes")]
    pub flows: bool,
    /// Whether it gets the flows' credentials.
    #[serde(default)]
    pub credentials: bool,
    /// Which variables it gets: all, their names alone, or none.
    #[serde(default)]
    pub env: CopyEnv,
    /// Whether it starts at once.
    #[serde(default = "yes")]
    pub start: bool,
}

/// Which variables a copy gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "said at `Copy`")]
pub enum CopyEnv {
    #[default]
    All,
    Keys,
    None,
}

/// What can be done to an instance that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Let it run.
    Start,
    /// End it.
    Stop,
    /// End it without waiting for it.
    Kill,
    /// End it and start it again.
    Restart,
    /// End it and start it again with its flows stopped.
    SafeMode,
    /// Freeze it.
    Suspend,
    /// Let it go on.
    Resume,
    /// Bring it back before it is deleted for good.
    Undelete,
}

/// An instance as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// What it should do.
    pub desired: Desired,
    /// Name of its stack.
    pub stack: String,
    /// The team that it belongs to, `ORGANIZATION/TEAM`.
    #[schema(value_type = Option<String>)]
    pub team: Option<Team>,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it is deleted for good, in milliseconds since 1970. What the machine is off until then comes on top.
    pub delete_at_ms: Option<u64>,
    /// What it is seen to be doing.
    pub observed: Observed,
    /// Every setting, without secrets.
    #[schema(value_type = Settings)]
    pub settings: Value,
    /// Revision of all but `observed`; as an ETag in `If-Match`.
    pub revision: u64,
}
