//! Vetting on this machine: where its engine and caches lie, and how a package becomes a report.

mod flaws;
mod rules;
mod waivers;
mod worker;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use node_vetting::analysis::{Doing, Finding, Findings, Means, Members};
use node_vetting::engine::{EngineError, Folder, IMAGE};
use node_vetting::exercise::{Observations, Profile};
use node_vetting::guest;
use node_vetting::policy::Budget;
use node_vetting::report::{Flaws, Report, Tools};
use node_vetting::resolve::{
    Cache, Limits, Options, Platform, Progress, ResolveError, Resolved, Resolver, Target,
};
use node_vetting::vet;
use node_vetting::worker::{Client as Worker, WorkerError};
use npm::{Client, Form, Integrity, PackageName, Version};
use serde_json::Value;
use tokio::sync::OnceCell;

use self::flaws::Known;
pub use self::rules::{Rules, check_all, policies, read_policy, stamp};
pub use self::waivers::Waivers;
pub use self::worker::{Pace, WORKER, worker};

use crate::problem::{Code, Problem};
use crate::stacks::{Stacks, host_arch};

/// How long a worker may be silent beyond its own budget of time.
const GRACE: Duration = Duration::from_secs(30);

/// How long a worker may read. Real packages take a second or two; a file that takes a minute is given up by itself.
const READING: Duration = Duration::from_secs(240);

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
            let (engine, recipe) = (self.engine_folder()?, guest::recipe());
            recipe.image(&engine, &self.client).await.map_err(engine_problem)
        });
        image.await.map(PathBuf::as_path)
    }

    /// Whether packages can be exercised at once: nothing has to be fetched or compiled for it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.image.initialized()
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

    /// The same registries, of which nobody is asked, with what is kept in `folder`.
    #[must_use]
    pub fn apart(&self, folder: &Path) -> Self {
        Self {
            flaws: Known::of(None, &self.folder),
            resolver: self.resolver.apart(folder),
            ..self.clone()
        }
    }

    /// What is kept of the registry's document of a package. Blocks.
    #[must_use]
    pub fn kept_document(&self, name: &PackageName, form: Form) -> Option<Value> {
        self.resolver.kept_document(name, form)
    }

    /// Keeps a document as if the registry had said it. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn plant_document(&self, name: &PackageName, form: Form, document: &Value) -> io::Result<()> {
        self.resolver.plant_document(name, form, document)
    }

    /// Keeps an archive that hashes to `integrity`. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn plant_archive(&self, integrity: &Integrity, bytes: &[u8]) -> io::Result<()> {
        self.resolver.plant_archive(integrity, bytes)
    }

    /// The archives that the engine is made from, by `name@version`.
    ///
    /// # Errors
    /// When one cannot be had.
    pub async fn engine_parts(&self) -> Result<Vec<(String, Vec<u8>)>, Problem> {
        let parts = guest::recipe().parts(&self.engine_folder()?, &self.client).await;
        parts.map_err(engine_problem)
    }

    /// Keeps an archive where the engine is made from it; any other is left.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn plant_engine(&self, bytes: &[u8]) -> Result<(), Problem> {
        let planted = guest::recipe().plant(&self.engine_folder()?, bytes);
        planted.map(|_| ()).map_err(engine_problem)
    }

    fn engine_folder(&self) -> Result<Folder, Problem> {
        let folder = Folder::open(&self.folder.join("engine"));
        folder.map_err(EngineError::from).map_err(engine_problem)
    }

    /// Names the engine: another one may see something else.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn engine(&self) -> Result<String, Problem> {
        let name = self.image().await?.file_stem().unwrap_or_default();
        Ok(name.to_string_lossy().into_owned())
    }

    /// The feed of known flaws on the disk, and when it was changed last.
    #[must_use]
    pub fn feed(&self) -> Option<(PathBuf, SystemTime)> {
        self.flaws.feed()
    }

    /// A report with what is known of flaws now; nothing where nobody knows anything now.
    ///
    /// # Errors
    /// When there is a feed that cannot be read.
    pub async fn renewed(&self, report: &Report) -> Result<Option<Report>, Problem> {
        let members = Members::listed(&report.facts.packages);
        let (flaws, known) = self.flaws.of_members(members).await?;
        // Silence takes nothing back that somebody said.
        Ok((flaws != Flaws::Nobody).then(|| vet::renewed(report, &known, flaws)))
    }

    /// The closure that a report is about, not looked at again yet; nothing when it cannot be had any more.
    ///
    /// # Errors
    /// When a registry fails in a way that may pass.
    pub async fn again(&self, report: &Report) -> Result<Option<Arc<Resolved>>, Problem> {
        let resolved = self.resolver.again(&report.facts).await;
        resolved.map(|found| found.map(Arc::new)).map_err(resolve_problem)
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
    pub async fn report(
        &self,
        resolved: &Arc<Resolved>,
        budget: Budget,
        pace: Pace,
    ) -> Result<Report, Problem> {
        let reading = {
            let resolved = resolved.clone();
            tokio::task::spawn_blocking(move || read(&resolved, pace))
        };
        let seeing = {
            let (resolved, image) = (resolved.clone(), self.image().await?.to_owned());
            tokio::task::spawn_blocking(move || see(&image, &resolved, budget, pace))
        };
        let (flaws, known) = self.flaws.of_members(Members::of(&resolved.closure)).await?;
        let mut findings = half(resolved, Doing::Reading, reading.await)?.unwrap_or_else(|broke| Findings {
            findings: vec![broke],
            ..Findings::default()
        });
        findings.findings.extend(known);
        let observations = half(resolved, Doing::Exercising, seeing.await)?.unwrap_or_else(|broke| {
            findings.findings.push(broke);
            Observations::default()
        });
        let tools = Tools {
            engine: self.engine().await?,
            redhold: env!("CARGO_PKG_VERSION").to_owned(),
            flaws,
        };
        Ok(vet::report(resolved, &findings, &observations, tools))
    }
}

/// The name of the engine, which need not be here yet.
///
/// # Errors
/// When there is none for this machine.
pub fn engine_name() -> Result<String, Problem> {
    static NAME: OnceLock<String> = OnceLock::new();
    if let Some(name) = NAME.get() {
        return Ok(name.clone());
    }
    let name = guest::recipe().name().map_err(engine_problem)?;
    Ok(NAME.get_or_init(|| name).clone())
}

/// Whether the engine of a data directory is here.
///
/// # Errors
/// As [`engine_name`].
pub fn has_engine(data_dir: &Path) -> Result<bool, Problem> {
    let image = format!("{}.{IMAGE}", engine_name()?);
    Ok(data_dir.join("vetting/engine").join(image).exists())
}

/// The feed of known flaws of a data directory, and when it was changed last.
#[must_use]
pub fn feed(data_dir: &Path) -> Option<(PathBuf, SystemTime)> {
    Known::of(None, &data_dir.join("vetting")).feed()
}

fn cache(folder: &Path) -> Cache {
    Cache::at(&folder.join("cache"))
}

fn read(resolved: &Resolved, pace: Pace) -> Result<Findings, WorkerError> {
    Worker { patience: READING }.read(
        || worker::reader(pace),
        &resolved.closure,
        &resolved.listings,
        Means::default(),
    )
}

fn see(image: &Path, resolved: &Resolved, budget: Budget, pace: Pace) -> Result<Observations, WorkerError> {
    let profile = Profile {
        fuel: budget.fuel,
        memory: budget.memory,
        events: budget.events,
        deadline: Duration::from_secs(budget.seconds.into()),
        ..Profile::default()
    };
    let command = worker::exerciser(image, pace).map_err(WorkerError::Start)?;
    let client = Worker {
        patience: profile.deadline * 4 + GRACE,
    };
    client.exercise(command, &resolved.closure, &profile)
}

/// What a worker found, or that the package brought it down.
fn half<T>(
    resolved: &Resolved,
    doing: Doing,
    answer: Result<Result<T, WorkerError>, tokio::task::JoinError>,
) -> Result<Result<T, Finding>, Problem> {
    match answer.map_err(broken)? {
        Ok(found) => Ok(Ok(found)),
        Err(error) => vet::broke(&resolved.closure, doing, error)
            .map(Err)
            .map_err(|error| worker_problem(resolved, error)),
    }
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
    Problem::new(
        Code::Failed,
        format!("{spec} could not be looked at, so there is no verdict"),
    )
    .because(error)
    .hint("try again when this host has memory and processes to spare; `redhold doctor` says what it lacks")
}
