//! Known flaws: the registry is asked, or a feed on the disk is read where it cannot be.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use node_vetting::analysis::{Feed, Finding, Members, ask_advisories};
use node_vetting::report::Flaws;
use npm::Client;
use tracing::debug;

use crate::problem::{Code, Problem};

/// How long the registry may take. Many do not offer this, and whoever installs is waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names of a feed in the folder of vetting: a folder with one file an entry, or an archive of them, as osv.dev gives it
/// (`npm/all.zip`).
const FEEDS: [&str; 2] = ["advisories", "advisories.zip"];

/// Who can be asked on this host.
#[derive(Clone, Debug)]
pub(super) struct Known {
    client: Option<Client>,
    feeds: [PathBuf; 2],
}

impl Known {
    pub(super) fn of(client: Option<Client>, folder: &Path) -> Self {
        Self {
            client,
            feeds: FEEDS.map(|name| folder.join(name)),
        }
    }

    /// The feed, and when it was changed last. Of a folder that is when an entry came or went.
    pub(super) fn feed(&self) -> Option<(PathBuf, SystemTime)> {
        let feed = self.feeds.iter().find(|path| path.exists())?;
        let changed = fs::metadata(feed).and_then(|meta| meta.modified()).ok()?;
        Some((feed.clone(), changed))
    }

    /// The known flaws of packages, and who named them.
    ///
    /// # Errors
    /// When there is a feed that cannot be read. That nobody knows anything is none.
    pub(super) async fn of_members(&self, members: Members) -> Result<(Flaws, Vec<Finding>), Problem> {
        if let Some(client) = &self.client {
            match tokio::time::timeout(PATIENCE, ask_advisories(client, &members)).await {
                Ok(Ok(found)) => return Ok((Flaws::Registry, found)),
                Ok(Err(error)) => debug!(%error, "the registry names no known flaws"),
                Err(_) => debug!("the registry takes too long to name known flaws"),
            }
        }
        let Some(feed) = self.feeds.iter().find(|path| path.exists()) else {
            return Ok((Flaws::Nobody, Vec::new()));
        };
        let feed = Feed::at(feed);
        let read = tokio::task::spawn_blocking(move || feed.findings(&members)).await;
        let found = read.map_err(super::broken)?.map_err(|error| {
            Problem::new(Code::Usage, error.to_string())
                .because(error)
                .hint("replace it by a whole one, or remove it: known flaws are not looked up then")
        })?;
        Ok((Flaws::Feed, found))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use node_vetting::closure::Closure;
    use node_vetting::package::Package;
    use npm::{Algorithm, Hasher};

    use super::*;

    const ENTRY: &str = r#"{ "id": "X-1", "summary": "bad", "database_specific": { "severity": "HIGH" }, "affected": [
        { "package": { "ecosystem": "npm", "name": "pump" }, "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0" }] }] }] }"#;

    fn pump() -> Members {
        let manifest = r#"{ "name": "pump", "version": "1.0.0" }"#;
        let files = [("package.json".to_owned(), manifest.into())]
            .into_iter()
            .collect();
        let package = Package::from_files(files, Hasher::new(Algorithm::Sha512).finish());
        Members::of(&Closure::new(package.expect("a package"), BTreeMap::new()))
    }

    #[tokio::test]
    async fn without_a_registry_a_feed_is_read() {
        let place = tempfile::tempdir().expect("a folder");
        let known = Known::of(None, place.path());
        let nobody = known.of_members(pump()).await.expect("an answer");
        assert_eq!(nobody, (Flaws::Nobody, Vec::new()));

        fs::create_dir(place.path().join("advisories")).expect("a folder");
        fs::write(place.path().join("advisories/one.json"), ENTRY).expect("an entry");
        let (flaws, found) = known.of_members(pump()).await.expect("an answer");
        assert_eq!((flaws, found.len()), (Flaws::Feed, 1));

        // A feed that cannot be read is not the same as one that names nothing.
        fs::remove_dir_all(place.path().join("advisories")).expect("removed");
        fs::write(place.path().join("advisories.zip"), "no archive").expect("a file");
        let problem = known.of_members(pump()).await.expect_err("no answer");
        assert!(problem.to_string().contains("advisories.zip"), "{problem}");
    }
}
