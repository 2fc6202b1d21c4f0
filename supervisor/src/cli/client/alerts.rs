//! `redhold alerts`: who was told of what, and whether telling works.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use super::segment;
use super::table::{table, text, time};
use crate::cli::Global;
use crate::cli::output::{Output, harmless};
use crate::problem::{Code, Problem};

/// Alerts of instances: those that were sent, and a test
#[derive(Debug, Args)]
#[command(
    after_help = "How the host reaches people stands in the table [alerts] of redhold.toml; when an instance alerts, and \
                  whom, in its settings: `redhold instance set NAME alerts.recipients='[\"ops@example.org\"]'`."
)]
pub struct Alerts {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Alerts, and how each was delivered
    List {
        /// Only those of this instance
        #[arg(long, value_name = "NAME")]
        instance: Option<String>,
        /// Alerts at most
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
        lines: usize,
    },
    /// Send a test to everybody who can be told of something, now
    Test,
}

/// Runs the command.
///
/// # Errors
/// The host's refusals, and when a test did not reach everybody.
pub fn run(command: &Alerts, global: &Global, output: &Output) -> Result<(), Problem> {
    super::run(global, async |client| match &command.command {
        Command::List { instance, lines } => {
            let of = instance
                .as_deref()
                .map_or_else(String::new, |name| format!("&instance={}", segment(name)));
            let page = client.get(&format!("/alerts?limit={lines}{of}")).await?;
            list(&page, output);
            Ok(())
        }
        Command::Test => tested(
            &client.send(Method::POST, "/alerts/test", &Value::Null).await?,
            output,
        ),
    })
}

fn list(page: &Value, output: &Output) {
    if output.json() {
        output.document(page);
        return;
    }
    let rows: Vec<Vec<String>> = page["alerts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|alert| {
            vec![
                time(alert["atMs"].as_u64().unwrap_or(0)),
                text(&alert["kind"]),
                harmless(&text(&alert["title"])),
                to(&alert["deliveries"]),
            ]
        })
        .collect();
    if rows.is_empty() {
        output.note("no alerts were sent yet");
        return;
    }
    for line in table(&["WHEN", "WHAT", "TITLE", "TO"], &rows) {
        output.line(&line);
    }
}

/// Who was told, and how that went.
fn to(deliveries: &Value) -> String {
    let each = deliveries.as_array().into_iter().flatten().map(|delivery| {
        let recipient = harmless(&text(&delivery["to"]));
        match (text(&delivery["state"]).as_str(), delivery["error"].as_str()) {
            ("sent", _) => recipient,
            (state, None) => format!("{recipient} ({state})"),
            (state, Some(error)) => format!("{recipient} ({state}: {})", harmless(error)),
        }
    });
    let all: Vec<String> = each.collect();
    if all.is_empty() {
        "nobody".to_owned()
    } else {
        all.join(", ")
    }
}

fn tested(sent: &Value, output: &Output) -> Result<(), Problem> {
    if output.json() {
        output.document(sent);
    }
    let mut failed = Vec::new();
    for delivery in sent.as_array().into_iter().flatten() {
        let recipient = harmless(&text(&delivery["to"]));
        match delivery["error"].as_str() {
            None if output.json() => {}
            None => output.line(&format!("{recipient}  sent")),
            Some(error) => {
                output.warning(&format!("{recipient}: {}", harmless(error)));
                failed.push(recipient);
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!("the test did not reach {}", failed.join(", "));
    Err(Problem::new(Code::Failed, message)
        .hint("mend the table [alerts] of redhold.toml, restart the host, and try again"))
}
