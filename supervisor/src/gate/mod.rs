//! The gate: the only registry that npm gets for an instance. It shows what policy lets through, vets on demand what
//! nobody has looked at, and serves exactly the bytes that were vetted.
//!
//! One [`NpmGate`] a host, one [`Session`] for each start of npm, on a unix socket that only this npm can open. Where
//! there are namespaces npm has a network of its own with nothing in it ([`attach()`]), so the socket is its only way
//! out; the credentials with which the gate asks real registries stay on this side of it. Reports are kept
//! ([`shelf`]); verdicts are made of them anew each time, so a changed policy or waiver counts at once.

mod attach;
mod bundle;
mod condition;
mod decide;
mod look;
mod packument;
mod serve;
mod session;
mod shelf;
mod tarball;
mod told;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use node_vetting::catalogue::{Entry, catalogue};
use node_vetting::policy::{self, Decision};
use node_vetting::report::Report;
use npm::{Client, PackageName, Version};
use runtime::spec::{Isolation, Owner};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use self::shelf::Shelf;
use crate::problem::{Code, Problem};
use crate::stacks::Stacks;
use crate::team::Team;
use crate::vetting::{Rules, Vetting};

pub use self::attach::{attach, inside, show};
pub use self::bundle::{Brought, Judged};
pub use self::condition::{Condition, conditions};
pub use self::decide::{Judgement, Said};
pub use self::look::Due;
pub use self::session::{Asked, Session};
pub use self::shelf::{Installed, Kept};

/// Closures held in memory at the same time.
const CLOSURES: usize = 2;

/// Workers at the same time.
const WORKERS: usize = 1;

/// The gate of a host. Cheap to clone.
#[derive(Clone)]
pub struct NpmGate(Arc<Inner>);

struct Inner {
    data_dir: PathBuf,
    /// What holds where the policy names no mode.
    usual: Manner,
    shelf: Shelf,
    closures: Semaphore,
    workers: Semaphore,
    /// How many npm wait for a verdict.
    waiting: watch::Sender<usize>,
}

/// How a gate deals with npm, and who hears of it.
#[derive(Clone)]
struct Manner {
    mode: policy::Gate,
    /// How long npm waits for a verdict before it goes on without; `None` as long as it takes.
    patience: Option<Duration>,
    news: Tell,
}

/// Hears of what becomes of packages. Called from several threads: must not block.
pub type Tell = Arc<dyn Fn(News<'_>) + Send + Sync>;

/// What becomes of packages.
#[derive(Debug)]
pub enum News<'a> {
    /// npm has waited so long and goes on; the verdict comes later.
    Late(Duration),
    /// A verdict; `late` when npm did not wait for it.
    Judged {
        /// On what, and why.
        judgement: &'a Judgement,
        /// Whether npm did not wait for it.
        late: bool,
    },
    /// There is none.
    Failed(&'a PackageName, &'a Problem),
}

/// What an instance's own settings say of registries, above what this host's npm configuration says.
#[derive(Clone, Default)]
pub struct Upstream {
    /// Variables; those that npm reads count.
    pub env: Vec<(String, String)>,
    /// The text of an npmrc.
    pub npmrc: String,
}

impl Inner {
    fn of(data_dir: &Path, mode: policy::Gate) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            usual: Manner {
                mode,
                patience: None,
                news: Arc::new(|_| {}),
            },
            shelf: Shelf::of(data_dir),
            closures: Semaphore::new(CLOSURES),
            workers: Semaphore::new(WORKERS),
            waiting: watch::channel(0).0,
        }
    }
}

impl NpmGate {
    /// The gate of the host with this data directory; `usual` holds where its policy names no mode.
    #[must_use]
    pub fn of(data_dir: &Path, usual: policy::Gate) -> Self {
        Self(Arc::new(Inner::of(data_dir, usual)))
    }

    /// A gate that keeps no npm waiting for longer than `patience`, where the policy names no mode: what is refused by then
    /// is not installed, and `news` tells the rest when it is known.
    #[must_use]
    pub fn quick(data_dir: &Path, patience: Duration, news: Tell) -> Self {
        let mut inner = Inner::of(data_dir, policy::Gate::Warn);
        inner.usual.patience = Some(patience);
        inner.usual.news = news;
        Self(Arc::new(inner))
    }

    /// Opens the gate for one npm, on a socket in `folder` that `owner` alone can use. Dropping the session closes it.
    ///
    /// # Errors
    /// When policy, waivers or npm's configuration cannot be used, or there can be no socket.
    pub async fn open(&self, upstream: &Upstream, folder: &Path, owner: Owner) -> Result<Session, Problem> {
        self.open_for(None, upstream, folder, owner).await
    }

    /// The same by the policy of a team.
    ///
    /// # Errors
    /// As [`NpmGate::open`].
    pub async fn open_for(
        &self,
        team: Option<&Team>,
        upstream: &Upstream,
        folder: &Path,
        owner: Owner,
    ) -> Result<Session, Problem> {
        let rules = self.rules(team)?;
        let vetting = opened(self.0.data_dir.clone(), upstream.clone()).await?;
        let mut manner = self.0.usual.clone();
        if rules.name_a_gate() {
            // Who names one wants it to hold, however long that takes.
            manner.mode = rules.gate(manner.mode);
            manner.patience = None;
        }
        Session::open(self.clone(), (vetting, rules, manner), folder, owner)
    }

    /// The newest report on a package in a version, where it was vetted on this host.
    #[must_use]
    pub fn report(&self, name: &str, version: &str) -> Option<Report> {
        let (name, version) = (name.parse().ok()?, Version::parse(version).ok()?);
        self.0.shelf.of_version(&name, &version)
    }

    /// Everything that was vetted on this host, as its policy and waivers judge it today. Reads files: call it where
    /// waiting is allowed.
    ///
    /// # Errors
    /// When the policy or the waivers cannot be used.
    pub fn judged(&self) -> Result<Vec<(Report, Decision)>, Problem> {
        let rules = Rules::of(&self.0.data_dir, None)?;
        let all = self.0.shelf.all().into_iter();
        Ok(all
            .map(|report| {
                let decision = rules.decide(&report, &[]);
                (report, decision)
            })
            .collect())
    }

    /// The same as the catalogue that editors show: without what is refused.
    ///
    /// # Errors
    /// As [`NpmGate::judged`].
    pub fn catalogue(&self) -> Result<Value, Problem> {
        let judged = self.judged()?;
        let entries = judged
            .iter()
            .map(|(report, decision)| Entry::of(report, decision, None));
        let now = Timestamp::now().to_string();
        Ok(catalogue("Vetted by this host", &now, entries.collect()))
    }

    /// What a person should know when the host starts.
    #[must_use]
    pub fn lesser(&self, isolation: Isolation) -> Vec<String> {
        let mut all = Vec::new();
        if isolation == Isolation::Landlock {
            all.push(
                "packages come through this host's gate, but npm sees the host's network besides: there are no \
                 namespaces to take it away"
                    .to_owned(),
            );
        }
        let mode = Rules::of(&self.0.data_dir, None).map(|rules| rules.host().gate);
        if matches!(mode, Ok(Some(policy::Gate::Off))) {
            all.push("packages are installed without being vetted: the policy has gate = \"off\"".to_owned());
        }
        all
    }
}

async fn opened(data_dir: PathBuf, upstream: Upstream) -> Result<Vetting, Problem> {
    // Certificates are read from the disk.
    let opened = tokio::task::spawn_blocking(move || vetting(&data_dir, &upstream)).await;
    opened.map_err(|error| Problem::new(Code::Failed, "the gate broke off").because(error))?
}

fn vetting(data_dir: &Path, upstream: &Upstream) -> Result<Vetting, Problem> {
    let vetting = Vetting::of(data_dir, true)?;
    if upstream.env.is_empty() && upstream.npmrc.is_empty() {
        return Ok(vetting);
    }
    let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
        Problem::new(
            Code::Usage,
            "the registries in this instance's settings cannot be used",
        )
        .because(error)
        .hint("mend palette.npmrc, or npm_config_registry in its env")
    };
    let stacks = Stacks::new(data_dir);
    let config = stacks.client()?.config().overlaid(&upstream.env, &upstream.npmrc);
    let config = config.map_err(|error| cannot(error.into()))?;
    let client = Client::new(config).map_err(|error| cannot(error.into()))?;
    Ok(vetting.through(client))
}

impl fmt::Debug for NpmGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NpmGate").field(&self.0.data_dir).finish()
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds tokens.
        f.write_str("Upstream")
    }
}
