//! The rules by which facts become reasons: each with the severity it asks for, what it means and what to do about it.

use crate::report::Verdict;

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As reports, policies and waivers name it.
    pub id: &'static str,
    /// What it asks for when the policy does not say otherwise.
    pub severity: Verdict,
    /// What it finds.
    pub finds: &'static str,
    /// What a person can do.
    pub next: &'static str,
}

/// The rule of this name.
#[must_use]
pub fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

const fn refused(id: &'static str, finds: &'static str, next: &'static str) -> Rule {
    Rule {
        id,
        severity: Verdict::Refused,
        finds,
        next,
    }
}

const fn review(id: &'static str, finds: &'static str, next: &'static str) -> Rule {
    Rule {
        id,
        severity: Verdict::Review,
        finds,
        next,
    }
}

const LEAVE: &str = "do not install it; report it to the registry";
const READ: &str = "read the place named; waive the rule when it is right";
const OLDER: &str = "use another version or another node";

/// All of them. Grouped by what they look at; within a group the gravest first.
pub const RULES: &[Rule] = &[
    // Secrets.
    refused(
        "flow.secret.unconfigured",
        "a secret of the host or of other nodes leaves to a peer that nobody configured",
        LEAVE,
    ),
    refused(
        "flow.secret.hidden",
        "what is sent to a peer that nobody configured changes when only secrets change",
        LEAVE,
    ),
    refused("secret.file", "a file that holds secrets is read", LEAVE),
    review(
        "secret.environment",
        "the whole environment is taken to where it may leave",
        READ,
    ),
    // Code.
    refused("code.remote", "what came from the network is run", LEAVE),
    refused(
        "code.invisible",
        "source code holds characters that hide or reorder what is read",
        LEAVE,
    ),
    refused(
        "code.worm",
        "it handles registry logins and publishes packages",
        LEAVE,
    ),
    refused(
        "code.runtime-download",
        "it fetches another JavaScript runtime",
        LEAVE,
    ),
    refused(
        "code.ai-tools",
        "it has command-line assistants look for secrets",
        LEAVE,
    ),
    refused(
        "code.elsewhere",
        "text is handed to another thread or interpreter, where it can send or start things unseen",
        LEAVE,
    ),
    review(
        "code.keyed-blob",
        "an encoded blob is decoded with a key that was not found",
        READ,
    ),
    review(
        "code.obfuscated",
        "code is made unreadable beyond minification",
        READ,
    ),
    review(
        "code.unparsable",
        "a source file cannot be parsed, so nobody knows what it says",
        READ,
    ),
    review(
        "code.cold",
        "code that never ran here could start programs, run text as code or reach secrets",
        READ,
    ),
    review("code.probing", "it looks whether it is being watched", READ),
    // Processes and files.
    refused("proc.downloads", "a command fetches something and runs it", LEAVE),
    refused(
        "proc.shell-peer",
        "a shell is joined to a network connection",
        LEAVE,
    ),
    refused(
        "fs.destroys",
        "flows, settings or files of others are overwritten or deleted",
        LEAVE,
    ),
    refused(
        "fs.startup",
        "something is placed where it starts by itself",
        LEAVE,
    ),
    refused("fs.packages", "other installed packages are changed", LEAVE),
    review(
        "proc.unasked",
        "a program is started without a message or a configuration that asks for it",
        READ,
    ),
    // The shared runtime.
    refused(
        "rt.core-override",
        "functions of Node.js that carry others' data are replaced",
        LEAVE,
    ),
    review(
        "rt.prototype",
        "prototypes that all code shares are changed",
        READ,
    ),
    review("rt.global", "globals are replaced", READ),
    review("rt.require-cache", "modules that others loaded are changed", READ),
    review(
        "rt.module-hook",
        "the way in which modules are loaded is changed",
        READ,
    ),
    // Behaviour that depends on where and when.
    refused("gate.date", "it behaves differently at another date", LEAVE),
    refused(
        "gate.host",
        "it does something only on a particular host, account or build service",
        LEAVE,
    ),
    refused("gate.chance", "it does something only by chance", LEAVE),
    // Node-RED.
    refused("red.flows-write", "it changes flows", LEAVE),
    refused(
        "red.credentials-other",
        "it reads credentials of other nodes",
        LEAVE,
    ),
    refused(
        "red.shadow-core-type",
        "it replaces a node that Node-RED has itself",
        OLDER,
    ),
    refused("red.storage", "it replaces where Node-RED keeps its flows", LEAVE),
    refused(
        "admin.command",
        "anybody who reaches the editor's address can run commands through it, without signing in",
        OLDER,
    ),
    refused(
        "admin.files",
        "anybody who reaches the editor's address can have it read or change files that they name",
        OLDER,
    ),
    review(
        "admin.middleware",
        "it sees every request to the editor, logins among them",
        READ,
    ),
    review(
        "admin.open",
        "it adds a route beside the editor that asks for no permission",
        READ,
    ),
    review("red.hooks", "it sees messages or installs of others", READ),
    review("red.log-handler", "it reads what others log", READ),
    // The editor half.
    refused("editor.token", "its editor script reads the stored login", LEAVE),
    refused(
        "editor.script",
        "its editor half loads a script from elsewhere",
        LEAVE,
    ),
    refused(
        "editor.override",
        "its editor script replaces functions that carry others' data",
        LEAVE,
    ),
    review(
        "editor.network",
        "its editor half makes the browser of whoever opens the editor talk to another host",
        READ,
    ),
    // Installing.
    refused(
        "install.gyp-expansion",
        "its binding.gyp runs commands while it is read",
        LEAVE,
    ),
    refused(
        "install.command",
        "its install script runs commands, fetches something or reads secrets",
        LEAVE,
    ),
    refused(
        "install.phantom",
        "a dependency that no code uses brings an install script",
        LEAVE,
    ),
    review(
        "install.script",
        "it has an install script, which will not run",
        "name the script in the policy when the node does not work without it",
    ),
    review(
        "native.code",
        "it holds machine code, which cannot be looked into",
        "approve the exact files when the publisher is known",
    ),
    review(
        "wasm.imports",
        "a WebAssembly module imports more than computing needs",
        READ,
    ),
    // The closure.
    refused(
        "closure.url",
        "a dependency is an address outside the registry, whose content can change",
        "mirror it under a hash in the policy",
    ),
    refused(
        "closure.git",
        "a dependency is a git repository, whose content no registry saw",
        "mirror it under a hash in the policy",
    ),
    refused(
        "closure.file",
        "a dependency is a file of the installing host",
        OLDER,
    ),
    refused("closure.missing", "a dependency cannot be had", OLDER),
    refused(
        "closure.too-much",
        "it brings more than the policy allows",
        "raise the limit in the policy",
    ),
    review("closure.weak-hash", "a package is pinned by SHA-1 only", READ),
    review(
        "manifest.mismatch",
        "what the registry says of it is not what is in its archive",
        READ,
    ),
    review(
        "manifest.bin",
        "it installs a command with the name of a common one",
        READ,
    ),
    review(
        "name.lookalike",
        "its name is close to that of a well-known package",
        "check that it is the one you mean",
    ),
    review(
        "age.young",
        "it has been public for fewer days than the policy asks",
        "wait, or exempt your own scope in the policy",
    ),
    review(
        "advisory.known",
        "a vulnerability of it is published",
        "use a version in which it is mended",
    ),
    review(
        "update.grew",
        "a small update brings a new capability, destination or script",
        READ,
    ),
    // What vetting itself could not do.
    refused(
        "resource.flood",
        "it never ends: it uses up time, memory, stack or output",
        LEAVE,
    ),
    review(
        "resource.spent",
        "the budget was spent before everything was tried",
        "raise the budget in the policy",
    ),
    review("exercise.load", "a file could not be loaded here", READ),
    review("exercise.construct", "a node could not be constructed here", READ),
    review(
        "exercise.unsupported",
        "it asks for something that the sandbox does not offer",
        READ,
    ),
    // The policy.
    review(
        "grant",
        "it can do something that the policy does not grant",
        "grant it in the policy, or waive it",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_once_and_none_for_trust() {
        let ids: HashSet<_> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
        assert!(RULES.iter().all(|rule| rule.severity > Verdict::Trusted));
    }
}
