//! What a program reaches of the network: in a cell of its own nothing but itself and the socket that it was given.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};

use runtime::process::{Descriptors, spawn};
use runtime::spec::Network;

use crate::support::{Cell, chain, everywhere};

#[test]
fn an_isolated_program_has_only_loopback() {
    everywhere(|| {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut cell = Cell::new(
            "const os = require('os'), net = require('net'), dns = require('dns');
            console.log(Object.keys(os.networkInterfaces()).join(' '));
            const attempt = (port, host) => new Promise(go =>
              net.connect({ port, host }).on('connect', () => go('connected')).on('error', e => go(e.code)));
            (async () => {
              console.log(await attempt(Number(process.env.PORT), '127.0.0.1'), await attempt(53, '192.0.2.1'),
                await attempt(53, '2001:db8::1'));
              const before = Date.now();
              console.log(await dns.promises.lookup('example.com').catch(e => e.code), Date.now() - before < 5000);
              console.log((await dns.promises.lookup('localhost', { family: 4 })).address);
            })();",
        );
        let port = host.local_addr().unwrap().port();
        cell.spec.program.env.push(("PORT".into(), port.to_string()));
        assert_eq!(
            cell.run().ok(),
            "lo\nECONNREFUSED ENETUNREACH ENETUNREACH\nEAI_AGAIN true\n127.0.0.1\n"
        );
    });
}

#[test]
fn the_hosts_network_is_there_when_the_spec_says_so() {
    everywhere(|| {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut cell = Cell::new(
            "require('net').connect(Number(process.env.PORT), '127.0.0.1').on('connect', function () { this.end('hello'); })",
        );
        let port = host.local_addr().unwrap().port();
        cell.spec.network = Network::Host;
        cell.spec.program.env.push(("PORT".into(), port.to_string()));
        let running = cell.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
        let mut text = String::new();
        host.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        cell.end(&running).ok();
    });
}

#[test]
fn requests_come_in_through_the_listener_that_was_passed_in() {
    everywhere(|| {
        let cell = Cell::new(
            "require('net').createServer(c => c.end('from inside')).listen({ fd: 3 });
            setTimeout(() => process.exit(0), 10000);
            process.on('SIGTERM', () => process.exit(0));",
        );
        let socket = cell.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        // Before the program is there: it waits, it does not fail.
        let mut early = UnixStream::connect(&socket).unwrap();
        let descriptors = Descriptors {
            listener: Some(listener.into()),
        };
        let running = spawn(test_support::redhold!(), &cell.spec, descriptors)
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        let mut text = String::new();
        early.read_to_string(&mut text).unwrap();
        assert_eq!(text, "from inside");
        running.stop(std::time::Duration::from_secs(5)).unwrap();
        cell.end(&running).ok();
    });
}

#[test]
fn abstract_sockets_of_the_host_are_out_of_reach_even_on_its_network() {
    use std::os::linux::net::SocketAddrExt;
    everywhere(|| {
        let name = format!("redhold-test-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let host = UnixListener::bind_addr(&address).unwrap();
        for network in [Network::Loopback, Network::Host] {
            let mut cell = Cell::perl(
                "use Socket; socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die $!;
                print connect($s, pack('S a*', AF_UNIX, \"\\0$ENV{NAME}\")) ? \"connected\\n\" : \"$!\\n\";",
            );
            cell.spec.network = network.clone();
            cell.spec.program.env.push(("NAME".into(), name.clone()));
            let expected = match network {
                Network::Loopback => "Connection refused\n",
                Network::Host | Network::Lesser(_) | Network::Filtered(_) => "Operation not permitted\n",
            };
            assert_eq!(cell.run().ok(), expected);
        }
        drop(host);
    });
}

#[test]
fn sockets_of_the_supervisor_are_not_visible() {
    everywhere(|| {
        let mut cell = Cell::new(
            "const net = require('net');
            net.connect(process.env.SOCKET).on('connect', () => console.log('connected')).on('error', e => console.log(e.code));",
        );
        cell.spec.network = Network::Host;
        let socket = cell.path().join("supervisor.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        cell.spec
            .program
            .env
            .push(("SOCKET".into(), socket.to_string_lossy().into_owned()));
        assert_eq!(cell.run().ok(), "ENOENT\n");
    });
}

#[test]
fn names_are_resolved_as_the_host_does_it_now() {
    // A copy that the keeper keeps up to date; what the host itself has may be replaced at any moment.
    everywhere(|| {
        let mut cell = Cell::new("process.stdout.write(require('fs').readFileSync('/etc/resolv.conf'))");
        cell.spec.network = Network::Host;
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let running = cell.start().unwrap();
        assert_eq!(cell.end(&running).ok().trim_end(), host.trim_end());
        assert!(!cell.spec.run_dir.join("resolv.conf").exists());
    });
}
