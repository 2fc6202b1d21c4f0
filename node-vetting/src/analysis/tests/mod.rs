//! Every rule beside its innocent twin: text in, text out.

mod closures;
mod hostile;
mod shared;
mod sites;
mod texts;

use super::code::{self, How};
use super::*;

const RUNTIME: How = How {
    half: Half::Runtime,
    module: false,
    entry: true,
};

fn found(source: &str, how: How) -> Found {
    let source = source.to_owned();
    // As deep a stack as the product gives.
    let outcome = pool::all(vec![(source, how)], Means::default(), |(source, how)| {
        code::read(source, *how)
    });
    match outcome.into_iter().next() {
        Some(Outcome::Done(found)) => found,
        _ => panic!("it was not read"),
    }
}

/// Capabilities of a piece of code, sorted.
fn can(source: &str) -> Vec<String> {
    can_as(source, RUNTIME)
}

fn can_as(source: &str, how: How) -> Vec<String> {
    let found = found(source, how);
    let broken = found
        .abouts
        .iter()
        .find(|(_, about)| matches!(about, About::Unparsable { .. }));
    assert!(broken.is_none(), "{source}: {broken:?}");
    let mut all: Vec<String> = found
        .sites
        .iter()
        .map(|site| site.capability.to_string())
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Other findings of a piece of code, as `kind` and what tells them apart.
fn says(source: &str) -> Vec<String> {
    let found = found(source, RUNTIME);
    let abouts = found.abouts.iter().filter(|(_, about)| *about != About::Minified);
    let mut all: Vec<String> = abouts.map(|(_, about)| brief(about)).collect();
    all.sort();
    all.dedup();
    all
}

fn brief(about: &About) -> String {
    match about {
        About::Host { host, listed, .. } => format!("host {host} {}", listed.as_deref().unwrap_or("-")),
        About::Address { address, scope } => format!("address {address} {scope}"),
        About::Mentions { list, entry, .. } => format!("mentions {list}: {entry}"),
        About::Obfuscated { how, .. } => format!("obfuscated {how}"),
        About::HiddenCharacters { what, .. } => format!("hidden {what}"),
        About::Blob {
            alphabet,
            decoder,
            content,
            ..
        } => format!("blob {alphabet} {content} {decoder}"),
        About::DateGate { with } => format!("date {with}"),
        About::ChanceGate { with } => format!("chance {with}"),
        About::HostGate { what, with } => format!("{what} is {with}"),
        About::SplitName { module } => format!("split {module}"),
        About::Unparsable { why } => format!("unparsable: {why}"),
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn check_can(cases: &[(&str, &[&str])]) {
    for (source, expected) in cases {
        assert_eq!(can(source), *expected, "{source}");
    }
}

#[track_caller]
fn check_says(cases: &[(&str, &[&str])]) {
    for (source, expected) in cases {
        assert_eq!(says(source), *expected, "{source}");
    }
}
