//! What a dependency asks for, as `package.json` writes it.

use npm::{PackageName, Range, Version};

use crate::closure::Why;

/// One request.
#[derive(Clone, Debug)]
pub(super) enum Spec {
    /// Any version.
    Any,
    /// Exactly this version.
    Exact(Version),
    /// Any version in the range.
    Within(Range),
    /// The version that the registry has under this name.
    Tag(String),
    /// Another package under this name.
    Alias(PackageName, Box<Self>),
    /// Something that no registry gives.
    Elsewhere(Why),
}

/// Prefixes of addresses that name a repository.
const REPOSITORIES: [&str; 8] = [
    "git+",
    "git:",
    "git@",
    "ssh:",
    "github:",
    "gitlab:",
    "bitbucket:",
    "gist:",
];
/// Prefixes of things on the machine that installs.
const FILES: [&str; 8] = ["file:", "link:", "portal:", "workspace:", "./", "../", "/", "~/"];

impl Spec {
    /// Reads what is written.
    pub(super) fn read(text: &str) -> Self {
        let text = text.trim();
        if matches!(text, "" | "*" | "x" | "X") {
            return Self::Any;
        }
        if let Some(rest) = text.strip_prefix("npm:") {
            return Self::alias(rest);
        }
        let starts = |list: &[&str]| list.iter().any(|prefix| text.starts_with(prefix));
        if starts(&REPOSITORIES) {
            return Self::Elsewhere(Why::Git);
        }
        if starts(&FILES) || text.ends_with(".tgz") && !text.contains("://") {
            return Self::Elsewhere(Why::File);
        }
        if text.contains("://") {
            let path = text.split(['#', '?']).next().unwrap_or(text);
            return Self::Elsewhere(if path.ends_with(".git") {
                Why::Git
            } else {
                Why::Url
            });
        }
        if let Ok(version) = Version::parse(text.trim_start_matches(['v', '=', ' '])) {
            return Self::Exact(version);
        }
        if let Ok(range) = Range::parse(text) {
            return Self::Within(range);
        }
        // `owner/repository` is short for a repository of the best-known code host.
        if text.contains('/') {
            return Self::Elsewhere(Why::Git);
        }
        Self::Tag(text.to_owned())
    }

    fn alias(rest: &str) -> Self {
        let at = rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '@')
            .map(|(at, _)| at);
        let (name, wanted) = at.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]));
        match name.parse() {
            Ok(name) => match Self::read(wanted) {
                // npm takes no alias of an alias.
                Self::Alias(..) | Self::Elsewhere(_) => Self::Elsewhere(Why::Unknown),
                spec => Self::Alias(name, Box::new(spec)),
            },
            Err(_) => Self::Elsewhere(Why::Unknown),
        }
    }

    /// Whether this version is what was asked for. Of tags npm believes whatever came from a registry.
    pub(super) fn accepts(&self, version: &Version) -> bool {
        match self {
            Self::Any | Self::Tag(_) => true,
            Self::Exact(wanted) => wanted == version,
            Self::Within(range) => range.satisfies(version),
            Self::Alias(_, spec) => spec.accepts(version),
            Self::Elsewhere(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let says = |text: &str| match Spec::read(text) {
            Spec::Any => "any".to_owned(),
            Spec::Exact(version) => format!("exactly {version}"),
            Spec::Within(_) => "range".to_owned(),
            Spec::Tag(tag) => format!("tag {tag}"),
            Spec::Alias(name, spec) => format!("{name} as {}", matches!(*spec, Spec::Within(_))),
            Spec::Elsewhere(why) => format!("{why:?}"),
        };
        for (text, expected) in [
            ("", "any"),
            ("*", "any"),
            ("1.2.3", "exactly 1.2.3"),
            ("v1.2.3", "exactly 1.2.3"),
            ("=1.2.3", "exactly 1.2.3"),
            ("^1.2.3", "range"),
            ("1.x || >=2.5.0 || 5.0.0 - 7.2.3", "range"),
            (">= 1.0.0 < 2", "range"),
            ("~1", "range"),
            ("latest", "tag latest"),
            ("npm:other@^1.0.0", "other as true"),
            ("npm:@scope/other@^1.0.0", "@scope/other as true"),
            ("npm:../x@1", "Unknown"),
            ("npm:a@npm:b@1", "Unknown"),
            ("https://example.org/a.tgz", "Url"),
            ("git+ssh://git@example.org/a.git", "Git"),
            ("https://example.org/a.git#main", "Git"),
            ("owner/repository", "Git"),
            ("owner/repository#v1", "Git"),
            ("github:owner/repository", "Git"),
            ("file:../a", "File"),
            ("../a", "File"),
            ("workspace:*", "File"),
            ("a.tgz", "File"),
        ] {
            assert_eq!(says(text), expected, "{text}");
        }
    }

    #[test]
    fn versions_are_accepted_or_not() {
        let version = Version::parse("2.1.0").expect("a version");
        for (text, yes) in [
            ("^2.0.0", true),
            ("2.1.0", true),
            ("1", false),
            ("npm:x@2", true),
            ("a/b", false),
        ] {
            assert_eq!(Spec::read(text).accepts(&version), yes, "{text}");
        }
    }
}
