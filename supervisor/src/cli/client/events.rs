//! `redhold events`: what happened to an instance, in order.

use clap::Args;
use serde_json::Value;

use super::instance::path;
use super::table::{text, time};
use crate::cli::Global;
use crate::cli::output::{Output, Style, harmless};
use crate::problem::Problem;

/// Show what happened to an instance
#[derive(Debug, Args)]
pub struct Events {
    /// Name or identifier of the instance
    name: String,
    /// Events at most
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
    lines: usize,
}

/// Runs the command.
///
/// # Errors
/// The host's refusals.
pub fn run(command: &Events, global: &Global, output: &Output) -> Result<(), Problem> {
    super::run(global, async |client| {
        let place = format!("{}/events?limit={}", path(&command.name), command.lines);
        let page = client.get(&place).await?;
        if output.json() {
            output.document(&page);
            return Ok(());
        }
        for event in page["events"].as_array().into_iter().flatten() {
            let kind = text(&event["kind"]);
            let style = match kind.as_str() {
                "crashed" | "out-of-memory" | "hung" | "down" | "start-failed" => Style::Red,
                "cpu" | "memory" => Style::Yellow,
                "blocked" | "waiting" | "safe-mode" | "not-ready" | "disk" | "attempted" | "verdict-fell" => {
                    Style::Yellow
                }
                _ => Style::Plain,
            };
            let at = time(event["at_ms"].as_u64().unwrap_or(0));
            let kind = output.paint(style, &format!("{kind:<13}"));
            output.line(&format!(
                "{} {kind} {}",
                output.paint(Style::Dim, &at),
                harmless(&text(&event["text"]))
            ));
            let lists = [&event["detail"]["stack"], &event["detail"]["lastLines"]];
            for line in lists.into_iter().filter_map(Value::as_array).flatten() {
                output.line(&output.paint(Style::Dim, &format!("{:34}{}", "", harmless(&text(line)))));
            }
        }
        Ok(())
    })
}
