//! A blocking WebSocket client, and a server that answers what it hears.

use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::{Error, Message};

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket(tungstenite::WebSocket<TcpStream>);

impl WebSocket {
    /// Opens `ws://host:port/path` with extra headers.
    ///
    /// # Errors
    /// When the far side refuses, in words with the status.
    ///
    /// # Panics
    /// When the URL or a header is no such thing.
    pub fn open(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, String> {
        let mut request = url.into_client_request().expect("a WebSocket URL");
        let authority = request.uri().authority().expect("a URL with a host").to_string();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header value");
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        let stream = TcpStream::connect(authority).map_err(|error| error.to_string())?;
        let timeout = Some(Duration::from_secs(20));
        stream
            .set_read_timeout(timeout)
            .map_err(|error| error.to_string())?;
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
                Err(format!("refused with {}", response.status().as_u16()))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends a text.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, text: &str) -> Result<(), String> {
        self.0
            .send(Message::text(text))
            .map_err(|error| error.to_string())
    }

    /// The next text within `patience`; pings are answered on the way.
    ///
    /// # Errors
    /// When none came, or the connection is gone.
    pub fn next(&mut self, patience: Duration) -> Result<String, String> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("nothing within {patience:?}"));
            }
            let timed = self.0.get_ref().set_read_timeout(Some(left));
            timed.map_err(|error| error.to_string())?;
            match self.0.read() {
                Ok(Message::Text(text)) => return Ok(text.to_string()),
                Ok(Message::Close(_)) => return Err("closed".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// The first text that `wanted` accepts.
    ///
    /// # Errors
    /// When none came within `patience`, or the connection is gone.
    pub fn until(&mut self, patience: Duration, wanted: impl Fn(&str) -> bool) -> Result<String, String> {
        let deadline = Instant::now() + patience;
        loop {
            let text = self.next(deadline.saturating_duration_since(Instant::now()))?;
            if wanted(&text) {
                return Ok(text);
            }
        }
    }
}

/// Answers every message with itself, each connection in a thread of its own, until the process ends.
///
/// # Panics
/// When the kernel gives no connection or no thread.
pub fn echo(listener: &UnixListener) -> ! {
    loop {
        let (stream, _) = listener.accept().expect("a connection");
        // Ends with its client.
        let serve = move || -> Option<()> {
            let mut socket = tungstenite::accept(stream).ok()?;
            loop {
                let message = socket.read().ok()?;
                if message.is_text() || message.is_binary() {
                    socket.send(message).ok()?;
                }
            }
        };
        let thread = thread::Builder::new().stack_size(128 << 10);
        thread.spawn(serve).expect("a thread");
    }
}
