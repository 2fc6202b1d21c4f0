//! Pure: from an instance's settings to Node-RED's, to limits and to an environment.

use std::path::Path;

use runtime::spec::{Limits, Network};
use runtime::traffic::{Allow, Ends6, Filtered, Publish, Range};
use runtime::units::{Bytes, CpuShare, Pids};
use serde_json::{Map, Value, json};

use super::disk;
use super::model::{
    CodeEditor, Hidden, Instance, LogLevel, NetworkMode, PublishSettings, Settings, Variable,
};
use super::networks::Networks;
use super::place::Place;
use super::spec::{self, NpmSettings};
use crate::gate::Upstream;
use crate::secret::{HostKey, SealError, Secret};

/// What an editor offers where nothing else is wished: what was vetted on this host, and Node-RED's own catalogue, of which
/// the gate vets what is wanted.
const CATALOGUES: [&str; 2] = [
    "/.redhold/catalogue.json",
    "https://catalogue.nodered.org/catalogue.json",
];

/// What the runtime limits.
pub(super) fn limits(settings: &Settings) -> Limits {
    let limits = &settings.limits;
    Limits {
        memory: mib(limits.memory_mib),
        cpu: (limits.cpu_percent > 0).then(|| CpuShare(limits.cpu_percent * 10)),
        pids: Some(Pids(limits.tasks)),
        io: None,
        files: Some(limits.descriptors),
        file_size: mib(limits.disk_mib),
    }
}

/// What an instance may have on the disk.
pub(super) fn disk(data_dir: &Path, instance: &Instance) -> disk::Wanted {
    disk::Wanted {
        place: Place::of(data_dir, &instance.id),
        owner: super::world::owner(instance.number),
        limit: mib(instance.settings.limits.disk_mib),
    }
}

/// 0 is no limit.
fn mib(number: u32) -> Option<Bytes> {
    (number > 0).then(|| Bytes::mib(number.into()))
}

/// Which network it sees, or what runs beside it does (`errand`), which publishes nothing.
///
/// # Errors
/// In words, when the host's pool has no addresses for it, or its settings are of another version.
pub(super) fn network(
    instance: &Instance,
    networks: &Networks,
    npm: &NpmSettings,
    errand: bool,
) -> Result<Network, String> {
    let settings = &instance.settings.network;
    match networks.mode(settings.mode) {
        (NetworkMode::None, _) => return Ok(Network::Loopback),
        (NetworkMode::Host, Some(why)) => return Ok(Network::Lesser(why.to_owned())),
        (NetworkMode::Host, None) => return Ok(Network::Host),
        (NetworkMode::Isolated | NetworkMode::Default, _) => {}
    }
    // Two cables for each instance: one for what runs beside it.
    let full = |pool: Range| format!("{pool} has no addresses for instance number {}", instance.number);
    let number = instance
        .number
        .checked_mul(2)
        .ok_or_else(|| full(networks.pool))?
        + u32::from(errand);
    let (gateway, address) = networks.pool.pair(number).ok_or_else(|| full(networks.pool))?;
    let v6 = networks.pool6.map(|pool| {
        let (gateway, address) = pool.pair6(number).ok_or_else(|| full(pool))?;
        Ok::<_, String>(Ends6 {
            gateway,
            address,
            pool,
        })
    });
    let mut allow = Vec::new();
    for text in &settings.allow {
        allow.push(text.parse::<Allow>().map_err(|error| error.to_string())?);
    }
    allow.extend(registry(npm));
    let publish = settings.publish.iter().filter(|_| !errand).map(publish);
    Ok(Network::Filtered(Filtered {
        number,
        gateway,
        address,
        pool: networks.pool,
        v6: v6.transpose()?,
        allow,
        deny: networks.deny.clone(),
        publish: publish.collect::<Result<_, _>>()?,
        hosts: None,
    }))
}

/// A published port.
///
/// # Errors
/// In words, when its address is none.
pub(super) fn publish(settings: &PublishSettings) -> Result<Publish, String> {
    let address = settings.address.as_deref().map(|text| {
        text.parse()
            .map_err(|_| format!("`{text}` is no address of IPv4 or IPv6"))
    });
    Ok(Publish {
        address: address.transpose()?,
        port: settings.port,
        to: settings.to.unwrap_or(settings.port),
        protocol: settings.protocol,
    })
}

/// Where npm goes: to its proxies where there are some, and to its registry. What is no address is npm's to refuse.
fn registry(npm: &NpmSettings) -> impl Iterator<Item = Allow> {
    [&npm.registry, &npm.proxy, &npm.https_proxy]
        .into_iter()
        .flatten()
        .filter_map(|address| {
            let url: url::Url = address.parse().ok()?;
            format!("{}:{}", url.host_str()?, url.port_or_known_default()?)
                .parse()
                .ok()
        })
}

/// The environment of its flows, with what is hidden in clear.
///
/// # Errors
/// When a hidden value cannot be opened.
pub(super) fn environment(instance: &Instance, key: &HostKey) -> Result<Vec<(String, String)>, SealError> {
    let settings = &instance.settings;
    let mut all = vec![
        // The names under which flows know them that come from elsewhere.
        ("FF_INSTANCE_ID".to_owned(), instance.id.clone()),
        ("FF_INSTANCE_NAME".to_owned(), instance.name.clone()),
    ];
    if let Some(zone) = &settings.time_zone {
        all.push(("TZ".to_owned(), zone.clone()));
    }
    for (name, variable) in &settings.env {
        let value = match variable {
            Variable::Plain(value) => value.clone(),
            Variable::Hidden(hidden) => open(&instance.id, hidden, key)?,
        };
        all.push((name.clone(), value));
    }
    Ok(all)
}

/// What its settings say of registries: for the gate, which alone asks them.
///
/// # Errors
/// When a hidden value cannot be opened.
pub(super) fn upstream(instance: &Instance, key: &HostKey) -> Result<Upstream, SealError> {
    Ok(Upstream {
        env: environment(instance, key)?,
        npmrc: npmrc(instance, key)?,
    })
}

/// What its settings say of how npm installs, as variables for npm alone.
///
/// # Errors
/// When a hidden value cannot be opened.
pub(super) fn npm_options(instance: &Instance, key: &HostKey) -> Result<Vec<(String, String)>, SealError> {
    let options = npm::install_options(&npmrc(instance, key)?).into_iter();
    let variable =
        |(name, value): (String, String)| (format!("npm_config_{}", name.replace('-', "_")), value);
    Ok(options.map(variable).collect())
}

/// The npmrc of its settings, in clear. It never lies where its programs could read it.
fn npmrc(instance: &Instance, key: &HostKey) -> Result<String, SealError> {
    let hidden = instance.settings.palette.npmrc.as_ref();
    let text = hidden.map(|hidden| open(&instance.id, hidden, key)).transpose()?;
    Ok(text.unwrap_or_default())
}

/// A secret of an instance, in clear.
///
/// # Errors
/// When it cannot be opened.
pub(super) fn open(id: &str, hidden: &Hidden, key: &HostKey) -> Result<String, SealError> {
    Ok(key.open_sealed(id, &hidden.sealed)?.reveal().to_owned())
}

/// Everything hidden in its settings, in clear; what cannot be opened is left out.
pub(super) fn secrets(instance: &Instance, key: &HostKey) -> Vec<String> {
    let settings = &instance.settings;
    let variables = settings.env.values().filter_map(|variable| match variable {
        Variable::Hidden(hidden) => Some(hidden),
        Variable::Plain(_) => None,
    });
    let others = [&settings.http.password, &instance.credential_secret];
    let all = variables.chain(others.into_iter().flatten());
    all.filter_map(|hidden| open(&instance.id, hidden, key).ok())
        .collect()
}

/// Node-RED's settings.
pub(super) fn node_red(
    instance: &Instance,
    safe: bool,
    credential_secret: Option<String>,
    voucher: Secret,
) -> spec::Settings {
    let settings = &instance.settings;
    spec::Settings {
        credential_secret,
        safe,
        voucher: Some(voucher),
        function_timeout: settings.function_timeout_s.0,
        palette_install: settings.palette.allow_install,
        host_npm: true,
        log_level: level(settings.log_level).to_owned(),
        nodes_excludes: settings.palette.nodes_excludes.clone(),
        extra: extra(instance),
        ..spec::Settings::default()
    }
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Fatal => "fatal",
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

/// Settings by Node-RED's own names.
fn extra(instance: &Instance) -> Map<String, Value> {
    let settings = &instance.settings;
    let editor = &settings.editor;
    let palette = &settings.palette;
    let mut all = Map::new();
    let mut set = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
    if !editor.enabled {
        set("disableEditor", json!(true));
    }
    if !editor.root.is_empty() {
        set("httpAdminRoot", json!(editor.root));
    }
    set("ui", json!({ "path": editor.dashboard.trim_matches('/') }));
    set("apiMaxLength", json!(editor.api_max_length));
    // The second dashboard's socket has a bound of its own.
    set(
        "dashboard",
        json!({ "maxHttpBufferSize": bytes(&editor.api_max_length) }),
    );
    set("debugMaxLength", json!(editor.debug_max_length));
    set("functionExternalModules", json!(palette.allow_modules));
    set(
        "externalModules",
        json!({
            "palette": {
                "allowInstall": palette.allow_install,
                "allowUpload": false,
                "allowList": or_all(&palette.allow_list),
                "denyList": denied(&palette.allow_list, &palette.deny_list),
            },
            "modules": {
                "allowInstall": palette.allow_modules,
                "allowList": or_all(&palette.modules_allow_list),
                "denyList": denied(&palette.modules_allow_list, &palette.modules_deny_list),
            },
        }),
    );
    set(
        "contextStorage",
        json!({
            "default": "memory",
            "memory": { "module": "memory" },
            "persistent": { "module": "localfilesystem" },
        }),
    );
    if !settings.http.cors_origins.is_empty() {
        set(
            "httpNodeCors",
            json!({
                "origin": settings.http.cors_origins,
                "methods": settings.http.cors_methods,
            }),
        );
    }
    set("editorTheme", theme(instance));
    all
}

/// A list of what is allowed, as Node-RED reads it: there an empty one allows nothing.
fn or_all(list: &[String]) -> Value {
    if list.is_empty() {
        json!(["*"])
    } else {
        json!(list)
    }
}

/// A list of what is not: Node-RED allows what no list names, unless all is denied that is not allowed by name.
fn denied(allow: &[String], deny: &[String]) -> Vec<String> {
    let rest = (!allow.is_empty()).then(|| "*".to_owned());
    deny.iter().cloned().chain(rest).collect()
}

/// A size such as `5mb`, in bytes.
pub(super) fn bytes(size: &str) -> Option<u64> {
    let size = size.to_ascii_lowercase();
    let (digits, unit) = match (size.strip_suffix("kb"), size.strip_suffix("mb")) {
        (Some(digits), _) => (digits, 1 << 10),
        (_, Some(digits)) => (digits, 1 << 20),
        _ => return None,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(unit)
}

/// Settings that came with an import below those of the host; only where its context is kept is the import's.
pub(super) fn over(mut carried: Map<String, Value>, ours: Map<String, Value>) -> Map<String, Value> {
    for (name, value) in ours {
        if name != "contextStorage" || !carried.contains_key(&name) {
            carried.insert(name, value);
        }
    }
    carried
}

fn theme(instance: &Instance) -> Value {
    let editor = &instance.settings.editor;
    let title = if editor.header_title.is_empty() {
        &instance.name
    } else {
        &editor.header_title
    };
    let mut theme = json!({
        "tours": editor.tours,
        "projects": { "enabled": false },
        "header": { "title": title },
        "codeEditor": { "lib": match editor.code_editor {
            CodeEditor::Monaco => "monaco",
            CodeEditor::Ace => "ace",
        } },
    });
    let mut set = |place: &[&str], value: &str| {
        if value.is_empty() {
            return;
        }
        let mut at = &mut theme;
        for name in place {
            at = &mut at[*name];
        }
        *at = json!(value);
    };
    set(&["theme"], &editor.theme);
    set(&["header", "url"], &editor.header_url);
    set(&["page", "title"], &editor.page_title);
    set(&["page", "favicon"], &editor.favicon);
    let catalogues = &instance.settings.palette.catalogues;
    theme["palette"] = if catalogues.is_empty() {
        json!({ "catalogues": CATALOGUES })
    } else {
        json!({ "catalogues": catalogues })
    };
    theme
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_isolated_network_always_reaches_npm() {
        let npm = NpmSettings {
            registry: Some("https://npm.example/path/".to_owned()),
            proxy: Some("http://10.0.0.9:3128".to_owned()),
            https_proxy: Some("nonsense".to_owned()),
            ..NpmSettings::default()
        };
        let found: Vec<String> = registry(&npm).map(|allow| allow.to_string()).collect();
        assert_eq!(found, ["npm.example:443", "10.0.0.9:3128"]);
    }
}
