//! A listening address and what stands in its door.

use std::sync::Arc;

use rustls::ServerConfig;

/// An address on which the front listens.
#[derive(Debug)]
pub struct Listening {
    /// The socket.
    pub listener: std::net::TcpListener,
    /// What stands in its door.
    pub door: Door,
}

/// What stands in a door.
#[derive(Clone, Debug)]
pub enum Door {
    /// HTTP/1.1 in clear.
    Plain,
    /// TLS, and in it HTTP/2 or HTTP/1.1.
    Tls(Arc<ServerConfig>),
}

impl Listening {
    /// One in clear.
    #[must_use]
    pub const fn plain(listener: std::net::TcpListener) -> Self {
        Self {
            listener,
            door: Door::Plain,
        }
    }
}
