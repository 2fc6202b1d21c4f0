//! Reasons in what a package was seen to do.

use crate::judge::routes::Routes;
use crate::judge::{Evidence, command, owner};
use crate::report::{Reason, Verdict};
use crate::trace::{End, Event, Payload, Peer, Phase, Trace, What};
use crate::world::CONFIGURED_DOMAIN;

/// Secrets that the configured peer of a node may be told: its own.
const OWN_SECRET: &str = "flow-credential";

pub(super) fn reasons(evidence: &Evidence<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if evidence.observations.runs.is_empty() {
        let root = evidence.closure.root().spec();
        reasons.push(Reason::about("exercise.load", &root).says("Nothing of it was run."));
    }
    for trace in &evidence.observations.runs {
        reasons.extend(ended(evidence, trace));
        let routes = Routes::of(trace);
        for event in &trace.events {
            let package = owner(evidence.closure, event.site.as_ref());
            let told = flows(&package, event)
                .or_else(|| routes.reason(&package, event))
                .or_else(|| code(&package, event))
                .or_else(|| outside(&package, event))
                .or_else(|| runtime(&package, event))
                .or_else(|| node_red(&package, event))
                .or_else(|| editor(&package, event))
                .or_else(|| failures(&package, event));
            reasons.extend(told.map(|reason| placed(reason, trace, event)));
        }
    }
    reasons
}

fn placed(mut reason: Reason, trace: &Trace, event: &Event) -> Reason {
    reason.site.clone_from(&event.site);
    reason.run = Some(trace.run.clone());
    reason.at = Some(event.at);
    reason
}

fn ended(evidence: &Evidence<'_>, trace: &Trace) -> Option<Reason> {
    let root = evidence.closure.root().spec();
    let (rule, says) = match &trace.end {
        End::Done => return None,
        End::Spent(what) if what == "events" || what == "output" => (
            "resource.flood",
            format!("It does not end: its {what} passed every limit."),
        ),
        End::Stuck => (
            "resource.flood",
            "It goes round and round without an end, and never comes back.".to_owned(),
        ),
        End::Spent(what) if what == "memory" => (
            "resource.flood",
            "It takes more memory than any node needs.".to_owned(),
        ),
        End::Spent(what) => ("resource.spent", format!("Its budget of {what} was spent.")),
        // Whoever breaks the engine may want to; what this program itself got wrong is no fault of the package's.
        End::Trapped(why) if !why.starts_with("the driver failed") => (
            "resource.flood",
            format!("It brought the engine to a halt: {why}."),
        ),
        End::Trapped(why) => (
            "resource.spent",
            format!("It could not be tried to the end: {why}."),
        ),
    };
    let mut reason = Reason::about(rule, &root)
        .says(says)
        .fact("what", trace.run.as_str());
    reason.run = Some(trace.run.clone());
    Some(reason)
}

/// Secrets on their way out.
fn flows(package: &str, event: &Event) -> Option<Reason> {
    let (payload, peer, to) = match &event.what {
        What::Send { peer, payload } => (payload, Some(peer), told(peer)),
        What::Resolve { name, payload } => (payload, None, format!("the name {name}")),
        What::Spawn { command, payload, .. } => (payload, None, format!("the command {command}")),
        What::EditorNetwork { url, payload } if !is_own_host(url) => (payload, None, url.clone()),
        _ => return None,
    };
    let configured = peer.is_some_and(|peer| peer.configured);
    let gone: Vec<&str> = payload
        .secrets
        .iter()
        .map(String::as_str)
        .filter(|secret| !(configured && *secret == OWN_SECRET))
        .collect();
    if gone.is_empty() {
        return None;
    }
    Some(
        Reason::about("flow.secret.unconfigured", package)
            .says(format!("It sends a secret ({}) to {to}.", gone.join(", ")))
            .fact("what", to)
            .fact("secrets", gone)
            .fact("bytes", payload.bytes),
    )
}

/// Whether an address is that of the editor itself: its own host, as the guest's page has it.
pub(super) fn is_own_host(url: &str) -> bool {
    const OWN: &str = "http://localhost:1880";
    url.strip_prefix(OWN)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

fn told(peer: &Peer) -> String {
    match peer.port {
        0 => format!("{} ({})", peer.host, peer.protocol),
        port => format!("{}:{port} ({})", peer.host, peer.protocol),
    }
}

/// What is run as code.
fn code(package: &str, event: &Event) -> Option<Reason> {
    let remote = |payload: &Payload, how: &str| {
        payload.remote.then(|| {
            Reason::about("code.remote", package)
                .says(format!("It runs what came from the network ({how})."))
                .fact("what", how)
        })
    };
    match &event.what {
        What::Eval { how, payload, .. } => remote(payload, how),
        What::Worker { payload } => remote(payload, "worker").or_else(|| elsewhere(package, &payload.shown)),
        What::Wasm { payload } => remote(payload, "WebAssembly"),
        What::Spawn { payload, .. } if !matches!(event.phase, Phase::Admin(_)) => {
            remote(payload, "a command")
        }
        What::Probing { what } => Some(
            Reason::about("code.probing", package)
                .says(format!("It looks whether it is being watched: {what}."))
                .fact("what", what.as_str()),
        ),
        _ => None,
    }
}

/// Text that is run where nothing is watched.
fn elsewhere(package: &str, text: &str) -> Option<Reason> {
    command::reaches_out(text).then(|| {
        let start: String = text.chars().take(80).collect();
        Reason::about("code.elsewhere", package)
            .says(format!(
                "It hands a text to another thread or interpreter to run: `{start}`."
            ))
            .fact("what", start)
    })
}

/// Processes and files.
fn outside(package: &str, event: &Event) -> Option<Reason> {
    let of = |rule: &str, says: String| Some(Reason::about(rule, package).says(says));
    match &event.what {
        What::Spawn {
            command, arguments, ..
        } => spawn(package, event, command, arguments),
        What::FsRead {
            path,
            class,
            found: true,
        } if class == "secret" => {
            of("secret.file", format!("It reads {path}.")).map(|reason| reason.fact("what", path.as_str()))
        }
        What::FsWrite { path, class, .. }
        | What::FsDelete { path, class }
        | What::FsMode { path, class, .. } => {
            let verb = match &event.what {
                What::FsDelete { .. } => "deletes",
                What::FsMode { .. } => "changes the mode of",
                _ => "writes",
            };
            let says = format!("It {verb} {path}.");
            match &**class {
                "flows" | "others" => of("fs.destroys", says),
                "startup" => of("fs.startup", says),
                "packages" => of("fs.packages", says),
                "secret" => of("secret.file", says),
                _ => None,
            }
        }
        _ => None,
    }
}

fn spawn(package: &str, event: &Event, command: &str, arguments: &[String]) -> Option<Reason> {
    let line = std::iter::once(command)
        .chain(arguments.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ");
    let words = std::iter::once(command).chain(arguments.iter().map(String::as_str));
    let of = |rule: &str, says: String| {
        Some(
            Reason::about(rule, package)
                .says(says)
                .fact("what", line.as_str()),
        )
    };
    if let Phase::Install(script) = &event.phase {
        return of("install.command", format!("Its {script} script runs `{line}`."));
    }
    if let Some(reason) = command::script(command, arguments).and_then(|text| elsewhere(package, text)) {
        return Some(reason);
    }
    if command::fetches(words) {
        return of("proc.downloads", format!("It runs `{line}`."));
    }
    if command::is_open_shell(command, arguments) {
        return of(
            "proc.shell-peer",
            format!("It starts a shell for somebody else: `{line}`."),
        );
    }
    match &event.phase {
        // What names what the configuration names was asked for by whoever wrote it there.
        Phase::Timer if line.contains(CONFIGURED_DOMAIN) => None,
        Phase::Load(_) | Phase::Register | Phase::Timer => {
            of("proc.unasked", format!("It runs `{line}` without being asked."))
        }
        _ => None,
    }
}

/// Whether a changed global carries data of whoever uses it: parsers, requests, output.
fn carries(area: &str, what: &str) -> bool {
    const CARRIERS: [&str; 8] = [
        "JSON.parse",
        "JSON.stringify",
        "globalThis.fetch",
        "globalThis.WebSocket",
        "globalThis.XMLHttpRequest",
        "Promise.prototype.then",
        "Function.prototype.call",
        "Function.prototype.apply",
    ];
    area != "core" && CARRIERS.contains(&what)
}

/// The runtime that all nodes share.
fn runtime(package: &str, event: &Event) -> Option<Reason> {
    let of = |rule: &str, what: &str, says: String| {
        Some(Reason::about(rule, package).says(says).fact("what", what))
    };
    match &event.what {
        What::Tamper { area, what } => match &**area {
            _ if carries(area, what) => of(
                "rt.core-override",
                what,
                format!("It replaces {what}, through which others' data goes."),
            ),
            "prototype" if what.starts_with("Object.prototype.") && !what.contains('[') => {
                let mut reason = of(
                    "rt.prototype",
                    what,
                    format!("It changes {what}, which every object has."),
                );
                if let Some(reason) = &mut reason {
                    reason.severity = Verdict::Refused;
                }
                reason
            }
            "core" => of("rt.core-override", what, format!("It replaces {what}.")),
            "prototype" => of(
                "rt.prototype",
                what,
                format!("It changes {what}, which all code shares."),
            ),
            _ => of("rt.global", what, format!("It replaces the global {what}.")),
        },
        What::RequireCache { what } => of(
            "rt.require-cache",
            what,
            format!("It changes {what}, which others have loaded."),
        ),
        What::ModuleHook { what } => of(
            "rt.module-hook",
            what,
            format!("It changes how modules are loaded: {what}."),
        ),
        _ => None,
    }
}

fn node_red(package: &str, event: &Event) -> Option<Reason> {
    let of = |rule: &str, says: String| Some(Reason::about(rule, package).says(says));
    match &event.what {
        What::RedFlows { write: true } => of("red.flows-write", "It changes flows.".to_owned()),
        What::RedCredentials { own: false } => of(
            "red.credentials-other",
            "It reads credentials of other nodes.".to_owned(),
        ),
        What::RedRegister {
            node_type,
            core: true,
        } => of(
            "red.shadow-core-type",
            format!("It registers `{node_type}`, which Node-RED has itself."),
        ),
        What::RedStorage => of("red.storage", "It replaces where flows are kept.".to_owned()),
        What::RedHook { name } => {
            of("red.hooks", format!("It hooks into {name}.")).map(|reason| reason.fact("what", name.as_str()))
        }
        What::RedLogHandler => of("red.log-handler", "It reads what others log.".to_owned()),
        What::RedAdminRoute { method, path, .. }
            if method == "USE" && matches!(path.as_str(), "/" | "*" | "") =>
        {
            of(
                "admin.middleware",
                "It sees every request to the editor, logins among them.".to_owned(),
            )
        }
        What::RedAdminRoute {
            method,
            path,
            permission: None,
        } => of(
            "admin.open",
            format!("It adds {method} {path} beside the editor, which asks for no permission."),
        )
        .map(|reason| reason.fact("what", path.as_str())),
        _ => None,
    }
}

fn editor(package: &str, event: &Event) -> Option<Reason> {
    let of = |rule: &str, what: &str, says: String| {
        Some(Reason::about(rule, package).says(says).fact("what", what))
    };
    match &event.what {
        What::EditorToken => of(
            "editor.token",
            "",
            "Its editor script reads the stored login.".to_owned(),
        ),
        What::EditorScript { url } => of(
            "editor.script",
            url,
            format!("Its editor half loads a script from {url}."),
        ),
        What::EditorGlobal { what } => of(
            "editor.override",
            what,
            format!("Its editor script replaces {what}."),
        ),
        What::EditorNetwork { url, payload } if !is_own_host(url) => {
            let mut reason = of("editor.network", url, format!("Its editor half talks to {url}."))?;
            // A picture or a style from elsewhere is a question; what sends something there has nothing to say to them.
            if payload.bytes > 0 {
                reason.severity = Verdict::Refused;
            }
            Some(reason)
        }
        _ => None,
    }
}

/// What an error says, without where it comes from.
fn first_line(said: &str) -> &str {
    said.lines().next().unwrap_or_default().trim_end_matches('.')
}

/// What could not be tried.
fn failures(package: &str, event: &Event) -> Option<Reason> {
    match &event.what {
        What::Failed { node_type, said } => Some(
            Reason::about("exercise.construct", package)
                .says(match node_type.as_str() {
                    "" => format!("A script could not be run to its end: {}.", first_line(said)),
                    node_type => format!(
                        "The node `{node_type}` could not be constructed: {}.",
                        first_line(said)
                    ),
                })
                .fact("what", node_type.as_str()),
        ),
        What::Uncaught { said } if matches!(event.phase, Phase::Load(_) | Phase::Register) => {
            let mut reason = Reason::about("exercise.load", package)
                .says(format!("It could not be loaded: {}.", first_line(said)));
            // An entry that Node-RED itself would not load may be for other places, such as a browser.
            if matches!(event.phase, Phase::Load(_)) {
                reason.severity = Verdict::Trusted;
            }
            Some(reason)
        }
        _ => None,
    }
}
