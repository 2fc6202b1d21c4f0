//! Paths inside a file storage, valid by construction.

use std::fmt;

use super::FileError;

/// Longest path, in bytes; the kernel's own limit, which counts the end of the text too.
const LONGEST: usize = 4095;

/// Longest name, in bytes; the limit of every file system.
const LONGEST_NAME: usize = 255;

/// The folder that is the host's: uploads that are under way, and what is being removed.
pub(super) const OWN: &str = ".redhold";

/// A path from the folder of the storage; empty for that folder itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(String);

impl FilePath {
    /// The folder of the storage.
    #[must_use]
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// Reads a path. One slash before and one behind it mean nothing.
    ///
    /// # Errors
    /// [`FileError::Path`] with what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return Ok(Self::root());
        }
        let refused = |why| Err(FileError::Path(text.to_owned(), why));
        if inner.len() > LONGEST {
            return Err(FileError::Path(
                inner.chars().take(40).collect(),
                "it is longer than 4095 bytes",
            ));
        }
        for name in inner.split('/') {
            if let Some(why) = unfit(name) {
                return refused(why);
            }
        }
        if inner.split('/').next() == Some(OWN) {
            return refused("that folder is the host's");
        }
        Ok(Self(inner.to_owned()))
    }

    /// Reads a path as it stands in an address.
    ///
    /// # Errors
    /// As [`FilePath::parse`]; also when it is not UTF-8.
    pub fn from_address(text: &str) -> Result<Self, FileError> {
        let refused = || FileError::Path(text.to_owned(), "it is not well written as an address");
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            if *first != b'%' {
                bytes.push(*first);
                rest = after;
                continue;
            }
            let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            let digits = digits.filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(byte.ok_or_else(refused)?);
            rest = &after[2..];
        }
        Self::parse(std::str::from_utf8(&bytes).map_err(|_| refused())?)
    }

    /// As text, without slashes at its ends.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the folder of the storage.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder that it is in, and its name there; none for the folder of the storage.
    #[must_use]
    pub fn split(&self) -> Option<(Self, &str)> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.rsplit_once('/') {
            Some((folder, name)) => (Self(folder.to_owned()), name),
            None => (Self::root(), &self.0),
        })
    }

    /// The folders on the way to it, outermost first, itself last.
    pub(super) fn steps(&self) -> impl Iterator<Item = Self> {
        let ends = self.0.match_indices('/').map(|(at, _)| at).chain([self.0.len()]);
        ends.map(|end| Self(self.0[..end].to_owned()))
            .filter(|path| !path.is_root())
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a name.
pub(super) fn unfit(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("a name in it is empty");
    }
    if name == "." || name == ".." {
        return Some("a name in it is `.` or `..`");
    }
    if name.len() > LONGEST_NAME {
        return Some("a name in it is longer than 255 bytes");
    }
    if name.contains(|c: char| c.is_control() || c == '/') {
        return Some("a name in it has a control character");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_paths() {
        for (text, path) in [
            ("", ""),
            ("/", ""),
            ("a", "a"),
            ("/a/b/", "a/b"),
            ("a b/\u{e9}\u{1f600}", "a b/\u{e9}\u{1f600}"),
            ("...", "..."),
            ("a/.redhold", "a/.redhold"),
            (".redhold2", ".redhold2"),
        ] {
            assert_eq!(FilePath::parse(text).expect("a path").as_str(), path);
        }
        let long = "a/".repeat(2049);
        let name = "n".repeat(256);
        for text in [
            "///",
            "a//b",
            ".",
            "..",
            "a/../b",
            "../a",
            "a/.",
            "a\0b",
            "a\nb",
            "a\u{9b}b",
            "\x7f",
            ".redhold",
            ".redhold/x",
            &long,
            &name,
        ] {
            assert!(
                matches!(FilePath::parse(text), Err(FileError::Path(..))),
                "{text:?}"
            );
        }
        for (text, path) in [
            ("a%20b/%C3%A9", Some("a b/\u{e9}")),
            ("a%2Fb", Some("a/b")),
            ("%2e%2E/x", None),
            ("a%00", None),
            ("a%", None),
            ("a%+1", None),
            ("%ff", None),
        ] {
            let read = FilePath::from_address(text).ok();
            assert_eq!(read.as_ref().map(FilePath::as_str), path, "{text}");
        }
        let path = FilePath::parse("a/b/c").expect("a path");
        let steps: Vec<String> = path.steps().map(|step| step.to_string()).collect();
        assert_eq!(steps, ["a", "a/b", "a/b/c"]);
        assert_eq!(path.split(), Some((FilePath::parse("a/b").expect("a path"), "c")));
    }
}
