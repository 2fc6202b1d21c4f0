//! `redhold npm`: the stack's own npm on a project folder, walled off like Node-RED itself, with the gate as its only
//! registry. So it needs no Node.js of the person's own, and tokens stay outside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_vetting::report::Verdict;
use runtime::spec::{InstanceSpec, Limits};
use runtime::store::Progress;
use runtime::units::Bytes;

use super::launch::Launcher;
use super::screen::{Said, Screen};
use super::signals::Signals;
use super::state::State;
use super::{Cleared, PIDS, errand, isolation, npm_settings};
use crate::gate::{Session, attach};
use crate::instances::Settings;
use crate::instances::packages::npm_program;
use crate::paths;
use crate::problem::{Code, Problem};
use crate::stacks::Stacks;

/// What npm may use: large trees take several hundred MB.
const MEMORY: Bytes = Bytes::mib(2048);

/// What npm does with the registry's help beyond reading, or by running what it has just fetched.
const BEYOND: [&str; 12] = [
    "access", "adduser", "audit", "create", "exec", "init", "login", "logout", "publish", "token", "whoami",
    "x",
];

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct NpmWish {
    /// The project folder; `None` is the current one.
    pub folder: Option<PathBuf>,
    /// Name of the stack; `None` takes the default.
    pub stack: Option<String>,
    /// What npm is told.
    pub arguments: Vec<String>,
    /// Redhold's own data.
    pub data_dir: PathBuf,
}

/// What npm said.
#[derive(Clone, Debug, Default)]
pub struct NpmSaid {
    /// Lines of its standard output.
    pub output: Vec<String>,
    /// Lines of its standard error.
    pub errors: Vec<String>,
    /// The code with which it ended.
    pub code: Option<i32>,
}

/// Runs npm to its end, and waits for the verdict on what it installed.
///
/// # Errors
/// When it cannot be started; [`Code::Refused`] when what it has installed is refused after all. How npm itself ended is no
/// error of this.
pub fn run(
    wish: &NpmWish,
    stacks: &Stacks,
    progress: &dyn Progress,
    screen: &Arc<dyn Screen>,
    said: impl FnOnce(NpmSaid),
) -> Result<(), Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Host, "cannot start the event loop").because(error))?;
    let ended = runtime.block_on(work(wish, stacks, progress, screen, said));
    runtime.shutdown_background();
    ended
}

async fn work(
    wish: &NpmWish,
    stacks: &Stacks,
    progress: &dyn Progress,
    screen: &Arc<dyn Screen>,
    said: impl FnOnce(NpmSaid),
) -> Result<(), Problem> {
    refuse_beyond(&wish.arguments)?;
    let folder = project(wish.folder.as_deref())?;
    let mut signals = Signals::catch()?;
    let lock = stacks.resolve(wish.stack.as_deref())?;
    let stack = signals.unless(stacks.ensure(&lock, progress)).await?;
    State::sweep(&wish.data_dir, &folder);
    let state = State::beside(&wish.data_dir, &folder)?;
    state.make()?;
    let _cleared = Cleared(Some(&state));
    let launcher = Launcher {
        stack: &stack,
        cache: None,
        state: &state,
        folder: &folder,
        executable: PathBuf::from(paths::EXECUTABLE),
        isolation: isolation(screen.as_ref())?,
        limits: Limits {
            memory: Some(MEMORY),
            pids: Some(PIDS),
            ..Limits::default()
        },
        env: Vec::new(),
        npm: npm_settings(stacks, screen.as_ref()),
        settings: Settings::default(),
        host_tools: false,
        screen: screen.clone(),
    };
    let gate = launcher.gate(&wish.data_dir).await?;
    let mut arguments = vec![
        npm_program(&stack, launcher.isolation)
            .to_string_lossy()
            .into_owned(),
    ];
    arguments.extend(wish.arguments.iter().cloned());
    let through = |spec: &mut InstanceSpec| {
        attach(spec, &launcher.gate_folder());
        spec.program.env.push(("REDHOLD_TELL".to_owned(), "1".to_owned()));
    };
    let outcome = errand::run(&launcher, &mut signals, arguments, through).await?;
    let succeeded = outcome.succeeded();
    said(NpmSaid {
        output: outcome.output,
        errors: outcome.errors,
        code: outcome.exit.code,
    });
    if succeeded {
        let before: BTreeSet<String> = refused(&gate);
        let settled = async {
            gate.settle().await;
            Ok(())
        };
        signals.unless(settled).await?;
        let after = refused(&gate);
        if let Some(late) = after.difference(&before).next() {
            let message = format!("{late} is refused, and was installed before that was known");
            return Err(Problem::new(Code::Refused, message).hint("take it out: redhold npm uninstall NAME"));
        }
        if let Some(url) = State::of(&wish.data_dir, &folder)?.announced() {
            let note =
                format!("Node-RED runs on this folder ({url}) and sees new nodes when it is started again");
            screen.show(Said::Note(&note));
        }
    }
    Ok(())
}

fn refused(gate: &Session) -> BTreeSet<String> {
    let judged = gate.judged().into_iter();
    judged
        .filter(|judgement| judgement.verdict == Verdict::Refused)
        .map(|judgement| judgement.package)
        .collect()
}

/// What cannot work behind the gate is said before npm says something else.
fn refuse_beyond(arguments: &[String]) -> Result<(), Problem> {
    let command = arguments.iter().find(|word| !word.starts_with('-'));
    match command {
        Some(command) if BEYOND.contains(&command.as_str()) => Err(Problem::new(
            Code::Usage,
            format!("`npm {command}` is not possible here: the gate gives npm packages and nothing else"),
        )
        .hint("install, update, uninstall, ls, outdated and view are; for the rest use an npm of your own")),
        _ => Ok(()),
    }
}

fn project(wanted: Option<&Path>) -> Result<PathBuf, Problem> {
    let folder = wanted.unwrap_or_else(|| Path::new("."));
    let folder = folder
        .canonicalize()
        .map_err(|error| Problem::io(format!("cannot open {}", folder.display()), error))?;
    if folder.join("package.json").is_file() {
        return Ok(folder);
    }
    let message = format!("{} is no project: it has no package.json", folder.display());
    Err(Problem::new(Code::Usage, message).hint("name one with --folder, or make one with `redhold dev DIR`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gate_does_not_give_is_said_first() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(refuse_beyond(&words("--loglevel=silly publish .")).is_err());
        assert!(refuse_beyond(&words("install publish")).is_ok());
        assert!(refuse_beyond(&words("--version")).is_ok());
    }

    #[test]
    fn a_folder_without_a_manifest_is_no_project() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(project(Some(folder.path())).is_err());
        std::fs::write(folder.path().join("package.json"), "{}").expect("a manifest");
        assert!(project(Some(folder.path())).is_ok());
    }
}
