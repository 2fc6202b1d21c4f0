//! `redhold instance token`: access tokens for what an instance's flows serve.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::instance::path;
use super::table::{ago, table, text, time};
use super::{Client, segment};
use crate::cli::output::{Output, harmless};
use crate::clock;
use crate::problem::Problem;

/// Access tokens for what its flows serve
#[derive(Debug, Args)]
#[command(
    after_help = "A token is taken where http.access, or the access of a shared folder, is `tokens` or `basic`: send it \
                  as `Authorization: Bearer rht_...`. Flows never see it."
)]
pub(super) struct Token {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(Create),
    /// All tokens, without the tokens themselves
    List {
        /// Name or identifier of the instance
        name: String,
    },
    /// Take a token away: it is taken no more
    Revoke {
        /// Name or identifier of the instance
        name: String,
        /// Name of the token
        token: String,
    },
}

/// Create a token and print it: it is shown only now
#[derive(Debug, Args)]
struct Create {
    /// Name or identifier of the instance
    name: String,
    /// Name of the token: who uses it, for example
    token: String,
    /// Days after which it ends [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
}

pub(super) async fn work(command: &Token, client: &Client, output: &Output) -> Result<(), Problem> {
    match &command.command {
        Command::Create(create) => self::create(create, client, output).await,
        Command::List { name } => list(name, client, output).await,
        Command::Revoke { name, token } => {
            let place = format!("{}/tokens/{}", path(name), segment(token));
            client.send(Method::DELETE, &place, &Value::Null).await?;
            output.note(&format!("the token {} is revoked", harmless(token)));
            Ok(())
        }
    }
}

async fn create(create: &Create, client: &Client, output: &Output) -> Result<(), Problem> {
    let days = create.days.map(u64::from);
    let wish = json!({
        "name": create.token,
        "expiresMs": days.map(|days| clock::now_ms() + days * 86_400_000),
    });
    let place = format!("{}/tokens", path(&create.name));
    let made = client.send(Method::POST, &place, &wish).await?;
    if output.json() {
        output.document(&made);
        return Ok(());
    }
    output.line(&text(&made["token"]));
    output.note("keep it: it is not shown again");
    Ok(())
}

async fn list(name: &str, client: &Client, output: &Output) -> Result<(), Problem> {
    let all = client.get(&format!("{}/tokens", path(name))).await?;
    if output.json() {
        output.document(&all);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = all
        .as_array()
        .into_iter()
        .flatten()
        .map(|token| {
            let end = token["expiresMs"].as_u64();
            let ended = end.is_some_and(|end| end <= clock::now_ms());
            vec![
                harmless(&text(&token["name"])),
                time(token["createdMs"].as_u64().unwrap_or(0)),
                match end {
                    None => "never".to_owned(),
                    Some(_) if ended => "ended".to_owned(),
                    Some(end) => time(end),
                },
                ago(token["lastUsedMs"].as_u64()),
            ]
        })
        .collect();
    if rows.is_empty() {
        output.note(&format!(
            "there are no tokens yet: redhold instance token create {name} TOKEN"
        ));
        return Ok(());
    }
    for line in table(&["NAME", "CREATED", "ENDS", "LAST USED"], &rows) {
        output.line(&line);
    }
    Ok(())
}
