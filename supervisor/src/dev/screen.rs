//! What `redhold dev` tells a person, as plain values: how it looks is decided where it is printed.

use std::path::PathBuf;

use crate::telemetry::line::Line;

/// Whoever shows it. Called from several threads.
pub trait Screen: Send + Sync {
    /// Shows one thing.
    fn show(&self, said: Said<'_>);
}

/// One thing to show.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// Something said along the way.
    Note(&'a str),
    /// Something that works less well than it could.
    Warning(&'a str),
    /// A line of Node-RED's log, filtered already.
    Log(&'a Line),
    /// Flows run.
    Ready(&'a Ready),
}

/// Flows run: where, and behind which walls.
#[derive(Clone, Debug)]
pub struct Ready {
    /// What a person opens.
    pub url: String,
    /// The project.
    pub folder: PathBuf,
    /// Version of Node-RED.
    pub node_red: String,
    /// Version of Node.js.
    pub node: String,
    /// Seconds from the command to now.
    pub seconds: f64,
    /// The walls and limits that hold.
    pub holds: Vec<String>,
    /// What this machine does not give, or only in a lesser form.
    pub lacks: Vec<String>,
}
