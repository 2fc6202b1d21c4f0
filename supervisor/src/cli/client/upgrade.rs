//! `redhold upgrade`: a newer supervisor in the place of the one that runs.

use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::table::text;
use crate::cli::Global;
use crate::cli::output::{Output, harmless};
use crate::problem::{Code, Problem};

const ABOUT: &str = "\
The new program is asked first whether it would start with the same options. It gets the listening sockets, and takes over \
when it is ready; until then the interface answers with 503, and the front goes on as before. If it is not ready within \
30 seconds it is ended, and the host runs as before.

No instance is restarted and no request fails. Connections that there are go on in the process that began them, \
WebSockets and downloads for up to a day (drain-minutes): HTTP/1.1 ends them after the next answer, HTTP/2 is told to \
open another one. The addresses stay as they are; to change them, start the host again.";

/// Put a newer supervisor in the place of the one that runs; no instance and no connection ends
#[derive(Debug, Args)]
#[command(after_long_help = ABOUT)]
pub struct Upgrade {
    /// The new program [default: the file from which the host was started, as it is now]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// The host's refusals: then everything is as before.
pub fn run(command: &Upgrade, global: &Global, output: &Output) -> Result<(), Problem> {
    let binary = match &command.binary {
        Some(file) => {
            let found = std::path::absolute(file);
            Some(found.map_err(|error| Problem::io(format!("cannot find {}", file.display()), error))?)
        }
        None => None,
    };
    if binary.as_ref().is_some_and(|file| file.to_str().is_none()) {
        return Err(Problem::new(Code::Usage, "the path of the program is no UTF-8"));
    }
    super::run(global, async |client| {
        let upgraded = client
            .send(Method::POST, "/host/upgrade", &json!({ "binary": binary }))
            .await?;
        if output.json() {
            output.document(&upgraded);
            return Ok(());
        }
        output.line(&format!(
            "redhold {} has taken over as process {}",
            harmless(&text(&upgraded["version"])),
            text(&upgraded["pid"])
        ));
        Ok(())
    })
}
