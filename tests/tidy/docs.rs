//! Every file says what it is for, every policy rule says why, and the map names things that exist.

use std::fs;

use serde_json::Value;

use crate::tree::{assert_none, sources, top};

#[test]
fn every_file_opens_with_its_purpose() {
    let mut broken = Vec::new();
    for source in sources(&[".rs"]) {
        let doc: String = source
            .text
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .collect();
        if doc.trim().len() < 20 {
            broken.push(format!("{} needs a `//!` that says what it is for", source.path));
        }
    }
    for source in sources(&[".cjs"]) {
        if !source.text.starts_with("//") && !source.text.starts_with("'use strict';\n//") {
            broken.push(format!(
                "{} needs a comment that says what it is for",
                source.path
            ));
        }
    }
    assert_none("module documentation", &broken);
}

#[test]
fn every_policy_rule_gives_its_reason() {
    let mut broken = Vec::new();
    let mut rules = 0;
    for source in sources(&[".json"]) {
        if !source.path.starts_with("runtime/policies/") {
            continue;
        }
        let policy: Value = serde_json::from_str(&source.text).expect("a policy is JSON");
        visit(&policy, &mut |rule| {
            rules += 1;
            if rule
                .get("reason")
                .and_then(Value::as_str)
                .is_none_or(|reason| reason.len() < 10)
            {
                broken.push(format!("{}: {rule}", source.path));
            }
        });
    }
    assert!(rules > 0, "no rule was found: the test looks in the wrong place");
    assert_none("a policy rule without a reason", &broken);
}

/// Calls `check` for every rule: an object that lists `calls`.
fn visit(value: &Value, check: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(object) => {
            if object.contains_key("calls") {
                check(value);
            }
            object.values().for_each(|value| visit(value, check));
        }
        Value::Array(items) => items.iter().for_each(|value| visit(value, check)),
        _ => {}
    }
}

#[test]
fn the_map_names_what_exists() {
    let readme = fs::read_to_string(top().join("README.md")).expect("there is a README");
    let mut broken = Vec::new();
    let mut named = 0;
    let code = readme.split('`').skip(1).step_by(2);
    let links = readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    for name in code.chain(links) {
        let a_path = ["runtime/", "supervisor/", "node-vetting/", "tests/", "benches/"]
            .iter()
            .any(|folder| name.starts_with(folder))
            && !name.contains([' ', '<', '*']);
        if a_path {
            named += 1;
            if !top().join(name).exists() {
                broken.push(name.to_owned());
            }
        }
    }
    assert!(named >= 5, "the README no longer maps the repository");
    assert_none("the README names paths that do not exist", &broken);
}

#[test]
fn the_readme_is_one_sitting() {
    let readme = fs::read_to_string(top().join("README.md")).expect("there is a README");
    assert!(
        readme.lines().count() <= 200,
        "the README has outgrown its 200 lines"
    );
}
