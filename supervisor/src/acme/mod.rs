//! Certificates from an authority that speaks ACME (RFC 8555): one for each name of the host, kept, served and renewed.
//!
//! One order is under way at a time, so no name can have two, and an authority sees a host that takes turns. What an
//! authority counts, orders and failures, is on the disk before it is done: neither a crash nor a person who starts
//! the host again and again can exceed it. Serving never waits for any of this: the host's own authority stands in.

mod authority;
mod challenges;
mod http;
mod place;
mod schedule;
mod shelf;
mod turns;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rustls::server::ResolvesServerCert;
use tokio::sync::{Notify, watch};

use self::authority::Authority;
pub use self::challenges::Challenges;
use self::place::Journal;
pub use self::shelf::{Shelf, Standing};
use self::turns::Turns;
use crate::config;
use crate::problem::Problem;
use crate::shutdown::Tasks;

/// The certificates of a host.
#[derive(Clone, Debug)]
pub struct Acme {
    shelf: Arc<Shelf>,
    challenges: Arc<Challenges>,
    wanted: Arc<watch::Sender<BTreeSet<String>>>,
    hurry: Arc<Notify>,
}

impl Acme {
    /// Opens what is kept below `keys` and starts the task that looks after it. It orders nothing before it is told
    /// [what is wanted](Acme::want). `stand_in` serves names without a certificate.
    ///
    /// # Errors
    /// When the folder or a file of the configuration cannot be used.
    pub fn start(
        config: &config::Acme,
        keys: &Path,
        stand_in: Arc<dyn ResolvesServerCert>,
        tasks: &Tasks,
    ) -> Result<Self, Problem> {
        let folder = keys.join("acme");
        let cannot = |error| Problem::io(format!("cannot use {}", folder.display()), error);
        std::fs::create_dir_all(&folder).map_err(cannot)?;
        let everybody = Journal::open(&folder, turns::ACCOUNT).map_err(cannot)?;
        let authority = Authority::new(config, &folder.join(turns::ACCOUNT))?;
        let (wanted, told) = watch::channel(BTreeSet::new());
        let own = Self {
            shelf: Arc::new(Shelf::new(stand_in)),
            challenges: Arc::default(),
            wanted: Arc::new(wanted),
            hurry: Arc::default(),
        };
        let turns = Turns::new(
            folder,
            config.directory.clone(),
            authority,
            everybody,
            own.shelf.clone(),
            own.challenges.clone(),
        );
        let (hurry, ending) = (own.hurry.clone(), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = turns.take(told, &hurry) => {}
                // An order that is broken off is taken up at the next start.
                () = ending.ending() => {}
            }
        });
        Ok(own)
    }

    /// Says which names the host has. Their certificates are served from now on, and ordered where there are none.
    pub fn want(&self, names: BTreeSet<String>) {
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != names;
            *wanted = names;
            changed
        });
    }

    /// Tries again now what waits after a failure, as far as the authority's own bounds allow it.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// What the front answers to the authority.
    #[must_use]
    pub fn challenges(&self) -> Arc<Challenges> {
        self.challenges.clone()
    }

    /// What TLS takes certificates from, and what is said of them.
    #[must_use]
    pub fn shelf(&self) -> Arc<Shelf> {
        self.shelf.clone()
    }
}
