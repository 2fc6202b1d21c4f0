//! Classes of paths: what a file means to the machine, told from what is known of its path.

use super::super::lists;

/// The class of a path that code puts together.
pub(super) fn class(path: &str) -> &'static str {
    let listed = |list: &str| lists::phrases(path).iter().any(|phrase| phrase.list == list);
    if listed("secret-path") || path.starts_with("{home}/.ssh") {
        return "secret";
    }
    if listed("startup-path") {
        return "startup";
    }
    if path.contains("node_modules") {
        return "packages";
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    if file.starts_with("flows") && file.ends_with(".json") {
        return "flows";
    }
    match path {
        path if path.starts_with("{own}") => "own",
        path if path.starts_with("{userdir}") => "userdir",
        path if path.starts_with("{temp}") || path.starts_with("/tmp/") => "temp",
        path if path.starts_with("{home}") => "home",
        path if path.starts_with('/') || path.get(1..3) == Some(":\\") => "system",
        path if path.starts_with("{?}") => "computed",
        path if path.contains("{?}") => "computed",
        _ => "working-folder",
    }
}

/// The host of an address that code puts together; nothing when it is not known.
pub(super) fn host(address: &str) -> Option<String> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next()?;
    let host = host.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(six) => six.split(']').next()?,
        None => host.split(':').next()?,
    };
    let plausible = !host.is_empty()
        && host.len() <= 253
        && !host.contains('{')
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'));
    plausible.then(|| host.to_ascii_lowercase())
}

/// The program of a command line: its first word without folders; `shell` when the line is more than one command.
pub(super) fn program(line: &str) -> String {
    let line = line.trim();
    if line.contains(['|', ';', '&', '`', '>', '<', '\n']) || line.contains("$(") {
        return "shell".to_owned();
    }
    let word = line.split_whitespace().next().unwrap_or_default();
    if word.is_empty() || word.contains("{?}") {
        return "computed".to_owned();
    }
    let word = word.trim_matches(['"', '\'']);
    word.rsplit(['/', '\\']).next().unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_classes() {
        for (path, expected) in [
            ("{home}/.npmrc", "secret"),
            ("{home}/.ssh/id_ed25519", "secret"),
            ("{home}/.bashrc", "startup"),
            ("{userdir}/flows.json", "flows"),
            ("{userdir}/data.json", "userdir"),
            ("{own}/lib/x.json", "own"),
            ("{own}/../node_modules/x/index.js", "packages"),
            ("/etc/hosts", "system"),
            ("C:\\Windows", "system"),
            ("{?}/x", "computed"),
            ("data.txt", "working-folder"),
            ("{temp}/x", "temp"),
        ] {
            assert_eq!(class(path), expected, "{path}");
        }
    }

    #[test]
    fn hosts_are_told() {
        for (address, expected) in [
            ("https://api.example.org/x/{?}", Some("api.example.org")),
            ("https://user:pass@Example.org:8443/", Some("example.org")),
            ("ws://[::1]:80/", Some("::1")),
            ("https://{?}.example.org/", None),
            ("{?}", None),
            ("example.org", Some("example.org")),
            ("not a host", None),
        ] {
            assert_eq!(host(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn programs_are_told() {
        for (line, expected) in [
            ("/usr/bin/ping -c 1 {?}", "ping"),
            ("curl x | sh", "shell"),
            ("{?} x", "computed"),
            ("git {?}", "git"),
            ("", "computed"),
        ] {
            assert_eq!(program(line), expected, "{line}");
        }
    }
}
