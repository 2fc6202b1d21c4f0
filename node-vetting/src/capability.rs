//! What code can do to the world, in the words that reports, policies and sandboxes share.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that a package can do beyond computing. A capability is a kind with a scope: `net.connect` to `configured`.
///
/// Written as `group.kind` or `group.kind{scope}`; the order is alphabetical, so that reports repeat.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Capability {
    /// What is done.
    pub kind: Kind,
    /// To what: a host, a path class, a command, a key. Empty where the kind says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

impl Capability {
    /// A capability with a scope.
    pub fn new(kind: Kind, scope: impl Into<String>) -> Self {
        Self {
            kind,
            scope: scope.into(),
        }
    }
}

impl From<Kind> for Capability {
    fn from(kind: Kind) -> Self {
        Self::new(kind, "")
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if self.scope.is_empty() {
            return Ok(());
        }
        write!(f, "{{{}}}", self.scope)
    }
}

/// Declares the kinds with their names, so that neither can be forgotten.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// The kinds of capabilities.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl Kind {
            /// All of them, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// As reports and policies write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// Opens a connection; scope: `configured`, `computed`, or the host that stands in the code.
    NetConnect = "net.connect",
    /// Listens; scope: the port, or `configured`.
    NetListen = "net.listen",
    /// Sends datagrams; scope as for connections.
    NetUdp = "net.udp",
    /// Joins a multicast group; scope: the group.
    NetMulticast = "net.multicast",
    /// Asks for names; scope as for connections.
    NetDns = "net.dns",
    /// Switches the check of certificates off.
    NetTlsInsecure = "net.tls.insecure",
    /// Makes raw sockets, which read and forge packets; nothing in JavaScript can without machine code.
    NetRaw = "net.raw",
    /// Connects to a socket in the file system; scope: its path.
    NetUnix = "net.unix",
    /// Reads files; scope: a class of paths (`own`, `userdir`, `configured`, `secret`, `system`).
    FsRead = "fs.read",
    /// Writes files; scope: a class of paths (also `flows`, `startup`, `packages`).
    FsWrite = "fs.write",
    /// Deletes files; scope: a class of paths.
    FsDelete = "fs.delete",
    /// Watches files; scope: a class of paths.
    FsWatch = "fs.watch",
    /// Makes a file executable; scope: a class of paths.
    FsExecutable = "fs.exec-bit",
    /// Starts a program; scope: its name, `shell` or `computed`.
    ProcSpawn = "proc.spawn",
    /// Ends the process.
    ProcExit = "proc.exit",
    /// Sends signals.
    ProcSignal = "proc.signal",
    /// Changes who the process is.
    ProcUid = "proc.uid",
    /// Starts threads.
    Worker = "worker",
    /// Runs text as code; scope: `literal`, `computed`, `remote`.
    CodeEval = "code.eval",
    /// Runs text in contexts of its own.
    CodeVm = "code.vm",
    /// Loads modules by computed names.
    CodeDynamicRequire = "code.dynamic-require",
    /// Changes how modules are loaded.
    CodeModuleHook = "code.module-hook",
    /// Loads machine code.
    CodeNative = "code.native",
    /// Runs WebAssembly.
    CodeWasm = "code.wasm",
    /// Runs commands when it is installed; scope: the name of the script.
    CodeInstallScript = "code.install-script",
    /// Reads variables of the environment; scope: the key.
    EnvRead = "env.read",
    /// Lists the environment.
    EnvEnumerate = "env.enumerate",
    /// Changes the environment; scope: the key.
    EnvWrite = "env.write",
    /// Asks who and where the machine is.
    OsIdentity = "os.identity",
    /// Waits for days; scope: how long.
    TimeLong = "time.long",
    /// Behaves differently at another date.
    TimeDate = "time.date-dependent",
    /// Changes prototypes that all code shares; scope: which.
    RtPrototype = "rt.prototype",
    /// Replaces functions of core modules; scope: which.
    RtCoreOverride = "rt.core-override",
    /// Adds or replaces globals; scope: which.
    RtGlobal = "rt.global",
    /// Changes modules that others loaded.
    RtRequireCache = "rt.require-cache",
    /// Adds a route beside the editor; scope: method, path, and whether it asks for a permission.
    RedAdminRoute = "red.admin-route",
    /// Adds a route beside the flows' endpoints; scope: method and path.
    RedHttpRoute = "red.http-route",
    /// Reads Node-RED's settings; scope: the key.
    RedSettings = "red.settings",
    /// Reads the flows.
    RedFlowsRead = "red.flows.read",
    /// Changes the flows.
    RedFlowsWrite = "red.flows.write",
    /// Reads credentials; scope: `own` or `other`.
    RedCredentials = "red.credentials",
    /// Hooks into messages or installs; scope: the hook.
    RedHooks = "red.hooks",
    /// Listens to the runtime's events; scope: the event.
    RedEvents = "red.events",
    /// Reads the log of others.
    RedLogHandler = "red.log-handler",
    /// Registers a type that Node-RED has itself; scope: the type.
    RedShadowCoreType = "red.shadow-core-type",
    /// Replaces the storage.
    RedStorage = "red.storage",
    /// The editor half talks to a host; scope: which.
    EdNetwork = "ed.network",
    /// The editor half loads a script; scope: from where.
    EdExternalScript = "ed.external-script",
    /// The editor half reads the stored login.
    EdToken = "ed.token",
    /// The editor half writes markup that is not its own.
    EdHtmlInjection = "ed.html-injection",
    /// The editor half replaces globals; scope: which.
    EdGlobal = "ed.global",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_back() {
        for kind in Kind::ALL {
            let text = serde_json::to_string(kind).expect("it is written");
            assert_eq!(text, format!("\"{}\"", kind.name()));
            assert_eq!(serde_json::from_str::<Kind>(&text).ok(), Some(*kind));
        }
        assert_eq!(
            Capability::new(Kind::NetConnect, "configured").to_string(),
            "net.connect{configured}"
        );
        assert_eq!(Capability::from(Kind::ProcExit).to_string(), "proc.exit");
    }
}
