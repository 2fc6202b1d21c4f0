//! Control groups by themselves, with real Node.js processes in them and no other walls around.
//!
//! Like those of `limits`, these tests run on this machine's groups and, through `guest_kernel`, on v2.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollTimeout, poll};
use runtime::record::{Level, Strength};
use runtime::sandbox::cgroup::{Generation, Group, Layout, Resource, systemd_runs};
use runtime::spec::Limits;
use runtime::units::{Bytes, CpuShare, Pids};
use test_support::eventually::eventually;
use test_support::skip::skipped;

use crate::support::{Cell, chain, node};

const MEMORY: Bytes = Bytes::mib(150);

/// A Node.js program in a group of its own; killed and removed in the end.
struct Program {
    group: Group,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Held back until the group has it: it begins with the first line of its input.
    fn start(id: &str, limits: &Limits, program: &str) -> Self {
        let group = group(id, limits);
        let held = format!("process.stdin.once('data', () => {{ {program} }}); console.log('held')");
        let mut child = Command::new(node().join("bin/node"))
            .args(["-e", &held])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        group
            .add(i32::try_from(child.id()).unwrap())
            .expect("the child joins its group");
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self {
            group,
            child,
            input,
            output,
        };
        assert_eq!(program.line(), "held");
        program.say("go");
        program
    }

    fn say(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn end(mut self) -> ExitStatus {
        self.group.kill_all().expect("everything dies");
        let status = self.child.wait().unwrap();
        let paths = self.group.paths();
        self.group.remove().expect("the group goes");
        for path in paths {
            assert!(!Path::new(&path).exists(), "{path} is left");
        }
        status
    }
}

fn group(id: &str, limits: &Limits) -> Group {
    Group::create(&id.parse().unwrap(), limits, None).expect("a group is made")
}

fn limits() -> Limits {
    Limits {
        memory: Some(MEMORY),
        cpu: Some(CpuShare(1000)),
        pids: Some(Pids(64)),
        ..Limits::default()
    }
}

fn level<'a>(levels: &'a [Level], name: &str) -> &'a Level {
    levels
        .iter()
        .find(|level| level.name == name)
        .expect("every limit has a level")
}

#[test]
fn each_limit_is_read_back_as_asked() {
    let group = group("t-levels", &limits());
    for (name, detail) in [("memory", "150 MiB"), ("cpu", "1 core"), ("pids", "64 tasks")] {
        let level = level(group.levels(), name);
        assert_eq!(level.strength, Strength::Hard, "{level:?}");
        assert!(level.detail.starts_with(detail), "{level:?}");
    }
    assert_eq!(level(group.levels(), "io").strength, Strength::Off);
    group.remove().unwrap();
}

#[test]
fn an_io_limit_names_the_disk_or_why_there_is_none() {
    let wanted = Limits {
        io: Some(Bytes::mib(8)),
        ..Limits::default()
    };
    let group = Group::create(&"t-io".parse().unwrap(), &wanted, Some(Path::new("/proc"))).unwrap();
    let nowhere = level(group.levels(), "io");
    assert_eq!(nowhere.strength, Strength::None);
    assert!(nowhere.detail.contains("/proc is on no disk"), "{nowhere:?}");
    assert_eq!(level(group.levels(), "memory").strength, Strength::Off);
    group.remove().unwrap();

    let here = std::env::current_exe().unwrap();
    let group = Group::create(&"t-io".parse().unwrap(), &wanted, here.parent()).unwrap();
    let disk = level(group.levels(), "io");
    match Layout::of_self().unwrap().generation() {
        // v1 does not see buffered writes.
        Generation::Hybrid | Generation::Legacy => {
            assert_eq!(disk.strength, Strength::Partial, "{disk:?}");
            assert!(disk.detail.starts_with("8 MiB (blkio.throttle"), "{disk:?}");
        }
        // The guest's files are the host's: no disk of its own.
        _ => assert!(
            disk.detail.contains("on no disk") || disk.detail.starts_with("8 MiB (io.max"),
            "{disk:?}"
        ),
    }
    group.remove().unwrap();
}

#[test]
fn an_out_of_memory_kill_is_heard_of_before_the_death() {
    let mut hog = Program::start(
        "t-hog",
        &limits(),
        "const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))",
    );
    let (source, flags) = hog.group.oom_source().expect("memory is watched");
    let mut wait = [PollFd::new(source, flags)];
    let mut events = 0;
    let oom = loop {
        // v2 also reports that the limit was reached, before anything is killed for it.
        assert_eq!(
            poll(&mut wait, PollTimeout::from(30_000u16)),
            Ok(1),
            "silence after {events} events"
        );
        events += 1;
        if let Some(oom) = hog.group.read_oom().unwrap() {
            break oom;
        }
    };
    assert_eq!(hog.child.wait().unwrap().signal(), Some(9));
    assert_eq!(oom.limit, Some(MEMORY.0));
    assert_eq!(poll(&mut wait, PollTimeout::ZERO), Ok(0), "read, and still ready");
    hog.end();
}

#[test]
fn nothing_survives_even_while_it_forks_or_is_frozen() {
    // Each process starts the next one and ends: there is always one that the last list did not have.
    let runaway = "const { spawn } = require('child_process');
         const loop = 'sh -c \"$0\" \"$0\" & sh -c \"$0\" \"$0\"';
         spawn('sh', ['-c', loop, loop], { detached: true, stdio: 'ignore' }); console.log('running')";
    let mut program = Program::start("t-runaway", &limits(), runaway);
    assert_eq!(program.line(), "running");
    let full = |group: &Group| match group.stats().pids {
        Some(pids) if pids > 20 => Ok(()),
        pids => Err(pids),
    };
    eventually("it fills its group", Duration::from_secs(20), || {
        full(&program.group)
    });
    program.end();

    let program = Program::start("t-frozen", &limits(), "setInterval(() => {}, 10)");
    if Layout::of_self().unwrap().v2.is_some() {
        assert!(program.group.freeze(true).unwrap());
    }
    program.end();
}

#[test]
fn a_lost_keeper_s_group_is_emptied_by_its_paths() {
    let mut program = Program::start("t-lost", &limits(), "setInterval(() => {}, 1000)");
    let again = Group::from_paths(&program.group.paths()).unwrap();
    assert_eq!(again.read_oom().unwrap(), None);
    again.remove().unwrap();
    assert_eq!(program.child.wait().unwrap().signal(), Some(9));
    // Those that are gone are no mistake: another host may have cleaned up.
    Group::from_paths(&program.group.paths())
        .unwrap()
        .remove()
        .unwrap();
    for foreign in [
        "/sys/fs/cgroup",
        "/tmp",
        "/sys/fs/cgroup/redhold/../x",
        "redhold/x",
        "/tmp/redhold",
    ] {
        assert!(Group::from_paths(&[foreign.to_owned()]).is_err(), "{foreign}");
    }
}

#[test]
fn a_name_in_use_is_not_taken_over() {
    let mut first = Program::start(
        "t-twice",
        &limits(),
        "process.stdin.on('data', () => console.log('here')); console.log('ready')",
    );
    let second = group("t-twice", &limits());
    assert!(
        second.paths().iter().all(|path| path.ends_with("/t-twice.2")),
        "{:?}",
        second.paths()
    );
    second.remove().unwrap();
    assert_eq!(first.line(), "ready");
    first.say("still");
    assert_eq!(first.line(), "here");
    first.end();
}

fn held(levels: &[Level], name: &str) -> bool {
    level(levels, name).strength == Strength::Hard
}

#[test]
fn limits_change_while_a_program_runs() {
    let limits = |memory: Option<u64>, pids| Limits {
        memory: memory.map(Bytes::mib),
        pids: Some(Pids(pids)),
        ..Limits::default()
    };
    let mut program = Program::start(
        "t-changed",
        &limits(Some(150), 30),
        "const kept = []; process.stdin.on('data', () => { kept.push(Buffer.alloc(55 << 20, 1)); console.log(kept.length) }); console.log('ready')",
    );
    assert_eq!(program.line(), "ready");
    let levels = program.group.change(&limits(Some(280), 40)).expect("more");
    assert!(held(levels, "memory") && held(levels, "pids"), "{levels:?}");
    for count in ["1", "2"] {
        program.say("more");
        assert_eq!(program.line(), count, "there is room for it now");
    }
    // Less than it has: the kernel takes what it can, or says no; the group is never left without a limit.
    let levels = program.group.change(&limits(Some(270), 20)).expect("less");
    assert!(held(levels, "memory") && held(levels, "pids"), "{levels:?}");
    let levels = program.group.change(&limits(None, 20)).expect("none");
    assert_eq!(levels[0].strength, Strength::Off, "{levels:?}");
    program.say("more");
    assert_eq!(program.line(), "3");
    program.say("more");
    assert_eq!(program.line(), "4", "nothing stops it any more");
    program.end();
}

/// On v2, also beside v1 trees: a program that gets a tenth of the processor time that it wants waits for the rest.
#[test]
fn pressure_is_known_where_the_kernel_keeps_it() {
    let limits = Limits {
        cpu: Some(CpuShare(100)),
        ..Limits::default()
    };
    let program = Program::start("t-pressed", &limits, "console.log('burns'); for (;;);");
    let kept = program
        .group
        .paths()
        .iter()
        .any(|path| fs::read_to_string(Path::new(path).join("cpu.pressure")).is_ok());
    let pressure = || program.group.pressure(Resource::Cpu);
    assert_eq!(pressure().is_some(), kept);
    if kept {
        eventually("it waits", Duration::from_secs(20), || match pressure() {
            Some(pressure) if pressure.waiting_us > 500_000 => Ok(()),
            other => Err(other),
        });
    }
    program.end();
}

/// What the kernel would kill a program for, or refuse, is not set; what it can take back is taken back.
#[test]
fn a_limit_below_the_use_ends_nothing() {
    let limits = |memory| Limits {
        memory: Some(Bytes::mib(memory)),
        ..Limits::default()
    };
    // Cached files count as use and can be given up, the buffer cannot.
    let mut program = Program::start(
        "t-shrunk",
        &limits(400),
        "const kept = Buffer.alloc(120 << 20, 1), fs = require('fs'), os = require('os');
         const file = require('path').join(fs.mkdtempSync(os.homedir() + '/t-'), 'f');
         fs.writeFileSync(file, Buffer.alloc(1)); fs.truncateSync(file, 100 << 20); fs.readFileSync(file);
         fs.rmSync(require('path').dirname(file), { recursive: true });
         process.stdin.on('data', () => console.log('lives', kept.length)); console.log('ready')",
    );
    assert_eq!(program.line(), "ready");
    let used = program.group.memory_in_use().expect("memory is counted");
    assert!((Bytes::mib(120).0..Bytes::mib(280).0).contains(&used), "{used}");
    for _ in 0..2 {
        let memory = level(program.group.change(&limits(100)).expect("an answer"), "memory");
        assert_eq!(memory.strength, Strength::Partial, "{memory:?}");
        assert!(
            memory.detail.starts_with("400 MiB instead of 100 MiB") && memory.detail.contains("it uses "),
            "{memory:?}"
        );
        program.say("still there?");
        assert_eq!(program.line(), "lives 125829120");
    }
    let levels = program.group.change(&limits(300)).expect("less");
    assert!(held(levels, "memory"), "{levels:?}");
    // Nothing of the attempt is left.
    for high in program
        .group
        .paths()
        .iter()
        .map(|path| Path::new(path).join("memory.high"))
    {
        if high.exists() {
            assert_eq!(fs::read_to_string(high).expect("a limit"), "max\n");
        }
    }
    program.say("still there?");
    assert_eq!(program.line(), "lives 125829120");
    assert_eq!(program.group.read_oom().expect("counts"), None);
    program.end();
}

/// A unit's group, as `redhold-instances.service` has one: the keeper leaves the starter's for it, and so does
/// everything that it starts.
#[test]
fn instances_and_keepers_live_in_the_group_that_is_named() {
    let test = "instances_and_keepers_live_in_the_group_that_is_named";
    let Some(unified) = Layout::of_self().unwrap().v2.filter(|_| !systemd_runs()) else {
        return skipped(
            test,
            "control groups v2 without a systemd, which would have to hand one over",
        );
    };
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    // Beside the leaf into which an earlier test may have moved this process.
    let (folder, path) = match own.strip_suffix("/redhold.host") {
        Some(around) => (unified.own.parent().unwrap().to_owned(), around),
        None => (unified.own, own.trim_end_matches('/')),
    };
    let name = format!("t-named-{}", std::process::id());
    let (folder, named) = (folder.join(&name), format!("{path}/{name}"));
    let mut cell = Cell::new("process.stdin.resume(); setInterval(() => {}, 1000)");
    cell.spec.control_group = Some((&named).into());

    let error = cell.start().expect_err("the group is not there");
    assert!(chain(&error).contains("it is not there"), "{}", chain(&error));

    fs::create_dir(&folder).unwrap();
    let running = cell.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
    let place = |pid: i32| {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        groups
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .unwrap()
            .to_owned()
    };
    let record = running.record();
    assert_eq!(place(record.keeper.pid), format!("{named}/redhold.keepers"));
    assert_eq!(
        place(record.init.pid),
        format!("{named}/redhold/{}", cell.spec.id)
    );
    running.kill().unwrap();
    running.wait().unwrap();
    // What a stopping unit does with what is left.
    eventually("the unit's group goes", Duration::from_secs(20), || {
        for leaf in ["redhold.keepers", "redhold.host", "redhold"] {
            let _ = fs::remove_dir(folder.join(leaf));
        }
        fs::remove_dir(&folder)
    });
}
