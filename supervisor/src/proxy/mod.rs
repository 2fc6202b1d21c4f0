//! The front: requests from outside to an instance's socket or to the host's own service; HTTP/1.1, HTTP/2, WebSocket,
//! with and without TLS, streamed.
//!
//! Framing is hyper's on both sides: what a client sent is parsed, judged and written anew, so no byte of a
//! request reaches an instance as it came. A client connection's way to an instance is its own, never shared, so one
//! client can neither block nor see another.

mod accept;
pub mod access;
pub mod activation;
pub mod certificates;
mod clients;
mod exchange;
mod guard;
mod headers;
#[cfg(test)]
mod leaving;
mod listener;
mod page;
mod route;
mod serve;
mod shared;
pub mod table;
mod upload;
mod way;

pub use self::listener::{Door, Listening};
pub use self::route::{Asked, Route, Routes, SharedFile, Single, Target};
pub use self::serve::{Answers, Bounds, From, Front};
pub use self::upload::Upload;

pub use crate::instances::observed::Upstream;
