//! What a closure can do to the world: what its code says and what it was seen to do, brought together.

use std::collections::BTreeMap;

use crate::capability::{Capability, Kind};
use crate::closure::Closure;
use crate::judge::{Evidence, command, owner, seen};
use crate::report::Use;
use crate::trace::{Peer, Site, What};

pub(super) fn uses(evidence: &Evidence<'_>) -> Vec<Use> {
    let mut found: BTreeMap<(Capability, String), Use> = BTreeMap::new();
    let seen = evidence
        .observations
        .runs
        .iter()
        .flat_map(|trace| &trace.events)
        .filter_map(|event| {
            let capability = of(evidence.closure, &event.what)?;
            Some((capability, event.site.clone()))
        });
    for (capability, site) in seen {
        let package = owner(evidence.closure, site.as_ref());
        let entry = merged(&mut found, capability, package, site);
        entry.seen = true;
    }
    // What is only said counts where it may run: editor halves have capabilities of their own.
    let said = evidence.findings.sites.iter().filter(|said| said.reached);
    for said in said {
        let package = said.package.clone();
        // What was seen is known better than what the code says of its scope.
        let known = found
            .iter_mut()
            .filter(|((capability, by), one)| {
                one.seen && capability.kind == said.capability.kind && *by == package
            })
            .map(|(_, one)| one.said = true)
            .count();
        if known == 0 {
            let site = Some(said.site.clone());
            merged(&mut found, said.capability.clone(), package, site).said = true;
        }
    }
    found.into_values().collect()
}

fn merged(
    found: &mut BTreeMap<(Capability, String), Use>,
    capability: Capability,
    package: String,
    site: Option<Site>,
) -> &mut Use {
    found
        .entry((capability.clone(), package.clone()))
        .or_insert_with(|| Use {
            capability,
            package,
            site,
            said: false,
            seen: false,
        })
}

fn peer(peer: &Peer) -> String {
    if peer.configured {
        "configured".to_owned()
    } else {
        peer.host.clone()
    }
}

/// The capability that an attempt shows, if it shows one.
pub(super) fn of(closure: &Closure, what: &What) -> Option<Capability> {
    let with = |kind, scope: &str| Some(Capability::new(kind, scope));
    match what {
        What::EnvRead { key, .. } => with(Kind::EnvRead, key),
        What::EnvEnumerate => with(Kind::EnvEnumerate, ""),
        What::EnvWrite { key } => with(Kind::EnvWrite, key),
        What::FsRead { path, class, .. } | What::FsList { path, class } => {
            // Modules that load each other are not what anybody means by reading files.
            (closure.owner(path.trim_start_matches("/data/")).is_none() || class != "own")
                .then(|| Capability::new(Kind::FsRead, class.as_str()))
        }
        What::FsWrite { class, .. } => with(Kind::FsWrite, class),
        What::FsDelete { class, .. } => with(Kind::FsDelete, class),
        What::FsWatch { class, .. } => with(Kind::FsWatch, class),
        What::FsMode { class, mode, .. } => {
            (mode & 0o111 != 0).then(|| Capability::new(Kind::FsExecutable, class.as_str()))
        }
        What::Connect { peer: to } => match &*to.protocol {
            "unix" => with(Kind::NetUnix, &to.host),
            "udp" => with(Kind::NetUdp, &peer(to)),
            _ => with(Kind::NetConnect, &peer(to)),
        },
        What::Send { peer: to, .. } if to.protocol == "udp" => with(Kind::NetUdp, &peer(to)),
        What::Listen { port, .. } => with(Kind::NetListen, &port.to_string()),
        What::Multicast { group } => with(Kind::NetMulticast, group),
        What::Resolve { name, .. } => with(Kind::NetDns, name),
        What::TlsInsecure { .. } => with(Kind::NetTlsInsecure, ""),
        What::Spawn { command, shell, .. } => {
            let scope = if *shell {
                "shell"
            } else {
                command::program(command)
            };
            with(Kind::ProcSpawn, scope)
        }
        What::Exit { .. } => with(Kind::ProcExit, ""),
        What::Signal { .. } => with(Kind::ProcSignal, ""),
        What::SetUid => with(Kind::ProcUid, ""),
        What::Identity { .. } => with(Kind::OsIdentity, ""),
        What::Worker { .. } => with(Kind::Worker, ""),
        What::Eval { how, .. } if how == "vm" => with(Kind::CodeVm, ""),
        What::Eval { payload, .. } if payload.remote => with(Kind::CodeEval, "remote"),
        What::Eval { literal, .. } => with(Kind::CodeEval, if *literal { "literal" } else { "computed" }),
        What::Require { computed: true, .. } => with(Kind::CodeDynamicRequire, ""),
        What::ModuleHook { .. } => with(Kind::CodeModuleHook, ""),
        What::Native { .. } => with(Kind::CodeNative, ""),
        What::Wasm { .. } => with(Kind::CodeWasm, ""),
        What::Tamper { area, what } => {
            let kind = match &**area {
                "prototype" => Kind::RtPrototype,
                "core" => Kind::RtCoreOverride,
                _ => Kind::RtGlobal,
            };
            with(kind, what)
        }
        What::RequireCache { .. } => with(Kind::RtRequireCache, ""),
        What::RedRegister {
            node_type,
            core: true,
        } => with(Kind::RedShadowCoreType, node_type),
        What::RedAdminRoute {
            method,
            path,
            permission,
        } => {
            let guard = permission.as_deref().unwrap_or("open");
            with(Kind::RedAdminRoute, &format!("{method} {path} {guard}"))
        }
        What::RedHttpRoute { method, path } => with(Kind::RedHttpRoute, &format!("{method} {path}")),
        What::RedSetting { key } => with(Kind::RedSettings, key),
        What::RedFlows { write } => with(
            if *write {
                Kind::RedFlowsWrite
            } else {
                Kind::RedFlowsRead
            },
            "",
        ),
        What::RedCredentials { own } => with(Kind::RedCredentials, if *own { "own" } else { "other" }),
        What::RedHook { name } => with(Kind::RedHooks, name),
        What::RedEvent { name } => with(Kind::RedEvents, name),
        What::RedLogHandler => with(Kind::RedLogHandler, ""),
        What::RedStorage => with(Kind::RedStorage, ""),
        What::LongTimer { delay } => with(Kind::TimeLong, &format!("{} days", delay / 86_400_000)),
        What::EditorNetwork { url, .. } if seen::is_own_host(url) => with(Kind::EdNetwork, "own"),
        What::EditorNetwork { url, .. } => with(Kind::EdNetwork, url),
        What::EditorScript { url } => with(Kind::EdExternalScript, url),
        What::EditorToken => with(Kind::EdToken, ""),
        What::EditorHtml { .. } => with(Kind::EdHtmlInjection, ""),
        What::EditorGlobal { what } => with(Kind::EdGlobal, what),
        What::Send { .. }
        | What::Require { .. }
        | What::RedRegister { .. }
        | What::Compared { .. }
        | What::Probing { .. }
        | What::Failed { .. }
        | What::Uncaught { .. }
        | What::Unsupported { .. }
        | What::Output { .. } => None,
    }
}
