//! `redhold logs`: what an instance's log says, and what it goes on to say.

use clap::Args;
use serde_json::Value;

use super::instance::path;
use super::table::{text, time};
use super::{Client, segment};
use crate::cli::Global;
use crate::cli::output::{Output, Style, harmless};
use crate::problem::Problem;

/// Show an instance's log
#[derive(Debug, Args)]
pub struct Logs {
    /// Name or identifier of the instance
    name: String,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// Lines at most
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    lines: usize,
    /// Least grave level: trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// Only lines with this text, in any case of letters
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Only what is not older than this many minutes
    #[arg(long, value_name = "MINUTES")]
    since: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// The host's refusals.
pub fn run(command: &Logs, global: &Global, output: &Output) -> Result<(), Problem> {
    super::run(global, async |client| work(command, client, output).await)
}

async fn work(command: &Logs, client: &Client, output: &Output) -> Result<(), Problem> {
    let mut query = format!("limit={}", command.lines);
    for (name, value) in [("level", &command.level), ("text", &command.grep)] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    if let Some(minutes) = command.since {
        let since = crate::clock::now_ms().saturating_sub(minutes * 60_000);
        query.push_str(&format!("&since={since}"));
    }
    if command.follow {
        let place = format!("{}/logs/follow?{query}", path(&command.name));
        client
            .follow(&place, |page| {
                show(&page, output);
                Ok(true)
            })
            .await?;
        return Ok(());
    }
    let page = client
        .get(&format!("{}/logs?{query}", path(&command.name)))
        .await?;
    if output.json() {
        output.document(&page);
    } else {
        show(&page, output);
    }
    Ok(())
}

fn show(page: &Value, output: &Output) {
    for line in page["lines"].as_array().into_iter().flatten() {
        if output.json() {
            output.event(line);
            continue;
        }
        let level = text(&line["level"]);
        let style = match level.as_str() {
            "error" => Style::Red,
            "warn" => Style::Yellow,
            "debug" | "trace" => Style::Dim,
            _ => Style::Plain,
        };
        let node = line["node"]
            .as_str()
            .map_or_else(String::new, |node| format!("[{node}] "));
        let said = harmless(&format!("{node}{}", text(&line["text"])));
        let shown = match line["timeMs"].as_u64() {
            Some(at) => format!(
                "{} {:<5} {}",
                output.paint(Style::Dim, &time(at)),
                level,
                output.paint(style, &said)
            ),
            None => format!("{:26}{}", "", output.paint(style, &said)),
        };
        output.line(&shown);
    }
}
