//! Something short that runs in the project's own sandbox before Node-RED does: npm, or a look at settings that are
//! a stranger's program.

use std::fs;

use runtime::process::{self, Descriptors};
use runtime::record::ExitRecord;
use runtime::spec::InstanceSpec;

use crate::dev::launch::Launcher;
use crate::dev::signals::Signals;
use crate::problem::{Code, Problem};
use crate::telemetry::line::split;

/// Most that is read of what it said.
const LONGEST: u64 = 4 << 20;

/// How it went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) exit: ExitRecord,
    /// Its output, both streams, without the keeper's stamps.
    pub(super) lines: Vec<String>,
}

impl Outcome {
    pub(super) fn succeeded(&self) -> bool {
        self.exit.code == Some(0)
    }
}

/// Runs Node.js with `arguments` in the launcher's world, changed by `adjust`, to its end; a signal kills it.
pub(super) async fn run(
    launcher: &Launcher<'_>,
    signals: &mut Signals,
    arguments: &[&str],
    adjust: impl FnOnce(&mut InstanceSpec),
) -> Result<Outcome, Problem> {
    let mut spec = launcher.errand()?;
    spec.program.args = arguments.iter().map(|&argument| argument.to_owned()).collect();
    adjust(&mut spec);
    let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
        Problem::new(Code::Host, "cannot run a program in the sandbox")
            .because(error)
            .hint("`redhold doctor` says what this machine lacks")
    };
    let _ = fs::remove_file(&spec.log.file);
    let running = process::spawn(&launcher.executable, &spec, Descriptors { listener: None })
        .map_err(|error| cannot(error.into()))?;
    let mut waiting = {
        let running = running.clone();
        tokio::task::spawn_blocking(move || running.wait())
    };
    let (ended, broken_off) = tokio::select! {
        ended = &mut waiting => (ended, false),
        () = signals.next() => {
            running.kill().map_err(|error| cannot(error.into()))?;
            (waiting.await, true)
        }
    };
    let exit = ended
        .map_err(|error| cannot(error.into()))?
        .map_err(|error| cannot(error.into()))?;
    running.forget().map_err(|error| cannot(error.into()))?;
    if broken_off {
        return Err(Problem::new(Code::Interrupted, "stopped before Node-RED ran"));
    }
    Ok(Outcome {
        exit,
        lines: said(&spec)?,
    })
}

fn said(spec: &InstanceSpec) -> Result<Vec<String>, Problem> {
    use std::io::Read;
    let cannot = |error| Problem::io("cannot read the log", error);
    let mut text = Vec::new();
    match fs::File::open(&spec.log.file) {
        Ok(file) => file.take(LONGEST).read_to_end(&mut text).map_err(cannot)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(cannot(error)),
    };
    // It may hold a secret, such as the key of credentials.
    let _ = fs::remove_file(&spec.log.file);
    Ok(joined(&String::from_utf8_lossy(&text)))
}

/// Joins what the keeper split because it was long.
fn joined(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for raw in text.lines() {
        let (_, stream, text) = split(raw);
        match lines.last_mut() {
            Some(last) if matches!(stream, 'O' | 'E') => last.push_str(text),
            _ => lines.push(text.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_lines_are_whole_again() {
        assert_eq!(super::joined("1 o ab\n1 O cd\n2 e x\n"), ["abcd", "x"]);
    }
}
