//! Answers an instance's questions for names: only those it may reach, and each with a door in the packet filter; and
//! watches that the filter stays.
//!
//! The socket stands inside, at 127.0.0.1:53, so that no rule of the host's can be in the way of it; the host's own
//! servers are asked from outside, once per question. An address gets its door before the instance hears of it, and
//! keeps it for as long as the answer is valid, a minute at least. Addresses are all that is told where destinations
//! are named: other records would be a channel to whoever owns an allowed name. Where everything outside is reached,
//! questions of other kinds are passed on as they are.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::attempts::Tried;
use super::dns::{Code, Question, Wants};
use super::hosts::Hosts;
use super::resolver;
use crate::error::{During, StepError};
use crate::sandbox::cable::{self, Cable};
use crate::sandbox::{rules, tools};
use crate::spec::{InstanceSpec, Network};
use crate::traffic::{Allow, Filtered, Protocol, Target};

/// Questions that wait for a server at once; clients ask again.
const MOST_ASKED: usize = 64;

/// How long a server has; clients ask again after five seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Servers that are asked, as in the C library.
const MOST_SERVERS: usize = 3;

/// Questions per second that are looked at: who asks more makes the keeper, which no limit binds, work for him. Node.js
/// remembers no name, so that each request of a flow asks twice.
const MOST_PER_SECOND: u32 = 500;

/// A door stays open at least this long, in seconds: clients keep addresses longer than they should.
const LEAST: u32 = 60;
/// And at most this long: what a name's owner says is not to be trusted for ever.
const MOST: u32 = 24 * 3600;
/// A door that stays open for nearly as long as wanted is left as it is.
const SLACK: Duration = Duration::from_secs(30);

/// For how long the host's file of names is believed, in seconds.
const OF_FILE: u32 = 60;

/// Marks the socket for questions among those for answers.
const QUESTIONS: u64 = u64::MAX;
/// The same for the kernel's word on the packet filter.
const CHANGES: u64 = u64::MAX - 1;
/// And for files that name hosts.
const FILES: u64 = u64::MAX - 2;

/// The host's end of an instance's names.
pub(crate) struct Names {
    network: Filtered,
    cable: Cable,
    /// Everything that may become readable.
    ready: Epoll,
    asked: HashMap<u64, Asked>,
    last: u64,
    doors: HashMap<(IpAddr, Protocol, u16), Instant>,
    /// When the questions were counted from, and how many came since.
    second: (Instant, u32),
    /// Questions wait in their socket.
    paused: bool,
    /// Where it is watched where the instance goes.
    hosts: Option<Hosts>,
}

/// A question on its way.
struct Asked {
    question: Question,
    from: SocketAddr,
    id: u16,
    /// The answer is passed on as it comes.
    whole: bool,
    servers: Vec<SocketAddr>,
    /// A socket, and so a port, of its own: an answer of somebody else's would have to guess it.
    socket: UdpSocket,
    until: Instant,
}

impl Names {
    /// Of an instance with a cable.
    ///
    /// # Errors
    /// The kernel's: out of descriptors.
    pub(crate) fn of(
        spec: &InstanceSpec,
        cable: Option<Cable>,
        init: i32,
    ) -> Result<Option<Self>, StepError> {
        const STEP: &str = "answer the instance's questions for names";
        let (Network::Filtered(network), Some(cable)) = (&spec.network, cable) else {
            return Ok(None);
        };
        let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).during(STEP)?;
        let event = |number| EpollEvent::new(EpollFlags::EPOLLIN, number);
        ready.add(&cable.questions, event(QUESTIONS)).during(STEP)?;
        ready.add(cable.changes(), event(CHANGES)).during(STEP)?;
        let hosts = Hosts::of(network, init);
        if let Some(files) = hosts.as_ref().and_then(Hosts::changes) {
            ready.add(files, event(FILES)).during(STEP)?;
        }
        Ok(Some(Self {
            network: network.clone(),
            cable,
            ready,
            asked: HashMap::new(),
            last: 0,
            doors: HashMap::new(),
            second: (Instant::now(), 0),
            paused: false,
            hosts,
        }))
    }

    /// What to poll.
    pub(crate) fn source(&self) -> BorrowedFd<'_> {
        self.ready.0.as_fd()
    }

    /// When [`Names::due`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let hosts = self.hosts.as_ref().map(Hosts::deadline);
        self.pause().into_iter().chain(hosts).min()
    }

    /// Until when no question is looked at, because there were too many.
    fn pause(&self) -> Option<Instant> {
        self.paused.then(|| self.second.0 + Duration::from_secs(1))
    }

    /// Ends a pause that is over, and looks where the instance goes when it is time for that.
    pub(crate) fn due(&mut self) {
        if self.pause().is_some_and(|end| end <= Instant::now()) {
            self.paused = false;
            self.listen(self.cable.questions.as_fd(), QUESTIONS, true);
        }
        let was_quiet = self.hosts.as_ref().is_some_and(Hosts::is_quiet);
        if let Some(hosts) = &mut self.hosts {
            hosts.turn();
        }
        self.listen_to_files(was_quiet);
    }

    /// Where it went, since this was last asked.
    pub(crate) fn tried(&mut self) -> Vec<Tried> {
        self.hosts.as_mut().map_or_else(Vec::new, Hosts::take)
    }

    /// Everything that was not told yet, at the end.
    pub(crate) fn rest(&mut self) -> Vec<Tried> {
        if let Some(hosts) = &mut self.hosts {
            hosts.read();
        }
        self.tried()
    }

    fn listen(&self, to: BorrowedFd<'_>, number: u64, listens: bool) {
        let flags = if listens {
            EpollFlags::EPOLLIN
        } else {
            EpollFlags::empty()
        };
        // It was added, and nothing takes it away.
        let _ = self.ready.modify(to, &mut EpollEvent::new(flags, number));
    }

    fn listen_to_files(&self, was_quiet: bool) {
        if let Some(hosts) = &self.hosts
            && let Some(files) = hosts.changes()
            && hosts.is_quiet() != was_quiet
        {
            self.listen(files, FILES, was_quiet);
        }
    }

    /// Serves what is ready. Opening a door takes a program some milliseconds, which is the only wait.
    /// Gives a note for the log when the instance's rules had to be set again.
    ///
    /// # Errors
    /// When its rules are gone and cannot be set.
    pub(crate) fn turn(&mut self) -> Option<Result<&'static str, StepError>> {
        let now = Instant::now();
        self.asked.retain(|_, asked| asked.until > now);
        let mut events = [EpollEvent::empty(); 16];
        let count = self.ready.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        let mut mended = None;
        for event in &events[..count] {
            match event.data() {
                QUESTIONS => self.hear(),
                CHANGES => mended = self.mend(),
                FILES => {
                    if let Some(hosts) = &mut self.hosts {
                        hosts.hear();
                    }
                    self.listen_to_files(false);
                }
                number => self.learn(number),
            }
        }
        mended
    }

    /// Sets the instance's rules again when somebody took them away.
    fn mend(&mut self) -> Option<Result<&'static str, StepError>> {
        if !self.cable.table_went() {
            return None;
        }
        match cable::restore(&self.network) {
            Ok(false) => None,
            Ok(true) => {
                // They went with the rest.
                self.doors.clear();
                self.hosts.as_mut().map(Hosts::reopen);
                Some(Ok(
                    "somebody removed this instance's packet filter from the host; it was set again",
                ))
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn hear(&mut self) {
        let mut buffer = [0; 1024];
        let Ok((count, from)) = self.cable.questions.recv_from(&mut buffer) else {
            return;
        };
        let now = Instant::now();
        if now.duration_since(self.second.0) >= Duration::from_secs(1) {
            self.second = (now, 0);
        }
        self.second.1 += 1;
        if self.second.1 >= MOST_PER_SECOND {
            self.paused = true;
            self.listen(self.cable.questions.as_fd(), QUESTIONS, false);
        }
        let Some(question) = Question::read(&buffer[..count]) else {
            return;
        };
        let mut all = self.network.allow.iter();
        let led = all.any(|allow| allow.covers(&question.name));
        if !self
            .hosts
            .as_mut()
            .map_or(led, |hosts| hosts.asked(&question.name, led))
        {
            return self.tell(&question, from, Code::Refused, &[], 0);
        }
        let wanted = match question.wants {
            Wants::V4 => true,
            Wants::V6 => self.network.v6.is_some(),
            Wants::Other if self.network.is_open() => {
                return self.pass_on(&question, from, Some(&buffer[..count]));
            }
            Wants::Other => false,
        };
        if !wanted {
            return self.tell(&question, from, Code::Fine, &[], 0);
        }
        let mut own = of_file(
            &fs::read_to_string("/etc/hosts").unwrap_or_default(),
            &question.name,
        );
        own.retain(|address| question.wants.fits(*address));
        if !own.is_empty() {
            return self.give(&question, from, own, OF_FILE);
        }
        self.pass_on(&question, from, None);
    }

    /// Asks the host's servers: in words of our own, or in `whole`, whose answer is then passed on whole too.
    fn pass_on(&mut self, question: &Question, from: SocketAddr, whole: Option<&[u8]>) {
        if self.asked.len() < MOST_ASKED && self.ask(question.clone(), from, whole).is_err() {
            self.tell(question, from, Code::Failed, &[], 0);
        }
    }

    fn ask(&mut self, question: Question, from: SocketAddr, whole: Option<&[u8]>) -> io::Result<()> {
        let text = fs::read_to_string(resolver::HOST)?;
        let servers = servers(&text);
        let any: SocketAddr = match servers.first() {
            Some(SocketAddr::V4(_)) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            Some(SocketAddr::V6(_)) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        let mut id = [0; 2];
        io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut id)?;
        let id = u16::from_ne_bytes(id);
        let message = match whole {
            Some(whole) => [&id.to_be_bytes(), whole.get(2..).unwrap_or_default()].concat(),
            None => question.ask(id),
        };
        // All at once: the first that knows is believed. One that cannot be reached, or is of the other kind of
        // address, is none.
        let sent = servers
            .iter()
            .filter(|server| socket.send_to(&message, server).is_ok());
        let servers: Vec<SocketAddr> = sent.copied().collect();
        if servers.is_empty() {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        self.last += 1;
        self.ready
            .add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, self.last))?;
        let asked = Asked {
            question,
            from,
            id,
            whole: whole.is_some(),
            servers,
            socket,
            until: Instant::now() + PATIENCE,
        };
        self.asked.insert(self.last, asked);
        Ok(())
    }

    fn learn(&mut self, number: u64) {
        let Some(asked) = self.asked.get_mut(&number) else {
            return;
        };
        let mut buffer = [0; 4096];
        let Ok((count, server)) = asked.socket.recv_from(&mut buffer) else {
            return;
        };
        let Some(place) = asked.servers.iter().position(|known| *known == server) else {
            return;
        };
        if asked.whole {
            if asked.question.is_answered_by(asked.id, &buffer[..count]) {
                buffer[..2].copy_from_slice(&asked.question.id.to_be_bytes());
                // Who does not listen any more asks again.
                let _ = self.cable.questions.send_to(&buffer[..count], asked.from);
                self.asked.remove(&number);
            }
            return;
        }
        let Some(found) = asked.question.found(asked.id, &buffer[..count]) else {
            return;
        };
        asked.servers.remove(place);
        if found.code == Code::Failed && !asked.servers.is_empty() {
            // Another one may know.
            return;
        }
        let Some(asked) = self.asked.remove(&number) else {
            return;
        };
        match found.code {
            Code::Fine => self.give(&asked.question, asked.from, found.addresses, found.seconds),
            code => self.tell(&asked.question, asked.from, code, &[], 0),
        }
    }

    /// Opens the doors to what was found, then tells.
    fn give(&mut self, question: &Question, to: SocketAddr, mut addresses: Vec<IpAddr>, seconds: u32) {
        // Whoever owns an allowed name must not lead the instance to where no name may lead.
        addresses
            .retain(|address| question.wants.fits(*address) && !rules::is_closed(&self.network, *address));
        let learnt = match &mut self.hosts {
            Some(hosts) => hosts.learn(&question.name, &addresses, seconds.clamp(LEAST, MOST)),
            None => Ok(()),
        };
        let opened = learnt.and_then(|()| self.open(&question.name, &addresses, seconds));
        let code = match opened {
            Ok(()) => Code::Fine,
            Err(_) => Code::Failed,
        };
        let told: &[IpAddr] = if code == Code::Fine { &addresses } else { &[] };
        self.tell(question, to, code, told, seconds);
    }

    fn open(&mut self, name: &str, addresses: &[IpAddr], seconds: u32) -> io::Result<()> {
        let seconds = seconds.clamp(LEAST, MOST);
        let now = Instant::now();
        let until = now + Duration::from_secs(seconds.into());
        self.doors.retain(|_, until| *until > now);
        // What may be reached wherever it is needs no door.
        let open = self.network.is_open() && self.network.narrowed().is_none();
        let named = self.network.allow.iter().filter_map(|allow| match allow {
            Allow::Port {
                target: Target::Name(_),
                port,
                protocol,
            } if !open && allow.covers(name) => Some((*protocol, *port)),
            _ => None,
        });
        let doors: Vec<(IpAddr, Protocol, u16)> = named
            .flat_map(|(protocol, port)| addresses.iter().map(move |address| (*address, protocol, port)))
            .filter(|door| self.doors.get(door).is_none_or(|open| *open + SLACK < until))
            .collect();
        if doors.is_empty() {
            return Ok(());
        }
        tools::nft(&rules::open(self.network.number, &doors, seconds))?;
        self.doors.extend(doors.into_iter().map(|door| (door, until)));
        Ok(())
    }

    fn tell(&self, question: &Question, to: SocketAddr, code: Code, addresses: &[IpAddr], seconds: u32) {
        // Who does not listen any more asks again.
        let _ = self
            .cable
            .questions
            .send_to(&question.answer(code, addresses, seconds), to);
    }
}

/// The servers of a resolver's configuration (`resolv.conf(5)`).
fn servers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next())?
        })
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, 53))
        .take(MOST_SERVERS)
        .collect()
}

/// The addresses of a name in a file of names (`hosts(5)`).
fn of_file(text: &str, name: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let (address, names) = line.trim().split_once(char::is_whitespace)?;
            names
                .split_whitespace()
                .any(|own| own.eq_ignore_ascii_case(name))
                .then(|| address.parse().ok())?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_files_are_read_as_the_c_library_reads_them() {
        let text = "# nameserver 192.0.2.9\nnameserver 192.0.2.1\nsearch a b\nnameserver\tfe80::1%eth0\nnameserver 2001:db8::1\n";
        let found: Vec<String> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53"]);
        let text =
            "127.0.0.1 localhost\n10.0.0.5\tBroker.local broker # the old one\n::1 broker\n10.0.0.6 broker\n";
        assert_eq!(
            of_file(text, "broker"),
            [
                IpAddr::from([10, 0, 0, 5]),
                Ipv6Addr::LOCALHOST.into(),
                IpAddr::from([10, 0, 0, 6])
            ]
        );
        assert_eq!(of_file(text, "old"), [] as [IpAddr; 0]);
    }
}
