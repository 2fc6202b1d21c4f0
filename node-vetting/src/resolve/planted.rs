//! What did not come from a registry, put where what did is kept: for machines that have none.

use std::io;
use std::path::Path;

use npm::{Form, Integrity, PackageName};
use serde_json::Value;

use super::cache::Cache;
use super::{Options, Resolver};

impl Resolver {
    /// The same registries, of which nobody is asked, with what is kept in `folder`.
    #[must_use]
    pub fn apart(&self, folder: &Path) -> Self {
        Self {
            cache: Some(Cache::at(folder)),
            options: Options {
                online: false,
                ..self.options.clone()
            },
            ..self.clone()
        }
    }

    /// What is kept of a registry's document; nothing where nothing is. Blocks.
    #[must_use]
    pub fn kept_document(&self, name: &PackageName, form: Form) -> Option<Value> {
        let address = self.source().address(name, form).ok()?;
        let (bytes, _) = self.cache.as_ref()?.document(&address)?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Keeps a document as if this host's registry had said it. Blocks.
    ///
    /// # Errors
    /// When the disk refuses, or the name of the registry cannot be told.
    pub fn plant_document(&self, name: &PackageName, form: Form, document: &Value) -> io::Result<()> {
        let address = self.source().address(name, form).map_err(io::Error::other)?;
        let Some(cache) = &self.cache else { return Ok(()) };
        cache.keep_document(&address, document.to_string().as_bytes())
    }

    /// Keeps an archive that hashes to `integrity`. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn plant_archive(&self, integrity: &Integrity, bytes: &[u8]) -> io::Result<()> {
        self.cache
            .as_ref()
            .map_or(Ok(()), |cache| cache.keep_archive(integrity, bytes))
    }
}
