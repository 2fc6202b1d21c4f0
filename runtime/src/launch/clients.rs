//! The control socket: who asks, what they ask, and what they are told.
//!
//! Only root and the keeper's own user are heard. Nobody is waited for: a connection that sends too much is closed, and
//! a subscriber that does not keep up misses messages of the program, which are many and untrusted, but none of the
//! keeper's own, which are few.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Serialize;

use crate::error::or_absent;
use crate::record::{CONTROL_SOCKET, Reply, Request};

/// More connections than the host's few services make; further ones are turned away.
const MOST: usize = 32;
/// Longest request.
const LONGEST: usize = 4096;
/// Most that waits for one connection beyond what the kernel holds (some two hundred kilobytes): a message of the
/// program and a good number of events.
const MOST_UNSENT: usize = 128 * 1024;

/// The socket and its connections.
pub(crate) struct Clients {
    listener: UnixListener,
    connected: Vec<Client>,
}

struct Client {
    stream: UnixStream,
    line: Vec<u8>,
    /// What the kernel did not take yet: at most one message of the program, and events of the keeper.
    unsent: Vec<u8>,
    subscribed: bool,
    gone: bool,
}

impl Clients {
    /// Listens in the run directory. The path goes over `/proc` because a socket's path ends at 107 bytes.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn listen(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let path = socket_path(directory);
        or_absent(std::fs::remove_file(&path))?;
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            connected: Vec::new(),
        })
    }

    /// What to poll, and whether for writing too: the listener, then each connection.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        let connections = self
            .connected
            .iter()
            .map(|client| (client.stream.as_fd(), !client.unsent.is_empty()));
        std::iter::once((self.listener.as_fd(), false)).chain(connections)
    }

    /// Whether somebody has not taken everything yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.connected
            .iter()
            .any(|client| !client.unsent.is_empty() && !client.gone)
    }

    /// Sends what waits, as far as the kernel takes it.
    pub(crate) fn flush(&mut self) {
        for client in &mut self.connected {
            client.flush();
        }
    }

    /// Takes in whoever waits.
    pub(crate) fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let own = nix::unistd::geteuid().as_raw();
            let allowed =
                getsockopt(&stream, PeerCredentials).is_ok_and(|peer| peer.uid() == own || peer.uid() == 0);
            if !allowed || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut client = Client {
                stream,
                line: Vec::new(),
                unsent: Vec::new(),
                subscribed: false,
                gone: false,
            };
            if self.connected.len() < MOST {
                self.connected.push(client);
            } else {
                client.send(&Reply::Failed {
                    message: format!("{MOST} connections are open already"),
                });
            }
        }
    }

    /// Reads connection `number`; every request in turn goes to `answer`, which gives the line to send back.
    pub(crate) fn read(&mut self, number: usize, mut answer: impl FnMut(Request) -> io::Result<Vec<u8>>) {
        let Some(client) = self.connected.get_mut(number) else {
            return;
        };
        let mut buffer = [0; LONGEST];
        match client.stream.read(&mut buffer) {
            Ok(0) => client.gone = true,
            Ok(count) => client.line.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => client.gone = true,
        }
        while let Some(end) = client.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = client.line.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Request::Subscribe) => {
                    client.subscribed = true;
                    match answer(Request::Subscribe) {
                        Ok(line) => client.send_line(&line),
                        Err(_) => client.gone = true,
                    }
                }
                Ok(request) => match answer(request) {
                    Ok(line) => client.send_line(&line),
                    Err(error) => client.send(&Reply::Failed {
                        message: error.to_string(),
                    }),
                },
                Err(error) => client.send(&Reply::Failed {
                    message: format!("not a request: {error}"),
                }),
            }
        }
        client.gone |= client.line.len() > LONGEST;
    }

    /// Tells every subscriber of something that the keeper knows.
    pub(crate) fn publish(&mut self, event: &impl Serialize) {
        self.tell(event, true);
    }

    /// Passes a message of the program on to every subscriber that keeps up.
    pub(crate) fn pass_on(&mut self, message: &impl Serialize) {
        self.tell(message, false);
    }

    fn tell(&mut self, event: &impl Serialize, must: bool) {
        if !self.connected.iter().any(|client| client.subscribed) {
            return;
        }
        if let Ok(line) = line(event) {
            for client in self.connected.iter_mut().filter(|client| client.subscribed) {
                client.flush();
                if must || client.unsent.is_empty() {
                    client.send_line(&line);
                }
            }
        }
    }

    /// Forgets the connections that ended.
    pub(crate) fn sweep(&mut self) {
        self.connected.retain(|client| !client.gone);
    }
}

impl Client {
    fn send(&mut self, message: &impl Serialize) {
        match line(message) {
            Ok(line) => self.send_line(&line),
            Err(_) => self.gone = true,
        }
    }

    fn send_line(&mut self, line: &[u8]) {
        self.unsent.extend_from_slice(line);
        self.flush();
        self.gone |= self.unsent.len() > MOST_UNSENT;
    }

    fn flush(&mut self) {
        while !self.unsent.is_empty() && !self.gone {
            match self.stream.write(&self.unsent) {
                Ok(count @ 1..) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => self.gone = true,
            }
        }
        self.unsent.shrink_to(0);
    }
}

/// A message as it goes over the socket.
///
/// # Errors
/// None for the types of `record`.
pub(crate) fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// The socket of a run directory, short whatever the directory is called.
pub(crate) fn socket_path(directory: BorrowedFd<'_>) -> std::path::PathBuf {
    use std::os::fd::AsRawFd;
    Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(CONTROL_SOCKET)
}

/// Opens a run directory, for [`socket_path`] and for the lock of the keeper.
///
/// # Errors
/// The kernel's.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    use nix::fcntl::{OFlag, open};
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    Ok(open(path, flags, nix::sys::stat::Mode::empty())?)
}
