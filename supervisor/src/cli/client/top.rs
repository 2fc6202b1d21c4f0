//! `redhold top` and `redhold limits`: who uses how much, and how much they may.

use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::Client;
use super::instance::path;
use super::table::{size, table, text};
use crate::cli::Global;
use crate::cli::output::{Output, harmless};
use crate::problem::Problem;

/// Between two looks, for the share of processor time.
const APART: Duration = Duration::from_secs(1);

/// Show what each instance uses
#[derive(Debug, Args)]
pub struct Top {}

/// Show, or change, what an instance may use; memory, processor time and tasks change while it runs
#[derive(Debug, Args)]
pub struct Limits {
    /// Name or identifier of the instance
    name: String,
    /// Memory and swap together, in MiB; 0 is no limit
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Processor time in percent of one core; 0 is no limit
    #[arg(long, value_name = "PERCENT")]
    cpu: Option<u32>,
    /// Tasks, threads included
    #[arg(long, value_name = "COUNT")]
    tasks: Option<u32>,
    /// Disk space in MiB; 0 is no limit
    #[arg(long, value_name = "MIB")]
    disk: Option<u32>,
}

/// Runs `redhold top`.
///
/// # Errors
/// The host's refusals.
pub fn top(_command: &Top, global: &Global, output: &Output) -> Result<(), Problem> {
    super::run(global, async |client| {
        let before = look(client).await?;
        tokio::time::sleep(APART).await;
        let mut after = look(client).await?;
        for (view, stats) in &mut after {
            let used = |stats: &Value| stats["cpuUs"].as_u64();
            let earlier = before.iter().find(|(before, _)| before["id"] == view["id"]);
            let spent = used(stats).zip(earlier.and_then(|(_, stats)| used(stats)));
            let percent =
                spent.map(|(now, then)| now.saturating_sub(then) as f64 / APART.as_micros() as f64 * 100.0);
            stats["cpuPercent"] = json!(percent);
        }
        if output.json() {
            let all: Vec<Value> = after
                .into_iter()
                .map(|(view, stats)| json!({ "name": view["name"], "state": view["observed"]["state"], "stats": stats }))
                .collect();
            output.document(&all);
            return Ok(());
        }
        let rows: Vec<Vec<String>> = after
            .iter()
            .map(|(view, stats)| {
                let limit = view["settings"]["limits"]["memoryMib"]
                    .as_u64()
                    .filter(|limit| *limit > 0);
                vec![
                    harmless(&text(&view["name"])),
                    text(&view["observed"]["state"]),
                    stats["cpuPercent"]
                        .as_f64()
                        .map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1}")),
                    size(stats["memoryBytes"].as_u64()),
                    limit.map_or_else(|| "none".to_owned(), |limit| format!("{limit} M")),
                    size(stats["memoryPeakBytes"].as_u64()),
                    text(&stats["tasks"]),
                    stats["figures"]["messagesPerSecond"]
                        .as_f64()
                        .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
                    stats["figures"]["delayMs"]
                        .as_u64()
                        .map_or_else(|| "-".to_owned(), |delay| format!("{delay} ms")),
                ]
            })
            .collect();
        for line in table(
            &[
                "NAME", "STATE", "CPU %", "MEMORY", "LIMIT", "PEAK", "TASKS", "MSG/S", "DELAY",
            ],
            &rows,
        ) {
            output.line(&line);
        }
        Ok(())
    })
}

async fn look(client: &Client) -> Result<Vec<(Value, Value)>, Problem> {
    let mut all = Vec::new();
    for view in client
        .get("/instances")
        .await?
        .as_array()
        .cloned()
        .unwrap_or_default()
    {
        let place = format!("{}/stats", path(view["id"].as_str().unwrap_or_default()));
        let stats = client.get(&place).await?;
        all.push((view, stats));
    }
    Ok(all)
}

/// Runs `redhold limits`.
///
/// # Errors
/// The host's refusals.
pub fn limits(command: &Limits, global: &Global, output: &Output) -> Result<(), Problem> {
    super::run(global, async |client| {
        let wishes = [
            ("memoryMib", command.memory),
            ("cpuPercent", command.cpu),
            ("tasks", command.tasks),
            ("diskMib", command.disk),
        ];
        let mut limits = json!({});
        for (name, value) in wishes {
            if let Some(value) = value {
                limits[name] = json!(value);
            }
        }
        let place = path(&command.name);
        let view = if limits == json!({}) {
            client.get(&place).await?
        } else {
            let changes = json!({ "settings": { "limits": limits } });
            client.send(Method::PATCH, &place, &changes).await?
        };
        let stats = client.get(&format!("{place}/stats")).await?;
        if output.json() {
            output.document(&json!({ "limits": view["settings"]["limits"], "stats": stats }));
            return Ok(());
        }
        let walls = view["observed"]["walls"].as_array().cloned().unwrap_or_default();
        let held = |name: &str| {
            let wall = walls.iter().find(|wall| wall["name"] == name);
            wall.map_or_else(
                || "-".to_owned(),
                |wall| format!("{} ({})", text(&wall["strength"]), text(&wall["detail"])),
            )
        };
        let limits = &view["settings"]["limits"];
        let shown = |value: &Value, unit: &str| match value.as_u64() {
            Some(0) | None => "none".to_owned(),
            Some(number) => format!("{number}{unit}"),
        };
        let rows = [
            vec![
                "memory".to_owned(),
                shown(&limits["memoryMib"], " MiB"),
                size(stats["memoryBytes"].as_u64()),
                held("memory"),
            ],
            vec![
                "cpu".to_owned(),
                shown(&limits["cpuPercent"], " %"),
                "-".to_owned(),
                held("cpu"),
            ],
            vec![
                "tasks".to_owned(),
                shown(&limits["tasks"], ""),
                text(&stats["tasks"]),
                held("pids"),
            ],
            vec![
                "disk".to_owned(),
                shown(&limits["diskMib"], " MiB"),
                "-".to_owned(),
                held("disk"),
            ],
        ];
        for line in table(&["WHAT", "LIMIT", "NOW", "ENFORCED"], &rows) {
            output.line(&harmless(&line));
        }
        Ok(())
    })
}
