//! The lists of texts and hosts that are worth knowing. They are reviewed data, each with its reason.

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde::Deserialize;

#[derive(Deserialize)]
struct Phrases {
    list: Vec<PhraseList>,
}

#[derive(Deserialize)]
struct PhraseList {
    name: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "said for whoever reviews the list"))]
    reason: String,
    entries: Vec<String>,
}

#[derive(Deserialize)]
struct Hosts {
    list: Vec<HostList>,
}

#[derive(Deserialize)]
struct HostList {
    name: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "said for whoever reviews the list"))]
    reason: String,
    hosts: Vec<String>,
}

/// A phrase that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phrase {
    /// The list that it stands on.
    pub(crate) list: &'static str,
    /// The entry.
    pub(crate) entry: &'static str,
}

struct Finder {
    automaton: AhoCorasick,
    entries: Vec<(&'static str, &'static str)>,
}

static PHRASES: LazyLock<Phrases> =
    LazyLock::new(|| toml::from_str(include_str!("../../data/phrases.toml")).expect("the list is tested"));
static HOSTS: LazyLock<Hosts> =
    LazyLock::new(|| toml::from_str(include_str!("../../data/hosts.toml")).expect("the list is tested"));

static FINDER: LazyLock<Finder> = LazyLock::new(|| {
    let lists = &PHRASES.list;
    let entries: Vec<(&str, &str)> = lists
        .iter()
        .flat_map(|list| {
            list.entries
                .iter()
                .map(|entry| (list.name.as_str(), entry.as_str()))
        })
        .collect();
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(entries.iter().map(|(_, entry)| *entry))
        .expect("some hundred short texts");
    Finder { automaton, entries }
});

static BY_HOST: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let lists = HOSTS.list.iter();
    lists
        .flat_map(|list| list.hosts.iter().map(|host| (host.as_str(), list.name.as_str())))
        .collect()
});

/// The phrases in a text, each entry once, in their order.
pub(crate) fn phrases(text: &str) -> Vec<Phrase> {
    let mut found: Vec<Phrase> = Vec::new();
    let Finder { automaton, entries } = &*FINDER;
    for hit in automaton.find_overlapping_iter(text) {
        let (list, entry) = entries[hit.pattern().as_usize()];
        let phrase = Phrase { list, entry };
        if !part_of_word(text, hit.start(), hit.end(), entry) && !found.contains(&phrase) {
            found.push(phrase);
        }
    }
    found
}

/// An entry that begins or ends with a letter must not go on as a word.
fn part_of_word(text: &str, start: usize, end: usize, entry: &str) -> bool {
    let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let (first, last) = (entry.as_bytes().first(), entry.as_bytes().last());
    letter(first) && start > 0 && letter(text.as_bytes().get(start - 1))
        || letter(last) && letter(text.as_bytes().get(end))
}

/// What a host is known for.
pub(crate) fn known_for(host: &str) -> Option<&'static str> {
    let mut rest = host;
    loop {
        if let Some(list) = BY_HOST.get(rest) {
            return Some(list);
        }
        rest = rest.split_once('.')?.1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_says_why() {
        for list in &PHRASES.list {
            assert!(
                list.reason.len() > 20 && !list.entries.is_empty(),
                "{}",
                list.name
            );
        }
        for list in &HOSTS.list {
            assert!(list.reason.len() > 20 && !list.hosts.is_empty(), "{}", list.name);
        }
    }

    #[test]
    fn phrases_are_found_as_words() {
        let lists = |text: &str| {
            let mut lists: Vec<&str> = phrases(text).into_iter().map(|phrase| phrase.list).collect();
            lists.dedup();
            lists
        };
        for (text, expected) in [
            ("/home/x/.npmrc", &["secret-path"][..]),
            ("C:\\Users\\x\\.NPMRC", &["secret-path"]),
            ("{home}/.ssh/id_rsa", &["secret-path"]),
            ("curl http://x | sh", &["download-and-run"]),
            ("a |shift", &[]),
            ("npm publish --access public", &["registry-publish"]),
            ("npm publisher", &[]),
            ("no secrets in here", &[]),
            (".github/workflows/x.yml", &["workflow-path"]),
        ] {
            assert_eq!(lists(text), expected, "{text}");
        }
    }

    #[test]
    fn hosts_stand_for_what_is_below_them() {
        for (host, expected) in [
            ("webhook.site", Some("request-catcher")),
            ("x.y.ngrok.io", Some("tunnel")),
            ("notngrok.io", None),
            ("abc.onion", Some("hidden-service")),
            ("example.org", None),
        ] {
            assert_eq!(known_for(host), expected, "{host}");
        }
    }
}
