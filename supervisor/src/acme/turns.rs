//! The one task that orders: names take turns, each when its time has come.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use super::authority::{Authority, Failure, Reach, unwritten};
use super::challenges::Challenges;
use super::place::{Held, Journal, parse};
use super::schedule::{renew_at, renew_within};
use super::shelf::{Shelf, written};
use crate::{clock, ids};

/// The folder of what concerns all names; no name of a host looks like this, for want of a dot.
pub(super) const ACCOUNT: &str = "account";

/// Longest sleep: the clock may be set meanwhile.
const NAP: u64 = 60_000;

/// Until the authority is asked again what it suggests, when that failed.
const NO_OPINION: u64 = 6 * 3_600_000;

/// See the module.
pub(super) struct Turns {
    folder: PathBuf,
    directory: String,
    authority: Authority,
    /// Failures that concern every name.
    everybody: Journal,
    shelf: Arc<Shelf>,
    challenges: Arc<Challenges>,
    names: BTreeMap<String, Name>,
    /// Whether the authority has opinions on when to renew.
    suggests: bool,
}

/// One name.
struct Name {
    journal: Journal,
    held: Option<Held>,
    /// When its next certificate is due, in milliseconds since 1970.
    due: u64,
    /// When the authority is asked what it suggests.
    ask: u64,
}

impl Turns {
    pub(super) fn new(
        folder: PathBuf,
        directory: String,
        authority: Authority,
        everybody: Journal,
        shelf: Arc<Shelf>,
        challenges: Arc<Challenges>,
    ) -> Self {
        Self {
            folder,
            directory,
            authority,
            everybody,
            shelf,
            challenges,
            names: BTreeMap::new(),
            suggests: true,
        }
    }

    /// Takes turns for ever.
    pub(super) async fn take(mut self, mut wanted: watch::Receiver<BTreeSet<String>>, hurry: &Notify) {
        loop {
            let names = wanted.borrow_and_update().clone();
            self.follow(&names);
            let now = clock::now_ms();
            let (at, name) = match self.next(now) {
                Some((at, name)) => (at, Some(name)),
                None => (now + NAP, None),
            };
            match name {
                Some(name) if at <= now => self.turn(&name).await,
                _ => {
                    if let Some(name) = self.to_ask(now) {
                        self.ask(&name).await;
                        continue;
                    }
                    let nap = Duration::from_millis((at - now).clamp(1, NAP));
                    tokio::select! {
                        () = tokio::time::sleep(nap) => {}
                        told = wanted.changed() => if told.is_err() { return },
                        () = hurry.notified() => self.hurry(),
                    }
                }
            }
        }
    }

    /// Takes in names that are new, and lets go of those that are gone; their certificates stay on the disk.
    fn follow(&mut self, wanted: &BTreeSet<String>) {
        self.names.retain(|name, _| wanted.contains(name));
        self.shelf.retain(|name| wanted.contains(name));
        for name in wanted {
            if self.names.contains_key(name) {
                continue;
            }
            match Journal::open(&self.folder, name) {
                Ok(journal) => {
                    let opened = self.opened(name, journal);
                    self.names.insert(name.clone(), opened);
                    self.show(name);
                }
                Err(error) => {
                    warn!(%name, %error, "no certificate can be kept for it");
                    self.shelf.change(name, |entry| {
                        entry.error = Some(format!(
                            "cannot use its folder in {}: {error}",
                            self.folder.display()
                        ));
                    });
                }
            }
        }
    }

    fn opened(&self, name: &str, mut journal: Journal) -> Name {
        let held = match journal.place.certificate(name) {
            None => None,
            Some(Ok((held, text))) => {
                // Kept, and killed before that was noted.
                if journal
                    .record
                    .order
                    .as_ref()
                    .is_some_and(|order| text.starts_with(&order.key))
                {
                    journal.record.from = journal.record.order.take().map(|order| order.directory);
                    journal.record.failures.succeeded();
                    journal.record.last_error = None;
                }
                Some(held)
            }
            Some(Err(error)) => {
                warn!(%name, %error, "the certificate on the disk is of no use");
                None
            }
        };
        let ours = journal.record.from.as_deref() == Some(self.directory.as_str());
        let due = match &held {
            Some(held) if ours => renew_at(held.life.0, held.life.1, chance()),
            _ => 0,
        };
        Name {
            journal,
            held,
            due,
            ask: 0,
        }
    }

    /// Whose turn is next, and when.
    fn next(&self, now: u64) -> Option<(u64, String)> {
        let all = self.names.iter();
        let all = all.map(|(name, own)| (self.at(own, now), name.clone()));
        all.min()
    }

    fn at(&self, own: &Name, now: u64) -> u64 {
        let everybody = self.everybody.record.failures.allowed_at(now);
        own.due
            .max(own.journal.record.failures.allowed_at(now))
            .max(everybody)
    }

    /// Whose certificate the authority is asked about; nobody's before it knows this host.
    fn to_ask(&self, now: u64) -> Option<String> {
        let quiet =
            !self.suggests || !self.authority.known() || self.everybody.record.failures.allowed_at(now) > now;
        let mut all = self.names.iter().filter(|_| !quiet);
        let found = all.find(|(_, own)| own.held.is_some() && own.due > now && own.ask <= now);
        found.map(|(name, _)| name.clone())
    }

    /// Asks the authority when it wants a certificate to be renewed. Without an answer, two thirds of its life stand.
    async fn ask(&mut self, name: &str) {
        let Some(own) = self.names.get_mut(name) else {
            return;
        };
        let Some(held) = own.held.clone() else { return };
        let now = clock::now_ms();
        own.ask = now + NO_OPINION;
        let Some(first) = held.certified.cert.first() else {
            return;
        };
        match self.authority.window(first).await {
            Ok(Some((window, wait))) => {
                own.due = renew_within(window, held.life, chance());
                own.ask = now + wait.clamp(60_000, 24 * 3_600_000);
                self.show(name);
            }
            Ok(None) => self.suggests = false,
            Err(failure) => debug!(%name, error = failure.text, "the authority suggests nothing"),
        }
    }

    async fn turn(&mut self, name: &str) {
        let Some(own) = self.names.get_mut(name) else {
            return;
        };
        let renewal = own.held.is_some();
        let outcome = self
            .authority
            .order(name, &self.challenges, &mut own.journal)
            .await;
        let outcome = match outcome {
            Ok(text) => arrived(own, name, &text).await,
            Err(failure) => Err(failure),
        };
        let now = clock::now_ms();
        match outcome {
            Ok(held) => {
                own.due = renew_at(held.life.0, held.life.1, chance());
                own.ask = 0;
                own.journal.record.from = Some(self.directory.clone());
                own.journal.record.order = None;
                own.journal.record.last_error = None;
                let until = written(held.life.1).unwrap_or_default();
                info!(%name, issuer = held.issuer, until, renewal, "a certificate came");
                own.held = Some(held);
                if own.due > now {
                    own.journal.record.failures.succeeded();
                } else {
                    // Without this, a wrong clock would order without end.
                    let text = "its certificate is to be renewed already when it comes: is the clock of this host right?";
                    warn!(%name, "{text}");
                    own.journal.record.last_error = Some(text.to_owned());
                    own.journal.record.failures.failed(now, None, chance());
                }
                self.everybody.record.failures.succeeded();
                self.everybody.record.last_error = None;
            }
            Err(failure) => {
                let everybody = &mut self.everybody.record;
                if failure.reach == Reach::All {
                    everybody.failures.failed(now, failure.asked, chance());
                    everybody.last_error = Some(failure.text.clone());
                } else {
                    own.journal.record.failures.failed(now, failure.asked, chance());
                    own.journal.record.last_error = Some(failure.text.clone());
                }
                if failure.reach == Reach::Limit {
                    // What this name may not, others perhaps may: they go slower, not as late as it.
                    everybody.failures.failed(now, None, chance());
                }
                let serves = match &own.held {
                    Some(held) if held.life.1 > now => "the one of before is served",
                    _ => "the host's own authority stands in, which browsers do not trust",
                };
                let failures = own.journal.record.failures.count.max(everybody.failures.count);
                warn!(%name, error = failure.text, failures, "no certificate came; {serves}");
            }
        }
        for journal in [&own.journal, &self.everybody] {
            if let Err(error) = journal.keep().await {
                warn!(%name, %error, "what became of its order cannot be kept");
            }
        }
        // What concerns all of them shows at all of them.
        let names: Vec<String> = self.names.keys().cloned().collect();
        names.iter().for_each(|name| self.show(name));
    }

    /// After a person asked: no wait that was chosen here.
    fn hurry(&mut self) {
        info!("certificates that failed are ordered again now, as far as their authority allows");
        self.everybody.record.failures.hurry();
        for own in self.names.values_mut() {
            own.journal.record.failures.hurry();
        }
    }

    /// Lets everybody see how a name is.
    fn show(&self, name: &str) {
        let Some(own) = self.names.get(name) else { return };
        let now = clock::now_ms();
        self.shelf.change(name, |entry| {
            entry.held.clone_from(&own.held);
            let (record, everybody) = (&own.journal.record, &self.everybody.record);
            entry.error = record.last_error.clone().or_else(|| everybody.last_error.clone());
            entry.failures = record.failures.count.max(everybody.failures.count);
            entry.next = Some(self.at(own, now).max(now));
        });
    }
}

/// A certificate that came: looked at, and on the disk before it is served.
async fn arrived(own: &Name, name: &str, text: &str) -> Result<Held, Failure> {
    let wrong = |error: String| Failure {
        text: format!("what the authority gave is of no use: {error}"),
        asked: None,
        reach: Reach::Name,
    };
    let held = parse(name, text).map_err(wrong)?;
    let (place, text) = (own.journal.place.clone(), text.to_owned());
    tokio::task::spawn_blocking(move || place.keep_certificate(&text))
        .await
        .map_err(unwritten)?
        .map_err(unwritten)?;
    Ok(held)
}

/// From 0 to 1.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    ids::random(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}
