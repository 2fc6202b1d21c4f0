//! Vetting on this machine: where its engine and caches lie, and how a package becomes a report.

mod flaws;
mod waivers;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use node_vetting::engine::{EngineError, Folder};
use node_vetting::exercise::Profile;
use node_vetting::guest;
use node_vetting::policy::Budget;
use node_vetting::report::{Report, Tools};
use node_vetting::resolve::{Cache, Limits, Options, Platform, Progress, ResolveError, Resolver, Target};
use node_vetting::worker::{Client as Worker, WorkerError};
use node_vetting::{analysis::Findings, resolve::Resolved, vet};

use self::flaws::Known;
pub use self::waivers::Waivers;
pub use self::worker::{WORKER, worker, worker_command};

use crate::problem::{Code, Problem};
use crate::stacks::{Stacks, host_arch};

/// How long a worker may be silent beyond its own budget of time.
const GRACE: Duration = Duration::from_secs(30);

/// Vets packages. Cheap to clone; everything it needs beyond the package is fetched once and kept.
#[derive(Clone)]
pub struct Vetting {
    folder: PathBuf,
    image: PathBuf,
    resolver: Resolver,
    flaws: Known,
}

impl Vetting {
    /// What a data directory has for vetting; the engine is fetched and prepared when it is not there yet.
    ///
    /// # Errors
    /// When the engine cannot be had, or npm's configuration cannot be used.
    pub async fn open(data_dir: &Path, online: bool) -> Result<Self, Problem> {
        let folder = data_dir.join("vetting");
        let stacks = Stacks::new(data_dir);
        let client = stacks.client()?.clone();
        let stack = stacks.resolve(None)?;
        let node = stack
            .node(host_arch()?)
            .ok_or_else(|| Problem::new(Code::Host, "the default stack has no Node.js for this machine"))?;
        let engine = Folder::open(&folder.join("engine"))
            .map_err(EngineError::from)
            .map_err(engine_problem)?;
        let image = guest::recipe()
            .image(&engine, &client)
            .await
            .map_err(engine_problem)?;
        let options = Options {
            node: node.artifact.version.clone(),
            npm: stack.npm().clone(),
            before: None,
            platform: Platform::here(),
            all_platforms: false,
            full: false,
            online,
            limits: Limits::default(),
        };
        Ok(Self {
            flaws: Known::of(online.then(|| client.clone()), &folder),
            resolver: Resolver::new(client, Some(Cache::at(&folder.join("cache"))), options),
            folder,
            image,
        })
    }

    /// Where what belongs to vetting lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads and exercises a package with all that it brings.
    ///
    /// # Errors
    /// When the package cannot be had, or the worker gives no answer: there is no report without one.
    pub async fn vet(
        &self,
        target: &Target,
        budget: Budget,
        progress: Arc<dyn Progress>,
    ) -> Result<Report, Problem> {
        let resolved = self
            .resolver
            .resolve(target, progress)
            .await
            .map_err(resolve_problem)?;
        let resolved = Arc::new(resolved);
        let reading = {
            let resolved = resolved.clone();
            tokio::task::spawn_blocking(move || vet::read(&resolved))
        };
        let seeing = {
            let (resolved, image) = (resolved.clone(), self.image.clone());
            tokio::task::spawn_blocking(move || see(&image, &resolved, budget))
        };
        let (flaws, known) = self.flaws.of_members(&resolved.closure).await?;
        let mut findings: Findings = reading.await.map_err(broken)?;
        findings.findings.extend(known);
        let observations = seeing
            .await
            .map_err(broken)?
            .map_err(|error| worker_problem(&resolved, error))?;
        let tools = Tools {
            engine: self
                .image
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            redhold: env!("CARGO_PKG_VERSION").to_owned(),
            flaws,
        };
        Ok(vet::report(&resolved, &findings, &observations, tools))
    }
}

fn see(
    image: &Path,
    resolved: &Resolved,
    budget: Budget,
) -> Result<node_vetting::exercise::Observations, WorkerError> {
    let profile = Profile {
        fuel: budget.fuel,
        memory: budget.memory,
        events: budget.events,
        deadline: Duration::from_secs(budget.seconds.into()),
        ..Profile::default()
    };
    let command = worker_command(image).map_err(WorkerError::Start)?;
    let client = Worker {
        patience: profile.deadline * 4 + GRACE,
    };
    client.exercise(command, &resolved.closure, &profile)
}

fn broken(error: tokio::task::JoinError) -> Problem {
    Problem::new(Code::Failed, "vetting broke off").because(error)
}

fn engine_problem(error: EngineError) -> Problem {
    Problem::new(
        Code::Failed,
        "the engine that packages are exercised in cannot be made ready",
    )
    .because(error)
    .hint("it is fetched from the registry of npm's configuration once; check that it can be reached")
}

fn resolve_problem(error: ResolveError) -> Problem {
    let code = match &error {
        ResolveError::Nothing { .. } => Code::Missing,
        ResolveError::NoPackage { .. } => Code::Usage,
        ResolveError::Read { .. } | ResolveError::Fetch { .. } => Code::Failed,
    };
    let text = error.to_string();
    let problem = Problem::new(code, text);
    match error {
        ResolveError::Read { source, .. } => problem.because(source),
        ResolveError::Fetch { source, .. } => problem.because(source).hint(
            "check the registry in npm's configuration; what was fetched before is used with --offline",
        ),
        _ => problem,
    }
}

fn worker_problem(resolved: &Resolved, error: WorkerError) -> Problem {
    let spec = resolved.closure.root().spec();
    Problem::new(Code::Failed, format!("{spec} could not be exercised, so there is no verdict"))
        .because(error)
        .hint("a package that brings the worker down is not to be trusted; vet it with a smaller budget to see more")
}
