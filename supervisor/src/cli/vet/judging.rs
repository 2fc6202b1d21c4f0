//! What judging needs on the command line: the host's policy and waivers, and vetting itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Method;
use node_vetting::policy::{self, Decision, Waiver};
use node_vetting::report::Report;
use node_vetting::resolve::{Progress, Target};
use npm::{PackageName, Version};
use serde_json::Value;

use crate::cli::Global;
use crate::cli::client::{run_if_there, segment};
use crate::cli::output::{Output, harmless};
use crate::exceptions::none_for;
use crate::gate::NpmGate;
use crate::paths;
use crate::problem::{Code, Problem};
use crate::vetting::{Pace, Rules, Vetting, Waivers};

/// Waivers in the interface of a host.
const PLACE: &str = "/vetting/waivers";

/// Policy and waivers of a host, read once.
pub(super) struct Judging {
    data_dir: PathBuf,
    rules: Rules,
    /// Whether reports are kept, and kept ones used: those that a vetting with other limits made would be others.
    keeps: bool,
}

impl Judging {
    /// Those of the host that `global` means; the policy in `named` instead of its own.
    ///
    /// # Errors
    /// When a file cannot be read, or has mistakes.
    pub(super) fn of(global: &Global, named: Option<&Path>) -> Result<Self, Problem> {
        let data_dir = paths::host_data_dir(global.data_dir.as_deref())?;
        let rules = Rules::of(&data_dir, named)?;
        let keeps = match named {
            Some(_) => Rules::of(&data_dir, None)?.host().budget == rules.host().budget,
            None => true,
        };
        Ok(Self {
            data_dir,
            rules,
            keeps,
        })
    }

    /// All waivers, also those that have ended.
    pub(super) fn waivers(&self) -> &[Waiver] {
        self.rules.waivers()
    }

    /// Adds a waiver: through the host where one runs, so that it is noted who did it, else in the file.
    ///
    /// # Errors
    /// The host's refusal, or that the file cannot be changed.
    pub(super) fn add(&self, waiver: Waiver) -> Result<(), Problem> {
        // Waivers are plain data.
        let wish = serde_json::to_value(&waiver).unwrap_or_default();
        let asked = run_if_there(&self.data_dir, async |host| {
            host.send(Method::POST, PLACE, &wish).await.map(drop)
        });
        asked.unwrap_or_else(|| Waivers::of(&self.data_dir).add(waiver, None))
    }

    /// Takes back the waivers of a package, in the same way; how many there were.
    ///
    /// # Errors
    /// As [`Judging::add`].
    pub(super) fn remove(&self, package: &PackageName, version: &Version) -> Result<usize, Problem> {
        let spec = format!("{package}@{version}");
        let own = self.waivers().iter();
        let count = own
            .filter(|waiver| waiver.package == *package && waiver.version == *version)
            .count();
        let asked = run_if_there(&self.data_dir, async |host| {
            let place = format!("{PLACE}/{}", segment(&spec));
            host.send(Method::DELETE, &place, &Value::Null)
                .await
                .map(|_| count)
        });
        let removed = asked.unwrap_or_else(|| Waivers::of(&self.data_dir).remove(package, version, None))?;
        if removed == 0 {
            return Err(none_for(&spec));
        }
        Ok(removed)
    }

    /// What is known of each package, in order: from a kept report where one is kept on the same bytes by the same tools,
    /// but for `fresh`. Says along the way what takes long; Ctrl-C breaks it off.
    ///
    /// # Errors
    /// When one cannot be vetted.
    pub(super) fn reports(
        &self,
        targets: &[(&str, Target)],
        (online, fresh): (bool, bool),
        output: &Output,
        mut each: impl FnMut(Report),
    ) -> Result<(), Problem> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| {
                Problem::new(Code::Failed, "cannot start the network machinery").because(error)
            })?;
        let all = async {
            let vetting = Vetting::open(&self.data_dir, online).await?;
            let gate = NpmGate::of(&self.data_dir, policy::Gate::Enforce);
            for (text, target) in targets {
                output.note(&format!("looking at {}", harmless(text)));
                let progress: Arc<dyn Progress> = Arc::new(Said(*output));
                let resolved = vetting.resolve(target, progress).await?;
                let budget = self.rules.host().budget;
                // What is in a folder or a file is nobody else's, whatever its name.
                let report = match target {
                    Target::Registry { .. } if self.keeps => {
                        gate.look(&vetting, &resolved, budget, fresh).await?
                    }
                    _ => vetting.report(&resolved, budget, Pace::Now).await?,
                };
                each(report);
            }
            Ok(())
        };
        runtime.block_on(async {
            tokio::select! {
                done = all => done,
                Ok(()) = tokio::signal::ctrl_c() => Err(Problem::new(Code::Interrupted, "broken off")),
            }
        })
    }

    /// The verdict on a report, with `more` waivers besides the host's.
    pub(super) fn decide(&self, report: &Report, more: &[Waiver]) -> Decision {
        self.rules.decide(report, more)
    }
}

/// A package as it is named on the command line. What exists as a path is one.
///
/// # Errors
/// When it is none.
pub(super) fn target(text: &str) -> Result<Target, Problem> {
    let path = Path::new(text);
    if path.is_dir() {
        return Ok(Target::Folder(path.to_owned()));
    }
    if path.is_file() {
        return Ok(Target::Archive(path.to_owned()));
    }
    Target::parse(text).map_err(|error| {
        Problem::new(
            Code::Usage,
            format!("`{text}` is neither a file, nor a folder, nor a package"),
        )
        .because(error)
        .hint("write a name, name@version, or a path to a folder or an archive")
    })
}

/// Tells nothing but what takes long.
struct Said(Output);

impl Progress for Said {
    fn counted(&self, packages: usize) {
        if packages > 0 && packages.is_multiple_of(200) {
            self.0.note(&format!("{packages} packages so far"));
        }
    }
}
