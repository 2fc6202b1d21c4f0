//! `redhold instance import`: flows from a file, or a Node-RED user directory packed on the way.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use hyper::Method;
use serde_json::Value;
use tar::{Builder, Header};

use super::Client;
use super::instance::{path, read_json};
use crate::cli::output::{Output, harmless};
use crate::problem::{Code, Problem};

/// Hidden files that Node-RED and npm keep; sessions are nobody else's.
const HIDDEN: [&str; 5] = [
    ".config.json",
    ".config.nodes.json",
    ".config.runtime.json",
    ".config.users.json",
    ".npmrc",
];

/// Most that is packed, in bytes.
const LARGEST: u64 = 512 << 20;

/// Replace an instance's flows by those in a file, or make a new instance of a Node-RED user directory
#[derive(Debug, Args)]
pub struct Import {
    /// Name of the instance; of the new one when a directory is imported
    pub(super) name: String,
    /// A file that Node-RED exported, - for standard input, or a user directory such as ~/.node-red
    #[arg(value_name = "FILE|DIR")]
    from: PathBuf,
    /// Do not start the new instance
    #[arg(long)]
    stopped: bool,
    /// Return when its flows run
    #[arg(long)]
    pub(super) wait: bool,
}

/// Does it; the instance as it is then.
pub(super) async fn import(wish: &Import, client: &Client, output: &Output) -> Result<Value, Problem> {
    let place = format!("{}/import", path(&wish.name));
    if !wish.from.is_dir() {
        let flows = read_json(&wish.from)?;
        return client.send(Method::POST, &place, &flows).await;
    }
    let mut left = Vec::new();
    let packed = pack(&wish.from, &mut left)
        .map_err(|error| Problem::io(format!("cannot pack {}", wish.from.display()), error))?;
    if packed.len() as u64 > LARGEST {
        let message = format!("{} holds more than {} MiB", wish.from.display(), LARGEST >> 20);
        return Err(Problem::new(Code::Usage, message).hint("move what flows do not need out of it first"));
    }
    for name in left {
        output.note(&format!("left out: {}", harmless(&name)));
    }
    let place = format!("{place}?start={}", !wish.stopped);
    let response = client
        .request_of_kind(Method::POST, &place, "application/x-tar", Bytes::from(packed))
        .await?;
    Client::document(response).await
}

/// Packs a user directory: regular files and folders, without modules, which are installed anew, without copies that
/// Node-RED makes for itself, and without what is hidden and not Node-RED's.
fn pack(folder: &Path, left: &mut Vec<String>) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for entry in sorted(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
        if name != "node_modules" && !hidden && !name.ends_with(".backup") {
            add(&mut builder, &entry, Path::new(&entry.file_name()), left)?;
        }
    }
    builder.into_inner()
}

fn add(
    builder: &mut Builder<Vec<u8>>,
    entry: &fs::DirEntry,
    name: &Path,
    left: &mut Vec<String>,
) -> io::Result<()> {
    if builder.get_ref().len() as u64 > LARGEST {
        return Ok(());
    }
    let kind = entry.file_type()?;
    let mut header = Header::new_gnu();
    header.set_mode(0o600);
    if kind.is_dir() {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        builder.append_data(&mut header, name, io::empty())?;
        for inner in sorted(&entry.path())? {
            add(builder, &inner, &name.join(inner.file_name()), left)?;
        }
    } else if kind.is_file() {
        let file = File::open(entry.path())?;
        let size = file.metadata()?.len();
        if size > LARGEST {
            let message = format!("{} holds more than {} MiB", name.display(), LARGEST >> 20);
            return Err(io::Error::other(message));
        }
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(size);
        // One that grows meanwhile is cut, and one that shrinks is noticed by the host.
        builder.append_data(&mut header, name, io::Read::take(file, size))?;
    } else {
        left.push(format!("{}, a link or special file", name.display()));
    }
    Ok(())
}

fn sorted(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}
