//! Where an instance goes in the world, compared with where it has something to do.
//!
//! Names are seen when they are asked for ([`super::names`]); addresses when the packet filter has noted them
//! ([`tried`]), at a look every some seconds, and only when the instance has sent something since the last: an idle one
//! costs a read of two lines. Nothing waits for either. Where the rest is refused, the packet filter does it; this only
//! opens what may be reached.
//!
//! Files that name further hosts are a stranger's: opened without following what leads out, read in pieces, up to a size,
//! and not more often than a twentieth of the time allows.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::attempts::Tried;
use super::resolver;
use crate::beneath;
use crate::record::Attempted;
use crate::sandbox::tried::{self, Host, Place};
use crate::sandbox::{rules, tools};
use crate::traffic::{self, Allow, Filtered, Named, Protocol, Target};

/// Time between two looks at what the packet filter noted.
const LOOK: Duration = Duration::from_secs(10);

/// Files larger than this are read so far, in bytes; and at once this much.
const LARGEST: u64 = 8 << 20;
const PIECE: usize = 16 * 1024;

/// More hosts than a person's flows name.
const MOST_NAMED: usize = 4096;
/// Addresses whose names are remembered, and for how long at least: clients keep them.
const MOST_GIVEN: usize = 4096;
const REMEMBERED: Duration = Duration::from_secs(3600);

/// A folder in which files change without pause is heard of no more often.
const QUIET: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Hosts {
    network: Filtered,
    policy: traffic::Hosts,
    /// The first process inside, in whose network the instance's devices are.
    init: i32,
    files: Files,
    /// What the C library inside puts behind short names ([`crate::sandbox::files`]).
    search: Vec<String>,
    given: HashMap<IpAddr, Given>,
    look: Instant,
    /// What the instance had sent at the last look.
    sent: Option<String>,
    tried: Vec<Tried>,
}

/// A name that led to an address.
struct Given {
    name: String,
    until: Instant,
}

/// Hosts that files name.
#[derive(Default)]
struct Files {
    stamps: Vec<Option<[i64; 4]>>,
    names: BTreeSet<String>,
    wide: Vec<Target>,
    addresses: HashSet<IpAddr>,
    /// When they may be read again.
    next: Option<Instant>,
    changes: Option<Inotify>,
    quiet: Option<Instant>,
}

impl Hosts {
    /// Of an instance whose network says so. Everything that may be opened from the beginning is.
    pub(crate) fn of(network: &Filtered, init: i32) -> Option<Self> {
        let policy = *network.hosts.clone()?;
        let mut hosts = Self {
            network: network.clone(),
            policy,
            init,
            files: Files::default(),
            search: resolver::search(&fs::read_to_string(resolver::HOST).unwrap_or_default()),
            given: HashMap::new(),
            look: Instant::now() + LOOK,
            sent: None,
            tried: Vec::new(),
        };
        if hosts.network.narrowed().is_some() {
            // Where watchers are used up, files are read again when something unknown is asked for.
            hosts.files.changes = watch(&hosts.policy);
        }
        hosts.refresh();
        Some(hosts)
    }

    /// What was tried since this was last asked.
    pub(crate) fn take(&mut self) -> Vec<Tried> {
        std::mem::take(&mut self.tried)
    }

    /// What to poll, where there is something.
    pub(crate) fn changes(&self) -> Option<BorrowedFd<'_>> {
        self.files.changes.as_ref().map(AsFd::as_fd)
    }

    /// When [`Hosts::turn`] has something to do.
    pub(crate) fn deadline(&self) -> Instant {
        self.files.quiet.map_or(self.look, |quiet| quiet.min(self.look))
    }

    /// Whether a folder that changes without pause is not listened to at the moment.
    pub(crate) fn is_quiet(&self) -> bool {
        self.files.quiet.is_some()
    }

    /// Something changed beside the files that name hosts, or in them.
    pub(crate) fn hear(&mut self) {
        if let Some(changes) = &self.files.changes {
            while changes.read_events().is_ok_and(|events| !events.is_empty()) {}
        }
        self.files.quiet = Some(Instant::now() + QUIET);
        self.refresh();
    }

    /// Does what is due.
    pub(crate) fn turn(&mut self) {
        let now = Instant::now();
        if self.files.quiet.is_some_and(|quiet| quiet <= now) {
            self.files.quiet = None;
            self.refresh();
        }
        if self.look <= now {
            self.look();
        }
    }

    /// Somebody asks for a name; whether it may be answered. `led` says whether the network leads there at all.
    pub(crate) fn asked(&mut self, name: &str, led: bool) -> bool {
        if led && self.may(name) {
            return true;
        }
        if led {
            self.refresh();
            if self.may(name) {
                return true;
            }
        }
        let refused = !led || self.policy.enforce;
        let what = if led { Attempted::Name } else { Attempted::Closed };
        self.note(what, name.to_owned(), 1, refused);
        !refused
    }

    /// Whether it has something to do with a name. One without a dot leads to a neighbour, if anywhere: no server of names
    /// in the world is asked for it on anybody's behalf.
    fn may(&self, name: &str) -> bool {
        let named = |allow: &Allow| *allow != Allow::Outside && allow.covers(name);
        self.is_wide(name) || self.network.allow.iter().any(named)
    }

    /// A name led to addresses. Those that may be reached at any port are opened where nothing else is.
    pub(crate) fn learn(&mut self, name: &str, addresses: &[IpAddr], seconds: u32) -> io::Result<()> {
        let now = Instant::now();
        if self.given.len() + addresses.len() > MOST_GIVEN {
            self.given.retain(|_, given| given.until > now);
        }
        let until = now + REMEMBERED.max(Duration::from_secs(seconds.into()));
        let open: Vec<Host> = addresses
            .iter()
            .filter(|_| self.network.narrowed().is_some() && self.is_wide(name))
            // What is open for good stays so.
            .filter(|address| !self.files.addresses.contains(address))
            .map(|address| Host {
                address: *address,
                seconds: Some(seconds),
            })
            .collect();
        for address in addresses {
            if self.given.len() < MOST_GIVEN || self.given.contains_key(address) {
                let name = name.to_owned();
                self.given.insert(*address, Given { name, until });
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        tools::nft(&tried::open(self.network.number, &open))
    }

    /// Whether a name may be reached at any port, and not only at those that the network names; what the C library has
    /// put behind it from the host's configuration counts for nothing.
    fn is_wide(&self, name: &str) -> bool {
        let within = |domain: &String| name.strip_suffix(domain.as_str())?.strip_suffix('.');
        let short = self.search.iter().find_map(within);
        std::iter::once(name).chain(short).any(|name| {
            !name.contains('.')
                || self.policy.covers(name)
                || self.files.names.contains(name)
                || self.files.wide.iter().any(|target| target.covers(name))
        })
    }

    /// The packet filter was set again: what was open is not.
    pub(crate) fn reopen(&mut self) {
        let all: Vec<IpAddr> = self.files.addresses.iter().copied().collect();
        self.open_for_good(&all, &[]);
    }

    /// Looks at what the packet filter noted; at the end without asking whether there can be anything.
    pub(crate) fn look(&mut self) {
        self.look = Instant::now() + LOOK;
        let sent = sent(self.init);
        if sent.is_some() && sent == self.sent {
            return;
        }
        self.sent = sent;
        self.read();
    }

    /// Reads what the packet filter noted.
    pub(crate) fn read(&mut self) {
        let mut full = false;
        let mut places = Vec::new();
        for set in tried::noted(&self.network) {
            // When the rules are gone, they are about to be set again.
            let listed = tools::run("nft", &["-j", &format!("list {set}")], "").unwrap_or_default();
            let of_set = tried::found(&listed);
            if !of_set.is_empty() {
                // What comes between the two is counted once less.
                let _ = tools::nft(&format!("flush {set}\n"));
            }
            full |= of_set.len() >= tried::MOST;
            places.extend(of_set);
        }
        if places.iter().any(|place| !self.holds(place.address)) {
            self.refresh();
        }
        let own = own_addresses(&places);
        for place in &places {
            self.judge(place, own.contains(&place.address));
        }
        if full {
            let what = format!("more than {} places within {} s", tried::MOST, LOOK.as_secs());
            self.note(Attempted::Others, what, 1, self.policy.enforce);
        }
    }

    /// Judges what was tried; `own` where the address is this host's.
    fn judge(&mut self, place: &Place, own: bool) {
        let closed = own || !self.network.is_open() || rules::is_closed(&self.network, place.address);
        let what = match closed {
            true => Attempted::Closed,
            false if self.holds(place.address) => {
                // A client kept the address for longer than its name's owner said.
                if self.network.narrowed().is_some()
                    && let Some(name) = self.given.get(&place.address).map(|given| given.name.clone())
                {
                    let _ = self.learn(&name, &[place.address], REMEMBERED.as_secs() as u32);
                }
                return;
            }
            false => Attempted::Connect,
        };
        let refused = closed || self.policy.enforce;
        self.note(what, self.words(place), place.packets, refused);
    }

    /// Whether it has something to do with an address: by itself, or by the name that led there.
    fn holds(&self, address: IpAddr) -> bool {
        self.policy.holds(address)
            || self.files.addresses.contains(&address)
            || self
                .given
                .get(&address)
                .is_some_and(|given| self.is_wide(&given.name))
    }

    /// As `network.allow` writes a destination.
    fn words(&self, place: &Place) -> String {
        let at = match self.given.get(&place.address) {
            Some(given) => format!("{}:{}", given.name, place.port),
            None => SocketAddr::new(place.address, place.port).to_string(),
        };
        match place.protocol {
            Protocol::Tcp => at,
            Protocol::Udp => format!("{at}/udp"),
        }
    }

    fn note(&mut self, what: Attempted, name: String, times: u64, refused: bool) {
        self.tried.push(Tried {
            what,
            name,
            times,
            refused,
        });
    }

    /// Reads the files again that changed, unless they were read a moment ago.
    fn refresh(&mut self) {
        let before = std::mem::take(&mut self.files.addresses);
        let changed = self.files.read(&self.policy);
        if !changed {
            self.files.addresses = before;
        } else if self.network.narrowed().is_some() {
            let new: Vec<IpAddr> = self.files.addresses.difference(&before).copied().collect();
            let old: Vec<IpAddr> = before.difference(&self.files.addresses).copied().collect();
            self.open_for_good(&new, &old);
        }
    }

    fn open_for_good(&self, new: &[IpAddr], old: &[IpAddr]) {
        let number = self.network.number;
        let open: Vec<Host> = new
            .iter()
            .map(|address| Host {
                address: *address,
                seconds: None,
            })
            .collect();
        let closed: String = old.iter().map(|address| tried::close(number, *address)).collect();
        if !(open.is_empty() && closed.is_empty()) {
            // What stays closed is recorded, and opened at the next look.
            let _ = tools::nft(&(closed + &tried::open(number, &open)));
        }
    }
}

impl Files {
    /// Whether something changed and was read.
    fn read(&mut self, policy: &traffic::Hosts) -> bool {
        let begun = Instant::now();
        if self.next.is_some_and(|next| begun < next) {
            return false;
        }
        let opened: Vec<Option<File>> = policy.named_in.iter().map(|path| open(path)).collect();
        let stamps: Vec<_> = opened.iter().map(|file| stamp(file.as_ref()?)).collect();
        if stamps == self.stamps && !stamps.is_empty() {
            return false;
        }
        self.stamps = stamps;
        self.names.clear();
        self.wide.clear();
        self.addresses.clear();
        for file in opened.into_iter().flatten() {
            // What can be read counts.
            let _ = self.scan(file);
        }
        self.next = Some(Instant::now() + begun.elapsed() * 20);
        true
    }

    fn scan(&mut self, file: File) -> io::Result<()> {
        let mut file = file.take(LARGEST);
        let mut piece = vec![0; PIECE];
        let mut reader = Named::default();
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(()),
                count => reader.read(&piece[..count], |target| self.add(target)),
            }
        }
    }

    fn add(&mut self, target: Target) {
        if self.names.len() + self.wide.len() + self.addresses.len() >= MOST_NAMED {
            return;
        }
        match target {
            Target::Name(name) if name.starts_with('*') => {
                let target = Target::Name(name);
                if !self.wide.contains(&target) {
                    self.wide.push(target);
                }
            }
            Target::Name(name) => drop(self.names.insert(name)),
            Target::Range(range) => self.addresses.extend(range.single()),
            Target::Anywhere => {}
        }
    }
}

fn open(path: &Path) -> Option<File> {
    beneath::open(path.parent()?, Path::new(path.file_name()?)).ok()
}

/// Tells one content of a file from another.
fn stamp(file: &File) -> Option<[i64; 4]> {
    let meta = file.metadata().ok()?;
    let number = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
    Some([
        number(meta.ino()),
        number(meta.size()),
        meta.ctime(),
        meta.ctime_nsec(),
    ])
}

fn watch(policy: &traffic::Hosts) -> Option<Inotify> {
    let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
    for folder in policy.named_in.iter().filter_map(|path| path.parent()) {
        let what = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        changes.add_watch(folder, what).ok()?;
    }
    Some(changes)
}

/// The addresses of this host, where there is something to compare them with.
fn own_addresses(places: &[Place]) -> HashSet<IpAddr> {
    let all = (!places.is_empty()).then(getifaddrs).and_then(Result::ok);
    let all = all.into_iter().flatten().filter_map(|one| one.address);
    all.filter_map(
        |address| match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(four), _) => Some(IpAddr::from(four.ip())),
            (_, Some(six)) => Some(IpAddr::from(six.ip())),
            _ => None,
        },
    )
    .collect()
}

/// What the instance has sent so far, as the kernel counts it at its end of the cable.
fn sent(init: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{init}/net/dev")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("eth0:"))?;
    // Bytes sent, the ninth column (`proc(5)`).
    line.split_whitespace().nth(8).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_when_they_change_and_only_where_they_are() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("flows.json");
        let policy = traffic::Hosts {
            enforce: false,
            allow: Vec::new(),
            named_in: vec![path.clone()],
            words: String::new(),
        };
        let mut files = Files::default();
        assert!(files.read(&policy) && files.names.is_empty());
        assert!(!files.read(&policy));
        let again = |files: &mut Files| {
            files.next = None;
            files.read(&policy)
        };
        fs::write(
            &path,
            "[{\"broker\":\"a.example\"},\"https://10.0.0.1/\",\"http://{{x}}.b.example\"]",
        )?;
        assert!(again(&mut files) && !again(&mut files));
        assert!(files.names.contains("a.example") && files.wide.len() == 1);
        assert!(files.addresses.contains(&IpAddr::from([10, 0, 0, 1])));
        // A flood of names is cut off, and a link that leads out is none of it.
        let many: String = (0..10_000).map(|n| format!("\"h{n}.example\",")).collect();
        fs::write(&path, many)?;
        assert!(again(&mut files));
        assert_eq!(files.names.len(), MOST_NAMED);
        fs::remove_file(&path)?;
        std::os::unix::fs::symlink("/etc/hosts", &path)?;
        assert!(again(&mut files) && files.names.is_empty());
        fs::remove_file(&path)?;
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
        assert!(!again(&mut files));
        Ok(())
    }
}
