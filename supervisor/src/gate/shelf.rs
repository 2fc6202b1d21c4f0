//! Reports on the disk, by package, version, engine and closure. What policy makes of them is decided when it is asked.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use node_vetting::report::Report;
use npm::{Integrity, PackageName, Version};
use tracing::warn;

use crate::paths::write_private;

/// Most reports of one package; the oldest go.
const MOST: usize = 40;

/// A report, and when it was made, or known flaws were last asked for.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The report.
    pub report: Report,
    /// When. A clock that was set back makes it look young, until it catches up.
    pub at: SystemTime,
}

/// What npm has installed in one place, `name@version`, with the hash of each archive where it noted it.
pub type Installed = BTreeMap<String, Option<Integrity>>;

/// The folder of them.
#[derive(Clone, Debug)]
pub(super) struct Shelf(PathBuf);

impl Shelf {
    pub(super) fn of(data_dir: &Path) -> Self {
        // The number changes with the form.
        Self(data_dir.join("vetting/reports-v1"))
    }

    fn folder(&self, name: &PackageName) -> PathBuf {
        self.0.join(name.as_str().replace('/', "+"))
    }

    fn path(&self, name: &PackageName, version: &Version, engine: &str, closure: &str) -> PathBuf {
        let file = format!("{version}~{}~{}.json", short(engine), short(closure));
        self.folder(name).join(file)
    }

    /// The report on exactly this closure by this engine.
    pub(super) fn find(
        &self,
        name: &PackageName,
        version: &Version,
        engine: &str,
        closure: &str,
    ) -> Option<Kept> {
        let path = self.path(name, version, engine, closure);
        let at = fs::metadata(&path).and_then(|meta| meta.modified()).ok()?;
        let report = read(&path)?;
        (report.facts.closure == closure && report.facts.tools.engine == engine)
            .then_some(Kept { report, at })
    }

    /// The newest report on a version whose whole closure is what is installed; else the newest on the same archive, with
    /// other versions of what it brings.
    pub(super) fn fitting(
        &self,
        name: &PackageName,
        version: &Version,
        installed: &Installed,
    ) -> Option<Kept> {
        let hash = installed.get(&format!("{name}@{version}")).cloned().flatten();
        let mut second = None;
        for (path, at) in self.listed_of(name, version) {
            let Some(report) = read(&path) else { continue };
            if hash.as_ref().is_some_and(|hash| *hash != report.facts.integrity) {
                continue;
            }
            let mut members = report.facts.packages.iter();
            if members.all(|member| installed.contains_key(&member.package)) {
                return Some(Kept { report, at });
            }
            second.get_or_insert(Kept { report, at });
        }
        second
    }

    /// How many reports there are, on how many packages.
    pub(super) fn count(&self) -> (usize, usize) {
        let counts = self.names().map(|name| self.listed(&name).len());
        counts.fold((0, 0), |(reports, packages), count| {
            (reports + count, packages + usize::from(count > 0))
        })
    }

    /// Keeps a report. Without it the package is vetted again, so a failure is only told.
    pub(super) fn keep(&self, report: &Report) {
        let facts = &report.facts;
        let path = self.path(
            &facts.package,
            &facts.version,
            &facts.tools.engine,
            &facts.closure,
        );
        let kept = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.folder(&facts.package))
            .and_then(|()| serde_json::to_vec(report).map_err(io::Error::from))
            .and_then(|text| write_private(&path, &text));
        if let Err(error) = kept {
            warn!(%error, package = facts.spec(), "cannot keep a report");
        }
        let listed = self.listed(&facts.package);
        for (path, _) in listed.iter().take(listed.len().saturating_sub(MOST)) {
            let _ = fs::remove_file(path);
        }
    }

    /// The newest report of each version of a package by this engine.
    pub(super) fn about(&self, name: &PackageName, engine: &str) -> Vec<Report> {
        let of_engine = format!("~{}~", short(engine));
        self.newest(name, |path| path.to_string_lossy().contains(&of_engine))
    }

    /// The newest report of each version of a package among the files that count.
    fn newest(&self, name: &PackageName, counts: impl Fn(&Path) -> bool) -> Vec<Report> {
        let mut newest: Vec<Report> = Vec::new();
        for (path, _) in self.listed(name).iter().rev().filter(|(path, _)| counts(path)) {
            let Some(report) = read(path) else { continue };
            let mut known = newest.iter().map(|known| &known.facts.version);
            if known.all(|version| *version != report.facts.version) {
                newest.push(report);
            }
        }
        newest
    }

    /// The newest report of one version, by whatever engine.
    pub(super) fn of_version(&self, name: &PackageName, version: &Version) -> Option<Report> {
        self.listed_of(name, version).find_map(|(path, _)| read(&path))
    }

    /// Files about one version, newest first.
    fn listed_of(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> impl Iterator<Item = (PathBuf, SystemTime)> {
        let begins = format!("{version}~");
        let listed = self.listed(name).into_iter().rev();
        listed.filter(move |(path, _)| {
            path.file_name()
                .is_some_and(|file| file.to_string_lossy().starts_with(&begins))
        })
    }

    /// The newest report of each version of each package.
    pub(super) fn all(&self) -> Vec<Report> {
        self.names()
            .flat_map(|name| self.newest(&name, |_| true))
            .collect()
    }

    /// Packages that there are reports on.
    fn names(&self) -> impl Iterator<Item = PackageName> {
        let folders = fs::read_dir(&self.0).into_iter().flatten().flatten();
        folders.filter_map(|folder| {
            let name = folder.file_name().to_string_lossy().replace('+', "/");
            name.parse().ok()
        })
    }

    /// Files of a package, oldest first.
    fn listed(&self, name: &PackageName) -> Vec<(PathBuf, SystemTime)> {
        let entries = fs::read_dir(self.folder(name)).into_iter().flatten().flatten();
        let mut all: Vec<(PathBuf, SystemTime)> = entries
            .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.modified().ok()?)))
            .filter(|(path, _)| path.extension().is_some_and(|end| end == "json"))
            .collect();
        all.sort_by_key(|(_, written)| *written);
        all
    }
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

/// One that is torn or of another form is no report.
fn read(path: &Path) -> Option<Report> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
