//! Grants: what packages may do without anybody being asked.

use std::fmt;
use std::str::FromStr;

use crate::capability::{Capability, Kind};
use crate::policy::Day;

/// Permission for some packages to do some things.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Names of packages.
    pub to: Vec<Pattern>,
    /// What they may do.
    pub allow: Vec<Allowed>,
    /// Why.
    pub reason: String,
    /// Until when, that day included; without one, for ever.
    pub expires: Option<Day>,
}

impl Grant {
    /// Whether it lets a package called `name` use the capability on `today`.
    #[must_use]
    pub fn covers(&self, name: &str, capability: &Capability, today: Day) -> bool {
        self.expires.is_none_or(|last| today <= last)
            && self.to.iter().any(|pattern| pattern.matches(name))
            && self.allow.iter().any(|allowed| allowed.covers(capability))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn listed<T: ToString>(all: &[T]) -> String {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        write!(
            f,
            "{} may {} ({}",
            listed(&self.to),
            listed(&self.allow),
            self.reason
        )?;
        match self.expires {
            Some(last) => write!(f, "; until {last})"),
            None => f.write_str(")"),
        }
    }
}

/// A capability in a grant: a kind, with a pattern for its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    kind: Kind,
    scope: Pattern,
}

impl Allowed {
    /// Whether it covers what is done.
    #[must_use]
    pub fn covers(&self, capability: &Capability) -> bool {
        self.kind == capability.kind && self.scope.matches(&capability.scope)
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{{}}}", self.kind.name(), self.scope)
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, scope) = match text.split_once('{') {
            None => (text, ""),
            Some((kind, rest)) => (
                kind,
                rest.strip_suffix('}')
                    .ok_or_else(|| format!("`{text}` lacks its closing brace"))?,
            ),
        };
        let found = Kind::ALL.iter().find(|known| known.name() == kind);
        let kind = *found.ok_or_else(|| {
            let group = kind.split('.').next().unwrap_or(kind);
            let near: Vec<_> = Kind::ALL
                .iter()
                .map(|known| known.name())
                .filter(|name| name.split('.').next() == Some(group))
                .collect();
            match near.as_slice() {
                [] => format!("`{kind}` is no capability"),
                near => format!("`{kind}` is no capability; there are {}", near.join(", ")),
            }
        })?;
        // A kind without a scope covers every scope of it: who writes `proc.spawn` means all of it.
        let scope = if scope.is_empty() { "*" } else { scope };
        Ok(Self {
            kind,
            scope: Pattern::new(scope),
        })
    }
}

/// A text in which `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern as written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the whole text matches. Takes time linear in the text for each star of the pattern.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, matches) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("@acme/*", "@acme/x", true),
            ("@acme/*", "@acmex/x", false),
            ("a*a", "a", false),
            ("a*b*c", "axxbxc", true),
            ("a*b*c", "axxcxb", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn capabilities_as_written() {
        let may = |text: &str, kind, scope: &str| {
            text.parse::<Allowed>()
                .expect("it is a capability")
                .covers(&Capability::new(kind, scope))
        };
        assert!(may("net.connect{configured}", Kind::NetConnect, "configured"));
        assert!(!may("net.connect{configured}", Kind::NetConnect, "computed"));
        assert!(may("proc.spawn", Kind::ProcSpawn, "ping"));
        assert!(may("env.read{NODE_*}", Kind::EnvRead, "NODE_ENV"));
        assert!(!may("env.read{NODE_*}", Kind::EnvWrite, "NODE_ENV"));
        let wrong = |text: &str| text.parse::<Allowed>().expect_err("it is none");
        assert_eq!(wrong("net.connect{x"), "`net.connect{x` lacks its closing brace");
        assert!(wrong("net.connct").contains("net.connect, net.listen"));
        assert_eq!(wrong("x"), "`x` is no capability");
    }
}
