//! Many people at once.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use test_support::host::{Host, SOON};

use super::{echo, echoing};

/// WebSockets that are open together.
const HELD: usize = 1000;

#[test]
fn a_thousand_websockets_are_held_and_heard() {
    let host = Host::start();
    host.create("pump", &echoing(), &json!({ "env": { "WHO": "you" } }));
    // The clients' ends are here, and shells give 1024 descriptors to begin with. The host helps itself.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of open files");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a limit");
    let mut sockets: Vec<_> = (0..HELD).map(|_| echo(host.port())).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.send(&format!("from {number}")).expect("sent");
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        let heard = socket.next(SOON);
        assert_eq!(heard.as_deref(), Ok(format!("from {number}").as_str()));
    }
    let hello = host.get("pump", "/run").expect("an answer beside them");
    assert_eq!(hello.text(), "hello you");
}
