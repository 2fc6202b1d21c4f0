//! A small npm registry on the loopback device that serves what it is given and misbehaves when it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::eventually::let_pass;
use crate::package::Packed;

/// How a path misbehaves. `times` counts down; afterwards the path behaves.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers with a status instead.
    Status {
        /// The status.
        status: u16,
        /// How often.
        times: usize,
    },
    /// Closes the connection after so many bytes of the body.
    HangUp {
        /// Bytes of the body that still come.
        after: usize,
        /// How often.
        times: usize,
    },
    /// Sends the reader elsewhere.
    Redirect {
        /// The address.
        to: String,
    },
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    /// The target as written: a path, or a whole address when this server is used as a proxy.
    pub target: String,
    /// The headers, names in small letters.
    pub headers: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    archives: BTreeMap<String, Vec<u8>>,
    documents: BTreeMap<String, String>,
    faults: BTreeMap<String, Fault>,
    requests: Vec<Request>,
    token: Option<String>,
    ranges: bool,
    down: bool,
    /// Pause between pieces of 4 KiB.
    pause: Duration,
}

/// A running registry. Its thread ends with the process of the test.
pub struct Registry {
    address: SocketAddr,
    secure: bool,
    state: Arc<Mutex<State>>,
}

/// The certificate of a registry that speaks TLS.
pub struct Secure {
    /// The registry.
    pub registry: Registry,
    /// Its certificate, which nobody trusts unless told to.
    pub certificate: String,
}

impl Registry {
    /// A registry with nothing in it, on a free port.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start() -> Self {
        Self::serve(None)
    }

    /// The same with TLS, for `localhost`.
    ///
    /// # Panics
    /// When no certificate can be made.
    #[must_use]
    pub fn start_secure() -> Secure {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Secure {
            registry: Self::serve(Some(Arc::new(config))),
            certificate: made.cert.pem(),
        }
    }

    fn serve(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            ranges: true,
            ..State::default()
        }));
        let (shared, secure) = (state.clone(), tls.is_some());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, tls) = (shared.clone(), tls.clone());
                // A reader that went away is what some tests are about.
                thread::spawn(move || match tls {
                    Some(config) => {
                        if let Ok(session) = rustls::ServerConnection::new(config) {
                            let mut stream = rustls::StreamOwned::new(session, stream);
                            let _ = answer(&mut stream, &state, false);
                            stream.conn.send_close_notify();
                            let _ = stream.flush();
                        }
                    }
                    None => drop(plain(stream, &state)),
                });
            }
        });
        Self {
            address,
            secure,
            state,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Its address, with a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        let (scheme, host) = if self.secure {
            ("https", "localhost".to_owned())
        } else {
            ("http", self.address.ip().to_string())
        };
        format!("{scheme}://{host}:{}/", self.address.port())
    }

    /// The key under which npm keeps credentials for it: `//127.0.0.1:4873/`.
    #[must_use]
    pub fn key(&self) -> String {
        let url = self.url();
        url.split_once(':')
            .map_or_else(String::new, |(_, rest)| rest.to_owned())
    }

    /// Offers a package at the usual address.
    pub fn publish(&self, package: &Packed) {
        let path = tarball_path(package);
        self.publish_at(package, &path);
    }

    /// Offers a package at another address; its metadata says where.
    pub fn publish_at(&self, package: &Packed, path: &str) {
        let tarball = format!("{}{}", self.url(), path.trim_start_matches('/'));
        // As registries do, the whole package.json with where the archive is.
        let mut version = package.manifest.clone();
        version["name"] = json!(package.name);
        version["version"] = json!(package.version);
        version["dist"] = json!({ "tarball": tarball, "integrity": package.integrity() });
        let document = json!({
            "name": package.name, "dist-tags": { "latest": package.version },
            "versions": { package.version.clone(): version },
        });
        let mut state = self.state();
        state.archives.insert(path.to_owned(), package.bytes.clone());
        state.documents.insert(
            format!("/{}", package.name.replace('/', "%2f")),
            document.to_string(),
        );
    }

    /// Makes a package's archive misbehave.
    pub fn fault(&self, package: &Packed, fault: Fault) {
        self.state().faults.insert(tarball_path(package), fault);
    }

    /// Makes everything misbehave in no way any more.
    pub fn behave(&self) {
        self.state().faults.clear();
    }

    /// Answers only to this `Authorization: Bearer` from now on.
    pub fn require_token(&self, token: &str) {
        self.state().token = Some(token.to_owned());
    }

    /// Takes connections and says nothing from now on.
    pub fn hang_up(&self) {
        self.state().down = true;
    }

    /// Ignores `Range` from now on.
    pub fn without_ranges(&self) {
        self.state().ranges = false;
    }

    /// Waits between pieces of 4 KiB from now on.
    pub fn slow(&self, pause: Duration) {
        self.state().pause = pause;
    }

    /// What was asked so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        self.state().requests.clear();
    }
}

/// Where npm looks for an archive.
#[must_use]
pub fn tarball_path(package: &Packed) -> String {
    let base = package.name.rsplit('/').next().unwrap_or_default();
    format!("/{}/-/{base}-{}.tgz", package.name, package.version)
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plain connections may stay open for several requests, as real registries' do.
fn plain(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while answer(&mut stream, state, true)? {}
    Ok(())
}

/// One request; whether another may follow.
fn answer(stream: &mut (impl Read + Write), state: &Mutex<State>, keep: bool) -> std::io::Result<bool> {
    let Some(request) = read_request(stream)? else {
        return Ok(false);
    };
    if locked(state).down {
        return Ok(false);
    }
    // As a proxy it is given whole addresses and serves its own archives for every host.
    let path = match request.target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
        None => request.target.clone(),
    };
    let range = request.headers.get("range").and_then(|text| {
        text.strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse::<usize>()
            .ok()
    });
    let (fault, archive, document, allowed, ranges, pause) = {
        let mut state = locked(state);
        let authorization = request.headers.get("authorization");
        let allowed = state
            .token
            .as_ref()
            .is_none_or(|token| authorization == Some(&format!("Bearer {token}")));
        state.requests.push(request);
        let fault = take_fault(&mut state, &path);
        (
            fault,
            state.archives.get(&path).cloned(),
            state.documents.get(&path).cloned(),
            allowed,
            state.ranges,
            state.pause,
        )
    };
    let mut body_limit = usize::MAX;
    match fault {
        Some(Fault::Status { status, .. }) => return short(stream, status, "", keep),
        Some(Fault::Redirect { to }) => return short(stream, 302, &format!("Location: {to}\r\n"), keep),
        Some(Fault::HangUp { after, .. }) => body_limit = after,
        None => {}
    }
    if !allowed {
        return short(stream, 401, "", keep);
    }
    let Some(body) = archive.or_else(|| document.map(String::into_bytes)) else {
        return short(stream, 404, "", keep);
    };
    let from = range.filter(|from| ranges && *from > 0);
    if from.is_some_and(|from| from >= body.len()) {
        return short(stream, 416, "", keep);
    }
    let part = &body[from.unwrap_or(0)..];
    let head = match from {
        Some(from) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\n",
            body.len() - 1,
            body.len()
        ),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let connection = if keep { "keep-alive" } else { "close" };
    let head = format!(
        "{head}Content-Length: {}\r\nConnection: {connection}\r\n\r\n",
        part.len()
    );
    stream.write_all(head.as_bytes())?;
    let whole = body_limit >= part.len();
    for piece in part[..part.len().min(body_limit)].chunks(4096) {
        stream.write_all(piece)?;
        stream.flush()?;
        if !pause.is_zero() {
            let_pass(pause);
        }
    }
    Ok(keep && whole)
}

fn take_fault(state: &mut State, path: &str) -> Option<Fault> {
    let fault = state.faults.get_mut(path)?;
    match fault {
        Fault::Status { times, .. } | Fault::HangUp { times, .. } => {
            if *times == 0 {
                return None;
            }
            *times -= 1;
        }
        Fault::Redirect { .. } => {}
    }
    Some(fault.clone())
}

fn short(stream: &mut impl Write, status: u16, headers: &str, keep: bool) -> std::io::Result<bool> {
    let connection = if keep { "keep-alive" } else { "close" };
    let text =
        format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: 0\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(text.as_bytes())?;
    stream.flush()?;
    Ok(keep)
}

/// Reads a request without a body; none when the connection ends before one.
fn read_request(stream: &mut impl Read) -> std::io::Result<Option<Request>> {
    // Byte by byte at the end: what follows belongs to the next request.
    let mut reader = BufReader::with_capacity(1, stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some(Request { target, headers }));
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}
