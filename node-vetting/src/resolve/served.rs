//! What a registry has, one by one, for whoever serves it on: from the same cache as closures.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use npm::{Form, Integrity, PackageName, Version};
use serde_json::Value;

use super::source::{self, Lack, Source};
use super::{ResolveError, Resolver, Silent};

impl Resolver {
    /// What the registry says of a package, in its own words; with `renew` not what it said minutes before.
    ///
    /// # Errors
    /// When there is no such package, or the registry fails and the cache has nothing.
    pub async fn document(&self, name: &PackageName, form: Form, renew: bool) -> Result<Value, ResolveError> {
        let parse = |bytes: Bytes| async move {
            let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&bytes)).await;
            parsed.unwrap_or_else(|_| Err(serde::de::Error::custom("the reader ended")))
        };
        let fresh = if renew { Duration::ZERO } else { source::FRESH };
        let found = self.source().document(name, form, fresh, parse).await;
        found.map_err(|lack| asked(name.to_string(), lack))
    }

    /// The archive of a version in the bytes that hash to `integrity`.
    ///
    /// # Errors
    /// When the registry has no such bytes, or fails, and the cache does not have them.
    pub async fn archive(
        &self,
        name: &PackageName,
        version: &Version,
        integrity: &Integrity,
    ) -> Result<Vec<u8>, ResolveError> {
        let found = self.source().archive(name, version, integrity).await;
        found.map_err(|lack| asked(format!("{name}@{version}"), lack))
    }

    pub(super) fn source(&self) -> Source {
        Source::new(
            (self.client.clone(), self.options.online),
            self.cache.clone(),
            self.options.limits,
            Box::new(|_| false),
            Arc::new(Silent),
        )
    }
}

fn asked(package: String, lack: Lack) -> ResolveError {
    if lack.is_absence() {
        return ResolveError::Nothing { package };
    }
    ResolveError::Fetch {
        package,
        source: Box::new(lack),
    }
}
