//! Commands, help and exit codes.
//!
//! Each command is a file here that turns its arguments into calls of the modules above and their answers into
//! lines. Exit codes are [`Code`](crate::problem::Code)'s; hidden roles (`keeper`, `holder`) are dispatched in [`main`]
//! before anything else runs, because they must stay small and single-threaded.

pub mod client;
pub mod dev;
pub mod doctor;
pub mod manual;
pub mod npm;
pub mod output;
pub mod progress;
pub mod serve;
pub mod stack;
pub mod vet;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::cli::output::Output;
use crate::problem::Problem;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the work failed
  2    wrong use: an option, a variable or a given file
  3    this machine lacks something (see `redhold doctor`)
  4    something else holds what is needed: a port, a lock
  130  broken off by a second Ctrl-C";

/// Isolated Node-RED, hosted by one binary.
#[derive(Debug, Parser)]
#[command(name = "redhold", version, about = "Isolated Node-RED, hosted by one binary", after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Print results as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Where stacks and instances are kept [env: REDHOLD_DATA_DIR; default: ~/.local/share/redhold,
    /// for a host that root runs /var/lib/redhold]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Dev),
    Npm(npm::Npm),
    Serve(serve::Serve),
    Instance(client::instance::Instance),
    Logs(client::logs::Logs),
    Events(client::events::Events),
    Alerts(client::alerts::Alerts),
    Files(client::files::Files),
    Top(client::top::Top),
    Limits(client::top::Limits),
    Host(client::host::Host),
    Upgrade(client::upgrade::Upgrade),
    Backup(client::backup::Backup),
    Restore(client::backup::Restore),
    Stack(stack::Stack),
    Vet(vet::Vet),
    Policy(vet::policy::Policy),
    Waiver(vet::waiver::Waiver),
    Catalogue(vet::catalogue::Catalogue),
    Bundle(vet::bundle::Bundle),
    Doctor(doctor::Doctor),
    #[command(hide = true)]
    Manual(manual::Manual),
    #[command(hide = true)]
    Completions(manual::Completions),
}

/// Runs the command line and turns its outcome into the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.global.json);
    match run(&cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            output.problem(&problem);
            ExitCode::from(problem.code().exit())
        }
    }
}

/// One arm per command.
fn run(cli: &Cli, output: &Output) -> Result<(), Problem> {
    match &cli.command {
        Command::Dev(command) => dev::run(command, &cli.global, output),
        Command::Npm(command) => npm::run(command, &cli.global, output),
        Command::Serve(command) => serve::run(command, &cli.global, output),
        Command::Instance(command) => client::instance::run(command, &cli.global, output),
        Command::Logs(command) => client::logs::run(command, &cli.global, output),
        Command::Files(command) => client::files::run(command, &cli.global, output),
        Command::Events(command) => client::events::run(command, &cli.global, output),
        Command::Alerts(command) => client::alerts::run(command, &cli.global, output),
        Command::Top(command) => client::top::top(command, &cli.global, output),
        Command::Limits(command) => client::top::limits(command, &cli.global, output),
        Command::Backup(command) => client::backup::backup(command, &cli.global, output),
        Command::Restore(command) => client::backup::restore(command, &cli.global, output),
        Command::Host(command) => client::host::run(command, &cli.global, output),
        Command::Upgrade(command) => client::upgrade::run(command, &cli.global, output),
        Command::Stack(command) => stack::run(command, &cli.global, output),
        Command::Vet(command) => vet::run(command, &cli.global, output),
        Command::Policy(command) => vet::policy::run(command, &cli.global, output),
        Command::Catalogue(command) => vet::catalogue::run(command, &cli.global, output),
        Command::Bundle(command) => vet::bundle::run(command, &cli.global, output),
        Command::Waiver(command) => vet::waiver::run(command, &cli.global, output),
        Command::Doctor(command) => doctor::run(command, &cli.global, output),
        Command::Manual(command) => manual::manual(command, Cli::command(), output),
        Command::Completions(command) => manual::completions(command, Cli::command()),
    }
}
