//! Where a request goes, by its host and its path.

use std::path::PathBuf;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use tokio::sync::watch;

use super::{Upstream, guard};

/// What decides it; asked for every request, so it must be quick.
pub trait Routes: Send + Sync + 'static {
    /// Where a request goes.
    fn find(&self, asked: &Asked<'_>) -> Route;
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The host that the request names, in lower case and perhaps with a port.
    pub host: Option<&'a str>,
    /// Its path.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub enum Route {
    /// To an instance.
    To(Target),
    /// To a file that an instance shares, whether it runs or not.
    Shared(SharedFile),
    /// To the host's own service.
    Local,
    /// To the same address with TLS.
    Secure,
    /// To an authority that asks whether the name leads here: what it wants to read.
    Proof(String),
    /// To another path of the same host.
    Redirect(String),
    /// Nowhere.
    Refused {
        /// What the client gets.
        status: StatusCode,
        /// In a few words.
        title: &'static str,
        /// For a person.
        detail: String,
        /// A challenge for `WWW-Authenticate`.
        challenge: Option<&'static str>,
    },
}

/// An instance.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is now.
    pub upstream: watch::Receiver<Upstream>,
    /// What vouches for whoever asks, where that is known.
    pub voucher: Option<HeaderValue>,
    /// What the instance does not see of the path, for one that is addressed by a path.
    pub prefix: Option<String>,
    /// `Authorization` carries a token of the host or of an instance's endpoints, which is nothing for flows.
    pub token: bool,
    /// The policy that says whose pages may show the answer in a frame.
    pub frames: Option<HeaderValue>,
}

/// A file in the storage of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// The folder of the storage.
    pub storage: PathBuf,
    /// The shared folder in it.
    pub folder: String,
    /// The rest of the path, as it stands in the address.
    pub path: String,
}

/// One instance on the loopback address, for whoever sits at this machine.
#[derive(Debug)]
pub struct Single(pub watch::Receiver<Upstream>);

impl Routes for Single {
    fn find(&self, asked: &Asked<'_>) -> Route {
        match guard::loopback(asked.host) {
            Ok(()) => Route::To(Target {
                upstream: self.0.clone(),
                voucher: None,
                prefix: None,
                token: false,
                frames: None,
            }),
            Err(refusal) => Route::Refused {
                status: refusal.status,
                title: "Not allowed",
                detail: refusal.reason,
                challenge: None,
            },
        }
    }
}
