//! `redhold npm`: arguments, then npm in `dev`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::cli::Global;
use crate::cli::dev::Terminal;
use crate::cli::output::{Output, harmless};
use crate::cli::progress::Shown;
use crate::dev::{self, NpmSaid, NpmWish, Screen};
use crate::paths;
use crate::problem::{Code, Problem};
use crate::stacks::Stacks;

const AFTER: &str = "\
npm is the one of the stack: this computer needs none, and no Node.js. It runs walled off, sees the folder alone, and \
gets packages through the gate of `redhold dev`: what is refused is not installed. Registries, scopes and tokens are \
those of ~/.npmrc; npm itself never sees them. No install script runs.

  redhold npm install node-red-dashboard
  redhold npm ls
  redhold npm --folder ~/pump uninstall node-red-dashboard";

/// Run npm in a project folder; what it installs is vetted
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub struct Npm {
    /// The project folder [default: the current one]
    #[arg(short = 'C', long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Version of Node-RED whose npm it is, as `redhold stack list` names it
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// What npm is told: install NAME, update, uninstall NAME, ls, outdated, ...
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "ARGUMENT"
    )]
    arguments: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When npm cannot be started, or fails, or what it installed is refused.
pub fn run(command: &Npm, global: &Global, output: &Output) -> Result<(), Problem> {
    let data_dir = paths::data_dir(global.data_dir.as_deref())?;
    let stacks = Stacks::new(&data_dir);
    let wish = NpmWish {
        folder: command.folder.clone(),
        stack: command.stack.clone(),
        arguments: command.arguments.clone(),
        data_dir,
    };
    let terminal: Arc<dyn Screen> = Arc::new(Terminal(*output));
    let shown = Shown::new("Node-RED", output);
    let mut code = None;
    dev::npm(&wish, &stacks, &shown, &terminal, |said| {
        show(&said, output);
        code = said.code;
    })?;
    match code {
        Some(0) => Ok(()),
        _ => Err(Problem::new(Code::Failed, "npm failed").reported()),
    }
}

fn show(said: &NpmSaid, output: &Output) {
    if output.json() {
        output.event(
            &json!({ "event": "npm", "code": said.code, "output": said.output, "errors": said.errors }),
        );
        return;
    }
    for line in &said.output {
        output.line(&harmless(line));
    }
    for line in &said.errors {
        output.note(&harmless(line));
    }
}
