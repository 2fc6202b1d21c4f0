//! `redhold files`: the file storage of an instance.

use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, Subcommand};
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};

use super::instance::path as instance;
use super::table::{size, table, text, time};
use super::transfer::{get, put};
use super::{Client, segment};
use crate::cli::Global;
use crate::cli::output::{Output, harmless};
use crate::problem::{Code, Problem};

/// List, fetch, send, move and remove files of an instance
#[derive(Debug, Args)]
#[command(
    after_help = "NAME:PATH is a path in the storage of the instance NAME, the working directory of its file nodes. \
                        Transfers that were cut off go on where they ended when the command is repeated."
)]
pub struct Files {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What is in a folder
    Ls {
        /// The folder
        #[arg(value_name = "NAME[:PATH]")]
        place: Place,
    },
    /// Fetch a file, or a folder as a tar file
    Get {
        /// The file or folder
        #[arg(value_name = "NAME:PATH")]
        place: Place,
        /// Where to: a file, or - for standard output [default: its own name, here]
        #[arg(value_name = "FILE")]
        to: Option<PathBuf>,
        /// A folder, as a tar file
        #[arg(short, long)]
        recursive: bool,
    },
    /// Send a file; it takes the place of what was there
    Put {
        /// The file, or - for standard input
        #[arg(value_name = "FILE")]
        from: PathBuf,
        /// Where to; a path that ends in / is a folder
        #[arg(value_name = "NAME:PATH")]
        place: Place,
    },
    /// Make a folder, and those on the way to it
    Mkdir {
        /// The folder
        #[arg(value_name = "NAME:PATH")]
        place: Place,
    },
    /// Move or rename a file or folder
    Mv {
        /// The file or folder
        #[arg(value_name = "NAME:PATH")]
        place: Place,
        /// Its new path in the same storage
        #[arg(value_name = "PATH")]
        to: String,
    },
    /// Remove a file, or a folder
    Rm {
        /// The file or folder
        #[arg(value_name = "NAME:PATH")]
        place: Place,
        /// A folder with everything in it
        #[arg(short, long)]
        recursive: bool,
    },
}

/// A path in a storage, as it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    name: String,
    path: String,
}

impl std::str::FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, path) = text.split_once(':').unwrap_or((text, ""));
        if name.is_empty() {
            return Err("write NAME:PATH, the name of an instance and a path in its storage");
        }
        Ok(Self {
            name: name.to_owned(),
            path: path.trim_start_matches('/').to_owned(),
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.path)
    }
}

impl Place {
    /// Its address at the host.
    pub(super) fn address(&self) -> String {
        let path = self.path.trim_end_matches('/');
        let mut address = format!("{}/files", instance(&self.name));
        if !path.is_empty() {
            for part in path.split('/') {
                address.push('/');
                address.push_str(&segment(part));
            }
        }
        address
    }

    /// The last name of its path.
    fn last(&self) -> &str {
        self.path.trim_end_matches('/').rsplit('/').next().unwrap_or("")
    }
}

/// Runs the command.
///
/// # Errors
/// The host's refusals, and what happens to local files.
pub fn run(command: &Files, global: &Global, output: &Output) -> Result<(), Problem> {
    super::run(global, async |client| {
        work(&command.command, client, output).await
    })
}

async fn work(command: &Command, client: &Client, output: &Output) -> Result<(), Problem> {
    match command {
        Command::Ls { place } => list(place, client, output).await,
        Command::Get { place, to, recursive } => {
            let own = if *recursive {
                let name = if place.last().is_empty() {
                    &place.name
                } else {
                    place.last()
                };
                format!("{name}.tar")
            } else {
                place.last().to_owned()
            };
            let to = to.clone().unwrap_or_else(|| PathBuf::from(own));
            if to.as_os_str().is_empty() {
                return Err(Problem::new(Code::Usage, format!("`{place}` names no file"))
                    .hint("with -r a folder is fetched as a tar file"));
            }
            get(place, &to, *recursive, client, output).await
        }
        Command::Put { from, place } => {
            let mut place = place.clone();
            if place.path.is_empty() || place.path.ends_with('/') {
                let name = from.file_name().and_then(|name| name.to_str()).unwrap_or("-");
                if name == "-" {
                    return Err(Problem::new(Code::Usage, format!("`{place}` names no file")));
                }
                place.path.push_str(name);
            }
            put(from, &place, client, output).await
        }
        Command::Mkdir { place } => {
            let address = format!("{}?mkdir", place.address());
            said(&client.send(Method::POST, &address, &Value::Null).await?, output);
            Ok(())
        }
        Command::Mv { place, to } => {
            let address = format!("{}?move={}", place.address(), segment(to));
            said(&client.send(Method::POST, &address, &Value::Null).await?, output);
            Ok(())
        }
        Command::Rm { place, recursive } => {
            let address = format!("{}?recursive={recursive}", place.address());
            said(
                &client.send(Method::DELETE, &address, &Value::Null).await?,
                output,
            );
            Ok(())
        }
    }
}

/// What is there now, for programs; people hear nothing of what went well.
pub(super) fn said(answer: &Value, output: &Output) {
    if output.json() {
        output.document(answer);
    }
}

async fn list(place: &Place, client: &Client, output: &Output) -> Result<(), Problem> {
    let mut entries: Vec<Value> = Vec::new();
    let mut after = None::<String>;
    let unnamed = loop {
        let more = after
            .as_ref()
            .map_or_else(String::new, |after| format!("?after={}", segment(after)));
        let address = format!("{}{more}", place.address());
        let response = client.request(Method::GET, &address, Bytes::new()).await?;
        if response.headers().contains_key("etag") {
            return Err(Problem::new(Code::Conflict, format!("`{place}` is a file"))
                .hint(format!("`redhold files get {place}` fetches it")));
        }
        let broken = |error: hyper::Error| Problem::new(Code::Failed, "the host broke off").because(error);
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        let page: Value = serde_json::from_slice(&body)
            .map_err(|error| Problem::new(Code::Failed, "the host's answer makes no sense").because(error))?;
        entries.extend(page["entries"].as_array().into_iter().flatten().cloned());
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break page["unnamed"].as_u64().unwrap_or(0);
        }
    };
    if output.json() {
        output.document(&json!({ "entries": entries, "unnamed": unnamed }));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let kind = text(&entry["kind"]);
            let bytes = (kind == "file").then(|| entry["size"].as_u64().unwrap_or(0));
            let end = if kind == "folder" { "/" } else { "" };
            vec![
                time(entry["modifiedMs"].as_u64().unwrap_or(0)),
                size(bytes),
                kind,
                format!("{}{end}", harmless(&text(&entry["name"]))),
            ]
        })
        .collect();
    for line in table(&["CHANGED", "SIZE", "KIND", "NAME"], &rows) {
        output.line(&line);
    }
    if unnamed > 0 {
        output.note(&format!(
            "{unnamed} more have names that cannot be shown; they go when their folder is removed"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_addresses() {
        for (text, address) in [
            ("pump", "/instances/pump/files"),
            ("pump:", "/instances/pump/files"),
            ("pump:/a b/c%", "/instances/pump/files/a%20b/c%25"),
            ("pump:a:b/", "/instances/pump/files/a%3Ab"),
        ] {
            assert_eq!(text.parse::<Place>().expect("a place").address(), address);
        }
        assert!(":a".parse::<Place>().is_err());
    }
}
