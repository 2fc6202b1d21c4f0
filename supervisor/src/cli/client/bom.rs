//! `redhold instance bom`: what an instance is made of.

use clap::{Args, ValueEnum};

use super::Client;
use super::instance::path;
use crate::cli::output::Output;
use crate::problem::Problem;

/// Print its bill of materials: the stack, and what npm has installed besides
#[derive(Debug, Args)]
pub(super) struct Bom {
    /// Name or identifier of the instance
    name: String,
    /// The standard it follows
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// CycloneDX 1.6, as JSON
    #[default]
    #[value(name = "cyclonedx")]
    CycloneDx,
    /// SPDX 2.3, as JSON
    Spdx,
}

pub(super) async fn work(command: &Bom, client: &Client, output: &Output) -> Result<(), Problem> {
    let format = match command.format {
        Format::CycloneDx => "cyclonedx",
        Format::Spdx => "spdx",
    };
    let bom = client
        .get(&format!("{}/bom?format={format}", path(&command.name)))
        .await?;
    output.document(&bom);
    Ok(())
}
