//! `redhold host`: the host itself.

use clap::{Args, Subcommand};

use super::table::{table, text, time};
use crate::cli::Global;
use crate::cli::output::{Output, harmless};
use crate::paths;
use crate::problem::Problem;

/// Look at the host: what runs, who changed what, the administrator's token
#[derive(Debug, Args)]
pub struct Host {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What runs here
    Show,
    /// Print the administrator's token
    Token,
    /// Who changed what
    Audit,
}

/// Runs the command.
///
/// # Errors
/// The host's refusals.
pub fn run(command: &Host, global: &Global, output: &Output) -> Result<(), Problem> {
    match command.command {
        Command::Token => token(global, output),
        Command::Show => super::run(global, async |client| {
            let host = client.get("/host").await?;
            if output.json() {
                output.document(&host);
                return Ok(());
            }
            for (name, key) in [
                ("version", "version"),
                ("instances", "instances"),
                ("addresses", "addresses"),
                ("data", "dataDir"),
            ] {
                output.line(&format!("{name:<12}{}", text(&host[key])));
            }
            for one in host["certificates"].as_array().into_iter().flatten() {
                let name = harmless(&text(&one["name"]));
                match (one["issuer"].as_str(), one["notAfter"].as_str()) {
                    (Some(issuer), Some(end)) => output.line(&format!(
                        "{:<12}{name} by {} until {end}",
                        "certificate",
                        harmless(issuer)
                    )),
                    _ => output.warning(&format!(
                        "{name} has no certificate yet; the host's own authority stands in"
                    )),
                }
                if let Some(error) = one["lastError"].as_str() {
                    output.warning(&format!(
                        "{name}: the last order led to nothing: {}",
                        harmless(error)
                    ));
                }
            }
            Ok(())
        }),
        Command::Audit => super::run(global, async |client| {
            let page = client.get("/audit?limit=1000").await?;
            if output.json() {
                output.document(&page);
                return Ok(());
            }
            let rows: Vec<Vec<String>> = page["entries"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|entry| {
                    let by = &entry["by"];
                    let who = match by["uid"].as_u64() {
                        Some(uid) => format!("uid {uid}"),
                        None => text(&by["kind"]),
                    };
                    vec![
                        time(entry["at_ms"].as_u64().unwrap_or(0)),
                        who,
                        text(&entry["action"]),
                        harmless(&text(&entry["after"]["name"])),
                    ]
                })
                .collect();
            for line in table(&["WHEN", "WHO", "WHAT", "INSTANCE"], &rows) {
                output.line(&line);
            }
            Ok(())
        }),
    }
}

fn token(global: &Global, output: &Output) -> Result<(), Problem> {
    let file = paths::client_data_dir(global.data_dir.as_deref())?.join("keys/admin-token");
    let token = std::fs::read_to_string(&file)
        .map_err(|error| Problem::io(format!("cannot read {}", file.display()), error))?;
    output.line(token.trim());
    Ok(())
}
