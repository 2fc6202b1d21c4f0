//! What instances and the host say about themselves: lines of logs, figures.

pub mod exposition;
pub mod journal;
pub mod line;
pub mod logs;
