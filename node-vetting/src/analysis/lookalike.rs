//! Names that are made to be taken for others.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use strsim::osa_distance;

use super::finding::About;

static POPULAR: &str = include_str!("../../data/popular.txt");

struct Known {
    names: HashSet<&'static str>,
    /// By name without separators and with letters that look alike made one.
    by_skeleton: HashMap<String, &'static str>,
    /// By length, of names that are long enough for a slip to be told from another name.
    by_length: HashMap<usize, Vec<&'static str>>,
}

/// Below this length one letter more or less is just another name.
const SHORTEST: usize = 6;

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let names: Vec<&str> = POPULAR
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    let mut by_length: HashMap<usize, Vec<&str>> = HashMap::new();
    for name in names.iter().filter(|name| name.len() >= SHORTEST) {
        by_length.entry(name.len()).or_default().push(name);
    }
    // The first of several is the best known: the list is in that order.
    let mut by_skeleton = HashMap::new();
    for name in &names {
        by_skeleton.entry(skeleton(name)).or_insert(*name);
    }
    Known {
        names: names.into_iter().collect(),
        by_skeleton,
        by_length,
    }
});

/// What is left of a name when everything that is easily overlooked is taken away.
fn skeleton(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_' | '.'))
        .map(|c| match c.to_ascii_lowercase() {
            '0' => 'o',
            '1' | 'i' => 'l',
            '5' => 's',
            other => other,
        })
        .collect()
}

/// The well-known package that a name could be taken for; nothing for well-known names themselves.
pub(crate) fn like(name: &str) -> Option<About> {
    let known = &*KNOWN;
    if known.names.contains(name) {
        return None;
    }
    let alike = |of: &str, how: &str| {
        Some(About::LookAlike {
            of: of.to_owned(),
            how: how.to_owned(),
        })
    };
    if name.len() >= 4
        && let Some(of) = known.by_skeleton.get(&skeleton(name))
    {
        return alike(of, "looks the same");
    }
    // `@someone/node-red-contrib-x` is a fork with its author's name on it; `@node-red-contrib/x` is a scope that
    // looks like the beginning of a name.
    if let Some((scope, base)) = name.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
        let joined = format!("{scope}-{base}");
        return known
            .names
            .get(joined.as_str())
            .and_then(|of| alike(of, "a scope in place of the beginning"));
    }
    for changed in [
        name.strip_suffix("-js"),
        name.strip_suffix("js"),
        name.strip_prefix("node-"),
        name.strip_suffix("-node"),
    ] {
        if let Some(changed) = changed
            && changed.len() >= SHORTEST
            && known.names.contains(changed)
        {
            return alike(changed, "a common ending or beginning");
        }
    }
    if name.len() < SHORTEST {
        return None;
    }
    for length in name.len() - 1..=name.len() + 1 {
        for of in known.by_length.get(&length).into_iter().flatten() {
            if osa_distance(name, of) == 1 && !is_another(name, of) {
                return alike(of, "one letter");
            }
        }
    }
    None
}

/// A number at the end, a plural and the like make another name, not a slip.
fn is_another(name: &str, of: &str) -> bool {
    let (short, long) = if name.len() < of.len() {
        (name, of)
    } else {
        (of, name)
    };
    if long.len() > short.len() && long.starts_with(short) {
        let last = long.as_bytes()[long.len() - 1];
        return last.is_ascii_digit() || last == b's';
    }
    // `lib-v1` and `lib-v2`, `d3-x` and `d4-x`.
    name.len() == of.len()
        && name
            .bytes()
            .zip(of.bytes())
            .filter(|(a, b)| a != b)
            .all(|(a, b)| a.is_ascii_digit() && b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Option<String> {
        like(name).map(|about| match about {
            About::LookAlike { of, .. } => of,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn slips_are_told() {
        for (name, expected) in [
            ("node-red-dashbord", Some("node-red-dashboard")),
            ("node_red_dashboard", Some("node-red-dashboard")),
            ("node-red-dashb0ard", Some("node-red-dashboard")),
            ("expresss", None),
            ("exprses", Some("express")),
            ("l0dash", Some("lodash")),
            ("express", None),
            ("node-red-contrib-my-own-thing", None),
            ("@someone/node-red-dashboard", None),
        ] {
            assert_eq!(of(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_list_is_what_it_says() {
        assert!(POPULAR.starts_with('#'), "it says where it is from");
        assert!(KNOWN.names.len() > 1000);
        assert!(
            KNOWN
                .names
                .iter()
                .all(|name| name.parse::<npm::PackageName>().is_ok())
        );
    }
}
