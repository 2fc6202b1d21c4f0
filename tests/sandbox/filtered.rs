//! What a program reaches through the cable of a network of its own, in a world made for each test: the host is a
//! network namespace of the test's thread, with another one behind it for the rest of the world.
//!
//! Needs root, `ip` and `nft`; where they are missing the one thing to see is the refusal.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use runtime::process::{Adopted, adopt};
use runtime::record::Strength;
use runtime::sandbox::forwarding;
use runtime::spec::Network;
use runtime::traffic::{Ends6, Filtered, Protocol, Publish, Range};
use test_support::eventually::eventually;
use test_support::world::{able, can, left, sh, world};

use crate::support::{Cell, chain};

const SOON: Duration = Duration::from_secs(20);

/// Tries every place of `PLACES`, then says how it went; `udp` sends and waits for an echo, a name is looked up.
pub(crate) const TRY: &str = "
const net = require('net'), dgram = require('dgram'), dns = require('dns');
const tcp = (host, port) => new Promise(go => {
  const s = net.connect({ host, port, family: host.includes(':') ? 6 : 4 });
  s.on('data', d => { go(String(d)); s.destroy(); }).on('error', e => go(e.code));
  setTimeout(() => go('silence'), 3000).unref();
});
const udp = (host, port) => new Promise(go => {
  const s = dgram.createSocket('udp4');
  s.on('message', d => go(String(d))).on('error', e => go(e.code));
  s.connect(port, host, () => s.send('x'));
  setTimeout(() => go('silence'), 1500);
});
(async () => {
  for (const place of process.env.PLACES.split(' ')) {
    const [, six, four, port, kind] = place.match(/^(?:\\[(.*)\\]|([^:/]*))(?::(\\d+))?(?:\\/(.*))?$/);
    const host = six ?? four;
    const how = port ? await (kind ? udp : tcp)(host, Number(port))
      : kind === 'txt' ? await dns.promises.resolveTxt(host).then(a => a.join(), e => e.code)
      : await dns.promises.lookup(host, kind ? 6 : 4).then(a => a.address, e => e.code);
    console.log(place, how);
  }
  process.exit(0);
})();";

/// Serves a word at 7 until it is killed.
const SERVE: &str = "
require('net').createServer(s => s.end('inside')).listen(7);
const u = require('dgram').createSocket('udp4');
u.on('message', (m, from) => u.send('inside', from.port, from.address)).bind(7);
setTimeout(() => {}, 1e6);";

pub(crate) fn filtered(number: u32, allow: &[&str], publish: &[Publish]) -> Network {
    let pool: Range = "100.96.0.0/12".parse().unwrap();
    let (gateway, address) = pool.pair(number).unwrap();
    let pool6: Range = "fd00:1::/64".parse().unwrap();
    let ends = pool6.pair6(number).unwrap();
    Network::Filtered(Filtered {
        number,
        gateway,
        address,
        pool,
        v6: Some(Ends6 {
            gateway: ends.0,
            address: ends.1,
            pool: pool6,
        }),
        deny: vec![
            "10.66.0.0/16".parse().unwrap(),
            "2001:db8:66::/48".parse().unwrap(),
        ],
        allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
        publish: publish.to_vec(),
        hosts: None,
    })
}

/// At `*` of both protocols.
fn port(address: &str, port: u16, protocol: Protocol) -> Publish {
    Publish {
        address: address.parse().ok(),
        port,
        to: 7,
        protocol,
    }
}

/// What a program with this list finds at these places.
fn tries(number: u32, allow: &[&str], places: &[&str]) -> String {
    let mut cell = Cell::new(TRY);
    cell.spec.network = filtered(number, allow, &[]);
    cell.spec.program.env.push(("PLACES".into(), places.join(" ")));
    cell.run().ok()
}

/// What a client of the host hears from a port.
fn hears(at: SocketAddr) -> Result<String, String> {
    let mut stream = TcpStream::connect_timeout(&at, SOON).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    Ok(text)
}

#[test]
fn only_what_is_named_is_reached() {
    if !can("only_what_is_named_is_reached") {
        return;
    }
    world();
    // A rule of the host's own, which must be there afterwards as it was before.
    sh(
        "nft add table inet own; nft 'add chain inet own c { type filter hook forward priority 0; policy accept; }'",
    );
    let before = left();
    let here = TcpListener::bind("0.0.0.0:1000").unwrap();
    let places = [
        "198.18.0.2:1000",
        "198.18.0.2:1001",
        "198.18.0.2:1000/udp",
        "198.18.0.1:1000",
        "100.96.0.2:1000",
        "127.0.0.1:1000",
        "169.254.169.254:1000",
    ];
    assert_eq!(
        tries(1, &["198.18.0.2:1000"], &places),
        "198.18.0.2:1000 world 1000\n198.18.0.2:1001 ECONNREFUSED\n198.18.0.2:1000/udp ECONNREFUSED\n\
        198.18.0.1:1000 ECONNREFUSED\n100.96.0.2:1000 ECONNREFUSED\n127.0.0.1:1000 ECONNREFUSED\n\
        169.254.169.254:1000 ECONNREFUSED\n"
    );
    assert_eq!(left(), before);
    // A block, and everything, hold neither the host nor what is nobody's.
    for list in ["*:1000", "0.0.0.0/0:1000"] {
        assert_eq!(
            tries(1, &[list, "198.18.0.2:1000/udp"], &places),
            "198.18.0.2:1000 world 1000\n198.18.0.2:1001 ECONNREFUSED\n198.18.0.2:1000/udp world\n\
            198.18.0.1:1000 ECONNREFUSED\n100.96.0.2:1000 ECONNREFUSED\n127.0.0.1:1000 ECONNREFUSED\n\
            169.254.169.254:1000 ECONNREFUSED\n"
        );
    }
    // What is named one by one is reached, the host's own included.
    let greet = std::thread::spawn(move || here.accept().unwrap().0.write_all(b"host").unwrap());
    assert_eq!(
        tries(
            1,
            &["198.18.0.1:1000", "169.254.169.254:1000"],
            &["198.18.0.1:1000", "169.254.169.254:1000"]
        ),
        "198.18.0.1:1000 host\n169.254.169.254:1000 world 1000\n"
    );
    greet.join().unwrap();
    assert_eq!(left(), before);
}

#[test]
fn everything_outside_is_reached_and_nothing_of_the_host() {
    if !can("everything_outside_is_reached_and_nothing_of_the_host") {
        return;
    }
    world();
    let _here = TcpListener::bind("[::]:1000").unwrap();
    let neighbour = {
        let mut cell = Cell::new(SERVE);
        cell.spec.network = filtered(2, &["*"], &[]);
        (
            cell.start().unwrap_or_else(|error| panic!("{}", chain(&error))),
            cell,
        )
    };
    let said = [
        ("198.18.0.2:1000", "world 1000"),
        ("198.18.0.2:1001", "world 1001"),
        ("198.18.0.2:1000/udp", "world"),
        ("[2001:db8::2]:1000", "world 1000"),
        ("broker.example", "10.1.2.3"),
        ("broker.example/6", "2001:db8:1::3"),
        ("broker.example/txt", "told"),
        ("broker.example:1000", "world 1000"),
        // The host, by each of its addresses, and by the cable's end.
        ("198.18.0.1:1000", "ECONNREFUSED"),
        ("[2001:db8::1]:1000", "ECONNREFUSED"),
        ("100.96.0.2:1000", "ECONNREFUSED"),
        ("[fd00:1::2]:1000", "ECONNREFUSED"),
        ("127.0.0.1:1000", "ECONNREFUSED"),
        ("[::1]:1000", "ECONNREFUSED"),
        ("host.example", "198.18.0.1"),
        ("host.example:1000", "ECONNREFUSED"),
        // A neighbour, what is nobody's, and what the host's administrator closed.
        ("100.96.0.5:7", "ECONNREFUSED"),
        ("[fd00:1::5]:7", "ECONNREFUSED"),
        ("169.254.169.254:1000", "ECONNREFUSED"),
        ("[fd00:ec2::254]:1000", "ECONNREFUSED"),
        ("metadata.example", "ENOTFOUND"),
        ("10.66.0.1:1000", "ECONNREFUSED"),
        ("[2001:db8:66::1]:1000", "ECONNREFUSED"),
    ];
    let places: Vec<&str> = said.iter().map(|(place, _)| *place).collect();
    let expected: String = said
        .iter()
        .map(|(place, how)| format!("{place} {how}\n"))
        .collect();
    assert_eq!(tries(1, &["*"], &places), expected);
    neighbour.0.kill().unwrap();
    neighbour.0.wait().unwrap();
    assert_eq!(left(), "");
}

#[test]
fn a_port_of_the_host_s_loopback_is_reached_when_it_is_named() {
    if !can("a_port_of_the_host_s_loopback_is_reached_when_it_is_named") {
        return;
    }
    world();
    for (listener, word) in [
        ("127.0.0.1:1883", "broker"),
        ("127.0.0.1:1884", "other"),
        ("0.0.0.0:1885", "all"),
    ] {
        let listener = TcpListener::bind(listener).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                stream.unwrap().write_all(word.as_bytes()).unwrap();
            }
        });
    }
    let echo = UdpSocket::bind("127.0.0.1:1883").unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 16];
        while let Ok((_, from)) = echo.recv_from(&mut buffer) {
            echo.send_to(b"datagram", from).unwrap();
        }
    });
    let places = [
        "127.0.0.1:1883",
        "localhost:1883",
        "127.0.0.1:1883/udp",
        "127.0.0.1:1884",
        "127.0.0.1:1885",
        "198.18.0.1:1885",
        "198.18.0.2:1000",
    ];
    for _ in 0..2 {
        assert_eq!(
            tries(1, &["*", "localhost:1883", "127.0.0.1:1883/udp"], &places),
            "127.0.0.1:1883 broker\nlocalhost:1883 broker\n127.0.0.1:1883/udp datagram\n\
            127.0.0.1:1884 ECONNREFUSED\n127.0.0.1:1885 ECONNREFUSED\n198.18.0.1:1885 ECONNREFUSED\n\
            198.18.0.2:1000 world 1000\n"
        );
        assert_eq!(left(), "");
    }
}

#[test]
fn a_name_opens_the_addresses_behind_it_and_no_others() {
    if !can("a_name_opens_the_addresses_behind_it_and_no_others") {
        return;
    }
    world();
    let places = [
        "10.1.2.3:1000",
        "[2001:db8:1::3]:1000",
        "other.example",
        "broker.example",
        "broker.example:1000",
        "10.1.2.3:1000",
        "broker.example/6",
        "[2001:db8:1::3]:1000",
        "broker.example/txt",
        "broker.example:1001",
        "a.wild.example:1001",
        "10.1.2.3:1001",
        "metadata.example",
        "host.example:1000",
    ];
    let allow = [
        "broker.example:1000",
        "*.wild.example:1001",
        "metadata.example:1000",
        "host.example:1000",
    ];
    let _here = TcpListener::bind("0.0.0.0:1000").unwrap();
    assert_eq!(
        tries(1, &allow, &places),
        "10.1.2.3:1000 ECONNREFUSED\n[2001:db8:1::3]:1000 ECONNREFUSED\nother.example EAI_AGAIN\nbroker.example 10.1.2.3\n\
        broker.example:1000 world 1000\n10.1.2.3:1000 world 1000\n\
        broker.example/6 2001:db8:1::3\n[2001:db8:1::3]:1000 world 1000\nbroker.example/txt ENODATA\n\
        broker.example:1001 ECONNREFUSED\na.wild.example:1001 world 1001\n10.1.2.3:1001 world 1001\nmetadata.example ENOTFOUND\n\
        host.example:1000 ECONNREFUSED\n"
    );
}

#[test]
fn published_ports_lead_inside_and_neighbours_do_not_meet() {
    if !can("published_ports_lead_inside_and_neighbours_do_not_meet") {
        return;
    }
    world();
    let mut cell = Cell::new(SERVE);
    let ports = [
        port("*", 2000, Protocol::Tcp),
        port("127.0.0.1", 2001, Protocol::Tcp),
        port("*", 2000, Protocol::Udp),
        port("2001:db8::1", 2003, Protocol::Tcp),
    ];
    cell.spec.network = filtered(1, &[], &ports);
    let running = cell.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
    let level = running
        .record()
        .levels
        .iter()
        .find(|level| level.name == "network");
    assert_eq!(level.map(|level| level.strength), Some(Strength::Hard));
    for at in [
        "198.18.0.1:2000",
        "127.0.0.1:2000",
        "127.0.0.1:2001",
        "[2001:db8::1]:2000",
        "[2001:db8::1]:2003",
    ] {
        let heard = eventually("the port answers", SOON, || hears(at.parse().unwrap()));
        assert_eq!(heard, "inside", "{at}");
    }
    for at in ["198.18.0.1:2001", "198.18.0.1:2003"] {
        hears(at.parse().unwrap()).unwrap_err();
    }
    // At once: a program that tries `localhost` this way first goes on to 127.0.0.1.
    let begun = std::time::Instant::now();
    hears("[::1]:2000".parse().unwrap()).unwrap_err();
    assert!(begun.elapsed() < SOON / 4);
    let socket = UdpSocket::bind("198.18.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.send_to(b"x", "198.18.0.1:2000").unwrap();
    let mut buffer = [0; 16];
    let count = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"inside");

    // A neighbour reaches it neither at its own address nor through the published port, unless that is named.
    let places = ["100.96.0.3:7", "198.18.0.1:2000", "100.96.0.3:2000"];
    assert_eq!(
        tries(2, &["*:7", "*:2000", "100.96.0.0/24:7"], &places),
        "100.96.0.3:7 ECONNREFUSED\n198.18.0.1:2000 ECONNREFUSED\n100.96.0.3:2000 ECONNREFUSED\n"
    );
    assert_eq!(
        tries(2, &["198.18.0.1:2000"], &places[1..2]),
        "198.18.0.1:2000 inside\n"
    );

    // A port has one owner, and the host's programs are not robbed of theirs.
    for (number, taken) in [(3, "0.0.0.0"), (1, "127.0.0.5"), (3, "::"), (3, "*")] {
        let mut other = Cell::new(SERVE);
        other.spec.network = filtered(number, &[], &[port(taken, 2000, Protocol::Tcp)]);
        let error = chain(&other.start().unwrap_err());
        assert!(error.contains("cannot publish the port"), "{error}");
        assert!(error.contains("2000/tcp") && error.contains("in use"), "{error}");
    }
    // A number that is taken harms neither.
    let mut twin = Cell::new(SERVE);
    twin.spec.network = filtered(1, &[], &[]);
    let error = chain(&twin.start().unwrap_err());
    assert!(error.contains("cannot set the packet filter"), "{error}");
    assert_eq!(hears("198.18.0.1:2000".parse().unwrap()).as_deref(), Ok("inside"));

    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(left(), "");
    TcpListener::bind("[::]:2000").unwrap();
}

#[test]
fn what_a_killed_keeper_leaves_is_cleaned_up() {
    if !can("what_a_killed_keeper_leaves_is_cleaned_up") {
        return;
    }
    world();
    let mut cell = Cell::new(SERVE);
    cell.spec.network = filtered(1, &["*:443"], &[port("0.0.0.0", 2000, Protocol::Tcp)]);
    let mut neighbour = Cell::new(SERVE);
    neighbour.spec.network = filtered(2, &[], &[port("0.0.0.0", 2002, Protocol::Tcp)]);
    let running = cell.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
    let other = neighbour
        .start()
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let keeper = nix::unistd::Pid::from_raw(running.record().keeper.pid);
    nix::sys::signal::kill(keeper, nix::sys::signal::Signal::SIGKILL).unwrap();
    let lost = eventually("the keeper is gone", SOON, || match adopt(&cell.spec.run_dir) {
        Ok(Adopted::Lost(lost)) => Ok(lost),
        found => Err(format!("{found:?}")),
    });
    // Its walls stand as long as it does.
    assert!(left().contains("redhold1\""), "{}", left());
    lost.clean_up().unwrap();
    let rest = left();
    assert!(
        !rest.contains("redhold1") && !rest.contains("_1 ") && rest.contains("redhold2"),
        "{rest}"
    );
    let heard = eventually("the neighbour answers", SOON, || {
        hears("198.18.0.1:2002".parse().unwrap())
    });
    assert_eq!(heard, "inside");
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(left(), "");
}

#[test]
fn a_flood_of_questions_is_outlived() {
    if !can("a_flood_of_questions_is_outlived") {
        return;
    }
    world();
    // Far more than are looked at in a second, and more than the socket holds; then one that is asked until it is
    // answered, as the C library does.
    let mut cell = Cell::new(
        "const s = require('dgram').createSocket('udp4'), dns = require('dns');
        const question = Buffer.from('000701000001000000000000' + '056f74686572076578616d706c6500' + '00010001', 'hex');
        let answers = 0;
        s.on('message', () => answers++).connect(53, '127.0.0.1', async () => {
          for (let n = 0; n < 5000; n++) s.send(question);
          const one = () => dns.promises.lookup('broker.example').then(a => a.address, one);
          console.log(await one(), answers >= 100, answers < 5000);
          process.exit(0);
        });",
    );
    cell.spec.network = filtered(1, &["broker.example:1000"], &[]);
    assert_eq!(cell.run().ok(), "10.1.2.3 true true\n");
}

#[test]
fn rules_that_somebody_flushes_come_back() {
    if !can("rules_that_somebody_flushes_come_back") {
        return;
    }
    world();
    let cells: Vec<Cell> = (1..=3)
        .map(|number| {
            let mut cell = Cell::new(SERVE);
            let out = port("0.0.0.0", 2000 + u16::try_from(number).unwrap(), Protocol::Tcp);
            cell.spec.network = filtered(number, &["*:443"], &[out]);
            cell
        })
        .collect();
    let runs: Vec<_> = cells.iter().map(|cell| cell.start().unwrap()).collect();
    let before = left();
    for _ in 0..3 {
        sh("nft flush ruleset");
        eventually("the rules are back", SOON, || {
            let now = left();
            // In another order: whose keeper is first is not decided.
            if (1..=3).all(|n| now.contains(&format!("jump out_{n}"))) && now.len() == before.len() {
                Ok(())
            } else {
                Err(now)
            }
        });
    }
    for at in ["198.18.0.1:2001", "198.18.0.1:2003"] {
        let heard = eventually("the port answers", SOON, || hears(at.parse().unwrap()));
        assert_eq!(heard, "inside", "{at}");
    }
    assert!(
        cells[0]
            .log()
            .contains("somebody removed this instance's packet filter"),
        "{}",
        cells[0].log()
    );
    for running in &runs {
        running.kill().unwrap();
        running.wait().unwrap();
    }
    assert_eq!(left(), "");
}

#[test]
fn a_host_that_cannot_do_it_says_so() {
    let mut cell = Cell::new("");
    cell.spec.network = filtered(1, &[], &[]);
    if nix::unistd::geteuid().is_root() {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        // A new network takes over what the machine's first one has set.
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let error = chain(&cell.start().unwrap_err());
        let what = if able() {
            "net.ipv4.ip_forward=1"
        } else {
            "install the package"
        };
        assert!(error.contains(what), "{error}");
        cell.without_namespaces();
        cell.spec.network = filtered(1, &[], &[]);
        let error = chain(&cell.start().unwrap_err());
        assert!(error.contains("without namespaces"), "{error}");
    } else {
        let error = chain(&cell.start().unwrap_err());
        assert!(error.contains("only root"), "{error}");
    }
}

/// A machine's network on another side of the host, as a plant's is on the other side of an office's; what it hears
/// from the world, over the host.
struct Plant(std::sync::mpsc::Sender<std::sync::mpsc::Sender<[bool; 2]>>);

impl Plant {
    fn new() -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let (ask, asked) = std::sync::mpsc::channel::<std::sync::mpsc::Sender<[bool; 2]>>();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            tell.send(nix::unistd::gettid()).unwrap();
            for answer in asked {
                let reached = ["198.18.0.2:1000", "[2001:db8::2]:1000"].map(|at| {
                    let at = at.parse().unwrap();
                    TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok()
                });
                answer.send(reached).unwrap();
                sh(PLANT);
            }
        });
        let there = told.recv().unwrap();
        sh(&format!(
            "ip link add plant type veth peer name eth0 netns {there}; ip link set plant up
            ip addr add 198.18.1.1/30 dev plant; ip addr add 2001:db8:2::1/64 dev plant nodad"
        ));
        let plant = Self(ask);
        // Its own side is set up by the first question.
        plant.reaches_the_world();
        plant
    }

    /// Over IPv4, and over IPv6.
    fn reaches_the_world(&self) -> [bool; 2] {
        let (tell, told) = std::sync::mpsc::channel();
        self.0.send(tell).unwrap();
        told.recv().unwrap()
    }
}

const PLANT: &str = "ip link set lo up; ip addr replace 198.18.1.2/30 dev eth0; ip link set eth0 up
    ip addr replace 2001:db8:2::2/64 dev eth0 nodad; ip route replace default via 198.18.1.1
    ip route replace default via 2001:db8:2::1";

#[test]
fn a_host_that_begins_to_pass_packets_on_passes_on_nothing_else() {
    if !can("a_host_that_begins_to_pass_packets_on_passes_on_nothing_else") {
        return;
    }
    world();
    let plant = Plant::new();
    let switch = |to: &str| {
        for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{file}"), to).unwrap();
        }
    };
    let read = |file: &str| std::fs::read_to_string(format!("/proc/sys/net/{file}")).unwrap();
    eventually("the host is a router", SOON, || match plant.reaches_the_world() {
        [true, true] => Ok(()),
        other => Err(other),
    });
    switch("0");
    std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_ra", "1").unwrap();
    assert_eq!(plant.reaches_the_world(), [false; 2]);

    let places = ["198.18.0.2:1000", "[2001:db8::2]:1000"];
    let done = forwarding::ensure(true).unwrap();
    assert!(done.contains(&"net.ipv4.ip_forward=1".to_owned()), "{done:?}");
    assert_eq!(
        read("ipv6/conf/eth0/accept_ra"),
        "2\n",
        "it goes on listening to its router"
    );
    let said = tries(1, &["*"], &places);
    assert_eq!(
        said,
        "198.18.0.2:1000 world 1000\n[2001:db8::2]:1000 world 1000\n"
    );
    assert_eq!(plant.reaches_the_world(), [false; 2], "{}", left());
    assert_eq!(
        forwarding::ensure(true).unwrap(),
        [""; 0],
        "nothing is left to do"
    );

    // It is the guard that keeps the plant apart; and who routed before is not hindered.
    sh("nft delete table inet redhold-guard");
    assert_eq!(plant.reaches_the_world(), [true; 2]);
    assert_eq!(forwarding::ensure(true).unwrap(), [""; 0]);
    assert_eq!(plant.reaches_the_world(), [true; 2]);
    assert_eq!(left(), "");
}
