//! What one npm may have: what was vetted for it before it started, and what it asks for while it runs.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use node_vetting::policy::{self, Script};
use node_vetting::report::Verdict;
use node_vetting::resolve::{Resolved, Silent, Target};
use npm::{Integrity, PackageName, Version};
use runtime::error::or_absent;
use runtime::spec::Owner;
use tokio::task::{AbortHandle, JoinSet};

use super::look::Waits;
use super::told::Run;
use super::{Judgement, Manner, NpmGate, Tell, serve};
use crate::paths;
use crate::problem::{Code, Problem};
use crate::vetting::{Rules, Vetting};

/// The socket in its folder.
pub(super) const SOCKET: &str = "npm.sock";

/// A package that npm is about to be told to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// As npm is told it.
    pub name: String,
    /// Range, version or tag; empty for the latest.
    pub wanted: String,
}

impl Asked {
    /// Reads `name`, `name@range` or `@scope/name@range`.
    #[must_use]
    pub fn read(spec: &str) -> Self {
        let at = spec.char_indices().skip(1).find(|(_, c)| *c == '@');
        let (name, wanted) = at.map_or((spec, ""), |(at, _)| (&spec[..at], &spec[at + 1..]));
        Self {
            name: name.to_owned(),
            wanted: wanted.to_owned(),
        }
    }
}

/// An open gate. Dropping it closes it.
pub struct Session {
    visit: Arc<Visit>,
    server: AbortHandle,
    socket: PathBuf,
}

/// What the server and the session share.
pub(super) struct Visit {
    pub(super) gate: NpmGate,
    pub(super) vetting: Vetting,
    pub(super) rules: Rules,
    pub(super) mode: policy::Gate,
    /// How long npm waits for a verdict before it goes on without; `None` as long as it takes.
    pub(super) patience: Option<Duration>,
    pub(super) news: Tell,
    known: Mutex<Known>,
}

#[derive(Default)]
pub(super) struct Known {
    /// The newest npm.
    pub(super) run: Run,
    /// What goes on without anybody waiting for it.
    pub(super) behind: JoinSet<()>,
    /// What npm is to print with the next archive.
    pub(super) notices: Vec<String>,
    /// Bytes of what is being looked at.
    expected: BTreeMap<(PackageName, Version), Integrity>,
    admitted: BTreeMap<(PackageName, Version), Integrity>,
    served: BTreeMap<(PackageName, Version), Integrity>,
    judged: Vec<Judgement>,
}

impl Session {
    pub(super) fn open(
        gate: NpmGate,
        (vetting, rules, manner): (Vetting, Rules, Manner),
        folder: &Path,
        owner: Owner,
    ) -> Result<Self, Problem> {
        let socket = folder.join(SOCKET);
        let listener = listen(folder, &socket, owner)
            .map_err(|error| Problem::io(format!("cannot open the gate at {}", socket.display()), error))?;
        let visit = Arc::new(Visit {
            mode: manner.mode,
            patience: manner.patience,
            news: manner.news,
            gate,
            vetting,
            rules,
            known: Mutex::default(),
        });
        let server = tokio::spawn(serve::serve(listener, visit.clone())).abort_handle();
        Ok(Self {
            visit,
            server,
            socket,
        })
    }

    /// Vets what npm will be told to install, each with all that it brings.
    ///
    /// # Errors
    /// [`Code::Refused`] or [`Code::Review`] when one may not be installed, naming all that may not; else when one cannot
    /// be vetted, for what was not vetted is not installed.
    pub async fn admit(&self, asked: &[Asked]) -> Result<(), Problem> {
        if self.visit.mode == policy::Gate::Off {
            return Ok(());
        }
        if self.visit.patience.is_some() {
            self.visit.tell(asked.to_vec());
            return self.visit.first().await.map_err(|stopped| refusal(&[stopped]));
        }
        let mut stopped: Vec<Judgement> = Vec::new();
        for Asked { name, wanted } in asked {
            let elsewhere = wanted.contains([':', '/']);
            let name: PackageName =
                (if elsewhere { wanted } else { name })
                    .parse()
                    .map_err(|error: npm::NameError| {
                        Problem::new(
                            Code::Refused,
                            format!(
                                "redhold: {name} is no package of a registry, and nothing else can be vetted"
                            ),
                        )
                        .because(error)
                        .hint("publish it to a registry of your own and name that in npm's configuration")
                    })?;
            let judgement = self.visit.judge(&name, wanted).await?;
            self.visit.announce(&judgement, false);
            if !self.visit.mode.lets(judgement.verdict) {
                stopped.push(judgement);
            }
        }
        if stopped.is_empty() {
            return Ok(());
        }
        Err(refusal(&stopped))
    }

    /// Waits until everything was looked at that npm has asked for.
    pub async fn settle(&self) {
        loop {
            let mut behind = std::mem::take(&mut self.visit.known().behind);
            if behind.is_empty() {
                return;
            }
            while behind.join_next().await.is_some() {}
        }
    }

    /// Everything that was judged so far.
    #[must_use]
    pub fn judged(&self) -> Vec<Judgement> {
        self.visit.known().judged.clone()
    }

    /// Install scripts that the policy names, of packages that npm has just got.
    #[must_use]
    pub fn scripts(&self) -> Vec<Script> {
        let known = self.visit.known();
        let mut scripts = self.visit.rules.scripts();
        scripts.retain(|script| {
            let key = (script.package.clone(), script.version.clone());
            known.served.get(&key) == Some(&script.integrity)
        });
        scripts
    }
}

/// What may not be installed, by the worst of it.
fn refusal(stopped: &[Judgement]) -> Problem {
    let refused = stopped
        .iter()
        .any(|judgement| judgement.verdict == Verdict::Refused);
    let code = if refused { Code::Refused } else { Code::Review };
    let told: Vec<String> = stopped.iter().map(ToString::to_string).collect();
    Problem::new(code, told.join("\n"))
}

impl Drop for Session {
    fn drop(&mut self) {
        self.server.abort();
        // They hold what they work for.
        self.visit.known().behind.abort_all();
        let _ = fs::remove_file(&self.socket);
    }
}

/// The folder can be passed by whoever knows it, the socket only be used by its owner.
fn listen(folder: &Path, socket: &Path, owner: Owner) -> io::Result<tokio::net::UnixListener> {
    DirBuilder::new().recursive(true).mode(0o711).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o711))?;
    or_absent(fs::remove_file(socket))?;
    let listener = paths::listen(socket, 0o600)?;
    if let Owner::Own { uid, gid } | Owner::Translated { uid, gid, .. } = owner {
        chown(socket, Some(uid), Some(gid))?;
    }
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

impl Visit {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a version that npm may have, if it may have them already.
    pub(super) fn admitted(&self, name: &PackageName, version: &Version) -> Option<Integrity> {
        let key = (name.clone(), version.clone());
        self.known().admitted.get(&key).cloned()
    }

    /// Versions of a package that npm may have already.
    pub(super) fn versions(&self, name: &PackageName) -> Vec<Version> {
        let known = self.known();
        let keys = known.admitted.keys().filter(|(known, _)| known == name);
        keys.map(|(_, version)| version.clone()).collect()
    }

    /// The bytes of a version that is being looked at.
    pub(super) fn expected(&self, name: &PackageName, version: &Version) -> Option<Integrity> {
        let key = (name.clone(), version.clone());
        self.known().expected.get(&key).cloned()
    }

    /// Notes in which bytes npm got it.
    pub(super) fn served(&self, name: &PackageName, version: &Version, integrity: Integrity) {
        let key = (name.clone(), version.clone());
        self.known().served.insert(key, integrity);
    }

    /// Looks at a package with all that it brings, or takes the report of who has looked at the same; when it passes, all
    /// of it may be had.
    pub(super) async fn judge(&self, name: &PackageName, wanted: &str) -> Result<Judgement, Problem> {
        let _waits = Waits::at(&self.gate);
        // Never closed.
        let _room = self.gate.0.closures.acquire().await;
        let target = Target::Registry {
            name: name.clone(),
            wanted: wanted.to_owned(),
        };
        let resolved = self.vetting.resolve(&target, Arc::new(Silent)).await?;
        if self.patience.is_some() {
            self.known().expected.extend(members(&resolved));
        }
        let budget = self.rules.host().budget;
        let report = self.gate.look(&self.vetting, &resolved, budget, false).await?;
        let decision = self.rules.decide(&report, &[]);
        let judgement = Judgement::of(&report, &decision);
        let mut known = self.known();
        if self.mode.lets(judgement.verdict) {
            known.admitted.extend(members(&resolved));
        }
        // It is known now.
        for (key, _) in members(&resolved) {
            known.expected.remove(&key);
        }
        known.judged.retain(|other| other.package != judgement.package);
        known.judged.push(judgement.clone());
        Ok(judgement)
    }
}

/// What a registry has of a closure, under the hash that was looked at. What came inside another archive goes with it.
fn members(resolved: &Resolved) -> impl Iterator<Item = ((PackageName, Version), Integrity)> {
    let all = resolved.closure.places();
    all.filter(|(_, package)| resolved.listings.contains_key(&package.spec()))
        .map(|(_, package)| {
            (
                (package.name.clone(), package.version.clone()),
                package.integrity.clone(),
            )
        })
}
