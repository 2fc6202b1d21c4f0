//! `redhold instance`: everything that can be done to instances.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::bom::Bom;
use super::import::{Import, import};
use super::packages::Packages;
use super::table::{ago, table, text};
use super::token::Token;
use super::{Client, segment};
use crate::cli::Global;
use crate::cli::output::{Output, Style, harmless};
use crate::problem::{Code, Problem};
use crate::team::Team;

/// Create, list, change, start, stop and delete instances
#[derive(Debug, Args)]
pub struct Instance {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All instances
    List,
    /// One instance: state, health, settings
    Show(Name),
    Create(Create),
    /// Let it run
    Start(Act),
    /// End it
    Stop(Act),
    /// End it at once
    Kill(Act),
    /// End it and start it again
    Restart(Act),
    /// Start it again with its flows stopped
    SafeMode(Act),
    /// Freeze it: it keeps its memory and gets no processor time
    Suspend(Act),
    /// Let it go on
    Resume(Act),
    Rename(Rename),
    Copy(Copy),
    Import(Import),
    Set(Set),
    Allow(Allow),
    Token(Token),
    Packages(Packages),
    Bom(Bom),
    Delete(Delete),
    /// Bring it back, within 24 hours after it was deleted
    Undelete(Name),
}

#[derive(Debug, Args)]
struct Name {
    /// Name or identifier
    name: String,
}

#[derive(Debug, Args)]
struct Act {
    /// Name or identifier
    name: String,
    /// Return when it is done, not when it is begun
    #[arg(long)]
    wait: bool,
}

/// Create an instance
#[derive(Debug, Args)]
struct Create {
    /// Its name, and the first part of its address: a-z, 0-9 and -
    name: String,
    /// Its stack [default: the newest]
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// The team that it belongs to, and by whose policy its packages are judged [default: the host's own]
    #[arg(long, value_name = "ORGANIZATION/TEAM")]
    team: Option<Team>,
    /// Memory in MiB [default: 512]
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Processor time in percent of one core [default: no limit]
    #[arg(long, value_name = "PERCENT")]
    cpu: Option<u32>,
    /// A variable for its flows; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Flows to begin with: a file that Node-RED exported, or - for standard input
    #[arg(long, value_name = "FILE")]
    flows: Option<PathBuf>,
    /// Settings as JSON, in a file or - for standard input
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Do not start it
    #[arg(long)]
    stopped: bool,
    /// Return when its flows run
    #[arg(long)]
    wait: bool,
}

/// Give it another name, and address
#[derive(Debug, Args)]
struct Rename {
    /// Name or identifier
    name: String,
    /// The new name
    to: String,
}

/// Make a new instance like another one
#[derive(Debug, Args)]
struct Copy {
    /// Name or identifier
    name: String,
    /// Name of the copy
    to: String,
    /// Without the flows
    #[arg(long)]
    no_flows: bool,
    /// With the credentials of the flows
    #[arg(long)]
    credentials: bool,
    /// Which variables: all, keys or none
    #[arg(long, value_name = "WHICH", default_value = "all")]
    env: String,
    /// Do not start it
    #[arg(long)]
    stopped: bool,
}

/// Change settings
#[derive(Debug, Args)]
#[command(
    after_help = "Settings are named by their path, such as limits.memoryMib=256 or editor.codeEditor=ace; \
                        values are JSON, or text. `env.NAME=` with --secret seals the value. An empty value removes \
                        the setting."
)]
struct Set {
    /// Name or identifier
    name: String,
    /// PATH=VALUE; may be repeated
    #[arg(required_unless_present = "file")]
    settings: Vec<String>,
    /// Seal the values: nobody sees them again
    #[arg(long)]
    secret: bool,
    /// A merge patch of settings as JSON, in a file or - for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Another stack
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
}

/// Let it do what its packages were not vetted for
#[derive(Debug, Args)]
#[command(
    after_help = "What it tried stands in `redhold events NAME`. A program is named as proc.spawn{ping} or \
                        proc.spawn{/usr/bin/ping}, a host as net.connect{api.example.com}, net.connect{*.example.com} or \
                        net.connect{10.0.0.0/8}; proc.spawn and net.connect alone are all of them. net.raw is raw sockets, \
                        code.native machine code and with it raw sockets. `redhold instance set NAME capabilities.mode=enforce` refuses everything else."
)]
struct Allow {
    /// Name or identifier
    name: String,
    /// What it may do; may be repeated
    #[arg(required = true)]
    capability: Vec<String>,
    /// Take it back instead
    #[arg(long)]
    revoke: bool,
}

/// Delete it; for 24 hours it can be brought back
#[derive(Debug, Args)]
struct Delete {
    /// Name or identifier
    name: String,
    /// For good, at once
    #[arg(long)]
    now: bool,
}

/// Runs the command.
///
/// # Errors
/// The host's refusals.
pub fn run(command: &Instance, global: &Global, output: &Output) -> Result<(), Problem> {
    super::run(global, async |client| {
        work(&command.command, client, output).await
    })
}

async fn work(command: &Command, client: &Client, output: &Output) -> Result<(), Problem> {
    match command {
        Command::List => list(client, output).await,
        Command::Show(Name { name }) => show(&client.get(&path(name)).await?, output),
        Command::Create(create) => {
            let made = client.send(Method::POST, "/instances", &new(create)?).await?;
            if create.wait {
                wait(client, &create.name, &["running"]).await?;
            }
            done(client, &made, output, "created").await
        }
        Command::Start(act) => self::act(client, act, "start", &["running"], output).await,
        Command::Stop(act) => self::act(client, act, "stop", &["stopped"], output).await,
        Command::Kill(act) => self::act(client, act, "kill", &["stopped"], output).await,
        Command::Restart(act) => self::act(client, act, "restart", &["running"], output).await,
        Command::SafeMode(act) => self::act(client, act, "safe-mode", &["running"], output).await,
        Command::Suspend(act) => self::act(client, act, "suspend", &["suspended"], output).await,
        Command::Resume(act) => self::act(client, act, "resume", &["running"], output).await,
        Command::Rename(Rename { name, to }) => {
            let changed = client
                .send(Method::PATCH, &path(name), &json!({ "name": to }))
                .await?;
            done(client, &changed, output, "renamed").await
        }
        Command::Copy(copy) => {
            let wish = json!({
                "name": copy.to,
                "flows": !copy.no_flows,
                "credentials": copy.credentials,
                "env": copy.env,
                "start": !copy.stopped,
            });
            let made = client
                .send(Method::POST, &format!("{}/copy", path(&copy.name)), &wish)
                .await?;
            done(client, &made, output, "copied").await
        }
        Command::Import(wish) => {
            let made = import(wish, client, output).await?;
            if wish.wait {
                wait(client, &wish.name, &["running"]).await?;
            }
            done(client, &made, output, "imported").await
        }
        Command::Set(set) => change(client, &set.name, &changes(set)?, output).await,
        Command::Allow(wish) => {
            let view = client.get(&path(&wish.name)).await?;
            change(client, &wish.name, &allowing(&view, wish), output).await
        }
        Command::Packages(packages) => super::packages::work(packages, client, output).await,
        Command::Bom(bom) => super::bom::work(bom, client, output).await,
        Command::Token(token) => super::token::work(token, client, output).await,
        Command::Delete(Delete { name, now }) => {
            let gone = client
                .send(Method::DELETE, &format!("{}?now={now}", path(name)), &Value::Null)
                .await?;
            let said = if *now {
                "deleted for good"
            } else {
                "deleted; `undelete` brings it back within 24 hours"
            };
            done(client, &gone, output, said).await
        }
        Command::Undelete(Name { name }) => {
            let back = client
                .send(
                    Method::POST,
                    &format!("{}/actions/undelete", path(name)),
                    &Value::Null,
                )
                .await?;
            done(client, &back, output, "brought back").await
        }
    }
}

/// Changes settings, and says when they hold.
async fn change(client: &Client, name: &str, changes: &Value, output: &Output) -> Result<(), Problem> {
    let changed = client.send(Method::PATCH, &path(name), changes).await?;
    done(client, &changed, output, "changed").await?;
    if changed["observed"]["restartNeeded"] == true && !output.json() {
        output.note(&format!(
            "it holds after a restart: redhold instance restart {name}"
        ));
    }
    Ok(())
}

/// The change that allows capabilities beside those that are allowed, or takes some of them back.
fn allowing(view: &Value, wish: &Allow) -> Value {
    let known = view["settings"]["capabilities"]["allow"].as_array();
    let known = known.into_iter().flatten().filter_map(Value::as_str);
    let mut allow: Vec<&str> = known
        .filter(|text| !wish.capability.iter().any(|one| one == text))
        .collect();
    if !wish.revoke {
        allow.extend(wish.capability.iter().map(String::as_str));
    }
    json!({ "settings": { "capabilities": { "allow": allow } } })
}

/// Where an instance is in the interface.
pub(super) fn path(name: &str) -> String {
    format!("/instances/{}", segment(name))
}

async fn act(client: &Client, act: &Act, verb: &str, until: &[&str], output: &Output) -> Result<(), Problem> {
    let mut view = client
        .send(
            Method::POST,
            &format!("{}/actions/{verb}", path(&act.name)),
            &Value::Null,
        )
        .await?;
    if act.wait {
        wait(client, &act.name, until).await?;
        view = client.get(&path(&act.name)).await?;
    }
    let state = text(&view["observed"]["state"]);
    done(client, &view, output, &state).await
}

/// Waits until the instance is in one of these states, or in one from which it does not come out by itself.
async fn wait(client: &Client, name: &str, until: &[&str]) -> Result<(), Problem> {
    let mut failed = None;
    client
        .follow(&format!("{}/watch", path(name)), |seen| {
            let state = seen["state"].as_str().unwrap_or_default();
            if state == "down" {
                failed = Some(text(&seen["reason"]));
            }
            Ok(!until.contains(&state) && state != "down")
        })
        .await?;
    match failed {
        None => Ok(()),
        Some(reason) => Err(
            Problem::new(Code::Failed, format!("`{name}` stays down: it {reason}")).hint(format!(
                "`redhold events {name}` and `redhold logs {name}` say more"
            )),
        ),
    }
}

async fn done(client: &Client, view: &Value, output: &Output, said: &str) -> Result<(), Problem> {
    if output.json() {
        output.document(view);
        return Ok(());
    }
    let host = client.get("/host").await?;
    let address = text(&host["addresses"]).replace("{name}", &text(&view["name"]));
    let name = output.paint(Style::Bold, &harmless(&text(&view["name"])));
    output.line(&format!("{name} {said}  {}", output.paint(Style::Dim, &address)));
    Ok(())
}

async fn list(client: &Client, output: &Output) -> Result<(), Problem> {
    let all = client.get("/instances").await?;
    if output.json() {
        output.document(&all);
        return Ok(());
    }
    let all = all.as_array().cloned().unwrap_or_default();
    if all.is_empty() {
        output.note("there are no instances yet: redhold instance create NAME");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|view| {
            let observed = &view["observed"];
            let mut state = text(&observed["state"]);
            if let Some(place) = observed["placeInQueue"].as_u64() {
                state = format!("{state} ({place}.)");
            }
            if observed["safeMode"] == true {
                state.push_str(", safe mode");
            }
            if view["deleteAtMs"].is_u64() {
                state.push_str(", deleted");
            }
            vec![
                harmless(&text(&view["name"])),
                state,
                ago(observed["sinceMs"].as_u64()),
                text(&view["stack"]),
                harmless(
                    &observed["reason"]
                        .as_str()
                        .unwrap_or_default()
                        .chars()
                        .take(80)
                        .collect::<String>(),
                ),
            ]
        })
        .collect();
    for line in table(&["NAME", "STATE", "SINCE", "STACK", ""], &rows) {
        output.line(&line);
    }
    Ok(())
}

fn show(view: &Value, output: &Output) -> Result<(), Problem> {
    if output.json() {
        output.document(view);
        return Ok(());
    }
    let observed = &view["observed"];
    let line = |name: &str, value: String| output.line(&format!("{name:<14}{}", harmless(&value)));
    line("name", text(&view["name"]));
    line("id", text(&view["id"]));
    line(
        "state",
        format!(
            "{} for {}",
            text(&observed["state"]),
            ago(observed["sinceMs"].as_u64())
        ),
    );
    if let Some(reason) = observed["reason"].as_str() {
        line("reason", reason.to_owned());
    }
    if let Some(health) = observed["health"].as_object() {
        let facts: Vec<String> = health
            .iter()
            .map(|(fact, holds)| format!("{fact} {}", text(holds)))
            .collect();
        line("health", facts.join(", "));
    }
    line("stack", text(&view["stack"]));
    if observed["restartNeeded"] == true {
        line("restart", "needed for changed settings".to_owned());
    }
    for wall in observed["walls"].as_array().into_iter().flatten() {
        line(
            "wall",
            format!(
                "{}: {} ({})",
                text(&wall["name"]),
                text(&wall["strength"]),
                text(&wall["detail"])
            ),
        );
    }
    let settings = serde_json::to_string_pretty(&view["settings"]).unwrap_or_default();
    line("settings", String::new());
    for text in settings.lines() {
        output.line(&harmless(text));
    }
    Ok(())
}

fn new(create: &Create) -> Result<Value, Problem> {
    let mut settings = match &create.settings {
        Some(file) => read_json(file)?,
        None => Value::Object(Map::new()),
    };
    if let Some(memory) = create.memory {
        settings["limits"]["memoryMib"] = json!(memory);
    }
    if let Some(cpu) = create.cpu {
        settings["limits"]["cpuPercent"] = json!(cpu);
    }
    for pair in &create.env {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Problem::new(Code::Usage, format!("`{pair}` is no variable")).hint("write NAME=VALUE")
        })?;
        settings["env"][name] = json!(value);
    }
    let flows = create.flows.as_deref().map(read_json).transpose()?;
    Ok(json!({
        "name": create.name,
        "stack": create.stack,
        "team": create.team,
        "settings": settings,
        "flows": flows,
        "start": !create.stopped,
    }))
}

fn changes(set: &Set) -> Result<Value, Problem> {
    let mut patch = match &set.file {
        Some(file) => read_json(file)?,
        None => Value::Object(Map::new()),
    };
    for setting in &set.settings {
        let (place, value) = setting.split_once('=').ok_or_else(|| {
            Problem::new(Code::Usage, format!("`{setting}` is no setting")).hint("write PATH=VALUE")
        })?;
        let mut at = &mut patch;
        for part in place.split('.') {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            at = &mut at[part];
        }
        *at = match value {
            "" => Value::Null,
            value if set.secret => json!({ "hidden": true, "value": value }),
            // Variables are text, also those that look like numbers.
            value if place.starts_with("env.") => json!(value),
            value => serde_json::from_str(value).unwrap_or_else(|_| json!(value)),
        };
    }
    let mut changes = json!({ "settings": patch });
    if let Some(stack) = &set.stack {
        changes["stack"] = json!(stack);
    }
    Ok(changes)
}

pub(super) fn read_json(file: &Path) -> Result<Value, Problem> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|error| Problem::io(format!("cannot read {}", file.display()), error))?;
    serde_json::from_str(&text)
        .map_err(|error| Problem::new(Code::Usage, format!("{} is not JSON", file.display())).because(error))
}
