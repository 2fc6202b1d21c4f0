//! The network that is not there: every host answers, nothing leaves. Hosts that the generated configuration names speak
//! their protocol; all others answer with a canary, so that whatever is done with an answer shows.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::trace::{Origin, Peer, What};
use crate::world::World;
use crate::world::answers;
use crate::world::args::{Answer, Args, Fault, Reply};
use crate::world::protocols::Protocol;

/// The domain of the hosts that generated configurations name. No code of a package has it.
pub const CONFIGURED_DOMAIN: &str = "line3.example";
/// The network of the addresses that generated configurations name.
const CONFIGURED_NET: [u8; 3] = [192, 0, 2];
/// Bytes of what was sent before that are searched together with what is sent now.
const TAIL: usize = 2048;
/// Connections of one run.
const MOST_CONNECTIONS: usize = 2000;
/// Most bytes kept of one answer.
const MOST_BODY: usize = 1 << 20;

/// Connections and what is known of names.
#[derive(Default)]
pub(super) struct Network {
    connections: BTreeMap<u64, Connection>,
    bodies: BTreeMap<u64, Vec<u8>>,
    /// Names by the addresses that were given for them.
    names: BTreeMap<String, String>,
    next: u64,
}

struct Connection {
    peer: Peer,
    protocol: Protocol,
    tail: Vec<u8>,
}

impl Network {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A peer; an address is called by the name it was given for.
    fn peer(&self, protocol: &str, host: &str, port: u16) -> Peer {
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .trim_end_matches('.');
        let host = self
            .names
            .get(bare)
            .map_or(bare, String::as_str)
            .to_ascii_lowercase();
        Peer {
            protocol: protocol.to_owned(),
            configured: is_configured(&host),
            host,
            port,
        }
    }

    /// The address that a name gets; the same in every run.
    fn address(&mut self, name: &str) -> String {
        if name.parse::<std::net::IpAddr>().is_ok() {
            return name.to_owned();
        }
        if name == "localhost" {
            return "127.0.0.1".to_owned();
        }
        let last = name
            .bytes()
            .fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte))
            .clamp(20, 250);
        let [a, b, c] = if is_configured(name) {
            CONFIGURED_NET
        } else {
            [198, 51, 100]
        };
        let address = Ipv4Addr::new(a, b, c, last).to_string();
        self.names.insert(address.clone(), name.to_owned());
        address
    }
}

/// Whether the generated configuration may have named a host.
fn is_configured(host: &str) -> bool {
    let address = host.parse::<Ipv4Addr>().ok();
    host == CONFIGURED_DOMAIN
        || host
            .strip_suffix(CONFIGURED_DOMAIN)
            .is_some_and(|before| before.ends_with('.'))
        || address.is_some_and(|address| address.octets()[..3] == CONFIGURED_NET)
}

impl World {
    /// `net.connect{protocol,host,port,tls,insecure}`
    pub(super) fn net_connect(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let protocol = match args.text("protocol") {
            "" if args.flag("tls") => "tls",
            "" => "tcp",
            protocol => protocol,
        };
        let peer = self.network.peer(protocol, args.text("host"), args.port());
        if args.flag("insecure") {
            self.record(What::TlsInsecure { peer: peer.clone() }, origin.clone())?;
        }
        self.record(What::Connect { peer: peer.clone() }, origin)?;
        if !self.online() {
            return Ok(Err(Fault::new(
                "ECONNREFUSED",
                format!("connect ECONNREFUSED {}:{}", peer.host, peer.port),
            )));
        }
        if self.network.connections.len() >= MOST_CONNECTIONS {
            return Ok(Err(Fault::new("EMFILE", "too many open files")));
        }
        let id = self.network.id();
        let address = self.network.address(&peer.host);
        let mut speaker = Protocol::of_port(peer.port, protocol);
        let greeting = speaker.greeting();
        self.network.connections.insert(
            id,
            Connection {
                peer,
                protocol: speaker,
                tail: Vec::new(),
            },
        );
        Ok(Ok(
            json!({ "id": id, "answer": "open", "address": address, "deliver": delivery(&greeting) }).into(),
        ))
    }

    /// `net.send{id}` with bytes.
    pub(super) fn net_send(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let id = args.number("id");
        let bytes = args.body();
        let Some(mut connection) = self.network.connections.remove(&id) else {
            return Ok(Err(Fault::new("EPIPE", "write EPIPE")));
        };
        connection.tail.extend_from_slice(bytes);
        let payload = self.payload_with(bytes, &connection.tail);
        let peer = connection.peer.clone();
        self.record(What::Send { peer, payload }, origin)?;
        let answer = connection.protocol.answer(bytes);
        let cut = connection.tail.len().saturating_sub(TAIL);
        connection.tail.drain(..cut);
        self.network.connections.insert(id, connection);
        Ok(Ok(
            json!({ "deliver": delivery(&answer.parts), "close": answer.close }).into(),
        ))
    }

    /// `net.close{id}`
    pub(super) fn net_close(&mut self, args: &Args<'_>) -> Answer {
        self.network.connections.remove(&args.number("id"));
        Ok(Ok(Reply::Nothing))
    }

    /// `net.listen{protocol,host,port}`
    pub(super) fn net_listen(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let port = args.port();
        self.record(
            What::Listen {
                protocol: args.text("protocol").to_owned(),
                port,
                host: args.text("host").to_owned(),
            },
            origin,
        )?;
        let given = if port == 0 {
            49_152 + (self.network.id() % 10_000) as u16
        } else {
            port
        };
        Ok(Ok(json!({ "port": given }).into()))
    }

    /// `net.multicast{group}`
    pub(super) fn net_multicast(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let group = args.text("group").to_owned();
        self.record(What::Multicast { group }, origin)?;
        Ok(Ok(Reply::Nothing))
    }

    /// `dns.resolve{name,type}`
    pub(super) fn dns_resolve(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let name = args.text("name").to_ascii_lowercase();
        // A name that is asked for piece by piece is searched as a whole.
        self.asked
            .extend_from_slice(name.split('.').next().unwrap_or_default().as_bytes());
        let together = [name.as_bytes(), b"\n", &self.asked].concat();
        let payload = self.payload_with(name.as_bytes(), &together);
        let cut = self.asked.len().saturating_sub(TAIL);
        self.asked.drain(..cut);
        self.record(
            What::Resolve {
                name: name.clone(),
                payload,
            },
            origin,
        )?;
        if !self.online() && name != "localhost" {
            return Ok(Err(Fault::new(
                "ENOTFOUND",
                format!("getaddrinfo ENOTFOUND {name}"),
            )));
        }
        let addresses = match args.text("type") {
            "TXT" => json!([[answers::text()]]),
            "MX" => json!([{ "exchange": format!("mail.{name}"), "priority": 10 }]),
            "SRV" => json!([{ "name": name, "port": 443, "priority": 1, "weight": 1 }]),
            "AAAA" => json!([]),
            "PTR" => json!([self.network.peer("dns", &name, 0).host]),
            _ => json!([self.network.address(&name)]),
        };
        Ok(Ok(json!({ "addresses": addresses }).into()))
    }

    /// `http.request{method,url,headers,insecure}` with the body.
    pub(super) fn http_request(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let text = args.text("url");
        let Ok(url) = url::Url::parse(text) else {
            return Ok(Err(Fault::new("ERR_INVALID_URL", format!("Invalid URL: {text}"))));
        };
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(0);
        let peer = self.network.peer(url.scheme(), host, port);
        if args.flag("insecure") {
            self.record(What::TlsInsecure { peer: peer.clone() }, origin.clone())?;
        }
        self.record(What::Connect { peer: peer.clone() }, origin.clone())?;
        if !self.online() {
            return Ok(Err(Fault::new(
                "ECONNREFUSED",
                format!("connect ECONNREFUSED {host}:{port}"),
            )));
        }
        let sent = request_bytes(args, &url);
        let payload = self.payload(&sent);
        self.record(
            What::Send {
                peer: peer.clone(),
                payload,
            },
            origin,
        )?;
        let answer = answers::http(
            args.text("method"),
            &url,
            args.json("headers"),
            peer.configured,
            &self.conditions.country,
        );
        let (id, message) = (self.network.id(), answer.message());
        self.network.bodies.insert(id, answer.body);
        let address = self.network.address(&peer.host);
        Ok(Ok(json!({
            "id": id, "status": answer.status, "message": message, "headers": answer.headers, "address": address,
        })
        .into()))
    }

    /// `http.body{id}`
    pub(super) fn http_body(&mut self, args: &Args<'_>) -> Answer {
        let mut body = self.network.bodies.remove(&args.number("id")).unwrap_or_default();
        body.truncate(MOST_BODY);
        Ok(Ok(Reply::Bytes(body.into())))
    }

    fn online(&self) -> bool {
        self.conditions.online
    }
}

/// All of a request that leaves the machine.
fn request_bytes(args: &Args<'_>, url: &url::Url) -> Vec<u8> {
    let mut sent = format!("{} {url}\n", args.text("method")).into_bytes();
    for pair in args.json("headers").as_array().into_iter().flatten() {
        let [name, value] = [0, 1].map(|at| pair[at].as_str().unwrap_or_default());
        sent.extend_from_slice(format!("{name}: {value}\n").as_bytes());
    }
    // Name and password inside an address travel as a header.
    if let Some(password) = url.password() {
        sent.extend_from_slice(format!("{}:{password}\n", url.username()).as_bytes());
    }
    sent.push(b'\n');
    sent.extend_from_slice(args.body());
    sent
}

fn delivery(parts: &[Vec<u8>]) -> Value {
    parts
        .iter()
        .zip(1_u64..)
        .map(|(part, order)| json!({ "after_ms": order * 2, "base64": STANDARD.encode(part) }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_hosts() {
        for (host, expected) in [
            ("line3.example", true),
            ("broker.line3.example", true),
            ("line3.example.evil.example", false),
            ("evilline3.example", false),
            ("192.0.2.40", true),
            ("192.0.3.40", false),
            ("localhost", false),
        ] {
            assert_eq!(is_configured(host), expected, "{host}");
        }
    }

    #[test]
    fn addresses_lead_back_to_their_names() {
        let mut network = Network::default();
        let address = network.address("api.evil.example");
        assert_eq!(network.peer("tcp", &address, 1).host, "api.evil.example");
        let address = network.address("plc.line3.example");
        assert!(network.peer("tcp", &address, 1).configured);
    }
}
