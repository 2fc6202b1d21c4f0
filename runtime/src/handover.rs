//! Descriptors from one process to the one that takes its place: over a socket pair whose one end is the standard
//! input of the latter. Nothing is inherited by number, so nothing leaks into whatever else is started meanwhile.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::sys::descriptors;

/// Sends one descriptor and a byte that says what it is.
///
/// # Errors
/// The kernel's: `EPIPE` when the other end is gone.
pub fn send(socket: &UnixStream, kind: u8, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    descriptors::send(socket, &[kind], &[descriptor]).map(drop)
}

/// The next byte, with the descriptor that came with it, which is closed by `execve(2)`; `None` when the other end is
/// gone.
///
/// # Errors
/// The kernel's: `ENOTSOCK` when this is no socket.
pub fn receive(socket: &UnixStream) -> io::Result<Option<(u8, Option<OwnedFd>)>> {
    let mut kind = [0];
    let (read, descriptors) = descriptors::receive(socket, &mut kind)?;
    Ok((read == 1).then(|| (kind[0], descriptors.into_iter().next())))
}

/// Takes over the standard input, which the starter made one end of a socket pair, and puts `/dev/null` there. For the
/// first moments of a process.
///
/// # Errors
/// The kernel's.
pub fn take_standard_input() -> io::Result<UnixStream> {
    descriptors::take_standard_input().map(UnixStream::from)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn each_descriptor_comes_with_its_own_byte() {
        let (here, mut there) = UnixStream::pair().expect("a pair");
        let listeners = [0, 1].map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a listener"));
        for (kind, listener) in [b'a', b'b'].into_iter().zip(&listeners) {
            send(&here, kind, listener.as_fd()).expect("sent");
        }
        (&here).write_all(b".").expect("sent");
        for (kind, listener) in [b'a', b'b'].into_iter().zip(&listeners) {
            let (got, descriptor) = receive(&there).expect("received").expect("something");
            assert_eq!(got, kind);
            let passed = TcpListener::from(descriptor.expect("a descriptor"));
            let address = listener.local_addr().expect("an address");
            assert_eq!(passed.local_addr().expect("an address"), address);
            let mut client = TcpStream::connect(address).expect("connected");
            let (mut served, _) = passed.accept().expect("accepted");
            served.write_all(b"!").expect("sent");
            client.read_exact(&mut [0]).expect("received");
        }
        let mut end = [0];
        there.read_exact(&mut end).expect("the end");
        assert_eq!(&end, b".");
        drop(here);
        assert!(receive(&there).expect("an end").is_none());
    }
}
