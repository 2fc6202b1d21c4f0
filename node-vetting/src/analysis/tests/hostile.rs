//! Input that is made to break the reader.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn what_cannot_be_read_is_told() {
    for source in [
        "function (",
        "\u{0}\u{1}",
        "@@",
        &"[".repeat(100_000),
        &"!".repeat(1_000_000),
        &"a=>".repeat(200_000),
    ] {
        let said = says(source);
        assert!(
            said.iter().any(|one| one.starts_with("unparsable")),
            "{source:.20}: {said:?}"
        );
    }
    // A module by its text, a script by its text, sloppy code, a return at the top, a line for the shell.
    for source in [
        "import a from 'b'; export default a",
        "with (a) b()",
        "return 1",
        "#!/usr/bin/env node\nf()",
        "var a = 010",
    ] {
        assert_eq!(says(source), Vec::<String>::new(), "{source}");
    }
}

/// As deep as is allowed, in every way that code nests: none of it may end the process.
#[test]
fn the_deepest_code_is_read() {
    for (open, middle, close) in [
        ("[", "", "]"),
        ("(", "a", ")"),
        ("{", "", "}"),
        ("!", "a", ""),
        ("a=>", "a", ""),
        ("a?b:", "c", ""),
        ("a+", "b", ""),
        ("x='a'+", "b", ""),
        ("a.", "b", ""),
        ("if(a)", "b", ""),
        ("if(a)b;else ", "c", ""),
        ("function f(){", "", "}"),
        ("`${", "a", "}`"),
        ("f(", "", ")"),
        ("new ", "a", ""),
        ("class A{m(){", "", "}}"),
        ("[a]=", "b", ""),
        ("({a:", "b", "})"),
        ("a=b&&", "c", ""),
        ("typeof ", "a", ""),
    ] {
        let (mut low, mut high) = (1, MAX_DEPTH);
        let source = |times: usize| format!("{}{middle}{}", open.repeat(times), close.repeat(times));
        // The most that is still let through.
        while low < high {
            let times = (low + high).div_ceil(2);
            if nesting::depth(source(times).as_bytes()) <= MAX_DEPTH {
                low = times;
            } else {
                high = times - 1;
            }
        }
        let _ = found(&source(low), RUNTIME);
    }
}

#[test]
fn variables_that_are_made_of_themselves_are_followed_no_deeper() {
    for source in [
        "let a; a = a.trim(); if (a === 'x') {} if (a.trim() === 'y') {}",
        "let a; a = a.valueOf(); if (a > 1700000000000) {} if (Date.now() > a) {}",
        "let a; a = -a; if (a > Date.now()) {} if (new Date().getFullYear() > a) {}",
        "let a; a = a * a; if (a > 0.5) {} if (a.getFullYear() > 2027) {}",
        "const a = a => a(a); a(a);",
        "let a; a = a + a; require(a);",
        "let a; a = [...a]; a.join('');",
        "let a; a = a.b.c(a.b); a.exec('x')",
        "let a; a = (...b) => a(...b); RED.httpAdmin.get('/x', a, a)",
        "let a; a = `${a}`; fetch(a); fetch({ host: a });",
        "let a; a = -a; setTimeout(f, a);",
    ] {
        let _ = found(source, RUNTIME);
    }
}

/// Following values must not take for ever where they branch.
/// As the loops of large libraries are: every variable may be every other one.
#[test]
fn variables_that_are_made_of_each_other_are_followed() {
    let mut source = String::from("let a0;");
    for at in 1..200 {
        source.push_str(&format!(
            "let a{at} = a{} || a{} || a0;",
            at - 1,
            (at * 7) % at.max(2)
        ));
    }
    source.push_str("a0 = a199 || a100; a0 = a57 || require('child_process');");
    for at in 0..200 {
        source.push_str(&format!("a{at}.exec('ls');"));
    }
    let found = found(&source, RUNTIME);
    let spawns = found
        .sites
        .iter()
        .filter(|site| site.capability.to_string() == "proc.spawn{ls}");
    assert_eq!(spawns.count(), 200);
    let gave_up = found
        .abouts
        .iter()
        .any(|(_, about)| matches!(about, About::Unparsable { .. }));
    assert!(!gave_up, "{:?}", found.abouts);
}

#[test]
fn values_that_branch_end() {
    let mut source = String::from("var a0 = 'x';");
    for at in 1..40 {
        let before = at - 1;
        source.push_str(&format!(
            "var a{at} = {};",
            vec![format!("a{before}"); 30].join("+")
        ));
    }
    source.push_str("require(a39)");
    let _ = found(&source, RUNTIME);
}

const PIECES: [&str; 40] = [
    "require('child_process')",
    ".exec(",
    "eval",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "`${",
    "`",
    "'",
    "\"",
    "/",
    "\\",
    "=>",
    "async ",
    "await ",
    "function ",
    "class ",
    "import ",
    "export default ",
    "from 'x'",
    ";",
    ",",
    ":",
    "?",
    "??=",
    "...",
    "\u{202e}",
    "\u{e0101}",
    "0x1f",
    "process.env",
    "<!--",
    "-->",
    "#!",
    "/*",
    "*/",
    "//",
    "\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is thrown together: it is read or told, and nothing panics.
    #[test]
    fn no_text_breaks_the_reader(pieces in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        let source: String = pieces.iter().map(|at| PIECES[*at]).collect();
        let _ = code::read(&source, RUNTIME);
        let _ = html::scripts(&source);
        let _ = scripts::steps(&source, &BTreeMap::new());
    }

    /// Real code with a part cut out, doubled or broken.
    #[test]
    fn no_mutation_breaks_the_reader(at in 0..2000_usize, cut in 0..200_usize, with in ".{0,8}") {
        let source = include_str!("../../../data/sample.js");
        let at = source.char_indices().map(|(at, _)| at).nth(at % source.chars().count()).unwrap_or(0);
        let end = source.char_indices().map(|(at, _)| at).find(|end| *end >= at + cut).unwrap_or(source.len());
        let mutated = format!("{}{with}{}", &source[..at], &source[end..]);
        let _ = code::read(&mutated, RUNTIME);
    }
}
