//! `redhold dev`: one isolated Node-RED on a project folder, in the foreground.
//!
//! The folder is checked first, then the stack is there, then the port is ours, then the instance starts: so each
//! thing that can be wrong is said before anything was begun. A gentle end leaves nothing behind; a killed
//! `redhold dev` leaves the instance running, and the next one on the same folder takes it over.

mod ending;
mod env_file;
mod errand;
mod files;
mod folder;
mod import;
mod launch;
mod log;
mod modules;
mod npm;
mod open;
mod port;
mod rival;
mod screen;
mod session;
mod signals;
mod state;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runtime::sandbox::probe::Host;
use runtime::spec::{Isolation, Limits};
use runtime::store::Progress;
use runtime::units::{Bytes, CpuShare, Pids};
use tokio::sync::watch;

pub use self::npm::{NpmSaid, NpmWish, run as npm};
pub use self::screen::{Ready, Said, Screen};

use crate::dev::folder::Project;
use crate::dev::launch::Launcher;
use crate::dev::session::{Open, Session};
use crate::dev::signals::Signals;
use crate::dev::state::State;
use crate::instances::{NpmSettings, Settings, WELCOME_FLOW};
use crate::paths;
use crate::problem::{Code, Problem};
use crate::proxy::{Bounds, Front, Listening, Single, Upstream};
use crate::stacks::Stacks;
use crate::telemetry::line::Level;

/// Tasks that one project may have: Node.js takes 11, npm and what flows start as much again several times.
const PIDS: Pids = Pids(512);

/// How long requests in progress may take when it ends.
const DRAIN: Duration = Duration::from_millis(500);

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The project folder; `None` chooses one.
    pub folder: Option<PathBuf>,
    /// The port; `None` takes Node-RED's own or the next free one.
    pub port: Option<u16>,
    /// Name of the stack; `None` takes the default.
    pub stack: Option<String>,
    /// Memory and swap together.
    pub memory: Bytes,
    /// Processor time.
    pub cpu: Option<CpuShare>,
    /// A user directory to import first.
    pub from: Option<PathBuf>,
    /// Start with the flows stopped.
    pub safe: bool,
    /// Open a browser; `None` does it where somebody would see it.
    pub open: Option<bool>,
    /// A file with variables for the flows.
    pub env_file: Option<PathBuf>,
    /// Let flows run the host's programs.
    pub host_tools: bool,
    /// Least grave lines of the log that are shown.
    pub log_level: Level,
    /// Redhold's own data.
    pub data_dir: PathBuf,
}

/// Runs until the person ends it.
///
/// # Errors
/// When something is in the way, or Node-RED cannot go on; one problem with what to do about it.
pub fn run(
    wish: &Wish,
    stacks: &Stacks,
    progress: &dyn Progress,
    screen: &Arc<dyn Screen>,
) -> Result<(), Problem> {
    // One thread serves the front and the person; Node-RED has its own process, the log its own thread.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Host, "cannot start the event loop").because(error))?;
    let ended = runtime.block_on(work(wish, stacks, progress, screen));
    // What is vetted for nobody any more is not waited for; its worker ends with this process.
    runtime.shutdown_background();
    ended
}

async fn work(
    wish: &Wish,
    stacks: &Stacks,
    progress: &dyn Progress,
    screen: &Arc<dyn Screen>,
) -> Result<(), Problem> {
    let begun = Instant::now();
    let mut signals = Signals::catch()?;
    let home = std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from);
    let env = variables(wish.env_file.as_deref())?;
    let (project, state) = open_project(wish, home.as_deref(), screen.as_ref())?;
    let source = wish
        .from
        .as_deref()
        .map(|from| import::Source::open(from, &project))
        .transpose()?;
    let lock = stacks.resolve(wish.stack.as_deref())?;
    let stack = signals.unless(stacks.ensure(&lock, progress)).await?;
    let taken = port::take(wish.port)?;
    if let Some(holder) = &taken.instead {
        let said = format!("port 1880 is in use by {holder}: taking {}", taken.port);
        screen.show(Said::Note(&said));
    }
    let url = port::url(taken.port);
    state.make()?;
    let cleared = Cleared(Some(&state));
    state
        .announce(&url)
        .map_err(|error| Problem::io("cannot write to the data directory", error))?;
    let mut launcher = Launcher {
        stack: &stack,
        cache: None,
        state: &state,
        folder: &project.path,
        executable: PathBuf::from(paths::EXECUTABLE),
        isolation: isolation(screen.as_ref())?,
        limits: Limits {
            memory: Some(wish.memory),
            cpu: wish.cpu,
            pids: Some(PIDS),
            ..Limits::default()
        },
        env,
        npm: npm_settings(stacks, screen.as_ref()),
        settings: Settings {
            flow_file: project.flow_file.clone(),
            safe: wish.safe,
            log_level: wish.log_level.name().to_owned(),
            ..Settings::default()
        },
        host_tools: wish.host_tools,
        screen: screen.clone(),
    };
    // Whatever is wrong with the wish is found out before anything of the project is touched.
    launcher.errand()?;
    match source {
        Some(source) => {
            source
                .bring(&project, &launcher, &mut signals, screen.as_ref())
                .await?;
        }
        None => project.furnish(WELCOME_FLOW)?,
    }
    launcher.warm()?;
    launcher.settings.extra = import::settings(&project)?;
    let gate = launcher.gate(&wish.data_dir).await?;
    modules::install(&project, &launcher, &gate, &mut signals, screen.as_ref()).await?;

    let (upstream, seen) = watch::channel(Upstream::Starting);
    let listeners = taken.listeners.into_iter().map(Listening::plain).collect();
    let front = Front::serve(listeners, Arc::new(Single(seen)), None, Bounds::default())
        .map_err(|error| Problem::new(Code::Host, "cannot serve the port").because(error))?;
    let browser = Arc::new(Mutex::new(None));
    let session = Session {
        launcher,
        upstream,
        signals,
        screen: screen.clone(),
        level: wish.log_level,
        begun,
        url,
        open: Some(open_browser(wish.open, &browser, screen)),
    };
    let ended = session.run().await;
    front.drain(DRAIN).await;
    drop(gate);
    collect(&browser);
    drop(cleared);
    ended
}

fn open_project(wish: &Wish, home: Option<&Path>, screen: &dyn Screen) -> Result<(Project, State), Problem> {
    let current = std::env::current_dir()
        .map_err(|error| Problem::new(Code::Usage, "there is no current directory").because(error))?;
    let choice = folder::choose(wish.folder.as_deref(), &current, home)?;
    if let Some(because) = &choice.because {
        screen.show(Said::Note(because));
    }
    let project = folder::open(&choice.path, &wish.data_dir, home, |path| {
        State::of(&wish.data_dir, path).ok()?.announced()
    })?;
    rival::refuse(&project.path)?;
    let state = State::of(&wish.data_dir, &project.path)?;
    Ok((project, state))
}

/// The registry and the proxies of this machine, for the editor's palette.
fn npm_settings(stacks: &Stacks, screen: &dyn Screen) -> NpmSettings {
    stacks.addresses().map_or_else(
        |problem| {
            screen.show(Said::Warning(&format!("the palette gets no registry: {problem}")));
            NpmSettings::default()
        },
        NpmSettings::from,
    )
}

/// The variables of the `--env-file`.
fn variables(file: Option<&Path>) -> Result<Vec<(String, String)>, Problem> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Problem::io(format!("cannot read the env file {}", file.display()), error))
        .map_err(|problem| problem.or_hint("name a text file with one NAME=value per line"))?;
    env_file::parse(file, &text)
}

/// The strongest walls that this machine gives; a lesser mode is named.
fn isolation(screen: &dyn Screen) -> Result<Isolation, Problem> {
    let host = Host::walls(Path::new(paths::EXECUTABLE));
    match host.isolation() {
        Ok(Isolation::Namespaces) => Ok(Isolation::Namespaces),
        Ok(lesser) => {
            screen.show(Said::Warning(
                "this machine gives no namespaces to you: Node-RED sees your processes and sockets, and is walled \
                 off from your files only (`redhold doctor` says how to mend it)",
            ));
            Ok(lesser)
        }
        Err(lacking) => {
            let names: Vec<&str> = lacking.iter().map(|feature| feature.name.as_str()).collect();
            let message = format!(
                "this machine cannot wall Node-RED off: it lacks {}",
                names.join(", ")
            );
            Err(Problem::new(Code::Host, message).hint("`redhold doctor` says how to mend it"))
        }
    }
}

type Opened = Arc<Mutex<Option<Child>>>;

/// What opens the browser once flows run; its process is kept to be collected.
fn open_browser<'a>(wanted: Option<bool>, opened: &Opened, screen: &'a Arc<dyn Screen>) -> Open<'a> {
    let opened = opened.clone();
    Box::new(move |url| {
        let everywhere = |name: &str| match name {
            // Asked for by name, a display that was not seen may still be there.
            "DISPLAY" if wanted == Some(true) => Some(OsString::from(":0")),
            "CI" | "SSH_CONNECTION" | "SSH_TTY" if wanted == Some(true) => None,
            name => std::env::var_os(name),
        };
        if wanted == Some(false) {
            return;
        }
        let Some(opener) = open::opener(everywhere) else {
            if wanted == Some(true) {
                screen.show(Said::Warning("no program to open a browser was found (xdg-open)"));
            }
            return;
        };
        match open::open(opener.as_os_str(), url) {
            Ok(child) => *opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(child),
            Err(error) => screen.show(Said::Warning(&format!("cannot open a browser: {error}"))),
        }
    })
}

/// Collects the opener when it has ended; one that is the browser itself is the person's to close.
fn collect(opened: &Opened) {
    if let Some(child) = opened.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        let _ = child.try_wait();
    }
}

/// Removes a project's state when it goes, however that happens.
struct Cleared<'a>(Option<&'a State>);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.0.take() {
            // Nothing is lost with what stays: the next start clears it.
            let _ = state.remove();
        }
    }
}
