//! The front: requests from a browser to an instance's socket, HTTP and WebSocket, streamed.
//!
//! Framing is hyper's on both sides: what a client sent is parsed, judged and written anew, so no byte of a
//! request reaches an instance as it came. Each client connection has at most one connection of its own to the
//! instance, never shared, so one client can neither block nor see another.

mod exchange;
mod guard;
mod headers;
mod page;
mod serve;

pub use self::serve::{Bounds, Front};

use std::path::PathBuf;

/// Where the requests go now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// The instance is on its way: requests wait.
    Starting,
    /// Its flows run; it accepts on this unix socket.
    Ready(PathBuf),
    /// Nothing runs. A person reads why.
    Down {
        /// In a few words.
        title: String,
        /// What to do, or what happens next.
        detail: String,
    },
}
