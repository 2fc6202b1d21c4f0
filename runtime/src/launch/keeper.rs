//! The keeper: outside the sandbox, one per instance, from before its start until after its end.
//!
//! One loop over everything that can be ready. Nothing in it waits: pipes and sockets are non-blocking, and a peer that
//! does not keep up is dropped. It has no parent: whoever started it may die at any moment, by any signal.

mod ending;

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::attempts::{Attempts, Tried};
use super::clients::{Clients, line, open_directory};
use super::clock::now_ms;
use super::exit::{Reserved, publish};
use super::guest::Guest;
use super::lines::{StatusLine, guest_line};
use super::log::{Log, Pipe};
use super::message::{Answer, take_order};
use super::names::Names;
use super::resolver::{self, Resolver};
use super::start::{Instance, start, unplug};
use super::watch::Watcher;
use crate::error::{During, Failure, StepError, or_absent};
use crate::record::{CONTROL_SOCKET, EXIT_FILE, Event, OomRecord, RESOLVER_FILE, RUN_FILE, Reply, Request};
use crate::spec::{InstanceSpec, Isolation};
use crate::store::Lease;
use crate::sys::clone::{Side, SingleThread, fork};
use crate::sys::descriptors::{close_from, take_standard_input};
use crate::sys::pidfd;

/// What is read from a pipe at once; as much as a pipe's writer can write without being split.
const CHUNK: usize = 16 * 1024;
/// What a person should know of a kernel that does not show what a program waits for.
const BLIND: &str = "the kernel does not show when its event loop is idle, so it is asked every second, for a second of \
                     processor time per hour (`redhold doctor` says why)";

/// Leaves the starter, takes its order, and keeps the instance until it ends.
pub(crate) fn run() -> ExitCode {
    // Whatever the starter forgot to close would outlive it here.
    if close_from(3).is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(single) = SingleThread::prove() else {
        return ExitCode::FAILURE;
    };
    match fork(&single) {
        Ok(Side::Parent { .. }) => ExitCode::SUCCESS,
        Ok(Side::Child) => match keep(&single) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(_) => ExitCode::FAILURE,
    }
}

fn keep(single: &SingleThread) -> io::Result<()> {
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    umask(Mode::from_bits_truncate(0o077));
    nix::sys::prctl::set_name(c"redhold-keeper")?;
    let mut starter = UnixStream::from(take_standard_input()?);
    let (order, listener) = take_order(&mut starter)?;
    let keeper = begin(single, &order.spec, listener);
    drop(order);
    // Who asked may be gone by now; the instance runs all the same, and can be adopted.
    match keeper {
        Ok(keeper) => {
            let answer = Answer::Started(Box::new(keeper.instance.record.clone()));
            let _ = io::Write::write_all(&mut starter, &serde_json::to_vec(&answer)?);
            drop((answer, starter));
            keeper.run()
        }
        Err(error) => {
            let answer = Answer::Failed(Failure::from(&error));
            let _ = io::Write::write_all(&mut starter, &serde_json::to_vec(&answer)?);
            Ok(())
        }
    }
}

/// Takes possession of the run directory, then starts the instance.
fn begin(single: &SingleThread, spec: &InstanceSpec, listener: Option<OwnedFd>) -> Result<Keeper, StepError> {
    let folder = &spec.run_dir;
    let directory = open_directory(folder).during_on("open the run directory", folder)?;
    let directory = Flock::lock(fs::File::from(directory), FlockArg::LockExclusiveNonblock)
        .map_err(|(_, error)| error)
        .during_on("take the run directory, which another keeper has", folder)?;
    for record in [RUN_FILE, EXIT_FILE].map(|name| folder.join(name)) {
        or_absent(fs::remove_file(&record)).during_on("remove an old record", &record)?;
    }
    let mut heard = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        heard.add(signal);
    }
    heard.thread_set_mask().during("hear signals")?;
    let signals = SignalFd::with_flags(&heard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .during("hear signals")?;
    // In the lesser mode orphans whose first process was killed come here, to be ended.
    nix::sys::prctl::set_child_subreaper(true).during("become the parent of orphans")?;
    let log = Log::open(&spec.log).during_on("open the log", &spec.log.file)?;
    let exit = Reserved::new(folder, EXIT_FILE).during_on("reserve room for the exit record", folder)?;
    let clients = Clients::listen(directory.as_fd()).during_on("listen on the control socket", folder)?;
    let leases = leases(spec);
    let resolver = resolver(spec)?;
    let started = start(single, spec, listener).and_then(|mut instance| {
        let guest = instance.guest.try_clone().and_then(Guest::new);
        let names = Names::of(spec, instance.cable.take(), instance.record.init.pid);
        let listener = instance.watch.take();
        let watcher = listener.zip(spec.watch.clone());
        let watcher = watcher.map(|(listener, allowed)| Watcher::new(listener, allowed));
        let written = publish(folder, RUN_FILE, &instance.record);
        match written
            .during_on("write the run record", folder)
            .and_then(|()| guest.during("open the guest channel"))
            .and_then(|guest| Ok((guest, names?)))
        {
            Ok((guest, names)) => Ok((instance, guest, names, watcher)),
            Err(error) => {
                end(&mut instance);
                unplug(spec);
                Err(error)
            }
        }
    });
    match started {
        Ok((instance, guest, names, watcher)) => Ok(Keeper {
            folder: folder.clone(),
            _directory: directory,
            _leases: leases,
            stop_grace: Duration::from_millis(spec.stop_grace_ms),
            instance,
            log,
            guest,
            resolver,
            names,
            watcher,
            attempts: Attempts::default(),
            clients,
            signals,
            exit,
            buffer: vec![0; CHUNK],
            output_open: true,
            errors_open: true,
            stopping: false,
            kill_at: None,
            oom: None,
        }),
        Err(error) => {
            // Only names of ours in a folder of ours; the caller hears why the start failed.
            for name in [CONTROL_SOCKET, RUN_FILE, RESOLVER_FILE, ".exit.json", ".run.json"] {
                let _ = fs::remove_file(folder.join(name));
            }
            Err(error)
        }
    }
}

/// Ends an instance that may not stay.
fn end(instance: &mut Instance) {
    let _ = pidfd::signal(instance.init.as_fd(), libc::SIGKILL);
    let _ = waitpid(Pid::from_raw(instance.record.init.pid), None);
    let _ = instance.group.remove();
}

/// Holds what the instance needs of the host. The starter holds it too until it hears that the instance runs, so one
/// that cannot be held is on a filesystem without locks, or locked by a stranger: no reason not to start.
fn leases(spec: &InstanceSpec) -> Vec<Lease> {
    let folders = spec.holds.iter();
    folders
        .filter_map(|folder| Lease::at_once(folder).ok().flatten())
        .collect()
}

/// Without a root of its own, or a network of others, the instance sees the host's files or none.
fn resolver(spec: &InstanceSpec) -> Result<Option<Resolver>, StepError> {
    if !spec.network.is_hosts() || spec.isolation != Isolation::Namespaces {
        return Ok(None);
    }
    let copy = spec.run_dir.join(RESOLVER_FILE);
    Resolver::new(resolver::HOST.as_ref(), &copy)
        .during_on("copy the host's resolver configuration", &copy)
        .map(Some)
}

struct Keeper {
    folder: std::path::PathBuf,
    /// Held locked for as long as this keeper lives.
    _directory: Flock<fs::File>,
    /// Holds on the folders of the instance's stack.
    _leases: Vec<Lease>,
    stop_grace: Duration,
    instance: Instance,
    log: Log,
    guest: Guest,
    resolver: Option<Resolver>,
    names: Option<Names>,
    watcher: Option<Watcher>,
    attempts: Attempts,
    clients: Clients,
    signals: SignalFd,
    exit: Reserved,
    buffer: Vec<u8>,
    output_open: bool,
    errors_open: bool,
    stopping: bool,
    kill_at: Option<Instant>,
    oom: Option<OomRecord>,
}

/// What can be ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Init,
    Signals,
    Output,
    Errors,
    Guest,
    Resolver,
    Names,
    Watch,
    Oom,
    Listener,
    Client(usize),
}

impl Keeper {
    fn run(mut self) -> io::Result<()> {
        loop {
            let ready = self.wait()?;
            for source in &ready {
                self.serve(*source);
            }
            self.clients.flush();
            self.clients.sweep();
            self.names.as_mut().map(Names::due);
            self.tell_where();
            self.watcher.as_mut().map(Watcher::resume);
            if let Some(silent_ms) = self.guest.turn() {
                self.clients.publish(&Event::Stuck { silent_ms });
            }
            if self.kill_at.is_some_and(|at| at <= Instant::now()) {
                self.kill();
            }
            if ready.contains(&Source::Init) {
                return self.finish();
            }
        }
    }

    /// Sleeps until something is ready or due.
    fn wait(&self) -> io::Result<Vec<Source>> {
        let mut sources = vec![(Source::Init, self.instance.init.as_fd(), PollFlags::POLLIN)];
        sources.push((Source::Signals, self.signals.as_fd(), PollFlags::POLLIN));
        if self.output_open {
            sources.push((Source::Output, self.instance.output.as_fd(), PollFlags::POLLIN));
        }
        if self.errors_open {
            sources.push((Source::Errors, self.instance.errors.as_fd(), PollFlags::POLLIN));
        }
        if let Some(guest) = self.guest.source() {
            sources.push((Source::Guest, guest, PollFlags::POLLIN));
        }
        if let Some(changes) = self.resolver.as_ref().and_then(Resolver::source) {
            sources.push((Source::Resolver, changes, PollFlags::POLLIN));
        }
        if let Some(names) = &self.names {
            sources.push((Source::Names, names.source(), PollFlags::POLLIN));
        }
        if let Some(calls) = self.watcher.as_ref().and_then(Watcher::source) {
            sources.push((Source::Watch, calls, PollFlags::POLLIN));
        }
        if let Some((oom, flags)) = self.instance.group.oom_source() {
            sources.push((Source::Oom, oom, flags));
        }
        for (number, (client, behind)) in self.clients.sources().enumerate() {
            let source = number.checked_sub(1).map_or(Source::Listener, Source::Client);
            let writing = if behind {
                PollFlags::POLLOUT
            } else {
                PollFlags::empty()
            };
            sources.push((source, client, PollFlags::POLLIN | writing));
        }
        let mut polled: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, at, flags)| PollFd::new(*at, *flags))
            .collect();
        let pause = self.names.as_ref().and_then(Names::deadline);
        let asked = self.watcher.as_ref().and_then(Watcher::pause);
        let due = [self.kill_at, self.guest.deadline(), pause, asked]
            .into_iter()
            .flatten()
            .min();
        let patience = due.map_or(PollTimeout::NONE, |due| {
            // Rounded up: a poll that ends too early would turn again at once.
            let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut polled, patience) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |(source, polled): (&(Source, BorrowedFd<'_>, PollFlags), &PollFd<'_>)| {
            polled.any().unwrap_or(false).then_some(source.0)
        };
        Ok(sources.iter().zip(&polled).filter_map(ready).collect())
    }

    fn serve(&mut self, source: Source) {
        match source {
            // Served last, when everything that was said before the end has been read.
            Source::Init => {}
            Source::Signals => {
                while let Ok(Some(signal)) = self.signals.read_signal() {
                    // A terminal that goes away is not a wish to stop.
                    if signal.ssi_signo != libc::SIGHUP as u32 {
                        self.stop(self.stop_grace);
                    }
                }
            }
            Source::Output => self.output_open = self.drain(Pipe::Output).is_some(),
            Source::Errors => self.errors_open = self.drain(Pipe::Errors).is_some(),
            Source::Guest => {
                self.hear();
                if self.guest.is_newly_blind() {
                    self.log.note(BLIND);
                }
            }
            Source::Resolver => {
                if let Some(resolver) = &mut self.resolver {
                    resolver.refresh();
                }
            }
            Source::Names => self.serve_names(),
            Source::Watch => {
                if let Some(tried) = self.watcher.as_mut().and_then(Watcher::serve) {
                    self.note(&tried);
                }
            }
            Source::Oom => self.notice_oom(),
            Source::Listener => self.clients.accept(),
            Source::Client(number) => self.answer(number),
        }
    }

    /// Reads a pipe once. `None` when nobody can write to it any more, else how much there was.
    fn drain(&mut self, pipe: Pipe) -> Option<usize> {
        let from = match pipe {
            Pipe::Output => &self.instance.output,
            Pipe::Errors => &self.instance.errors,
        };
        match nix::unistd::read(from, &mut self.buffer) {
            Ok(0) => None,
            Ok(count) => {
                self.log.feed(pipe, &self.buffer[..count]);
                Some(count)
            }
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Some(0),
            Err(_) => None,
        }
    }

    /// Reads what the program says, once, and passes it on.
    fn hear(&mut self) {
        let clients = &mut self.clients;
        self.guest
            .read(&mut self.buffer, |message| clients.pass_on(&guest_line(message)));
        for (program, by) in self.guest.take_spawns() {
            if let Some(attempt) = self.attempts.hint(&program, &by) {
                self.clients.publish(&Event::Attempt(attempt));
            }
        }
    }

    /// Counts what was tried, and tells it when it is time for that.
    fn note(&mut self, tried: &Tried) {
        if let Some(attempt) = self.attempts.count(tried, now_ms()) {
            self.clients.publish(&Event::Attempt(attempt));
        }
    }

    fn tell_where(&mut self) {
        for tried in self.names.as_mut().map(Names::tried).unwrap_or_default() {
            self.note(&tried);
        }
    }

    fn serve_names(&mut self) {
        match self.names.as_mut().and_then(Names::turn) {
            None => {}
            Some(Ok(note)) => self.log.note(note),
            Some(Err(error)) => {
                // Without its rules it could reach the host.
                self.log
                    .note(&format!("{error}: {}; the instance is killed", error.cause));
                self.kill();
            }
        }
    }

    fn notice_oom(&mut self) {
        if let Ok(Some(oom)) = self.instance.group.read_oom()
            && self.oom.as_ref() != Some(&oom)
        {
            let text = format!(
                "out of memory: the kernel killed {} processes of this instance",
                oom.kills
            );
            self.log.note(&text);
            self.clients.publish(&Event::Oom(oom.clone()));
            self.oom = Some(oom);
        }
    }

    fn answer(&mut self, number: usize) {
        // Taken out, so that an answer may look at everything else.
        let mut requests = Vec::new();
        let instance = &self.instance;
        let guest = &mut self.guest;
        let attempts = &self.attempts;
        self.clients.read(number, |request| match request {
            Request::Status => {
                let stats = instance.group.stats();
                line(&StatusLine {
                    reply: "status",
                    run: &instance.record,
                    last_beat_ms: guest.last_beat_ms(),
                    guest_state: guest.state(),
                    memory: stats.memory,
                    memory_peak: stats.memory_peak,
                    cpu_us: stats.cpu_us,
                    pids: stats.pids,
                })
            }
            Request::Subscribe => {
                let mut known = guest
                    .state()
                    .map_or(Ok(Vec::new()), |state| line(&guest_line(state)))?;
                // Told to all only when it begins.
                if let Some(silent_ms) = guest.stuck_for() {
                    known.extend(line(&Event::Stuck { silent_ms })?);
                }
                for attempt in attempts.all() {
                    known.extend(line(&Event::Attempt(attempt.clone()))?);
                }
                guest.report_soon();
                Ok(known)
            }
            Request::Collect => guest.collect().and_then(|()| line(&Reply::Done)),
            Request::Tell { message } => line(&message)
                .and_then(|message| guest.tell(&message))
                .and_then(|()| line(&Reply::Done)),
            Request::Diagnose if guest.stack().is_some() => {
                requests.push(request);
                line(&Reply::Done)
            }
            Request::Diagnose if guest.tells_its_stack() => {
                pidfd::signal(instance.init.as_fd(), libc::SIGUSR1).and_then(|()| line(&Reply::Done))
            }
            Request::Diagnose => line(&Reply::Failed {
                message: "its program has not said that it can tell what it does".to_owned(),
            }),
            Request::Stop { .. } | Request::Kill => {
                requests.push(request);
                line(&Reply::Done)
            }
        });
        for request in requests {
            match request {
                Request::Stop { grace_ms } => self.stop(Duration::from_millis(grace_ms)),
                Request::Diagnose => {
                    if let Some(stack) = self.guest.stack() {
                        self.clients.pass_on(&guest_line(stack));
                    }
                }
                _ => self.kill(),
            }
        }
    }

    /// Asks the program to end; a later request can only shorten the time that is left.
    fn stop(&mut self, grace: Duration) {
        self.stopping = true;
        let at = Instant::now() + grace.min(Duration::from_secs(24 * 3600));
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
        // When it has ended meanwhile, the loop is about to see that.
        let _ = pidfd::signal(self.instance.init.as_fd(), libc::SIGTERM);
    }

    /// Ends everything inside: with its first process the kernel ends a process namespace.
    fn kill(&mut self) {
        self.stopping = true;
        self.kill_at = None;
        let _ = pidfd::signal(self.instance.init.as_fd(), libc::SIGKILL);
    }
}
