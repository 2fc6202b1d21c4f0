//! Files that a person can hold in the head: lines before the inline test module.

use crate::tree::{Source, assert_none, sources};

/// No file is longer, unless it stands in [`EXCEPTIONS`].
const LIMIT: usize = 600;
/// Nineteen of twenty files are at most this long.
const P95: usize = 400;
/// Half of the files are at most this long.
const MEDIAN: usize = 150;

/// Files above the limit with the length that they may not exceed: this list only ever shrinks.
const EXCEPTIONS: [(&str, usize); 0] = [];

fn lengths() -> Vec<(String, usize)> {
    let measure = |source: Source| {
        let lines = source.lines_before_tests();
        (source.path, lines)
    };
    sources(&[".rs", ".cjs"]).into_iter().map(measure).collect()
}

#[test]
fn no_file_outgrows_its_purpose() {
    let mut broken = Vec::new();
    for (path, lines) in lengths() {
        let exception = EXCEPTIONS.iter().find(|(name, _)| *name == path);
        let limit = exception.map_or(LIMIT, |(_, limit)| *limit);
        if lines > limit {
            broken.push(format!(
                "{path} has {lines} lines, {limit} are allowed: split it by purpose"
            ));
        } else if exception.is_some() && lines <= LIMIT {
            broken.push(format!("{path} is short enough now: take it off the list"));
        }
    }
    assert_none("file sizes", &broken);
}

#[test]
fn most_files_are_short() {
    let mut lines: Vec<usize> = lengths().into_iter().map(|(_, lines)| lines).collect();
    lines.sort_unstable();
    let (median, p95) = (lines[lines.len() / 2], lines[lines.len() * 95 / 100]);
    assert!(
        median <= MEDIAN,
        "the median file has {median} lines, the aim is {MEDIAN}"
    );
    assert!(
        p95 <= P95,
        "one file in twenty has over {p95} lines, the aim is {P95}"
    );
}
