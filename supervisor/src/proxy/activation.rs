//! Sockets that a service manager opened and passed on (`sd_listen_fds(3)`): connections wait in them while the host is
//! started again, and it needs no right to low ports.
//!
//! They are told apart by name (`FileDescriptorName=`, `systemd.socket(5)`): `http` in clear, `https` with TLS.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use crate::config::{Config, Tls};
use crate::problem::{Code, Problem};

/// Listening sockets that were passed on, by what is to stand in their door.
#[derive(Debug, Default)]
pub struct Given {
    /// In clear.
    pub http: Vec<TcpListener>,
    /// With TLS.
    pub https: Vec<TcpListener>,
}

impl Given {
    /// Takes what was passed on; nothing where nobody passed anything. To be called once, before the first thread: it
    /// takes the variables that tell of them out of the environment.
    ///
    /// # Errors
    /// [`Code::Usage`] when one has another name, or is no listening TCP socket.
    pub fn take() -> Result<Self, Problem> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self::sort(ListenFd::from_env(), &names)
    }

    fn sort(mut passed: ListenFd, names: &str) -> Result<Self, Problem> {
        let mut given = Self::default();
        let mut names = names.split(':');
        for at in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            let to = match name {
                "http" => &mut given.http,
                "https" => &mut given.https,
                other => {
                    let message = format!("the service manager passed a socket with the name `{other}`");
                    return Err(Problem::new(Code::Usage, message)
                        .hint("set FileDescriptorName=http or https in its socket unit"));
                }
            };
            let taken = passed.take_tcp_listener(at).and_then(|listener| {
                // Connected sockets (`Accept=yes`) have an address too, but nobody can accept on them.
                let listens = |listener: &TcpListener| {
                    nix::sys::socket::getsockopt(listener, nix::sys::socket::sockopt::AcceptConn)
                };
                match listener {
                    Some(listener) if listens(&listener)? => Ok(Some(listener)),
                    _ => Err(std::io::Error::other("it does not listen")),
                }
            });
            match taken {
                Ok(listener) => to.extend(listener),
                Err(error) => {
                    let message =
                        format!("the socket `{name}` that the service manager passed cannot be used");
                    return Err(Problem::new(Code::Usage, message)
                        .because(error)
                        .hint("its socket unit needs ListenStream= with a port, and Accept=no"));
                }
            }
        }
        Ok(given)
    }

    /// Puts the addresses of what was passed on in the place of the configuration's.
    ///
    /// # Errors
    /// [`Code::Usage`] when there is a socket for TLS, but TLS is off.
    pub fn replace(&self, config: &mut Config) -> Result<(), Problem> {
        if config.tls == Tls::Off && !self.https.is_empty() {
            let message = "the service manager passed a socket for TLS, but `tls` is off";
            return Err(Problem::new(Code::Usage, message)
                .hint("systemctl disable --now redhold-https.socket, or choose a mode other than off"));
        }
        for (passed, named) in [(&self.http, &mut config.http), (&self.https, &mut config.https)] {
            if !passed.is_empty() {
                *named = addresses(passed)
                    .map_err(|error| Problem::io("cannot ask for a socket's address", error))?;
            }
        }
        Ok(())
    }
}

fn addresses(listeners: &[TcpListener]) -> std::io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}
