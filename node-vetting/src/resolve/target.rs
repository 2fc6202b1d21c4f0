//! What a person or a program asks to be resolved.

use std::path::PathBuf;

use npm::{NameError, PackageName};

/// What is to be resolved.
#[derive(Clone, Debug)]
pub enum Target {
    /// A package from a registry, with a range, a version or a tag; empty means the latest.
    Registry {
        /// Its name.
        name: PackageName,
        /// What is wanted of it.
        wanted: String,
    },
    /// An archive as `npm pack` makes it.
    Archive(PathBuf),
    /// A folder with a `package.json`. A `package-lock.json` beside it says which versions are preferred.
    Folder(PathBuf),
}

impl Target {
    /// Reads `name`, `name@range` or `@scope/name@range`.
    ///
    /// # Errors
    /// When the name is none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let at = text
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '@')
            .map(|(at, _)| at);
        let (name, wanted) = at.map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
        Ok(Self::Registry {
            name: name.parse()?,
            wanted: wanted.to_owned(),
        })
    }
}
