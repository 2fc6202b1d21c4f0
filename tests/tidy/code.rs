//! What may stand only in certain places, or nowhere.

use std::fs;

use crate::tree::{assert_none, sources, top};

/// The only folder with unsafe code.
const UNSAFE_FOLDER: &str = "runtime/src/sys/";
/// The only file besides: vetting maps compiled code.
const UNSAFE_FILE: &str = "node-vetting/src/engine/map.rs";
/// The only file of the product that waits by the clock, where the kernel announces nothing.
const PATIENT_FILE: &str = "runtime/src/sandbox/cgroup/patience.rs";
/// The only file of the tests and benches that sleeps.
const SLEEPING_FILE: &str = "tests/support/src/eventually.rs";

#[test]
fn unsafe_code_lives_in_one_folder() {
    let mut broken = Vec::new();
    for source in sources(&[".rs"]) {
        let known = source.path.starts_with(UNSAFE_FOLDER) || source.path == UNSAFE_FILE;
        if known || source.path.starts_with("tests/tidy/") {
            continue;
        }
        for (line, text) in source.code() {
            let code = text.replace("unsafe_code", "");
            if ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                .iter()
                .any(|form| code.contains(form))
            {
                broken.push(format!("{}:{line}: {}", source.path, text.trim()));
            }
        }
    }
    assert_none("unsafe code outside runtime/src/sys", &broken);
    for (root, attribute) in [
        ("runtime/src/lib.rs", "#![deny(unsafe_code)]"),
        ("runtime/npm/src/lib.rs", "#![forbid(unsafe_code)]"),
        ("node-vetting/src/lib.rs", "#![deny(unsafe_code)]"),
        ("supervisor/src/lib.rs", "#![forbid(unsafe_code)]"),
    ] {
        let text = fs::read_to_string(top().join(root)).expect("a crate root");
        assert!(text.contains(attribute), "{root} must say {attribute}");
    }
}

#[test]
fn tests_wait_in_one_place() {
    let mut broken = Vec::new();
    for source in sources(&[".rs"]) {
        let a_test = source.path.starts_with("tests/") || source.path.starts_with("benches/");
        if !a_test || source.path == SLEEPING_FILE || source.path.starts_with("tests/tidy/") {
            continue;
        }
        for (line, text) in source.code() {
            if text.contains("thread::sleep")
                || text.contains("time::sleep")
                || text.contains("sleep(Duration")
            {
                broken.push(format!("{}:{line}", source.path));
            }
        }
    }
    assert_none("a sleep outside tests/support/src/eventually.rs", &broken);
}

#[test]
fn no_thread_of_the_product_sleeps() {
    let mut broken = Vec::new();
    for source in sources(&[".rs"]) {
        let product = source.path.contains("/src/") && !source.path.starts_with("tests/");
        if !product || source.path == PATIENT_FILE {
            continue;
        }
        let before_tests = source.lines_before_tests();
        for (line, text) in source.code().take_while(|(line, _)| *line <= before_tests) {
            if text.contains("thread::sleep") {
                broken.push(format!("{}:{line}: wait for the event instead", source.path));
            }
        }
    }
    assert_none("thread::sleep in the product", &broken);
}

#[test]
fn no_test_is_switched_off() {
    let mut broken = Vec::new();
    for source in sources(&[".rs"]) {
        if source.path.starts_with("tests/tidy/") {
            continue;
        }
        for (line, text) in source.code() {
            if text.trim_start().starts_with("#[ignore") || text.trim_start().starts_with("#[allow(") {
                broken.push(format!("{}:{line}: {}", source.path, text.trim()));
            }
        }
    }
    assert_none(
        "a test that is ignored, or a lint that is allowed without being expected",
        &broken,
    );
}

/// The registries are the user's to choose: only their configuration names them. Cargo.lock's own index line is
/// cargo's format.
#[test]
fn no_registry_is_written_down() {
    let hosts = [
        ["registry", "npmjs", "org"].join("."),
        ["registry", "yarnpkg", "com"].join("."),
    ];
    let mut broken = Vec::new();
    for source in sources(&[".rs", ".json", ".toml", ".cjs", ".md", "run"]) {
        for (line, text) in (1..).zip(source.text.lines()) {
            if hosts.iter().any(|host| text.contains(host.as_str())) {
                broken.push(format!("{}:{line}", source.path));
            }
        }
    }
    assert_none("a registry's host name", &broken);
}
