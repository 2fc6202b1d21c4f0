//! Vetting on this machine: where its engine and caches lie, and how a package becomes a report.

mod flaws;
mod rules;
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
use npm::{Client, Form, Integrity, PackageName, Version};
use serde_json::Value;
use tokio::sync::OnceCell;

use self::flaws::Known;
pub use self::rules::{Rules, read_policy};
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
    /// Where the engine comes from.
    client: Client,
    image: Arc<OnceCell<PathBuf>>,
    resolver: Resolver,
    flaws: Known,
    options: Options,
}

impl Vetting {
    /// What a data directory has for vetting. The engine is fetched and prepared when it is first needed.
    ///
    /// # Errors
    /// When npm's configuration cannot be used, or this machine has no stack.
    pub fn of(data_dir: &Path, online: bool) -> Result<Self, Problem> {
        let folder = data_dir.join("vetting");
        let stacks = Stacks::new(data_dir);
        let client = stacks.client()?.clone();
        let stack = stacks.resolve(None)?;
        let node = stack
            .node(host_arch()?)
            .ok_or_else(|| Problem::new(Code::Host, "the default stack has no Node.js for this machine"))?;
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
            resolver: Resolver::new(client.clone(), Some(cache(&folder)), options.clone()),
            client,
            image: Arc::default(),
            folder,
            options,
        })
    }

    /// The same with its engine ready.
    ///
    /// # Errors
    /// When the engine cannot be had, or npm's configuration cannot be used.
    pub async fn open(data_dir: &Path, online: bool) -> Result<Self, Problem> {
        let vetting = Self::of(data_dir, online)?;
        vetting.image().await?;
        Ok(vetting)
    }

    /// The compiled engine.
    async fn image(&self) -> Result<&Path, Problem> {
        let image = self.image.get_or_try_init(|| async {
            let engine = Folder::open(&self.folder.join("engine"))
                .map_err(EngineError::from)
                .map_err(engine_problem)?;
            let recipe = guest::recipe();
            recipe.image(&engine, &self.client).await.map_err(engine_problem)
        });
        image.await.map(PathBuf::as_path)
    }

    /// Where what belongs to vetting lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The same vetting of what other registries have. Whatever has the same hash is the same, so the cache is shared.
    #[must_use]
    pub fn through(&self, client: Client) -> Self {
        Self {
            flaws: Known::of(self.options.online.then(|| client.clone()), &self.folder),
            resolver: Resolver::new(client, Some(cache(&self.folder)), self.options.clone()),
            ..self.clone()
        }
    }

    /// Names the engine: another one may see something else.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn engine(&self) -> Result<String, Problem> {
        let name = self.image().await?.file_stem().unwrap_or_default();
        Ok(name.to_string_lossy().into_owned())
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
        let resolved = self.resolve(target, progress).await?;
        self.report(&resolved, budget).await
    }

    /// A package with all that it brings, not looked at yet.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn resolve(
        &self,
        target: &Target,
        progress: Arc<dyn Progress>,
    ) -> Result<Arc<Resolved>, Problem> {
        let resolved = self.resolver.resolve(target, progress).await;
        resolved.map(Arc::new).map_err(resolve_problem)
    }

    /// What the registry says of a package; with `renew` not what it said minutes before.
    ///
    /// # Errors
    /// When it is not to be had.
    pub async fn document(&self, name: &PackageName, form: Form, renew: bool) -> Result<Value, Problem> {
        let document = self.resolver.document(name, form, renew).await;
        document.map_err(resolve_problem)
    }

    /// The archive of a version, in exactly the bytes that hash to `integrity`.
    ///
    /// # Errors
    /// When it is not to be had.
    pub async fn archive(
        &self,
        name: &PackageName,
        version: &Version,
        integrity: &Integrity,
    ) -> Result<Vec<u8>, Problem> {
        let archive = self.resolver.archive(name, version, integrity).await;
        archive.map_err(resolve_problem)
    }

    /// Reads and exercises what was resolved.
    ///
    /// # Errors
    /// When the worker gives no answer: there is no report without one.
    pub async fn report(&self, resolved: &Arc<Resolved>, budget: Budget) -> Result<Report, Problem> {
        let reading = {
            let resolved = resolved.clone();
            tokio::task::spawn_blocking(move || vet::read(&resolved))
        };
        let seeing = {
            let (resolved, image) = (resolved.clone(), self.image().await?.to_owned());
            tokio::task::spawn_blocking(move || see(&image, &resolved, budget))
        };
        let (flaws, known) = self.flaws.of_members(&resolved.closure).await?;
        let mut findings: Findings = reading.await.map_err(broken)?;
        findings.findings.extend(known);
        let observations = seeing
            .await
            .map_err(broken)?
            .map_err(|error| worker_problem(resolved, error))?;
        let tools = Tools {
            engine: self.engine().await?,
            redhold: env!("CARGO_PKG_VERSION").to_owned(),
            flaws,
        };
        Ok(vet::report(resolved, &findings, &observations, tools))
    }
}

fn cache(folder: &Path) -> Cache {
    Cache::at(&folder.join("cache"))
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
