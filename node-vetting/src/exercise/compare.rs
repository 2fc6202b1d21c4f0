//! Two runs side by side: what happens in one and not in the other, and whether what leaves differs.

use std::collections::BTreeMap;

use crate::trace::{Payload, Peer, Trace, What};

/// What an event does to the world, without what it carries: equal in two runs when the same was attempted.
///
/// None for events that say nothing about the world.
pub(super) fn act(what: &What) -> Option<String> {
    let peer = |peer: &Peer| format!("{} {}:{}", peer.protocol, peer.host, peer.port);
    Some(match what {
        What::EnvWrite { key } => format!("env.write {key}"),
        What::FsRead { path, class, .. } if class != "own" && class != "packages" => {
            format!("fs.read {path}")
        }
        What::FsList { path, class } if class != "own" && class != "packages" => format!("fs.list {path}"),
        What::FsWrite { path, .. } => format!("fs.write {path}"),
        What::FsDelete { path, .. } => format!("fs.delete {path}"),
        What::FsWatch { path, .. } => format!("fs.watch {path}"),
        What::FsMode { path, mode, .. } => format!("fs.mode {path} {mode:o}"),
        What::Connect { peer: to } => format!("connect {}", peer(to)),
        What::Send { peer: to, .. } => format!("send {}", peer(to)),
        // Names that are asked for carry data: their domain is the act.
        What::Resolve { name, .. } => format!("resolve {}", domain(name)),
        What::TlsInsecure { peer: to } => format!("tls.insecure {}", peer(to)),
        What::Listen { protocol, port, host } => format!("listen {protocol} {host}:{port}"),
        What::Multicast { group } => format!("multicast {group}"),
        What::Spawn { command, .. } => {
            format!("spawn {}", command.split_whitespace().next().unwrap_or_default())
        }
        What::Exit { .. } => "exit".to_owned(),
        What::Signal { signal } => format!("signal {signal}"),
        What::SetUid => "set-uid".to_owned(),
        What::Worker { .. } => "worker".to_owned(),
        What::Eval { how, .. } => format!("eval {how}"),
        What::Native { path } => format!("native {path}"),
        What::Wasm { .. } => "wasm".to_owned(),
        What::ModuleHook { what } => format!("module-hook {what}"),
        What::Tamper { area, what } => format!("tamper {area} {what}"),
        What::RequireCache { what } => format!("require-cache {what}"),
        What::RedFlows { write } => format!("flows {}", if *write { "write" } else { "read" }),
        What::RedCredentials { own } => format!("credentials {}", if *own { "own" } else { "other" }),
        What::RedHook { name } => format!("hook {name}"),
        What::RedAdminRoute { method, path, .. } => format!("admin-route {method} {path}"),
        What::RedHttpRoute { method, path } => format!("http-route {method} {path}"),
        What::EditorNetwork { url, .. } => {
            format!("editor.network {}", url.split('?').next().unwrap_or_default())
        }
        What::EditorScript { url } => format!("editor.script {url}"),
        What::EditorToken => "editor.token".to_owned(),
        What::EditorGlobal { what } => format!("editor.global {what}"),
        _ => return None,
    })
}

/// The last two labels of a name.
fn domain(name: &str) -> &str {
    let mut dots = name.rmatch_indices('.').skip(1);
    dots.next().map_or(name, |(at, _)| &name[at + 1..])
}

/// What leaves with an event.
pub(super) fn payload(what: &What) -> Option<&Payload> {
    match what {
        What::FsWrite { payload, .. }
        | What::Send { payload, .. }
        | What::Resolve { payload, .. }
        | What::Spawn { payload, .. }
        | What::Worker { payload }
        | What::Eval { payload, .. }
        | What::Wasm { payload }
        | What::EditorNetwork { payload, .. }
        | What::EditorHtml { payload } => Some(payload),
        _ => None,
    }
}

/// The acts of a run with the numbers of their events.
pub(super) fn acts(trace: &Trace) -> BTreeMap<String, Vec<usize>> {
    let mut acts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, event) in trace.events.iter().enumerate() {
        if let Some(act) = act(&event.what) {
            acts.entry(act).or_default().push(index);
        }
    }
    acts
}

/// An act whose number differs between two runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) act: String,
    /// Events in the one run and in the other.
    pub(super) one: Vec<usize>,
    pub(super) other: Vec<usize>,
}

/// Acts whose numbers differ.
pub(super) fn differences(one: &Trace, other: &Trace) -> Vec<Difference> {
    let (mut ones, others) = (acts(one), acts(other));
    let mut found = Vec::new();
    for (act, other) in others {
        let one = ones.remove(&act).unwrap_or_default();
        if one.len() != other.len() {
            found.push(Difference { act, one, other });
        }
    }
    found.extend(ones.into_iter().map(|(act, one)| Difference {
        act,
        one,
        other: Vec::new(),
    }));
    found.sort_by(|a, b| a.act.cmp(&b.act));
    found
}

/// Events of two runs that do the same with different bytes: pairs of their numbers, the first of each act.
pub(super) fn changed_bytes(one: &Trace, other: &Trace) -> Vec<(String, usize, usize)> {
    let others = acts(other);
    let mut found = Vec::new();
    for (act, events) in acts(one) {
        let Some(matching) = others.get(&act) else {
            continue;
        };
        let digest = |trace: &Trace, index: usize| {
            payload(&trace.events[index].what).map(|payload| payload.digest.clone())
        };
        let changed = events
            .iter()
            .zip(matching)
            .find(|(left, right)| digest(one, **left) != digest(other, **right));
        if let Some((left, right)) = changed {
            found.push((act, *left, *right));
        }
    }
    found
}
