//! `redhold dev`: arguments and their limits, then the session in `dev`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use runtime::units::{Bytes, CpuShare};
use serde_json::json;

use crate::cli::Global;
use crate::cli::output::{Output, Style, harmless};
use crate::cli::progress::Shown;
use crate::dev::{self, Ready, Said, Screen, Wish};
use crate::paths;
use crate::problem::Problem;
use crate::stacks::Stacks;
use crate::telemetry::line::{Level, Line};

const ABOUT: &str = "\
The folder is Node-RED's user directory: flows.json, package.json, and what the palette installs. Plain Node-RED \
runs it too: node-red --userDir DIR.

Node-RED sees this folder, its own program and nothing else of your files. It shares your network, so that flows \
reach your devices and the internet; the editor is reachable from this computer only.

Packages that the editor installs are vetted: what is refused within ten seconds is not installed, and what is known \
later is told here. `redhold npm install` in the folder does the same; an npm of your own does not.

Ctrl-C stops it and leaves nothing running; a second Ctrl-C does so at once. If this command itself is killed, \
Node-RED runs on, and the next `redhold dev` on the folder takes it over.";

const ENV_FILE: &str = "\
A file with variables for the flows, one NAME=value per line. Lines that begin with # are skipped. A value may \
stand in 'single quotes' (as it is) or \"double quotes\" (\\n, \\t, \\\" and \\\\ are understood). Nothing is \
expanded, and no value is ever printed.";

/// Run one isolated Node-RED on a project folder
#[derive(Debug, Args)]
#[command(after_long_help = ABOUT)]
pub struct Dev {
    /// The project folder, made if need be [default: the current one if it is empty or a project, else
    /// ~/redhold-project]
    folder: Option<PathBuf>,
    /// Port of the editor [default: 1880, or the next free one]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Version of Node-RED, as `redhold stack list` names it
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Most memory that Node-RED may use
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    memory: Bytes,
    /// Most processor time that Node-RED may use, in cores [default: no limit]
    #[arg(long, value_name = "CORES")]
    cpu: Option<CpuShare>,
    /// Import this Node-RED user directory into a new project first; it is only read
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Open the editor with the flows stopped
    #[arg(long)]
    safe: bool,
    /// Open the browser even where nobody seems to see it
    #[arg(long, overrides_with = "no_open")]
    open: bool,
    /// Open no browser
    #[arg(long)]
    no_open: bool,
    /// Variables for the flows, one NAME=value per line
    #[arg(long, value_name = "FILE", long_help = ENV_FILE)]
    env_file: Option<PathBuf>,
    /// Let flows run this computer's programs: /usr is shown to them, read-only
    #[arg(long)]
    host_tools: bool,
    /// Least grave lines of the log to show: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: Level,
}

/// Runs the command.
///
/// # Errors
/// When something is in the way, or Node-RED cannot go on.
pub fn run(command: &Dev, global: &Global, output: &Output) -> Result<(), Problem> {
    let data_dir = paths::data_dir(global.data_dir.as_deref())?;
    let stacks = Stacks::new(&data_dir);
    let wish = Wish {
        folder: command.folder.clone(),
        port: command.port,
        stack: command.stack.clone(),
        memory: command.memory,
        cpu: command.cpu,
        from: command.from.clone(),
        safe: command.safe,
        open: match (command.open, command.no_open) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        env_file: command.env_file.clone(),
        host_tools: command.host_tools,
        log_level: command.log_level,
        data_dir,
    };
    let terminal: Arc<dyn Screen> = Arc::new(Terminal(*output));
    let shown = Shown::new("Node-RED", output);
    dev::run(&wish, &stacks, &shown, &terminal)
}

/// The person's terminal, or, with `--json`, one object per line for a program.
pub(super) struct Terminal(pub(super) Output);

impl Screen for Terminal {
    fn show(&self, said: Said<'_>) {
        let output = &self.0;
        match said {
            Said::Note(text) if output.json() => output.event(&json!({ "event": "note", "text": text })),
            Said::Warning(text) if output.json() => {
                output.event(&json!({ "event": "warning", "text": text }));
            }
            Said::Log(line) if output.json() => output.event(&json!({
                "event": "log",
                "time_ms": line.time_ms,
                "level": line.level.name(),
                "node": line.node,
                "text": line.text,
            })),
            Said::Ready(ready) if output.json() => output.event(&json!({
                "event": "ready",
                "url": ready.url,
                "folder": ready.folder,
                "node_red": ready.node_red,
                "node": ready.node,
                "seconds": ready.seconds,
                "holds": ready.holds,
                "lacks": ready.lacks,
            })),
            Said::Note(text) => output.note(&output.paint_note(Style::Dim, &harmless_lines(text))),
            Said::Warning(text) => output.warning(&harmless_lines(text)),
            Said::Log(line) => self.line(line),
            Said::Ready(ready) => self.ready(ready),
        }
    }
}

impl Terminal {
    fn line(&self, line: &Line) {
        let output = &self.0;
        let style = match line.level {
            Level::Error => Style::Red,
            Level::Warn => Style::Yellow,
            Level::Info => Style::Green,
            Level::Debug | Level::Trace => Style::Dim,
        };
        let name = format!("{:<5}", line.level.name());
        let text = harmless(&line.text);
        let Some(time) = line.time_ms else {
            // A record's further lines stand under its text.
            output.line(&format!("               {text}"));
            return;
        };
        let node = line.node.as_ref().map_or_else(String::new, |node| {
            format!("{} ", output.paint(Style::Cyan, &harmless(node)))
        });
        let (time, name) = (output.paint(Style::Dim, &clock(time)), output.paint(style, &name));
        output.line(&format!("{time} {name} {node}{text}"));
    }

    fn ready(&self, ready: &Ready) {
        let output = &self.0;
        let row = |name: &str, text: &str| {
            output.note(&format!(
                "  {} {text}",
                output.paint_note(Style::Dim, &format!("{name:<8}"))
            ));
        };
        output.note("");
        output.note(&format!(
            "  {} {}",
            output.paint_note(Style::Bold, "Node-RED is ready at"),
            output.paint_note(Style::Cyan, &ready.url)
        ));
        row(
            "version",
            &format!(
                "{} on Node.js {}, {:.1} s",
                ready.node_red, ready.node, ready.seconds
            ),
        );
        row("folder", &ready.folder.display().to_string());
        row(
            "walls",
            &format!("{}; it shares your network", ready.holds.join(", ")),
        );
        if !ready.lacks.is_empty() {
            row(
                "lacking",
                &format!("{} (see `redhold doctor`)", ready.lacks.join(", ")),
            );
        }
        row("stop", "Ctrl-C");
        output.note("");
    }
}

/// The time of day here, as `HH:MM:SS`.
fn clock(time_ms: u64) -> String {
    let moment = i64::try_from(time_ms)
        .ok()
        .and_then(|time| Timestamp::from_millisecond(time).ok());
    moment
        .unwrap_or_default()
        .to_zoned(TimeZone::system())
        .strftime("%H:%M:%S")
        .to_string()
}

/// Harmless text that keeps its own line breaks.
fn harmless_lines(text: &str) -> String {
    text.lines().map(harmless).collect::<Vec<_>>().join("\n")
}
