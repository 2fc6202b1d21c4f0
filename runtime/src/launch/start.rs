//! The keeper's side of building a sandbox, up to the program running.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, pipe2, setgroups, write};

use super::clock;
use super::exit::publish;
use super::guest;
use super::init::{self, Plan};
use super::message::Report;
use super::program::Inherited;
use super::watch;
use crate::error::{During, StepError};
use crate::record::{Level, RUN_FILE, RunRecord, Strength};
use crate::sandbox::cable::Cable;
use crate::sandbox::cgroup::{Group, keep_in};
use crate::sandbox::idmap::{self, Identity};
use crate::sandbox::{cable, libraries, sources};
use crate::spec::{Access, InstanceSpec, Isolation, Network, Owner};
use crate::sys::clone::{Side, SingleThread, clone};
use crate::sys::descriptors::receive;
use crate::sys::pidfd;

/// Building takes milliseconds; a mount source on a dead network file system takes for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// A started instance, as its keeper holds it.
pub(crate) struct Instance {
    pub(crate) record: RunRecord,
    pub(crate) group: Group,
    pub(crate) init: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) errors: OwnedFd,
    pub(crate) ended: OwnedFd,
    pub(crate) guest: UnixStream,
    /// Asks about what is watched.
    pub(crate) watch: Option<OwnedFd>,
    /// Of its network, when it has one of its own; taken once, by whoever answers its questions for names.
    pub(crate) cable: Option<Cable>,
}

/// Builds the sandbox and starts the program. On failure nothing is left.
///
/// # Errors
/// The step that failed, wherever it ran.
pub(crate) fn start(
    single: &SingleThread,
    spec: &InstanceSpec,
    listener: Option<OwnedFd>,
) -> Result<Instance, StepError> {
    let identity = idmap::identity(spec.owner)?;
    let files_of = match spec.owner {
        Owner::Translated { of_uid, .. } => of_uid,
        Owner::Caller | Owner::Own { .. } => identity.uid,
    };
    cable::check(spec, identity.privileged)?;
    sources::check_owner(spec, files_of)?;
    sources::check_holds(spec)?;
    let writable = spec
        .mounts
        .iter()
        .find(|mount| mount.access == Access::ReadWrite)
        .map(|mount| mount.source.as_path());
    let named = spec.control_group.as_deref();
    let group = Group::create_in(named, &spec.id, &spec.limits, writable)
        .map_err(|error| StepError::new("make the control group", spec.id.as_str(), chain(&error)))?;
    if let Some(named) = named {
        // Before the first process is born, so that nothing of the instance was ever in its starter's unit.
        let moved = keep_in(named).map_err(|error| {
            StepError::new(
                "leave the starter's control group",
                spec.id.as_str(),
                chain(&error),
            )
        });
        if let Err(error) = moved {
            let _ = group.remove();
            return Err(error);
        }
    }
    match start_in(single, spec, identity, listener, &group) {
        Ok(parts) => Ok(parts.into_instance(group)),
        Err(error) => {
            // Why it failed is what counts; what is left of an empty group hurts nobody.
            let _ = group.remove();
            Err(error)
        }
    }
}

struct Parts {
    record: RunRecord,
    init: OwnedFd,
    output: OwnedFd,
    errors: OwnedFd,
    ended: OwnedFd,
    guest: UnixStream,
    watch: Option<OwnedFd>,
    cable: Option<Cable>,
}

impl Parts {
    fn into_instance(self, group: Group) -> Instance {
        Instance {
            record: self.record,
            group,
            init: self.init,
            output: self.output,
            errors: self.errors,
            ended: self.ended,
            guest: self.guest,
            watch: self.watch,
            cable: self.cable,
        }
    }
}

fn start_in(
    single: &SingleThread,
    spec: &InstanceSpec,
    identity: Identity,
    listener: Option<OwnedFd>,
    group: &Group,
) -> Result<Parts, StepError> {
    const PIPES: &str = "make the channels of the instance";
    let namespaces = spec.isolation == Isolation::Namespaces;
    let (libraries, sources) = if namespaces {
        let libraries = libraries::mounts(spec)?;
        let sources = if identity.privileged {
            let translation = match spec.owner {
                Owner::Translated { of_uid, of_gid, .. } => {
                    Some(idmap::translation(single, identity, of_uid, of_gid)?)
                }
                Owner::Caller | Owner::Own { .. } => None,
            };
            Some(sources::open(
                spec,
                &libraries,
                translation.as_ref().map(AsFd::as_fd),
            )?)
        } else {
            None
        };
        (libraries, sources)
    } else {
        (Vec::new(), None)
    };
    if identity.privileged {
        // Groups of root would be the instance's too.
        setgroups(&[]).during("leave the groups of the host")?;
    }
    let (output, output_inside) = pipe2(OFlag::O_CLOEXEC).during(PIPES)?;
    let (errors, errors_inside) = pipe2(OFlag::O_CLOEXEC).during(PIPES)?;
    let (ended, ended_inside) = pipe2(OFlag::O_CLOEXEC).during(PIPES)?;
    let (report, report_inside) = pipe2(OFlag::O_CLOEXEC).during(PIPES)?;
    let (go_inside, go) = pipe2(OFlag::O_CLOEXEC).during(PIPES)?;
    let (guest, guest_inside) = guest::channel().during(PIPES)?;
    let (watch, watch_inside) = match spec.watch {
        Some(_) => UnixStream::pair().map(|(ours, inside)| (Some(ours), Some(inside.into()))),
        None => Ok((None, None)),
    }
    .during(PIPES)?;
    let input = spec.input.as_deref().map(in_memory).transpose().during(PIPES)?;
    for end in [&output, &errors, &ended] {
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).during(PIPES)?;
    }
    let plan = Plan {
        spec: spec.clone(),
        identity,
        libraries,
        sources,
        go: go_inside,
        ended: ended_inside,
        inherited: Inherited {
            output: output_inside,
            errors: errors_inside,
            listener,
            guest: guest_inside.into(),
            input,
            watch: watch_inside,
            report: report_inside,
        },
    };
    let started_ms = clock::now_ms();
    let (pid, init) = match clone(single, flags(spec), group.directory_fd())
        .during("make the namespaces of the instance")?
    {
        Side::Child => {
            drop((output, errors, ended, report, go, guest, watch));
            init::run(single, plan)
        }
        Side::Parent { pid, pidfd } => (
            pid,
            pidfd
                .ok_or(nix::errno::Errno::EBADF)
                .during("watch the first process")?,
        ),
    };
    drop(plan);
    let outcome = describe(spec, identity, group, pid, started_ms).and_then(|mut record| {
        // Before anything runs that could outlive this keeper: whoever finds it killed half-way must find the rest.
        publish(&spec.run_dir, RUN_FILE, &record).during_on("write the run record", &spec.run_dir)?;
        // Before anything runs inside: it never sees a network without its rules.
        let cable = match &spec.network {
            Network::Filtered(network) => Some(cable::connect(network, pid)?),
            _ => None,
        };
        let released = release(pid, identity, group, namespaces, &go, report, watch);
        let (levels, watch) = released.inspect_err(|_| unplug(spec))?;
        record.levels.extend(levels);
        record.levels.extend(group.levels().iter().cloned());
        Ok((record, cable, watch))
    });
    let (record, cable, watch) = match outcome {
        Ok(started) => started,
        Err(error) => {
            // It may be gone already; then there is nothing to end.
            let _ = pidfd::signal(init.as_fd(), libc::SIGKILL);
            let _ = waitpid(Pid::from_raw(pid), None);
            return Err(error);
        }
    };
    Ok(Parts {
        record,
        init,
        output,
        errors,
        ended,
        guest,
        watch,
        cable,
    })
}

/// A file that is in no folder and goes with its last descriptor. Unlike a pipe it takes any length at once.
fn in_memory(text: &str) -> io::Result<OwnedFd> {
    let file = std::fs::File::from(memfd_create(c"input", MFdFlags::MFD_CLOEXEC)?);
    // The offset, which the program inherits, stays at the beginning.
    file.write_all_at(text.as_bytes(), 0)?;
    Ok(file.into())
}

/// Takes the network of an instance that may not stay away again. Why it may not is what counts.
pub(crate) fn unplug(spec: &InstanceSpec) {
    if let Network::Filtered(network) = &spec.network {
        let _ = cable::remove(network);
    }
}

fn describe(
    spec: &InstanceSpec,
    identity: Identity,
    group: &Group,
    pid: i32,
    started_ms: u64,
) -> Result<RunRecord, StepError> {
    let own = nix::unistd::getpid().as_raw();
    Ok(RunRecord {
        id: spec.id.to_string(),
        boot_id: clock::boot_id().during("read the boot's identity")?,
        keeper: clock::process(own).during("read the keeper's start time")?,
        init: clock::process(pid).during("read the first process's start time")?,
        started_ms,
        spec_digest: spec.digest(),
        cgroups: group.paths(),
        network: match &spec.network {
            Network::Filtered(network) => Some(Box::new(network.clone())),
            _ => None,
        },
        levels: walls(spec, identity),
    })
}

fn flags(spec: &InstanceSpec) -> u64 {
    if spec.isolation == Isolation::Landlock {
        return 0;
    }
    let mut flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    if !spec.network.is_hosts() {
        flags |= libc::CLONE_NEWNET;
    }
    flags as u64
}

/// Gives init what it waits for, and listens until the program runs.
fn release(
    pid: i32,
    identity: Identity,
    group: &Group,
    namespaces: bool,
    go: &OwnedFd,
    report: OwnedFd,
    watch: Option<UnixStream>,
) -> Result<(Vec<Level>, Option<OwnedFd>), StepError> {
    if namespaces {
        idmap::write_maps(pid, identity)?;
    }
    if group.directory_fd().is_none() {
        group
            .add(pid)
            .map_err(|error| StepError::new("put the instance into its control group", "", chain(&error)))?;
    }
    write(go, b"g").during("release the first process")?;
    listen(report, watch)
}

/// Reads reports until the last copy of the pipe's other end is closed, which the program's execution does. Where that is
/// watched it is the first thing about which this is asked.
fn listen(
    report: OwnedFd,
    mut watch: Option<UnixStream>,
) -> Result<(Vec<Level>, Option<OwnedFd>), StepError> {
    const STEP: &str = "hear from inside the sandbox";
    let deadline = Instant::now() + PATIENCE;
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    let mut pipe = std::fs::File::from(report);
    let mut listener: Option<OwnedFd> = None;
    let mut begun = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let asked = match (&listener, &watch) {
            // Only the first call is the execution that this waits for; the next ones are the program's own, and are
            // judged by whoever keeps it.
            (Some(listener), _) => (!begun).then_some(listener.as_fd()),
            (None, watch) => watch.as_ref().map(AsFd::as_fd),
        };
        let sources = std::iter::once(pipe.as_fd()).chain(asked);
        let mut polled: Vec<_> = sources.map(|at| PollFd::new(at, PollFlags::POLLIN)).collect();
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut polled, left) {
            Err(nix::errno::Errno::EINTR) => continue,
            Ok(0) => return Err(io::Error::from(io::ErrorKind::TimedOut)).during(STEP),
            ready => ready.during(STEP)?,
        };
        let ready: Vec<bool> = polled.iter().map(|one| one.any().unwrap_or(false)).collect();
        if ready.get(1) == Some(&true) {
            match (&listener, watch.take()) {
                (Some(listener), _) => {
                    begun = true;
                    // Where it was killed meanwhile, its reports end without the last one.
                    let _ = watch::let_begin(listener.as_fd());
                }
                (None, Some(from)) => listener = receive(&from, &mut [0]).during(STEP)?.1.pop(),
                (None, None) => {}
            }
        }
        if !ready[0] {
            continue;
        }
        match pipe.read(&mut buffer).during(STEP)? {
            0 => break,
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
    let mut levels = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line)
            .map_err(io::Error::from)
            .during(STEP)?
        {
            Report::Level(level) => levels.push(level),
            Report::Failed(failure) => return Err(failure.into()),
        }
    }
    // The program's execution is preceded by two reports; without them everything inside was killed.
    if levels.is_empty() {
        return Err(StepError::new(
            STEP,
            "",
            io::Error::other("the first process ended without a word; it may have been out of memory"),
        ));
    }
    Ok((levels, listener))
}

/// What an instance has instead of a network of its own.
const HOSTS: &str = "the host's: its loopback, its ports and its neighbours are within reach";

/// The walls that are known from outside.
fn walls(spec: &InstanceSpec, identity: Identity) -> Vec<Level> {
    let level = |name: &str, strength, detail: String| Level {
        name: name.to_owned(),
        strength,
        detail,
    };
    let namespaces = match spec.isolation {
        Isolation::Namespaces => level(
            "namespaces",
            Strength::Hard,
            "user, mount, pid, ipc, uts and cgroup, with a read-only root of its own".to_owned(),
        ),
        Isolation::Landlock => level(
            "namespaces",
            Strength::None,
            "none: the root and the processes of the host are visible".to_owned(),
        ),
    };
    let who = format!("uid {} on the host", identity.uid);
    let identity = match spec.owner {
        Owner::Caller => level("identity", Strength::Partial, format!("{who}, the starter's own")),
        Owner::Own { .. } => level("identity", Strength::Hard, who),
        Owner::Translated { of_uid, .. } => level(
            "identity",
            Strength::Hard,
            format!("{who}, writing as uid {of_uid}"),
        ),
    };
    let network = match (&spec.network, spec.isolation) {
        (Network::Host, _) => level("network", Strength::Off, HOSTS.to_owned()),
        (Network::Lesser(why), _) => level("network", Strength::None, format!("{HOSTS}, because {why}")),
        (Network::Loopback, Isolation::Namespaces) => level(
            "network",
            Strength::Hard,
            "a namespace of its own with only loopback".to_owned(),
        ),
        (Network::Filtered(network), _) => level("network", Strength::Hard, network.to_string()),
        (Network::Loopback, Isolation::Landlock) => level(
            "network",
            Strength::None,
            "the host's: without namespaces there is no other".to_owned(),
        ),
    };
    vec![namespaces, identity, network]
}

/// A library's error with its causes in one line: only the text crosses to the caller.
fn chain(error: &dyn std::error::Error) -> io::Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    io::Error::other(text)
}
