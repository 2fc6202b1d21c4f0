//! Tests that this machine cannot run: named loudly, counted, never silent.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that `test` was skipped for lack of `what`; `tests/run` counts the lines of the file that
/// `REDHOLD_TEST_SKIPS` names.
///
/// # Panics
/// When `REDHOLD_TEST_NO_SKIPS` is set: on a machine that should offer everything, a skip is a failure.
pub fn skipped(test: &str, what: &str) {
    let line = format!("SKIPPED {test}: this machine lacks {what}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("REDHOLD_TEST_SKIPS")
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path)
    {
        let _ = file.write_all(line.as_bytes());
    }
    assert!(std::env::var_os("REDHOLD_TEST_NO_SKIPS").is_none(), "{line}");
}
