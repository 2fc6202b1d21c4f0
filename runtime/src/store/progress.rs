//! What a fetch tells whoever watches it.

/// What is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Archives in all.
    pub packages: usize,
    /// Bytes of all archives.
    pub bytes: u64,
}

/// Watches a fetch. Called from the fetching future, often: must not block.
pub trait Progress: Sync {
    /// Work begins.
    fn started(&self, _plan: &Plan) {}
    /// Somebody else does the same work; this one waits for the outcome.
    fn waiting(&self) {}
    /// Bytes of a package came, from the network or from an earlier attempt.
    fn received(&self, _package: &str, _bytes: u64) {}
    /// Bytes that came turned out useless and come again.
    fn lost(&self, _package: &str, _bytes: u64) {}
    /// A package is unpacked.
    fn unpacked(&self, _package: &str) {}
    /// Everything is published.
    fn finished(&self) {}
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}
