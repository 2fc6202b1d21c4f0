//! What an instance may do beyond what the installed packages were vetted for, and what happens when it tries more.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an instance may do of what packages are vetted for: start programs, make raw sockets, reach hosts. Hosts are
/// watched where it has a network of its own; there `network.allow` says what can be reached at all, and of that this is
/// what it has something to do with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CapabilitySettings {
    /// What happens when it tries what nothing allows.
    pub mode: CapabilityMode,
    /// What it may do beside that for which its packages were vetted, in the words of `redhold vet`: `proc.spawn{ping}`
    /// is one program, `proc.spawn` all; `net.connect{api.example.com}` is one host at every port (`*.example.com` and
    /// `10.0.0.0/8` are many), `net.connect` all; `net.raw` is raw sockets, `code.native` machine code and with it raw
    /// sockets. Hosts that the flows or their environment name need no entry. Programs that flows start by themselves, with
    /// exec nodes and function nodes, are allowed here and nowhere else.
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
