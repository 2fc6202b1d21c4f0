//! Pure: what is wrong with a name or with settings, all of it at once.

use runtime::traffic::{Allow, Publish};

use super::model::{Access, NetworkMode, OUTSIDE, Settings, Variable};
use super::spec::reserved;
use super::{allowance, wish};
use crate::recipient::Recipient;

/// Least memory with which Node-RED starts, in MiB.
const LEAST_MEMORY: u32 = 96;

/// Who can be told of one instance.
const MOST_RECIPIENTS: usize = 20;

/// Names that mean something else in an address.
const TAKEN: [&str; 12] = [
    "admin",
    "api",
    "app",
    "auth",
    "console",
    "host",
    "localhost",
    "mqtt",
    "npm",
    "redhold",
    "registry",
    "www",
];

/// What is wrong with an instance's name.
pub(super) fn name(name: &str) -> Option<String> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let fits = (1..=40).contains(&name.len())
        && name.bytes().all(inner)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    if !fits {
        return Some(format!(
            "`{name}` cannot be an instance's name: use 1 to 40 of a-z, 0-9 and -, a letter first and no - last"
        ));
    }
    TAKEN
        .contains(&name)
        .then(|| format!("`{name}` cannot be an instance's name: it means something else in an address"))
}

/// Everything that is wrong with settings: where, and what.
pub(super) fn settings(settings: &Settings) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut say = |place: &str, what: String| wrong.push(format!("{place}: {what}"));
    let limits = &settings.limits;
    if (1..LEAST_MEMORY).contains(&limits.memory_mib) {
        let memory = limits.memory_mib;
        say(
            "limits.memoryMib",
            format!("{memory} is less than the {LEAST_MEMORY} that Node-RED needs"),
        );
    }
    if limits.cpu_percent > 100_000 {
        say(
            "limits.cpuPercent",
            "is a percentage of one core, at most 100000".to_owned(),
        );
    }
    if limits.tasks < 32 {
        say(
            "limits.tasks",
            format!("{} is less than the 32 that Node.js and npm need", limits.tasks),
        );
    }
    if (1..16).contains(&limits.disk_mib) {
        say("limits.diskMib", "is less than 16".to_owned());
    }
    if limits.descriptors < 256 {
        say(
            "limits.descriptors",
            "is less than the 256 that Node-RED needs".to_owned(),
        );
    }
    if limits.install_memory_mib < 300 {
        say("limits.installMemoryMib", "npm alone takes 270".to_owned());
    }
    for (name, variable) in &settings.env {
        let place = format!("env.{name}");
        let letters = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        if !name.bytes().all(letters) || name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
            say(
                &place,
                "a name has letters, digits and _, no digit first".to_owned(),
            );
        }
        if let Some(why) = reserved(name) {
            say(&place, format!("cannot be set: {why}"));
        }
        if name.starts_with("FF_") {
            say(&place, "names that begin with FF_ are set by Redhold".to_owned());
        }
        if matches!(variable, Variable::Plain(value) if value.contains('\0')) {
            say(&place, "holds a NUL character".to_owned());
        }
    }
    if let Some(zone) = &settings.time_zone
        && jiff::tz::TimeZone::get(zone).is_err()
    {
        say(
            "timeZone",
            format!("this host knows no `{zone}`; its database is in the package `tzdata`"),
        );
    }
    editor(settings, &mut say);
    network(settings, &mut say);
    for (at, text) in settings.capabilities.allow.iter().enumerate() {
        if let Some(why) = allowance::wrong(text) {
            say(&format!("capabilities.allow[{at}]"), why);
        }
    }
    alerts(settings, &mut say);
    for (day, window) in &settings.maintenance {
        if window.hour > 23 {
            say(
                &format!("maintenance.{day:?}").to_ascii_lowercase(),
                "an hour is a number from 0 to 23".to_owned(),
            );
        }
    }
    for name in settings.palette.packages.keys() {
        if let Err(error) = name.parse::<npm::PackageName>() {
            say(&format!("palette.packages.{name}"), error.to_string());
        }
    }
    let health = &settings.health;
    for (place, number, least) in [
        ("health.probeEveryMs", health.probe_every_ms, 1000),
        ("health.probeTimeoutMs", health.probe_timeout_ms, 100),
        ("health.startTimeoutMs", health.start_timeout_ms, 5000),
        ("restart.crashes", settings.restart.crashes, 1),
        ("restart.safeCrashes", settings.restart.safe_crashes, 1),
    ] {
        if number < least {
            say(place, format!("is at least {least}"));
        }
    }
    if (1..6000).contains(&health.hang_after_ms) {
        say(
            "health.hangAfterMs",
            "is at least 6000, or 0 for never".to_owned(),
        );
    }
    let basic = settings.http.access == Access::Basic
        || settings
            .shared
            .values()
            .any(|shared| shared.access == Access::Basic);
    if basic && (settings.http.user.is_empty() || settings.http.password.is_none()) {
        say("http", "`basic` access needs a user and a password".to_owned());
    }
    for (path, shared) in &settings.shared {
        let place = format!("shared.{path}");
        if !is_path(path) || path == "/" {
            say(
                &place,
                "an address path begins with / and has no empty, . or .. parts".to_owned(),
            );
        }
        if !is_inside(&shared.folder) {
            say(
                &place,
                "the folder is a path inside files/, without empty, . or .. parts".to_owned(),
            );
        }
    }
    wrong
}

fn editor(settings: &Settings, say: &mut impl FnMut(&str, String)) {
    let editor = &settings.editor;
    for (place, path) in [
        ("editor.root", &editor.root),
        ("editor.dashboard", &editor.dashboard),
    ] {
        if !path.is_empty() && !is_path(path) {
            say(
                place,
                "a path begins with / and has no empty, . or .. parts".to_owned(),
            );
        }
    }
    if wish::bytes(&editor.api_max_length).is_none() {
        say(
            "editor.apiMaxLength",
            "is a number with kb or mb, for example 5mb".to_owned(),
        );
    }
    if !editor.favicon.is_empty() && !is_inside(&editor.favicon) {
        say(
            "editor.favicon",
            "is a picture in the file storage, by its path without empty, . or .. parts".to_owned(),
        );
    }
}

fn alerts(settings: &Settings, say: &mut impl FnMut(&str, String)) {
    let alerts = &settings.alerts;
    for (place, percent) in [
        ("alerts.cpuPercent", alerts.cpu_percent),
        ("alerts.memoryPercent", alerts.memory_percent),
    ] {
        if !(1..=100).contains(&percent) {
            say(place, "is a percentage of the limit, from 1 to 100".to_owned());
        }
    }
    for (place, seconds) in [
        ("alerts.loadForS", alerts.load_for_s),
        ("alerts.recoveredAfterS", alerts.recovered_after_s),
    ] {
        if !(10..=86_400).contains(&seconds) {
            say(place, "is a number of seconds from 10 to 86400".to_owned());
        }
    }
    if alerts.recipients.len() > MOST_RECIPIENTS {
        say("alerts.recipients", format!("are at most {MOST_RECIPIENTS}"));
    }
    for (at, recipient) in alerts.recipients.iter().enumerate() {
        if let Err(why) = recipient.parse::<Recipient>() {
            say(&format!("alerts.recipients[{at}]"), why);
        }
    }
}

fn network(settings: &Settings, say: &mut impl FnMut(&str, String)) {
    let network = &settings.network;
    // Who relies on a list must not end up without one on a host that cannot keep it.
    let lists = network.allow != [OUTSIDE] || !network.publish.is_empty();
    if network.mode != NetworkMode::Isolated && lists {
        say(
            "network",
            "`allow` and `publish` need the mode `isolated`: set network.mode=isolated with them".to_owned(),
        );
    }
    for (at, text) in network.allow.iter().enumerate() {
        if let Err(error) = text.parse::<Allow>() {
            say(&format!("network.allow[{at}]"), error.to_string());
        }
    }
    let mut taken: Vec<Publish> = Vec::new();
    for (at, settings) in network.publish.iter().enumerate() {
        let place = format!("network.publish[{at}]");
        let publish = match wish::publish(settings) {
            Ok(publish) => publish,
            Err(why) => {
                say(&place, why);
                continue;
            }
        };
        if publish.port == 0 || publish.to == 0 {
            say(&place, "a port is a number from 1 to 65535".to_owned());
        }
        if taken.iter().any(|other| other.meets(&publish)) {
            say(&place, format!("port {} is published twice", publish.port));
        }
        taken.push(publish);
    }
}

/// Whether this is a path inside a folder.
fn is_inside(path: &str) -> bool {
    !path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

fn is_path(path: &str) -> bool {
    path == "/"
        || path.strip_prefix('/').is_some_and(|rest| {
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            !rest.split('/').any(|part| matches!(part, "" | "." | ".."))
                && !rest.contains(|c: char| c.is_control() || "?#\\%".contains(c))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels() {
        for good in ["a", "pump-1", "line4"] {
            assert_eq!(name(good), None);
        }
        for bad in [
            "",
            "Pump",
            "1a",
            "-a",
            "a-",
            "a_b",
            "a.b",
            "ä",
            "api",
            &"a".repeat(41),
        ] {
            assert!(name(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        assert_eq!(settings(&Settings::default()), [""; 0]);
        let text = r#"{
            "limits": { "memoryMib": 10, "tasks": 3 },
            "env": { "NODE_OPTIONS": "x", "1A": "x", "FF_X": "y" },
            "timeZone": "Mars/Base",
            "editor": { "root": "a/../b", "apiMaxLength": "big" },
            "palette": { "packages": { "../x": "1" } },
            "http": { "access": "basic" },
            "shared": { "/pub": { "folder": "../x" } },
            "health": { "hangAfterMs": 5 },
            "capabilities": { "allow": ["proc.spawn{ping}", "proc.spawn{"] },
            "network": {
                "mode": "isolated",
                "allow": ["*", "broker", "a b:1"],
                "publish": [{ "port": 1 }, { "port": 1, "address": "127.0.0.1" }, { "port": 2, "address": "x" },
                    { "port": 3, "to": 0 }, { "port": 1, "protocol": "udp" }]
            }
        }"#;
        let wrong = settings(&serde_json::from_str(text).expect("settings"));
        let places = [
            "limits.memoryMib",
            "limits.tasks",
            "env.NODE_OPTIONS",
            "env.1A",
            "env.FF_X",
            "timeZone",
            "editor.root",
            "editor.apiMaxLength",
            "palette.packages",
            "http:",
            "shared./pub",
            "health.hangAfterMs",
            "capabilities.allow[1]",
            "network.allow[1]",
            "network.allow[2]",
            "network.publish[1]",
            "network.publish[2]",
            "network.publish[3]",
        ];
        for place in places {
            assert!(
                wrong.iter().any(|line| line.starts_with(place)),
                "{place} in {wrong:?}"
            );
        }
        assert_eq!(wrong.len(), places.len(), "{wrong:?}");
        for text in [
            r#"{ "network": { "allow": ["*:443"] } }"#,
            r#"{ "network": { "mode": "host", "allow": [] } }"#,
            r#"{ "network": { "publish": [{ "port": 1 }] } }"#,
        ] {
            let wrong = settings(&serde_json::from_str(text).expect("settings"));
            assert!(wrong[0].starts_with("network: ") && wrong.len() == 1, "{wrong:?}");
        }
    }
}
