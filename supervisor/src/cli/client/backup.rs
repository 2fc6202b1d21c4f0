//! `redhold backup` and `redhold restore`: a host in a file, and a host from it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::json;

use super::table::time;
use crate::backup;
use crate::cli::Global;
use crate::cli::output::Output;
use crate::paths;
use crate::problem::{Code, Problem};

/// Write the whole host, while it runs, into one file; whoever has it has the host's secrets
#[derive(Debug, Args)]
pub struct Backup {
    /// The file; it must not exist
    file: PathBuf,
}

/// Make a host from a backup, in an empty data directory
#[derive(Debug, Args)]
pub struct Restore {
    /// The file
    file: PathBuf,
}

/// Runs `redhold backup`.
///
/// # Errors
/// The host's refusals, or what the disk refuses.
pub fn backup(command: &Backup, global: &Global, output: &Output) -> Result<(), Problem> {
    let file = &command.file;
    let cannot = |error| Problem::io(format!("cannot write {}", file.display()), error);
    if file.exists() {
        let message = format!("{} exists", file.display());
        return Err(Problem::new(Code::Usage, message).hint("choose another name, or move it away"));
    }
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), PathBuf::from);
    // Readable by its owner alone, as temporary files are.
    let mut fresh = tempfile::Builder::new()
        .prefix(".backup-")
        .tempfile_in(&folder)
        .map_err(cannot)?;
    let size = super::run(global, async |client| {
        let response = client.request(Method::GET, "/backup", Bytes::new()).await?;
        let mut body = response.into_body();
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Problem::new(Code::Failed, "the host broke off before the backup was whole").because(error)
            })?;
            if let Some(data) = frame.data_ref() {
                fresh.write_all(data).map_err(cannot)?;
                size += data.len() as u64;
            }
        }
        Ok(size)
    })?;
    fresh.as_file().sync_all().map_err(cannot)?;
    fresh
        .persist_noclobber(file)
        .map_err(|error| cannot(error.error))?;
    File::open(&folder)
        .and_then(|folder| folder.sync_all())
        .map_err(cannot)?;
    if output.json() {
        output.document(&json!({ "file": file, "bytes": size }));
    } else {
        output.line(&format!("{} ({} MiB)", file.display(), size >> 20));
    }
    Ok(())
}

/// Runs `redhold restore`.
///
/// # Errors
/// When the file is no whole backup, or the folder is not empty.
pub fn restore(command: &Restore, global: &Global, output: &Output) -> Result<(), Problem> {
    let data_dir = paths::host_data_dir(global.data_dir.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Host, "cannot start the event loop").because(error))?;
    let restored = runtime.block_on(backup::restore(&command.file, &data_dir))?;
    if output.json() {
        output.document(&json!({
            "dataDir": data_dir,
            "records": restored.records,
            "entries": restored.entries,
            "createdMs": restored.created_ms,
        }));
        return Ok(());
    }
    output.line(&format!(
        "restored {} records and {} files, as they were at {}, into {}",
        restored.records,
        restored.entries,
        time(restored.created_ms),
        data_dir.display()
    ));
    output.note("start it with `redhold serve`; stacks are fetched when they are needed");
    Ok(())
}
