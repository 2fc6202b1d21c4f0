//! Files to and from a host, taken up again where they were cut off.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio_util::io::ReaderStream;

use super::Client;
use super::files::{Place, said};
use crate::cli::output::Output;
use crate::files::sha256;
use crate::problem::{Code, Problem};

/// Tries in a row that bring nothing further.
const TRIES: u32 = 20;

/// Wait before another try, which gives a host time to start again.
const PAUSE: Duration = Duration::from_millis(700);

/// Bytes that are read and sent at once.
const CHUNK: usize = 256 * 1024;

/// A part of a file that is here already, and of which content it is: the host's ETag stands in its name.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    tag: String,
}

impl Part {
    fn of(to: &Path, tag: &str) -> Self {
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        Self {
            path: to.with_file_name(format!(".{name}.{tag}.part")),
            tag: tag.to_owned(),
        }
    }

    fn find(to: &Path) -> Option<Self> {
        let name = to.file_name()?.to_string_lossy();
        let folder = to
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
            let found = entry.file_name();
            let tag = found.to_str()?.strip_prefix(&format!(".{name}."))?;
            let tag = tag.strip_suffix(".part").filter(|tag| is_tag(tag))?;
            Some(Self::of(to, tag))
        })
    }

    /// Bytes of it that are here.
    fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }
}

pub(super) async fn get(
    place: &Place,
    to: &Path,
    recursive: bool,
    client: &Client,
    output: &Output,
) -> Result<(), Problem> {
    let plain = to == Path::new("-");
    let mut address = place.address();
    if recursive {
        address.push_str("?archive=tar");
    }
    let mut failures = 0;
    loop {
        let part = if plain || recursive { None } else { Part::find(to) };
        let had = part.as_ref().map_or(0, Part::length);
        match fetch(&address, to, part, recursive, client, output).await {
            Ok(()) => break,
            Err(problem) => {
                // What went to a pipe, and an archive, cannot be taken up again.
                let now = Part::find(to).map_or(0, |part| part.length());
                let lost = matches!(problem.code(), Code::Failed | Code::Host | Code::Busy);
                failures = if now > had { 1 } else { failures + 1 };
                if plain || recursive || !lost || now == 0 || failures >= TRIES {
                    return Err(problem);
                }
                output.note(&format!("{problem}; going on"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    if !plain && output.json() {
        let bytes = fs::metadata(to).map_or(0, |metadata| metadata.len());
        output.document(&json!({ "file": to, "size": bytes }));
    }
    Ok(())
}

async fn fetch(
    address: &str,
    to: &Path,
    part: Option<Part>,
    recursive: bool,
    client: &Client,
    output: &Output,
) -> Result<(), Problem> {
    let here = |error| Problem::io(format!("cannot write {}", to.display()), error);
    let mut headers = Vec::new();
    // From its last byte: a part that is whole already is a range that the host has, too.
    let from = part.as_ref().map_or(0, |part| part.length().saturating_sub(1));
    if let Some(part) = &part {
        headers.push(("range", format!("bytes={from}-")));
        headers.push(("if-range", format!("\"{}\"", part.tag)));
    }
    let response = client
        .exchange(Method::GET, address, &headers, Empty::<Bytes>::new())
        .await?;
    let tag = response.headers().get("etag").and_then(|tag| tag.to_str().ok());
    let tag = tag.map(|tag| tag.trim_matches('"').to_owned());
    if !recursive && tag.is_none() {
        return Err(
            Problem::new(Code::Conflict, "that is a folder").hint("with -r it is fetched as a tar file")
        );
    }
    let goes_on = response.status() == StatusCode::PARTIAL_CONTENT;
    let mut body = response.into_body();
    if to == Path::new("-") {
        while let Some(bytes) = next(&mut body).await? {
            output.bytes(&bytes).map_err(here)?;
        }
        return Ok(());
    }
    let new = Part::of(to, tag.as_deref().filter(|tag| is_tag(tag)).unwrap_or("whole"));
    let file = match &part {
        Some(part) if goes_on => {
            let file = File::options().write(true).open(&part.path).map_err(here)?;
            file.set_len(from).map_err(here)?;
            file
        }
        other => {
            if let Some(old) = other {
                let _ = fs::remove_file(&old.path);
            }
            File::create(&new.path).map_err(here)?
        }
    };
    let mut at = if goes_on { from } else { 0 };
    while let Some(bytes) = next(&mut body).await? {
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, at).map_err(here)?;
        at += bytes.len() as u64;
    }
    file.sync_all().map_err(here)?;
    fs::rename(
        if goes_on {
            part.as_ref().map_or(&new.path, |part| &part.path)
        } else {
            &new.path
        },
        to,
    )
    .map_err(here)
}

/// Whether this can be a host's ETag, and so a part of a file's name.
fn is_tag(tag: &str) -> bool {
    let letters = |c: u8| c.is_ascii_hexdigit() || b"-.".contains(&c);
    tag.bytes().all(letters) && tag.matches('.').count() == 1
}

async fn next(body: &mut hyper::body::Incoming) -> Result<Option<Bytes>, Problem> {
    match body.frame().await {
        None => Ok(None),
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(error)) => Err(Problem::new(Code::Failed, "the host broke off").because(error)),
    }
}

pub(super) async fn put(from: &Path, place: &Place, client: &Client, output: &Output) -> Result<(), Problem> {
    let address = place.address();
    if from == Path::new("-") {
        let input = std::io::stdin().as_fd().try_clone_to_owned();
        let input = File::from(input.map_err(|error| Problem::io("cannot read the standard input", error))?);
        let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(input), CHUNK);
        let body = StreamBody::new(stream.map(|piece| piece.map(Frame::data)));
        let response = client.exchange(Method::PUT, &address, &[], body).await?;
        return answered(response, output).await;
    }
    let here = |error| Problem::io(format!("cannot read {}", from.display()), error);
    let file = File::open(from).map_err(here)?;
    let metadata = file.metadata().map_err(here)?;
    if !metadata.is_file() {
        return Err(
            Problem::new(Code::Usage, format!("{} is no file", from.display()))
                .hint("send the files of a folder one by one"),
        );
    }
    let total = metadata.len();
    let mut failures = 0;
    let mut had = 0;
    loop {
        let begun = match there(client, &address, &file, total).await {
            Ok(begun) => begun,
            Err(problem) => {
                again(problem, &mut failures, had > 0, output).await?;
                continue;
            }
        };
        if begun > had {
            failures = 0;
        }
        had = had.max(begun);
        match send(client, &address, from, begun, total).await {
            Ok(response) => return answered(response, output).await,
            Err(problem) => {
                // Something may have come before it broke; the next look says how much.
                had = had.max(1);
                again(problem, &mut failures, true, output).await?;
            }
        }
    }
}

/// Waits for another try, unless the problem will stay.
async fn again(problem: Problem, failures: &mut u32, begun: bool, output: &Output) -> Result<(), Problem> {
    *failures += 1;
    let lost = matches!(problem.code(), Code::Failed | Code::Host | Code::Busy);
    if !lost || !begun || *failures >= TRIES {
        return Err(problem);
    }
    output.note(&format!("{problem}; going on"));
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

/// How much of this file the host has already.
async fn there(client: &Client, address: &str, file: &File, total: u64) -> Result<u64, Problem> {
    let state = match client.get(&format!("{address}?upload&sha256")).await {
        Ok(state) => state,
        Err(problem) if problem.code() == Code::Missing => return Ok(0),
        Err(problem) => return Err(problem),
    };
    let received = state["received"].as_u64().unwrap_or(0);
    if received == 0 || received > total {
        return Ok(0);
    }
    let same = std::io::Seek::rewind(&mut { file })
        .and_then(|()| sha256(file, received, || true))
        .map_err(|error| Problem::io("cannot read the file", error))?;
    // Another file's beginning is of no use.
    Ok(if same.as_deref() == state["sha256"].as_str() {
        received
    } else {
        0
    })
}

async fn send(
    client: &Client,
    address: &str,
    from: &Path,
    begun: u64,
    total: u64,
) -> Result<hyper::Response<hyper::body::Incoming>, Problem> {
    use tokio::io::{AsyncReadExt, AsyncSeekExt};
    let here = |error| Problem::io(format!("cannot read {}", from.display()), error);
    // One that is whole, but was not put in place, goes on with its last byte: there is no empty range.
    let begun = begun.min(total.saturating_sub(1));
    let mut file = tokio::fs::File::open(from).await.map_err(here)?;
    file.seek(std::io::SeekFrom::Start(begun)).await.map_err(here)?;
    let mut headers = vec![("content-length", (total - begun).to_string())];
    if begun > 0 {
        headers.push(("content-range", format!("bytes {begun}-{}/{total}", total - 1)));
    }
    let stream = ReaderStream::with_capacity(file.take(total - begun), CHUNK);
    let body = StreamBody::new(stream.map(|piece| piece.map(Frame::data)));
    client.exchange(Method::PUT, address, &headers, body).await
}

async fn answered(response: hyper::Response<hyper::body::Incoming>, output: &Output) -> Result<(), Problem> {
    let broken = |error: hyper::Error| Problem::new(Code::Failed, "the host broke off").because(error);
    let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
    said(&serde_json::from_slice(&body).unwrap_or_default(), output);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_with_its_tag() {
        let folder = tempfile::tempdir().expect("a folder");
        let to = folder.path().join("big.bin");
        assert!(Part::find(&to).is_none());
        let part = Part::of(&to, "a-b.c");
        fs::write(&part.path, "12").expect("written");
        let found = Part::find(&to).expect("a part");
        assert_eq!((found.tag.as_str(), found.length()), ("a-b.c", 2));
        assert!(Part::find(&folder.path().join("big")).is_none());
    }
}
