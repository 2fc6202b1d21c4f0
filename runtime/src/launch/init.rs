//! The first process inside: builds the root, starts the program, buries whoever dies, and passes on the gentle stop
//! and the question what the program is doing.
//!
//! It holds no capability, no descriptor but the one by which it reports the end, and cannot be looked into from
//! inside. In a process namespace the kernel kills everything else when it ends (`pid_namespaces(7)`).

use std::io::{self, Read};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::message::{Ended, Report};
use super::program::{Inherited, become_program, tell};
use crate::error::{During, Failure, StepError};
use crate::record::{Level, Strength};
use crate::sandbox::idmap::{INSIDE, Identity, become_identity};
use crate::sandbox::sources::{self, Source};
use crate::sandbox::{capabilities, mounts, network};
use crate::spec::{InstanceSpec, Isolation, Mount};
use crate::sys::clone::{Side, SingleThread, exit_now, fork};
use crate::sys::descriptors::{keep_only, place};

/// Everything that init needs of the keeper, of which it is a copy.
pub(crate) struct Plan {
    pub(crate) spec: InstanceSpec,
    pub(crate) identity: Identity,
    pub(crate) libraries: Vec<Mount>,
    /// Opened by the keeper when it may, else by init.
    pub(crate) sources: Option<Vec<Source>>,
    /// One byte arrives when maps and groups are set.
    pub(crate) go: OwnedFd,
    pub(crate) ended: OwnedFd,
    pub(crate) inherited: Inherited,
}

/// Runs init to its end.
pub(crate) fn run(single: &SingleThread, plan: Plan) -> ! {
    let report = match plan.inherited.report.try_clone() {
        Ok(report) => report,
        Err(_) => exit_now(1),
    };
    match build(single, plan) {
        Ok(code) => exit_now(code),
        Err(error) => {
            // When even this fails, the keeper sees an init that ended without a word.
            let _ = tell(report.as_fd(), &Report::Failed(Failure::from(&error)));
            exit_now(1)
        }
    }
}

fn build(single: &SingleThread, plan: Plan) -> Result<i32, StepError> {
    // What it owns is closed by number before this process ends; dropping it would close strangers.
    let mut plan = ManuallyDrop::new(plan);
    let mut byte = [0];
    // The same goes for this copy: an owner that closes what is closed already ends a debug build by abort(3), which
    // the first process of a namespace survives, in an endless loop.
    let go = plan.go.try_clone().during("wait for the keeper")?;
    let mut go = ManuallyDrop::new(std::fs::File::from(go));
    go.read_exact(&mut byte).during("wait for the keeper")?;
    nix::sys::prctl::set_name(c"redhold-init").during("name the first process")?;
    match plan.spec.isolation {
        Isolation::Namespaces => namespaces(&mut plan)?,
        Isolation::Landlock => lesser(&plan)?,
    }
    let report = plan.inherited.report.as_fd();
    // Nobody inside may look into this process or into the copies it makes before they execute something; changing
    // the identity has just reset this (prctl(2), PR_SET_DUMPABLE).
    nix::sys::prctl::set_dumpable(false).during("hide the first process")?;
    if !capabilities::lock()? {
        let level = Level {
            name: "capabilities".to_owned(),
            strength: Strength::Partial,
            detail: "all dropped, but the bounding set could not be emptied".to_owned(),
        };
        tell(report, &Report::Level(level)).during("report to the keeper")?;
    }
    capabilities::drop_all()?;

    let mut heard = SigSet::empty();
    heard.add(Signal::SIGCHLD);
    heard.add(Signal::SIGTERM);
    heard.add(Signal::SIGUSR1);
    heard.thread_set_mask().during("wait for signals")?;
    let keeper = nix::unistd::getppid().as_raw();
    let signals = SignalFd::new(&heard).during("wait for signals")?;
    match fork(single).during("start the program")? {
        Side::Child => Err(become_program(&plan.spec, &plan.inherited)),
        Side::Parent { pid, .. } => {
            strip(&signals, &plan.ended).during("close what the first process inherited")?;
            Ok(watch(&signals, &plan.ended, pid, keeper, plan.spec.isolation))
        }
    }
}

fn namespaces(plan: &mut Plan) -> Result<(), StepError> {
    use crate::sys::privileges::{NO_FIXUP, set_secure_bits};
    // Capabilities over the new namespaces must survive the change from the keeper's uid to the mapped one.
    set_secure_bits(NO_FIXUP).during("keep the capabilities for building the root")?;
    become_identity(INSIDE, INSIDE)?;
    // Only now, because the group was changed meanwhile: the one that this process is in becomes the root that the
    // program sees (cgroup_namespaces(7)).
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP)
        .during("hide the control groups of the host")?;
    let name = &plan.spec.hostname;
    nix::unistd::sethostname(name).during("name the host of the instance")?;
    network::prepare(&plan.spec.network)?;
    let sources = match plan.sources.take() {
        Some(sources) => sources,
        None => sources::open(&plan.spec, &plan.libraries, None)?,
    };
    mounts::enter_root(&plan.spec, &sources)
}

/// Without namespaces: the identity, and at least the burial of all descendants.
fn lesser(plan: &Plan) -> Result<(), StepError> {
    nix::sys::prctl::set_child_subreaper(true).during("become the parent of orphans")?;
    if plan.identity.privileged {
        become_identity(plan.identity.uid, plan.identity.gid)?;
    }
    Ok(())
}

/// Leaves nothing open but what [`watch`] needs: neither what the keeper has of the host nor the far ends of the
/// pipes, whose end the keeper waits for.
fn strip(signals: &SignalFd, ended: &OwnedFd) -> io::Result<()> {
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for number in 0..3 {
        place(null.as_fd(), number)?;
    }
    std::mem::forget(null);
    keep_only(&[signals.as_fd(), ended.as_fd()])
}

/// Waits for the program's end, burying everybody, and tells how it was.
fn watch(signals: &SignalFd, ended: &OwnedFd, program: i32, keeper: i32, isolation: Isolation) -> i32 {
    loop {
        match signals.read_signal() {
            Ok(Some(signal)) if signal.ssi_signo != libc::SIGCHLD as u32 => {
                // Number 0 is a sender outside of this process namespace. Whoever is inside can end the program
                // without our help, and is not the keeper.
                let sender = signal.ssi_pid;
                let ours = sender == 0 || i32::try_from(sender) == Ok(keeper);
                let asked = if signal.ssi_signo == libc::SIGUSR1 as u32 {
                    Signal::SIGUSR1
                } else {
                    Signal::SIGTERM
                };
                // A question may not end it.
                if ours && (asked == Signal::SIGTERM || catches(program, asked)) {
                    // It may just have ended; SIGCHLD follows.
                    let _ = kill(Pid::from_raw(program), asked);
                }
            }
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => return 1,
        }
        if let Some(mut outcome) = bury(program) {
            if isolation == Isolation::Landlock {
                end_descendants();
            }
            outcome.cpu_us = used_us();
            if let Ok(text) = serde_json::to_vec(&outcome) {
                // When the keeper is gone nobody listens; the program has ended all the same.
                let _ = nix::unistd::write(ended, &text);
            }
            return 0;
        }
    }
}

/// Whether the program has a handler for the signal (`SigCgt` of `proc(5)`); without one it would die of it.
fn catches(program: i32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{program}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask >> (signal as u32 - 1) & 1 == 1)
}

/// Reaps every child that has ended; tells about the program when it was among them.
fn bury(program: i32) -> Option<Ended> {
    let mut outcome = None;
    loop {
        let status = waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
        let ended = match status {
            Ok(WaitStatus::Exited(pid, code)) => (pid, Some(code), None),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, None, Some(signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return outcome,
            Err(Errno::EINTR) | Ok(_) => continue,
            Err(_) => return outcome,
        };
        if ended.0.as_raw() == program {
            outcome = Some(Ended {
                code: ended.1,
                signal: ended.2,
                cpu_us: None,
            });
        }
    }
}

/// Without a process namespace nobody else does it: kills whoever was orphaned to this process, until none is left.
pub(crate) fn end_descendants() {
    let own = std::process::id();
    loop {
        let children =
            std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

fn used_us() -> Option<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    let both = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    u64::try_from(both).ok()
}
