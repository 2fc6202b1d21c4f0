//! Something short that runs in an instance's own sandbox before it or beside it: npm, or a look at settings that
//! are a stranger's program. It has a keeper, a run directory and a memory limit of its own.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use runtime::process::{self, Adopted, Descriptors, Running};
use runtime::record::{Event, ExitRecord};
use runtime::spec::InstanceSpec;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;

use crate::problem::{Code, Problem};
use crate::telemetry::line::split;

/// Most that is read of what it said, in bytes.
const LONGEST: u64 = 4 << 20;

/// How it went.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its end.
    pub(crate) exit: ExitRecord,
    /// It was killed because `stop` came first.
    pub(crate) broken_off: bool,
    /// Lines of its standard output, without the keeper's stamps.
    pub(crate) output: Vec<String>,
    /// Lines of its standard error.
    pub(crate) errors: Vec<String>,
}

impl Outcome {
    /// Whether it ended well.
    pub(crate) fn succeeded(&self) -> bool {
        self.exit.code == Some(0)
    }
}

/// Runs what `spec` says to its end, or kills it when `stop` comes first. When this is dropped meanwhile, it runs on,
/// and [`clear`] ends it.
///
/// # Errors
/// When it cannot be started, or its end cannot be found out.
pub(crate) async fn run(
    executable: &Path,
    spec: &InstanceSpec,
    stop: impl Future<Output = ()>,
) -> Result<Outcome, Problem> {
    let _ = fs::remove_file(&spec.log.file);
    let running = {
        let (executable, spec) = (executable.to_owned(), spec.clone());
        let started =
            tokio::task::spawn_blocking(move || process::spawn(&executable, &spec, Descriptors::default()));
        let started = started.await.map_err(cannot)?;
        started.map_err(cannot)?
    };
    let broken_off = tokio::select! {
        () = until_it_ends(&running) => false,
        () = stop => true,
    };
    let exit = tokio::task::spawn_blocking(move || -> Result<ExitRecord, Problem> {
        if broken_off {
            // It may have ended in this moment.
            let _ = running.kill();
        }
        let exit = running.wait().map_err(cannot)?;
        running.forget().map_err(cannot)?;
        Ok(exit)
    });
    let exit = exit.await.map_err(cannot)??;
    let (output, errors) = said(spec)?;
    Ok(Outcome {
        exit,
        broken_off,
        output,
        errors,
    })
}

/// Waits without a thread of its own, so that a supervisor that ends has not to wait for it.
async fn until_it_ends(running: &Running) {
    let subscribed = running.subscribe().ok().and_then(|stream| {
        stream.set_nonblocking(true).ok()?;
        UnixStream::from_std(stream).ok()
    });
    let Some(stream) = subscribed else { return };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if matches!(serde_json::from_str(&line), Ok(Event::Exit(_))) {
            return;
        }
    }
}

/// Ends and removes what an earlier supervisor left in the run directory of an errand. Blocks.
///
/// # Errors
/// When it does not end, or its records cannot be read or removed.
pub(crate) fn clear(run_dir: &Path) -> Result<(), Problem> {
    match process::adopt(run_dir).map_err(cannot)? {
        Adopted::Alive(running) => {
            let _ = running.kill();
            match running.wait() {
                Ok(_) => running.forget().map_err(cannot),
                // Its keeper went without a word.
                Err(_) => match process::adopt(run_dir).map_err(cannot)? {
                    Adopted::Lost(lost) => lost.clean_up().map_err(cannot),
                    _ => process::forget(run_dir).map_err(cannot),
                },
            }
        }
        Adopted::Lost(lost) => lost.clean_up().map_err(cannot),
        Adopted::Ended(_) | Adopted::Nothing => process::forget(run_dir).map_err(cannot),
    }
}

fn cannot(error: impl std::error::Error + Send + Sync + 'static) -> Problem {
    Problem::new(Code::Host, "cannot run a program in the sandbox")
        .because(error)
        .hint("`redhold doctor` says what this machine lacks")
}

fn said(spec: &InstanceSpec) -> Result<(Vec<String>, Vec<String>), Problem> {
    let unread = |error| Problem::io("cannot read the log", error);
    let mut text = Vec::new();
    match fs::File::open(&spec.log.file) {
        Ok(file) => file.take(LONGEST).read_to_end(&mut text).map_err(unread)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(unread(error)),
    };
    // It may hold a secret, such as the key of credentials.
    let _ = fs::remove_file(&spec.log.file);
    let text = String::from_utf8_lossy(&text);
    Ok((joined(&text, 'o'), joined(&text, 'e')))
}

/// The lines of one stream; what the keeper split because it was long is joined.
fn joined(text: &str, stream: char) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for raw in text.lines() {
        let (_, kind, text) = split(raw);
        if kind.to_ascii_lowercase() != stream {
            continue;
        }
        match lines.last_mut() {
            Some(last) if kind.is_ascii_uppercase() => last.push_str(text),
            _ => lines.push(text.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_lines_are_whole_again_and_streams_apart() {
        let text = "1 o ab\n1 e y\n1 O cd\n2 e x\n";
        assert_eq!(super::joined(text, 'o'), ["abcd"]);
        assert_eq!(super::joined(text, 'e'), ["y", "x"]);
    }
}
