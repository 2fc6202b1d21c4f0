//! `redhold stack`: list, fetch, lock, verify and prune stacks.

use std::collections::HashSet;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use runtime::store::{Arch, Scope, StackLock, StoreError};
use runtime::units::Bytes;
use serde_json::json;

use crate::cli::Global;
use crate::cli::output::{Output, Style};
use crate::cli::progress::Shown;
use crate::paths;
use crate::problem::{Code, Problem};
use crate::stacks::{Listed, Order, Silent, Stacks, host_arch};

/// List, fetch, lock, verify and prune stacks (Node.js, npm and Node-RED)
#[derive(Debug, Args)]
pub struct Stack {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stacks that are offered or lie on the disk
    List,
    Fetch(Fetch),
    Lock(Lock),
    Verify(Verify),
    Prune(Prune),
}

/// Fetch stacks, so that instances start without a network
#[derive(Debug, Args)]
struct Fetch {
    /// Which: an id, a name, or a version such as 5, 5.0.7 or 4.1 [default: the default stack]
    names: Vec<String>,
    /// All stacks that are offered
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// The stack of this lock file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "all"])]
    lock: Option<PathBuf>,
    /// For another kind of machine
    #[arg(long, value_enum)]
    arch: Option<Machine>,
}

/// Write the lock of a stack: exact versions and hashes of all that belongs to it
#[derive(Debug, Args)]
struct Lock {
    /// Version or range of Node-RED
    #[arg(long, value_name = "VERSION", default_value = "5")]
    node_red: String,
    /// Version or range of Node.js
    #[arg(long, value_name = "VERSION", default_value = "24")]
    node: String,
    /// Name of the stack [default: node-red-VERSION]
    #[arg(long)]
    name: Option<String>,
    /// Write it to this file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Compare the files of fetched stacks with what was unpacked
#[derive(Debug, Args)]
struct Verify {
    /// Which [default: all that are ready]
    name: Option<String>,
    /// Fetch again what is damaged
    #[arg(long)]
    repair: bool,
}

/// Remove stacks that nobody uses: those that this version does not offer, and remains of broken-off fetches
#[derive(Debug, Args)]
struct Prune {
    /// Also those that are offered, as long as nobody uses them
    #[arg(long)]
    all: bool,
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Machine {
    X64,
    Arm64,
}

impl From<Machine> for Arch {
    fn from(machine: Machine) -> Self {
        match machine {
            Machine::X64 => Self::X64,
            Machine::Arm64 => Self::Arm64,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// As the command says.
pub fn run(command: &Stack, global: &Global, output: &Output) -> Result<(), Problem> {
    let stacks = Stacks::new(&paths::data_dir(global.data_dir.as_deref())?);
    match &command.command {
        Command::List => list(&stacks, output),
        Command::Fetch(command) => block_on(&stacks, fetch(command, &stacks, output)),
        Command::Lock(command) => block_on(&stacks, lock(command, &stacks, output)),
        Command::Verify(command) => block_on(&stacks, verify(command, &stacks, output)),
        Command::Prune(command) => prune(command, &stacks, output),
    }
}

/// Runs to the end or to the first Ctrl-C, after which nothing half made is left.
fn block_on(stacks: &Stacks, work: impl Future<Output = Result<(), Problem>>) -> Result<(), Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Failed, "cannot start the network machinery").because(error))?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = work => outcome,
            // Where no signal can be heard, Ctrl-C ends the process, and the next run clears up.
            Ok(()) = tokio::signal::ctrl_c() => Err(Problem::new(Code::Interrupted, "broken off")
                .hint("what came is kept; the same command goes on from there")),
        }
    });
    // Waits for the threads that were unpacking.
    drop(runtime);
    if outcome.is_err() {
        // What cannot be removed now, the next run names or removes.
        let _ = stacks.store().sweep();
    }
    outcome
}

fn list(stacks: &Stacks, output: &Output) -> Result<(), Problem> {
    let all = stacks.list()?;
    if output.json() {
        output.document(&all);
        return Ok(());
    }
    let rows: Vec<[String; 6]> = all.iter().map(row).collect();
    let head = ["NAME", "NODE-RED", "NODE", "SIZE", "STATE", ""].map(str::to_owned);
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            rows.iter()
                .chain([&head])
                .map(|row| row[column].len())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &[String; 6]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    output.line(&output.paint(Style::Bold, &line(&head)));
    for row in &rows {
        output.line(&line(row));
    }
    Ok(())
}

fn row(listed: &Listed) -> [String; 6] {
    let mut remarks = Vec::new();
    if listed.default {
        remarks.push("default");
    }
    if listed.in_use {
        remarks.push("in use");
    }
    if !listed.offered {
        remarks.push("not offered by this version");
    }
    let arch = Arch::host().map_or("", Arch::name);
    let name = if listed.arch == arch {
        listed.name.clone()
    } else {
        format!("{} ({})", listed.name, listed.arch)
    };
    [
        name,
        listed.node_red.clone(),
        listed.node.clone(),
        Bytes(listed.size).to_string(),
        listed.state.to_owned(),
        remarks.join(", "),
    ]
}

async fn fetch(command: &Fetch, stacks: &Stacks, output: &Output) -> Result<(), Problem> {
    let arch = command
        .arch
        .map_or_else(host_arch, |machine| Ok(machine.into()))?;
    let locks = match (&command.lock, command.all) {
        (Some(path), _) => vec![Stacks::read(path)?],
        (None, true) => stacks.offered()?,
        (None, false) if command.names.is_empty() => vec![stacks.resolve(None)?],
        (None, false) => command
            .names
            .iter()
            .map(|name| stacks.resolve(Some(name)))
            .collect::<Result<_, _>>()?,
    };
    let mut results = Vec::new();
    for lock in &locks {
        let shown = Shown::new(lock.name(), output);
        let stack = stacks.ensure_for(lock, arch, &shown).await?;
        drop(shown);
        if output.json() {
            results.push(json!({ "id": stack.id, "name": lock.name(), "node_red": stack.node_red_version,
                "node": stack.node_version, "npm": stack.npm_version, "path": stack.dir, "executable": stack.node }));
        } else {
            output.line(&format!(
                "{} is ready: Node-RED {}, Node.js {}, npm {}",
                lock.name(),
                stack.node_red_version,
                stack.node_version,
                stack.npm_version
            ));
        }
    }
    if output.json() {
        output.document(&results);
    }
    Ok(())
}

async fn lock(command: &Lock, stacks: &Stacks, output: &Output) -> Result<(), Problem> {
    let order = Order {
        name: command.name.clone(),
        node_red: command.node_red.clone(),
        node: command.node.clone(),
    };
    output.note("working the lock out; every package is fetched once, which takes a minute");
    let lock = stacks.lock(&order, &Silent).await?;
    match &command.output {
        Some(path) => {
            write(path, &lock.to_text())?;
            if output.json() {
                output.document(&summary(&lock));
            } else {
                output.line(&format!("wrote {}", path.display()));
            }
        }
        None => output.line(lock.to_text().trim_end()),
    }
    Ok(())
}

fn summary(lock: &StackLock) -> serde_json::Value {
    json!({ "name": lock.name(), "node_red": lock.node_red().to_string(), "npm": lock.npm().to_string() })
}

/// A lock that is half written would be taken for a damaged one: beside it, then renamed.
fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let work = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.as_file().sync_all()?;
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(permissions)?;
        file.persist(path)?;
        fs::File::open(folder)?.sync_all()
    };
    work().map_err(|error| {
        Problem::new(Code::Failed, format!("cannot write {}", path.display())).because(error)
    })
}

async fn verify(command: &Verify, stacks: &Stacks, output: &Output) -> Result<(), Problem> {
    let wanted = match &command.name {
        Some(name) => vec![(stacks.resolve(Some(name))?, host_arch()?)],
        None => {
            let stored = stacks.store().list().map_err(crate::stacks::store_problem)?;
            stored
                .into_iter()
                .map(|stored| (stored.lock, stored.arch))
                .collect()
        }
    };
    let mut results = Vec::new();
    let mut broken = 0;
    for (lock, arch) in &wanted {
        if stacks.find_for(lock, *arch)?.is_none() {
            return Err(
                Problem::new(Code::Failed, format!("stack {} is not here", lock.name()))
                    .hint(format!("fetch it with `redhold stack fetch {}`", lock.name())),
            );
        }
        let check = || {
            stacks
                .store()
                .verify(lock, *arch)
                .map_err(crate::stacks::store_problem)
        };
        let mut changes = check()?;
        let found = changes.clone();
        if !output.json() {
            for change in &found {
                let word = output.paint(Style::Red, change.damage.name());
                output.line(&format!("{word} {}", change.path.display()));
            }
        }
        if command.repair && !changes.is_empty() {
            let shown = Shown::new(lock.name(), output);
            stacks.repair(lock, *arch, &changes, &shown).await?;
            changes = check()?;
        }
        broken += changes.len();
        if output.json() {
            let list = |changes: &[runtime::store::Change]| -> Vec<_> {
                let one = |change: &runtime::store::Change| json!({ "path": change.path, "damage": change.damage.name() });
                changes.iter().map(one).collect()
            };
            results.push(json!({ "name": lock.name(), "id": lock.id(*arch), "found": list(&found), "left": list(&changes) }));
        } else if changes.is_empty() {
            let mended = if found.is_empty() {
                "is as it was unpacked"
            } else {
                "is mended"
            };
            output.line(&format!("{} {mended}", lock.name()));
        }
    }
    if output.json() {
        output.document(&results);
    }
    if broken > 0 {
        return Err(Problem::new(
            Code::Failed,
            format!("{broken} files are not as they were unpacked"),
        )
        .hint("mend them with `redhold stack verify --repair`"));
    }
    Ok(())
}

fn prune(command: &Prune, stacks: &Stacks, output: &Output) -> Result<(), Problem> {
    let keep = if command.all {
        HashSet::new()
    } else {
        stacks.offered_ids()?
    };
    let scope = Scope {
        keep,
        dry_run: command.dry_run,
    };
    let gone = stacks
        .store()
        .prune(&scope)
        .map_err(|error: StoreError| crate::stacks::store_problem(error))?;
    if output.json() {
        let list: Vec<_> = gone
            .iter()
            .map(|one| json!({ "kind": one.kind, "name": one.name, "size": one.size }))
            .collect();
        output.document(&json!({ "dry_run": command.dry_run, "removed": list }));
        return Ok(());
    }
    let verb = if command.dry_run {
        "would remove"
    } else {
        "removed"
    };
    for one in &gone {
        output.line(&format!("{verb} {} {} ({})", one.kind, one.name, one.size));
    }
    let total = Bytes(gone.iter().map(|one| one.size.0).sum());
    output.line(&match gone.len() {
        0 => "nothing to remove".to_owned(),
        _ => format!("{verb} {total} in all"),
    });
    Ok(())
}
