//! `redhold instance packages`: what an instance has installed, and how that is judged at present.

use clap::Args;
use serde_json::Value;

use super::Client;
use super::instance::path;
use super::table::{ago, table, text};
use crate::cli::output::{Output, harmless};
use crate::problem::Problem;

/// What it has installed, each with its verdict as it is at present, why, and what to do
#[derive(Debug, Args)]
pub(super) struct Packages {
    /// Name or identifier of the instance
    name: String,
}

pub(super) async fn work(command: &Packages, client: &Client, output: &Output) -> Result<(), Problem> {
    let all = client.get(&format!("{}/packages", path(&command.name))).await?;
    if output.json() {
        output.document(&all);
        return Ok(());
    }
    let all = all.as_array().cloned().unwrap_or_default();
    if all.is_empty() {
        output.note("it has installed nothing beside its stack");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    for line in table(&["PACKAGE", "VERDICT", "RULE", "VETTED"], &rows) {
        output.line(&harmless(&line));
    }
    for one in &all {
        let Some(next) = one["next"].as_str() else {
            continue;
        };
        let says = one["reason"]["says"].as_str().unwrap_or_default();
        let at = one["reason"]["at"]
            .as_str()
            .map_or_else(String::new, |at| format!(" ({at})"));
        let line = format!("{}: {says}{at} {next}", spec(one));
        output.line(&harmless(&line.replace(":  ", ": ")));
    }
    Ok(())
}

fn row(one: &Value) -> Vec<String> {
    let verdict = match one["verdict"].as_str() {
        Some(verdict) if one["passes"] == false => format!("{verdict}, does not pass"),
        Some(verdict) => verdict.to_owned(),
        None => "not vetted".to_owned(),
    };
    let due = if one["due"] == true { ", due" } else { "" };
    vec![
        spec(one),
        verdict,
        text(&one["reason"]["rule"]),
        format!("{}{due}", ago(one["vettedMs"].as_u64())),
    ]
}

fn spec(one: &Value) -> String {
    format!("{}@{}", text(&one["name"]), text(&one["version"]))
}
