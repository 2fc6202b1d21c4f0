//! Limits of whole instances against the real kernel: Node.js programs that try to use up everything.
//!
//! The same tests run on this machine's control groups and, through `guest_kernel`, on v2 as root and on v2 as an
//! ordinary user with a delegated group.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use runtime::process::Running;
use runtime::record::{Event, Level, OomRecord, Strength};
use runtime::spec::{Access, Limits};
use runtime::units::{Bytes, CpuShare, Pids};
use test_support::eventually::{eventually, let_pass};

use crate::support::{Cell, everywhere, mount};

const MEMORY: Bytes = Bytes::mib(150);

fn limits() -> Limits {
    Limits {
        memory: Some(MEMORY),
        cpu: Some(CpuShare(1000)),
        pids: Some(Pids(64)),
        ..Limits::default()
    }
}

fn cell(program: &str, limits: Limits) -> Cell {
    let mut cell = Cell::new(program);
    cell.spec.limits = limits;
    cell
}

/// Whether groups can be made: as root, and where `guest_kernel` has delegated some.
fn limited() -> bool {
    nix::unistd::geteuid().is_root() || std::env::var_os("REDHOLD_TEST_DELEGATED").is_some()
}

fn level<'a>(running: &'a Running, name: &str) -> &'a Level {
    let levels = &running.record().levels;
    levels
        .iter()
        .find(|level| level.name == name)
        .expect("every limit has a level")
}

/// Another instance, which must not notice anything.
struct Neighbour {
    cell: Cell,
    running: Running,
}

impl Neighbour {
    fn start() -> Self {
        let cell = cell(
            "require('net').createServer((c) => c.pipe(c)).listen('/data/n.sock')",
            limits(),
        );
        let running = cell.start().unwrap();
        let neighbour = Self { cell, running };
        eventually("the neighbour answers", Duration::from_secs(20), || {
            neighbour.ask()
        });
        neighbour
    }

    fn ask(&self) -> std::io::Result<Duration> {
        let begun = Instant::now();
        let mut stream = UnixStream::connect(self.cell.data().join("n.sock"))?;
        stream.write_all(b"ping")?;
        stream.read_exact(&mut [0; 4])?;
        Ok(begun.elapsed())
    }

    /// It still answers, and soon: the best of five, because other tests want the processor too.
    fn is_well(&self) {
        let best = (0..5)
            .map(|_| self.ask().expect("the neighbour answers"))
            .min()
            .unwrap();
        assert!(best < Duration::from_millis(500), "the neighbour took {best:?}");
        assert_eq!(self.running.status().unwrap().run, *self.running.record());
        self.running.kill().unwrap();
        assert_eq!(self.cell.end(&self.running).exit.oom, None);
    }
}

/// Nothing of its groups is left; the keeper removes them after it has announced the end.
fn assert_gone(running: &Running) {
    let paths = &running.record().cgroups;
    assert!(!paths.is_empty(), "it had no group");
    eventually("its groups are removed", Duration::from_secs(5), || {
        match paths.iter().find(|path| Path::new(path).exists()) {
            None => Ok(()),
            Some(left) => Err(left.clone()),
        }
    });
}

#[test]
fn a_memory_hog_is_killed_and_named() {
    let neighbour = Neighbour::start();
    let hog = cell(
        "setTimeout(() => { const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1)) }, 300)",
        limits(),
    );
    let running = hog.start().unwrap();
    let mut named: Option<(Instant, OomRecord)> = None;
    for line in BufReader::new(running.subscribe().unwrap()).lines() {
        match serde_json::from_str(&line.unwrap()).unwrap() {
            Event::Oom(oom) if named.is_none() => named = Some((Instant::now(), oom)),
            Event::Exit(_) => break,
            _ => {}
        }
    }
    let (when, oom) = named.expect("its end was announced");
    assert!(
        when.elapsed() < Duration::from_secs(1),
        "announced {:?} before its end",
        when.elapsed()
    );
    let outcome = hog.end(&running);
    assert_eq!(outcome.exit.signal, Some(9), "{outcome:?}");
    let kept = outcome.exit.oom.expect("its record says why");
    assert_eq!((kept.limit, oom.limit), (Some(MEMORY.0), Some(MEMORY.0)));
    let peak = kept.peak.expect("its record says how much");
    assert!(peak <= MEMORY.0 && peak > MEMORY.0 / 10 * 9, "{kept:?}");
    assert!(hog.log().contains("out of memory"), "{}", hog.log());
    assert_gone(&running);
    neighbour.is_well();
}

#[test]
fn a_fork_bomb_meets_its_limit_and_nobody_else_does() {
    let neighbour = Neighbour::start();
    let mut bomb = cell(
        "const { spawn } = require('child_process'); let started = 0, refused = 0;
         const one = () => { const c = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
           c.on('error', (e) => { refused += e.code === 'EAGAIN'; }); if (c.pid) started++; };
         for (let i = 0; i < 200; i++) one();
         setTimeout(() => console.log('counted', started, refused), 100)",
        limits(),
    );
    let sleep = fs::canonicalize("/bin/sleep").unwrap();
    bomb.spec
        .mounts
        .push(mount(&sleep, "/bin/sleep", Access::ReadOnly));
    let running = bomb.start().unwrap();
    let line = eventually("it has forked", Duration::from_secs(20), || {
        let log = bomb.log();
        log.split_once("counted ")
            .map(|(_, rest)| rest.trim().to_owned())
            .ok_or(log)
    });
    let counts: Vec<u64> = line.split(' ').map(|count| count.parse().unwrap()).collect();
    assert!((20..64).contains(&counts[0]), "started, refused: {line}");
    assert_eq!(counts[0] + counts[1], 200, "{line}");
    let pids = running.status().unwrap().pids.expect("tasks are counted");
    assert!((counts[0]..=64).contains(&pids), "{pids} tasks");
    assert!(
        Command::new("true").status().unwrap().success(),
        "the host forks no more"
    );
    running.kill().unwrap();
    assert_eq!(bomb.end(&running).exit.signal, Some(9));
    assert_gone(&running);
    neighbour.is_well();
}

#[test]
fn a_burner_gets_its_share_and_no_more() {
    let neighbour = Neighbour::start();
    let quarter = Limits {
        cpu: Some(CpuShare(250)),
        ..limits()
    };
    let burner = cell("console.log('burning'); for (;;);", quarter);
    let running = burner.start().unwrap();
    eventually("it burns", Duration::from_secs(20), || {
        burner
            .log()
            .contains("burning")
            .then_some(())
            .ok_or_else(|| burner.log())
    });
    let used = || {
        running
            .status()
            .unwrap()
            .cpu_us
            .expect("processor time is counted")
    };
    let (before, begun) = (used(), Instant::now());
    let_pass(Duration::from_secs(3));
    let share = Duration::from_micros(used() - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    // A busy machine may give it less than its quota; nothing may give it much more.
    assert!((0.05..0.40).contains(&share), "{share} of a core");
    running.kill().unwrap();
    let exit = burner.end(&running).exit;
    assert!(exit.cpu_us.expect("its record says how much") >= before);
    assert_gone(&running);
    neighbour.is_well();
}

/// Every control file is tried, by each path under which it could be visible inside.
#[test]
fn no_instance_changes_its_limits() {
    let program = "const fs = require('fs');
         const attempt = (path) => { try { fs.writeFileSync(path, '4000000000', { flag: 'r+' }); return 'written'; }
           catch (e) { return e.code; } };
         const wait = () => {
           if (!fs.existsSync('/data/ready')) return setTimeout(wait, 20);
           const paths = fs.readFileSync('/data/paths', 'utf8').trim().split('\\n');
           const roots = ['', '/proc/1/root', '/proc/self/root', '/proc/2/root', '/proc/self/cwd/../..'];
           for (const path of paths) for (const root of roots)
             if (attempt(root + path) === 'written') console.log('written', root + path);
           console.log('tried', paths.length);
           setInterval(() => {}, 1000);
         };
         wait();";
    let cell = cell(program, limits());
    let running = cell.start().unwrap();
    let files: Vec<String> = running
        .record()
        .cgroups
        .iter()
        .flat_map(|path| fs::read_dir(path).unwrap())
        .map(|entry| entry.unwrap().path().to_string_lossy().into_owned())
        .collect();
    assert!(files.len() > 10, "{files:?}");
    let limit = |name: &str| files.iter().find(|file| file.ends_with(name));
    let memory = limit("/memory.max")
        .or_else(|| limit("/memory.limit_in_bytes"))
        .unwrap();
    fs::write(cell.data().join("paths"), files.join("\n")).unwrap();
    fs::write(cell.data().join("ready"), "").unwrap();
    if nix::unistd::geteuid().is_root() {
        // Written by root into the folder of another user.
        for name in ["paths", "ready"] {
            std::os::unix::fs::chown(cell.data().join(name), Some(crate::support::USER), None).unwrap();
        }
    }
    let before = fs::read_to_string(memory).unwrap();
    let tried = format!("tried {}", files.len());
    eventually("it has tried", Duration::from_secs(20), || {
        let log = cell.log();
        log.contains(&tried).then_some(()).ok_or(log)
    });
    assert_eq!(fs::read_to_string(memory).unwrap(), before);
    running.kill().unwrap();
    assert!(!cell.end(&running).output.contains("written"));
}

#[test]
fn each_limit_is_named_with_what_the_kernel_keeps() {
    let cell = cell("setInterval(() => {}, 1000)", limits());
    let running = cell.start().unwrap();
    for (name, detail) in [("memory", "150 MiB"), ("cpu", "1 core"), ("pids", "64 tasks")] {
        let level = level(&running, name);
        assert_eq!(level.strength, Strength::Hard, "{level:?}");
        assert!(level.detail.starts_with(detail), "{level:?}");
    }
    assert_eq!(level(&running, "io").strength, Strength::Off);
    eventually("its memory is counted", Duration::from_secs(20), || {
        let status = running.status().unwrap();
        let enough = status.memory.is_some_and(|memory| memory > Bytes::mib(5).0);
        if enough && status.memory_peak >= status.memory {
            Ok(())
        } else {
            Err((status.memory, status.memory_peak))
        }
    });
    running.kill().unwrap();
    cell.end(&running);
    assert_gone(&running);
}

/// Without the right to make groups an instance still runs behind its walls, and each lack is said.
#[test]
fn what_cannot_be_limited_is_named() {
    everywhere(|| {
        if limited() {
            return;
        }
        let cell = cell("console.log('runs')", limits());
        let running = cell.start().unwrap();
        for name in ["memory", "cpu", "pids"] {
            let level = level(&running, name);
            assert_eq!(level.strength, Strength::None, "{level:?}");
            assert!(level.detail.contains("group"), "{level:?}");
        }
        assert_eq!(level(&running, "namespaces").strength, Strength::Hard);
        assert_eq!(running.record().cgroups, [""; 0]);
        assert_eq!(cell.end(&running).ok(), "runs\n");
    });
}
