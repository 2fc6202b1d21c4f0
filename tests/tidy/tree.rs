//! The files that the rules are about.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the repository with its text.
pub(crate) struct Source {
    /// Path from the top of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Numbered lines of code: comment lines left out, counted from 1.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..)
            .zip(self.text.lines())
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// How many lines stand before the inline test module.
    pub(crate) fn lines_before_tests(&self) -> usize {
        let tests = self.text.find("\n#[cfg(test)]\nmod tests");
        self.text[..tests.unwrap_or(self.text.len())].lines().count()
    }
}

/// Top of the repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file of the repository whose name ends with one of `endings`, in order.
pub(crate) fn sources(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&top(), "", endings, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(
        !found.is_empty(),
        "no file ends with {endings:?}: the rule looks in the wrong place"
    );
    found
}

fn walk(folder: &Path, prefix: &str, endings: &[&str], found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("the repository can be read") {
        let entry = entry.expect("the repository can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}/{name}")
        };
        if entry.path().is_dir() {
            // A build folder, or a project folder that `redhold dev` made here.
            if !matches!(
                name.as_str(),
                ".git" | "target" | "node_modules" | "redhold-project"
            ) {
                walk(&entry.path(), &path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            let text = fs::read_to_string(entry.path()).expect("source files are UTF-8");
            found.push(Source { path, text });
        }
    }
}

/// Fails with every line that broke a rule.
pub(crate) fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}
