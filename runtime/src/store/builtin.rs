//! The locks that are in the binary. Each was written by `redhold stack lock`.

use crate::store::lock::{LockError, StackLock};

/// Name and text of each, the default first.
const LOCKS: [(&str, &str); 2] = [
    ("node-red-5", include_str!("../../stacks/node-red-5.json")),
    ("node-red-4.1", include_str!("../../stacks/node-red-4.1.json")),
];

impl StackLock {
    /// Names of the locks that are in the binary, the default first.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        LOCKS.iter().map(|(name, _)| *name)
    }

    /// A lock that is in the binary, by its name.
    ///
    /// # Errors
    /// When the text is damaged, which a test rules out.
    pub fn builtin(name: &str) -> Option<Result<Self, LockError>> {
        LOCKS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| Self::parse(text))
    }
}
