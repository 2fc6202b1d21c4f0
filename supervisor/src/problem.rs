//! The one shape in which a failure reaches a person: what happened, on what, and what to do next.
//!
//! Libraries return small enums; the edge that knows what the person wanted turns them into a [`Problem`]. The
//! hint is kept apart from the cause: a cause is a fact, a hint is an offer.

use std::error::Error;
use std::fmt;
use std::io;

/// Why a command failed, as its exit code says it. The numbers are part of the command line's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The work itself failed.
    Failed,
    /// The command line, an environment variable or a file given to it is wrong.
    Usage,
    /// This machine lacks something that the command needs.
    Host,
    /// Something else holds what the command needs: a port, a lock.
    Busy,
    /// What it is about does not exist.
    Missing,
    /// Somebody else changed it first, or it is in a state that does not allow this.
    Conflict,
    /// A person broke it off.
    Interrupted,
    /// A package was judged, and a person has to look at it.
    Review,
    /// A package was judged, and may not be installed.
    Refused,
}

impl Code {
    /// The process's exit code.
    #[must_use]
    pub const fn exit(self) -> u8 {
        match self {
            Self::Failed | Self::Missing => 1,
            Self::Usage => 2,
            Self::Host => 3,
            Self::Busy | Self::Conflict => 4,
            Self::Review => 10,
            Self::Refused => 11,
            Self::Interrupted => 130,
        }
    }

    /// The name that `--json` output carries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Host => "host",
            Self::Busy => "busy",
            Self::Missing => "not-found",
            Self::Conflict => "conflict",
            Self::Interrupted => "interrupted",
            Self::Review => "review",
            Self::Refused => "refused",
        }
    }
}

/// A failure as a person reads it.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
    reported: bool,
}

impl Problem {
    /// A problem with its message: one line, starting in lower case, naming the thing it is about.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            source: None,
            reported: false,
        }
    }

    /// What the operating system refused, with a hint for the refusals that a person can do something about.
    #[must_use]
    pub fn io(message: impl Into<String>, error: io::Error) -> Self {
        let (code, hint) = match error.kind() {
            io::ErrorKind::StorageFull => (Code::Host, Some("free some space on that disk")),
            io::ErrorKind::QuotaExceeded => (Code::Host, Some("free some space, your quota is used up")),
            io::ErrorKind::ReadOnlyFilesystem => (
                Code::Host,
                Some("that file system is mounted read-only; choose a folder elsewhere"),
            ),
            io::ErrorKind::PermissionDenied => {
                (Code::Failed, Some("see its owner and permissions with `ls -ld`"))
            }
            _ => (Code::Failed, None),
        };
        let problem = Self::new(code, message).because(error);
        match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    /// The same with what the person can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with this hint when it has none yet.
    #[must_use]
    pub fn or_hint(mut self, hint: &str) -> Self {
        self.hint.get_or_insert_with(|| hint.to_owned());
        self
    }

    /// The same with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same, already part of the result that was printed: `--json` prints one document, not two.
    #[must_use]
    pub fn reported(mut self) -> Self {
        self.reported = true;
        self
    }

    /// Whether the printed result says it already.
    #[must_use]
    pub const fn is_reported(&self) -> bool {
        self.reported
    }

    /// Which kind of failure it is.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What the person can do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The causes, outermost first, without those that only repeat the one before.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        let mut next = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            let text = error.to_string();
            let said = causes.last().unwrap_or(&self.message);
            if !said.contains(&text) {
                causes.push(text);
            }
            next = error.source();
        }
        causes
    }
}

/// Message and causes on one line; the hint is printed by who shows it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in self.causes() {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let inner = io::Error::other("disk is full");
        let problem = Problem::new(Code::Failed, "cannot write flows.json").because(inner);
        assert_eq!(problem.to_string(), "cannot write flows.json: disk is full");

        let repeated = Problem::new(Code::Failed, "cannot write: disk is full")
            .because(io::Error::other("disk is full"))
            .hint("free some space");
        assert_eq!(repeated.to_string(), "cannot write: disk is full");
        assert_eq!(repeated.advice(), Some("free some space"));
    }
}
