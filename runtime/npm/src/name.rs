//! Package names: parsed once, always valid, safe as part of a path and of an address.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest name that npm accepts.
const MAX_LENGTH: usize = 214;

/// The name of a package, with its scope if it has one: `express`, `@node-red/util`.
///
/// Old names with capitals (`JSONStream`) are valid; a name never contains a path separator other than the one
/// after the scope, and neither part starts with a dot, so a name can be used as a relative path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName(String);

/// A text that is no package name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{given}` is not a package name: {reason}")]
pub struct NameError {
    given: String,
    reason: &'static str,
}

impl PackageName {
    /// The whole name, scope included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scope with its `@`, if there is one.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.0.split_once('/').map(|(scope, _)| scope)
    }

    /// The name without its scope: the first part of an archive's file name.
    #[must_use]
    pub fn base(&self) -> &str {
        self.0.split_once('/').map_or(self.0.as_str(), |(_, base)| base)
    }
}

/// Why `part` cannot be a scope (without its `@`) or a base name.
fn part_error(part: &str) -> Option<&'static str> {
    if part.is_empty() {
        return Some("a part of it is empty");
    }
    if part.starts_with('.') {
        return Some("a part of it starts with a dot");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    if !part.chars().all(allowed) {
        return Some("only letters, digits, `-`, `_`, `.` and `~` are allowed");
    }
    None
}

impl FromStr for PackageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = |reason| NameError {
            given: text.chars().take(MAX_LENGTH).collect(),
            reason,
        };
        if text.len() > MAX_LENGTH {
            return Err(error("it is longer than 214 characters"));
        }
        let base = match text.strip_prefix('@') {
            Some(rest) => {
                let (scope, base) = rest
                    .split_once('/')
                    .ok_or_else(|| error("a scope needs a name after it"))?;
                if let Some(reason) = part_error(scope) {
                    return Err(error(reason));
                }
                base
            }
            None => text,
        };
        if let Some(reason) = part_error(base) {
            return Err(error(reason));
        }
        if matches!(text, "node_modules" | "favicon.ico") {
            return Err(error("npm keeps it for itself"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for PackageName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<PackageName> for String {
    fn from(name: PackageName) -> Self {
        name.0
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_or_refused() {
        for text in [
            "express",
            "@node-red/util",
            "JSONStream",
            "a.b_c~d-1",
            "@a/b",
            "_old",
        ] {
            assert_eq!(text.parse::<PackageName>().unwrap().as_str(), text);
        }
        for text in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "@a",
            "@a/",
            "@/b",
            "@a/b/c",
            "@a/..",
            "@../b",
            "../x",
            "/etc",
            "a b",
            "a\0",
            "a%2f",
            "node_modules",
            "\u{e9}",
            "a\\b",
        ] {
            assert!(text.parse::<PackageName>().is_err(), "{text:?}");
        }
        assert!("a".repeat(215).parse::<PackageName>().is_err());
    }

    #[test]
    fn scope_and_base_are_told_apart() {
        let scoped: PackageName = "@node-red/util".parse().unwrap();
        assert_eq!((scoped.scope(), scoped.base()), (Some("@node-red"), "util"));
        let plain: PackageName = "express".parse().unwrap();
        assert_eq!((plain.scope(), plain.base()), (None, "express"));
    }
}
