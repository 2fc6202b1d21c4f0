//! How a package comes to its report: a kept one while nothing has changed, the same with what is known of flaws now, or a
//! new one, which alone costs runs. Whoever waits goes before what is only looked at again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use node_vetting::policy::{self, Budget};
use node_vetting::report::Report;
use node_vetting::resolve::{Resolved, Silent, Target};
use npm::{PackageName, Version};
use tokio::sync::watch;
use tracing::info;

use super::shelf::Kept;
use super::{Installed, NpmGate, Upstream, opened};
use crate::problem::Problem;
use crate::team::Team;
use crate::vetting::{Pace, Rules, Vetting, stamp};

/// Reports name known flaws, and those change with time: after this they are asked for again.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// What has to be done so that a report is what it would be if it were made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Known flaws are asked for again. The bytes are the same, so nothing else can have changed.
    Flaws,
    /// Runs: another engine made it, or there is none.
    Runs,
}

impl Due {
    /// Of what is kept, at `now`: `engine` would run it, and the feed of known flaws was changed last at `feed`.
    #[must_use]
    pub fn of(kept: Option<&Kept>, engine: &str, feed: Option<SystemTime>, now: SystemTime) -> Self {
        let Some(kept) = kept else { return Self::Runs };
        if kept.report.facts.tools.engine != engine {
            return Self::Runs;
        }
        let age = now.duration_since(kept.at).unwrap_or_default();
        // Time stamps of files are as coarse as a tick of the kernel.
        if age >= FRESH || feed.is_some_and(|changed| changed >= kept.at) {
            return Self::Flaws;
        }
        Self::Nothing
    }
}

/// One that waits for the gate, for as long as it lives.
pub(super) struct Waits<'a>(&'a watch::Sender<usize>);

impl<'a> Waits<'a> {
    pub(super) fn at(gate: &'a NpmGate) -> Self {
        gate.0.waiting.send_modify(|count| *count += 1);
        Self(&gate.0.waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl NpmGate {
    /// The report on what was resolved; with `fresh` a new one, whatever is kept. It is kept where this account may write.
    ///
    /// # Errors
    /// When the engine cannot be had, or the worker gives no answer.
    pub async fn look(
        &self,
        vetting: &Vetting,
        resolved: &Arc<Resolved>,
        budget: Budget,
        fresh: bool,
    ) -> Result<Report, Problem> {
        let engine = vetting.engine().await?;
        if !fresh && let Some(report) = self.known(vetting, &engine, resolved).await? {
            return Ok(report);
        }
        // Never closed.
        let _turn = self.0.workers.acquire().await;
        // Whoever was before may have looked at the same.
        if !fresh && let Some(report) = self.known(vetting, &engine, resolved).await? {
            return Ok(report);
        }
        self.run(vetting, resolved, budget, Pace::Now).await
    }

    async fn run(
        &self,
        vetting: &Vetting,
        resolved: &Arc<Resolved>,
        budget: Budget,
        pace: Pace,
    ) -> Result<Report, Problem> {
        let packages = resolved.closure.places().count();
        info!(
            package = resolved.closure.root().spec(),
            packages, "vetting a package"
        );
        let report = vetting.report(resolved, budget, pace).await?;
        self.0.shelf.keep(&report);
        Ok(report)
    }

    /// The report that is kept on exactly this closure, with what is known of flaws now.
    async fn known(
        &self,
        vetting: &Vetting,
        engine: &str,
        resolved: &Resolved,
    ) -> Result<Option<Report>, Problem> {
        let (root, closure) = (resolved.closure.root(), resolved.closure.digest());
        let kept = self.0.shelf.find(&root.name, &root.version, engine, &closure);
        let feed = vetting.feed().map(|(_, changed)| changed);
        match (Due::of(kept.as_ref(), engine, feed, SystemTime::now()), kept) {
            (Due::Runs, _) | (_, None) => Ok(None),
            (Due::Nothing, Some(kept)) => Ok(Some(kept.report)),
            (Due::Flaws, Some(kept)) => Ok(Some(
                self.renewed(vetting, &kept.report).await?.unwrap_or(kept.report),
            )),
        }
    }

    /// A report with what is known of flaws now, kept so; nothing where nobody knows anything now.
    async fn renewed(&self, vetting: &Vetting, report: &Report) -> Result<Option<Report>, Problem> {
        let renewed = vetting.renewed(report).await?;
        if let Some(renewed) = &renewed {
            self.0.shelf.keep(renewed);
        }
        Ok(renewed)
    }

    /// What is kept on a version that is installed beside `installed`.
    #[must_use]
    pub fn fitting(&self, name: &PackageName, version: &Version, installed: &Installed) -> Option<Kept> {
        self.0.shelf.fitting(name, version, installed)
    }

    /// How many reports are kept, on how many packages.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        self.0.shelf.count()
    }

    /// What the packages of a team, or of nobody's team, are judged by.
    ///
    /// # Errors
    /// When a policy or the waivers cannot be used.
    pub fn rules(&self, team: Option<&Team>) -> Result<Rules, Problem> {
        Rules::of_team(&self.0.data_dir, team)
    }

    /// Names everything that [`NpmGate::rules`] are made of.
    #[must_use]
    pub fn stamp(&self, team: Option<&Team>) -> String {
        stamp(&self.0.data_dir, team)
    }

    /// What holds where no policy names a mode.
    #[must_use]
    pub fn usual(&self) -> policy::Gate {
        self.0.usual.mode
    }

    /// What is due is done for a package that is installed, while no npm waits, and at the lowest priority. Whether
    /// anything came of it.
    ///
    /// # Errors
    /// When it cannot be had, or not be vetted.
    pub async fn catch_up(
        &self,
        upstream: &Upstream,
        (name, version): (&PackageName, &Version),
        kept: Option<Kept>,
        due: Due,
    ) -> Result<bool, Problem> {
        // Lives as long as the gate.
        let _ = self.0.waiting.subscribe().wait_for(|count| *count == 0).await;
        let (data_dir, upstream) = (self.0.data_dir.clone(), upstream.clone());
        let vetting = opened(data_dir, upstream).await?;
        let report = kept.map(|kept| kept.report);
        match (due, report) {
            (Due::Nothing, _) => Ok(false),
            (Due::Flaws, Some(report)) => Ok(self.renewed(&vetting, &report).await?.is_some()),
            (Due::Flaws | Due::Runs, report) => {
                let same = match &report {
                    Some(report) => vetting.again(report).await?,
                    None => None,
                };
                let resolved = match same {
                    Some(resolved) => resolved,
                    None => {
                        let target = Target::Registry {
                            name: name.clone(),
                            wanted: version.to_string(),
                        };
                        vetting.resolve(&target, Arc::new(Silent)).await?
                    }
                };
                let budget = self.rules(None)?.host().budget;
                self.run(&vetting, &resolved, budget, Pace::Idle)
                    .await
                    .map(|_| true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(engine: &str, at: SystemTime) -> Kept {
        let report = serde_json::json!({
            "format": 1, "package": "a", "version": "1.0.0", "integrity": format!("sha1-{}=", "A".repeat(27)), "closure": "",
            "packages": [], "gaps": [], "unpacked": 0, "node_types": [], "uses": [], "runs": [], "reasons": [],
            "tools": { "engine": engine, "redhold": "0" },
        });
        Kept {
            report: serde_json::from_value(report).expect("a report"),
            at,
        }
    }

    #[test]
    fn only_another_engine_costs_runs() {
        let now = SystemTime::UNIX_EPOCH + 10 * FRESH;
        let hour = Duration::from_secs(3600);
        for (kept, feed, expected) in [
            (None, None, Due::Runs),
            (Some(kept("old", now)), None, Due::Runs),
            (Some(kept("new", now - hour)), None, Due::Nothing),
            (Some(kept("new", now - 25 * hour)), None, Due::Flaws),
            (Some(kept("new", now - hour)), Some(now - 2 * hour), Due::Nothing),
            (Some(kept("new", now - 2 * hour)), Some(now - hour), Due::Flaws),
            // A clock that was set back.
            (Some(kept("new", now + 100 * hour)), Some(now), Due::Nothing),
        ] {
            assert_eq!(Due::of(kept.as_ref(), "new", feed, now), expected, "{kept:?}");
        }
    }
}
