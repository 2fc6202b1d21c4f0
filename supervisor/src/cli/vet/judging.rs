//! What judging needs on the command line: the host's policy and waivers, and vetting itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_vetting::policy::{self, Decision, Waiver};
use node_vetting::report::Report;
use node_vetting::resolve::{Progress, Target};

use crate::cli::Global;
use crate::cli::output::{Output, harmless};
use crate::gate::NpmGate;
use crate::paths;
use crate::problem::{Code, Problem};
use crate::vetting::{Pace, Rules, Vetting, Waivers};

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

    /// The file of the waivers.
    pub(super) fn file(&self) -> Waivers {
        Waivers::of(&self.data_dir)
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
