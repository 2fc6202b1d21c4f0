//! From the wish and the project to a running instance: who it is on the host, what it gets, how it is started.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use node_vetting::report::Verdict;
use runtime::process::{self, Adopted, Descriptors, Running};
use runtime::record::ExitRecord;
use runtime::spec::{InstanceId, InstanceSpec, Isolation, Limits, LogSpec, Network, Owner};
use runtime::store::Stack;
use runtime::units::Bytes;

use crate::dev::screen::{Said, Screen};
use crate::dev::state::State;
use crate::gate::{self, News};
use crate::instances::ending::why;
use crate::instances::{self, NpmSettings, PrepareError, Settings, Wanted};
use crate::problem::{Code, Problem};

/// First host uid, and gid, of instances that root starts on folders of its own; the project decides which of the
/// [`UIDS`] it gets. Above every range that distributions, systemd (`524288..=1879048191` for containers) and
/// subordinate ids hand out by default, and below the half of the range that some file systems refuse.
const FIRST_UID: u32 = 1_900_000_000;

/// How long one that is restarted may take to stop its flows.
const GRACE: Duration = Duration::from_secs(10);

/// How long an installation waits for its verdict. Most packages have theirs by then; a person who sits before it does not
/// want to wait for the rest.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many there are.
const UIDS: u32 = 65_536;

/// How an instance is started.
pub(super) struct Launcher<'a> {
    pub(super) stack: &'a Stack,
    pub(super) cache: Option<PathBuf>,
    pub(super) state: &'a State,
    pub(super) folder: &'a Path,
    pub(super) executable: PathBuf,
    pub(super) isolation: Isolation,
    pub(super) limits: Limits,
    pub(super) env: Vec<(String, String)>,
    pub(super) npm: NpmSettings,
    pub(super) settings: Settings,
    pub(super) host_tools: bool,
    pub(super) screen: Arc<dyn Screen>,
}

impl Launcher<'_> {
    /// What is to run.
    pub(super) fn spec(&self) -> Result<InstanceSpec, Problem> {
        let mut spec = self.prepare(self.state.id.clone(), &self.state.run(), &self.state.log())?;
        gate::show(&mut spec, &self.state.gate());
        Ok(spec)
    }

    /// Makes sure that the stack's code was compiled once. Without that a start only takes longer.
    pub(super) fn warm(&mut self) -> Result<(), Problem> {
        self.cache = instances::cache::find(self.stack, &self.limits);
        if self.cache.is_none() && self.isolation == Isolation::Namespaces {
            self.screen.show(Said::Note(
                "compiling Node-RED once, for this and every later start",
            ));
            let owner = owner(self.folder, self.state)?;
            let warming = instances::cache::Warming {
                executable: &self.executable,
                stack: self.stack,
                limits: &self.limits,
                isolation: self.isolation,
                owner,
                control_group: None,
            };
            match warming.warm() {
                Ok(cache) => self.cache = Some(cache),
                Err(error) => {
                    let problem = Problem::new(Code::Failed, "Node-RED will start slower").because(error);
                    self.screen.show(Said::Warning(&problem.to_string()));
                }
            }
        }
        Ok(())
    }

    /// The same world for something else that runs before: its own run directory and log.
    pub(super) fn errand(&self) -> Result<InstanceSpec, Problem> {
        self.prepare(
            self.state.errand_id(),
            &self.state.errand(),
            &self.state.errand_log(),
        )
    }

    fn prepare(&self, id: InstanceId, run_dir: &Path, log: &Path) -> Result<InstanceSpec, Problem> {
        let wanted = Wanted {
            id,
            stack: self.stack,
            cache: self.cache.as_deref(),
            data: self.folder,
            files: None,
            read_only: false,
            run_dir,
            log: LogSpec {
                file: log.to_path_buf(),
                max_size: Bytes::mib(4),
                keep: 1,
            },
            limits: self.limits.clone(),
            isolation: self.isolation,
            owner: owner(self.folder, self.state)?,
            network: Network::Host,
            env: self.env.clone(),
            npm: self.npm.clone(),
            host_tools: self.host_tools,
            // Whoever starts it sits before it, and runs what they like.
            watch: None,
            settings: Settings {
                gate: Some(gate::inside(self.isolation, &self.state.gate())),
                ..self.settings.clone()
            },
        };
        instances::prepare(&wanted).map_err(unprepared)
    }

    /// Where npm meets the gate.
    pub(super) fn gate_folder(&self) -> PathBuf {
        self.state.gate()
    }

    /// Opens the gate for all that npm does here.
    pub(super) async fn gate(&self, data_dir: &Path) -> Result<gate::Session, Problem> {
        let upstream = gate::Upstream {
            env: self.env.clone(),
            npmrc: fs::read_to_string(self.folder.join(".npmrc")).unwrap_or_default(),
        };
        let owner = owner(self.folder, self.state)?;
        let gate = gate::NpmGate::quick(data_dir, PATIENCE, news(self.screen.clone()));
        gate.open(&upstream, &self.state.gate(), owner).await
    }

    /// Finds what an earlier `redhold dev`, killed before it could stop it, left running here. The same is taken
    /// over; anything else is stopped.
    pub(super) fn adopt(&self) -> Result<Option<Running>, Problem> {
        let found = process::adopt(&self.state.run()).map_err(|error| not_ended(error.into()))?;
        match found {
            Adopted::Alive(running) => {
                // Node-RED's settings are no part of the spec: they lie in a file beside it.
                let settings = || fs::read(self.state.run().join("guest/settings.json")).ok();
                let before = settings();
                if running.record().spec_digest == self.spec()?.digest() && settings() == before {
                    return Ok(Some(running));
                }
                let said = "it was left running with other options: restarting it";
                self.screen.show(Said::Note(said));
                running.stop(GRACE).map_err(|error| not_ended(error.into()))?;
                running.wait().map_err(|error| not_ended(error.into()))?;
                running.forget().map_err(|error| not_ended(error.into()))?;
            }
            Adopted::Ended(exit) => {
                if !exit.stopping {
                    let said = format!("while nobody watched, Node-RED {}", why(&exit));
                    self.screen.show(Said::Warning(&said));
                }
            }
            Adopted::Lost(lost) => lost.clean_up().map_err(|error| not_ended(error.into()))?,
            Adopted::Nothing => {}
        }
        Ok(None)
    }

    /// Starts a new one.
    pub(super) fn start(&self) -> Result<Running, Problem> {
        let spec = self.spec()?;
        let listener = self.listen()?;
        let descriptors = Descriptors {
            listener: Some(listener),
        };
        process::spawn(&self.executable, &spec, descriptors).map_err(|error| {
            Problem::new(Code::Host, "cannot start Node-RED in its sandbox")
                .because(error)
                .hint("`redhold doctor` says what this machine lacks")
        })
    }

    /// How an instance ended whose keeper is gone without a word.
    pub(super) fn lost(&self) -> Result<Option<ExitRecord>, Problem> {
        match process::adopt(&self.state.run()) {
            Ok(Adopted::Ended(exit)) => Ok(Some(exit)),
            Ok(Adopted::Lost(lost)) => {
                lost.clean_up().map_err(|error| not_ended(error.into()))?;
                Ok(None)
            }
            Ok(_) => Ok(None),
            Err(error) => Err(Problem::new(Code::Failed, "cannot tell how Node-RED ended").because(error)),
        }
    }

    /// The socket on which requests wait until the instance takes them.
    fn listen(&self) -> Result<OwnedFd, Problem> {
        let path = self.state.socket();
        let _ = fs::remove_file(&path);
        let cannot = |error| Problem::io(format!("cannot listen on {}", path.display()), error);
        let listener = UnixListener::bind(&path).map_err(cannot)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(cannot)?;
        Ok(listener.into())
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.state.socket()
    }

    pub(super) fn log(&self) -> PathBuf {
        self.state.log()
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder
    }

    /// Of Node-RED and Node.js.
    pub(super) fn versions(&self) -> (String, String) {
        (
            self.stack.node_red_version.clone(),
            self.stack.node_version.clone(),
        )
    }
}

/// Whose files the instance writes. It never runs as root: for root's own folders an identity of its own stands in,
/// and the files stay root's.
fn owner(folder: &Path, state: &State) -> Result<Owner, Problem> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(Owner::Caller);
    }
    let about = fs::metadata(folder)
        .map_err(|error| Problem::io(format!("cannot open {}", folder.display()), error))?;
    Ok(match (about.uid(), about.gid()) {
        (uid @ 1.., gid @ 1..) => Owner::Own { uid, gid },
        (of_uid, of_gid) => {
            let own = FIRST_UID + state.number() % UIDS;
            Owner::Translated {
                uid: own,
                gid: own,
                of_uid,
                of_gid,
            }
        }
    })
}

/// Tells the person what becomes of packages.
fn news(screen: Arc<dyn Screen>) -> gate::Tell {
    Arc::new(move |news| match news {
        News::Late(patience) => screen.show(Said::Note(&format!(
            "vetting takes longer than {} s: npm goes on, and the verdict is told here",
            patience.as_secs()
        ))),
        News::Judged { judgement, late } => {
            let text = judgement.to_string();
            match judgement.verdict {
                Verdict::Trusted => screen.show(Said::Note(&text)),
                Verdict::Refused if late => screen.show(Said::Warning(&format!(
                    "{text}\n  It was installed meanwhile: remove it with the palette manager or `redhold npm uninstall`, \
                     and restart"
                ))),
                _ => screen.show(Said::Warning(&text)),
            }
        }
        News::Failed(name, problem) => screen.show(Said::Warning(&format!(
            "{name} is installed without being vetted: {problem}"
        ))),
    })
}

fn not_ended(error: Box<dyn std::error::Error + Send + Sync>) -> Problem {
    Problem::new(
        Code::Failed,
        "cannot deal with the Node-RED that was left running here",
    )
    .because(error)
}

fn unprepared(error: PrepareError) -> Problem {
    let (code, hint) = match &error {
        PrepareError::Memory(_, least) => (
            Code::Usage,
            format!("give it --memory {}M or more", least.as_mib()),
        ),
        PrepareError::Reserved { .. } | PrepareError::Unusable(_) => {
            (Code::Usage, "leave it out of the --env-file".to_owned())
        }
        PrepareError::Library(_) => (
            Code::Host,
            "`redhold doctor` says which package has it".to_owned(),
        ),
        _ => (Code::Failed, String::new()),
    };
    let problem = Problem::new(code, "cannot prepare Node-RED").because(error);
    if hint.is_empty() {
        problem
    } else {
        problem.hint(hint)
    }
}
