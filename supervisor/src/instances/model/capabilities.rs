//! What an instance may do beyond what the installed packages were vetted for, and what happens when it tries more.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an instance may do of what packages are vetted for: start programs, make raw sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CapabilitySettings {
    /// What happens when it tries what nothing allows.
    pub mode: CapabilityMode,
    /// What it may do beside that for which its packages were vetted, in the words of `redhold vet`: `proc.spawn{ping}`
    /// is one program, `proc.spawn` all, `code.native` machine code and with it raw sockets. What flows do by
    /// themselves, with exec nodes and function nodes, is allowed here and nowhere else.
    pub allow: Vec<String>,
}

/// What happens when an instance tries what nothing allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CapabilityMode {
    /// Nothing; nobody looks.
    Off,
    /// It is done, and is an event.
    #[default]
    Observe,
    /// It is refused, and is an event.
    Enforce,
}
