//! Requests that are none.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use test_support::host::Host;

use super::hello;

#[test]
fn ten_thousand_malformed_requests_hurt_nobody() {
    let host = Host::start();
    host.create("pump", &hello(), &json!({}));
    let templates: [&[u8]; 16] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /run HTTP/1.1\r\nhost: pump.localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /run HTTP/1.1\r\nhost: pump.localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
        b"POST /run HTTP/1.1\r\nhost: pump.localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /run HTTP/1.1\r\nhost: pump.localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /run HTTP/1.1\r\nhost: pump.localhost\r\ntransfer-encoding: chunked, identity\r\n\r\n",
        b"GET /run HTTP/9.9\r\nhost: pump.localhost\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: pump.localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nhost: pump.localhost\r\n\r\n",
        b"CONNECT pump.localhost:443 HTTP/1.1\r\nhost: pump.localhost\r\n\r\n",
        b"GET /run HTTP/1.1\r\nhost: pump.localhost\r\n folded: x\r\n\r\n",
        b"GET /run HTTP/1.1\r\nhost: pump.localhost\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
        b"GET /run HTTP/1.1\nhost: pump.localhost\n\n",
    ];
    // A generator that repeats: a failure can be looked at.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    for number in 0..10_000 {
        let mut bytes = templates[number % templates.len()].to_vec();
        // The plain ones first, then with bytes changed, cut and doubled.
        if number >= templates.len() {
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = u8::try_from(random(256)).expect("a byte"),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, bytes[at]),
                }
            }
        }
        let mut stream = TcpStream::connect(("127.0.0.1", host.port())).expect("it accepts");
        stream
            .set_read_timeout(Some(Duration::from_millis(3)))
            .expect("a timeout");
        // It may hang up at any byte.
        let _ = stream.write_all(&bytes);
        let _ = stream.read(&mut [0; 512]);
    }
    assert_eq!(host.get("pump", "/run").expect("an answer").status, 200);
    assert!(!host.said().contains("panicked"), "{}", host.said());
    assert_eq!(
        host.events("pump")
            .iter()
            .filter(|event| event.starts_with("started"))
            .count(),
        1
    );
}
