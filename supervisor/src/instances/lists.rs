//! Pure: which packages an instance may have, by its lists of `name` and `name@range`.
//!
//! Node-RED judges by the same lists, but inside, where a node could undo that. What npm is asked for from there is judged
//! once more here.

use npm::{Range, Version};

use super::model::PaletteSettings;

/// Whether an instance may have what npm is told to install: by the lists of nodes, or by those of modules, because npm
/// is not told which of them it is.
pub(super) fn allows(palette: &PaletteSettings, spec: &str) -> bool {
    let nodes = palette.allow_install && listed(&palette.allow_list, &palette.deny_list, spec);
    let modules =
        palette.allow_modules && listed(&palette.modules_allow_list, &palette.modules_deny_list, spec);
    nodes || modules
}

/// Where both lists name a package, the one decides whose name is longer before its first `*`, and the denial where they
/// are as long.
fn listed(allow: &[String], deny: &[String], spec: &str) -> bool {
    let (name, version) = apart(spec);
    if allow.is_empty() && deny.is_empty() {
        return true;
    }
    if version.contains([':', '/']) || name.contains(':') {
        // An address or another name, under which anything can come.
        return false;
    }
    let longest = |list: &[String]| {
        let fitting = list.iter().map(|entry| apart(entry));
        fitting
            .filter(|(pattern, range)| fits(pattern, name) && within(range, version))
            .map(|(pattern, _)| (pattern.find('*').unwrap_or(usize::MAX), pattern.len()))
            .max()
    };
    match (longest(allow), longest(deny)) {
        (Some(allowed), Some(denied)) => allowed > denied,
        (None, Some(_)) => false,
        (Some(_), None) => true,
        (None, None) => allow.is_empty(),
    }
}

/// What is no exact version may turn out as any.
fn within(range: &str, version: &str) -> bool {
    match (range.parse::<Range>(), version.parse::<Version>()) {
        (Ok(range), Ok(version)) => range.satisfies(&version),
        _ => true,
    }
}

/// Name and version; a scope begins with the sign that parts them.
fn apart(spec: &str) -> (&str, &str) {
    match spec.rfind('@') {
        Some(at) if at > 0 => (&spec[..at], &spec[at + 1..]),
        _ => (spec, ""),
    }
}

/// Whether a name is like a pattern, in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(begin) else {
        return false;
    };
    let parts: Vec<&str> = rest.split('*').collect();
    let Some((end, middle)) = parts.split_last() else {
        return true;
    };
    for part in middle {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(allow: &[&str], deny: &[&str]) -> PaletteSettings {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        PaletteSettings {
            allow_list: owned(allow),
            deny_list: owned(deny),
            allow_modules: false,
            ..PaletteSettings::default()
        }
    }

    #[test]
    fn the_longer_name_decides() {
        for (allow, deny, spec, allowed) in [
            (&[][..], &[][..], "a", true),
            (&[], &["node-red-contrib-*"], "node-red-contrib-x@1.0.0", false),
            (&[], &["node-red-contrib-*"], "node-red-node-x", true),
            (&["@me/*"], &[], "@me/x@1.0.0", true),
            (&["@me/*"], &[], "other", false),
            (&["*"], &["evil"], "evil", false),
            (&["a"], &["*"], "a", true),
            (&["@me/good"], &["@me/*"], "@me/good", true),
            (&["@me/good"], &["@me/*"], "@me/bad", false),
            (&[], &["a@<2"], "a@1.5.0", false),
            (&[], &["a@<2"], "a@2.0.0", true),
            // It may turn out as anything.
            (&[], &["a@<2"], "a@latest", false),
            (&[], &["evil"], "good@npm:evil@1.0.0", false),
            (&[], &["evil"], "git+https://example.org/evil.git", false),
            (&[], &["x*y*z"], "xaybz", false),
            (&[], &["x*y*z"], "xabz", true),
        ] {
            assert_eq!(
                allows(&lists(allow, deny), spec),
                allowed,
                "{allow:?} {deny:?} {spec}"
            );
        }
        let none = PaletteSettings {
            allow_install: false,
            allow_modules: false,
            ..PaletteSettings::default()
        };
        assert!(!allows(&none, "a"));
        let modules = PaletteSettings {
            allow_install: false,
            modules_deny_list: vec!["evil".to_owned()],
            ..PaletteSettings::default()
        };
        assert!(allows(&modules, "a") && !allows(&modules, "evil"));
    }
}
