//! What a program may do behind its walls: asked of the keeper by the kernel, refused or let through, and recorded.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use runtime::process::Running;
use runtime::record::{Attempted, Event, ExitRecord, Strength};
use runtime::spec::{Programs, Watch};

use crate::support::{Cell, everywhere};

/// Tries to start Node.js and `/bin/sh`, and says how each ended, one word per line.
const SPAWNS: &str = "
    const { spawnSync } = require('child_process');
    for (const [file, ...args] of [[process.execPath, '-e', ''], ['/node/bin/nothing']]) {
        const { status, error } = spawnSync(file, args);
        console.log(error ? error.code : status);
    }";

fn watched(program: &str, enforce: bool, names: &[&str]) -> Cell {
    let mut cell = Cell::new(program);
    cell.spec.watch = Some(Watch {
        enforce,
        programs: Programs::Named(names.iter().map(|name| (*name).to_owned()).collect()),
        raw_sockets: false,
        words: "what the test says".to_owned(),
    });
    cell
}

fn attempts(exit: &ExitRecord) -> Vec<(Attempted, &str, u64, bool)> {
    let all = exit.attempts.iter();
    all.map(|one| (one.what, one.name.as_str(), one.count, one.refused))
        .collect()
}

fn subscribe(running: &Running) -> BufReader<UnixStream> {
    let events = running.subscribe().unwrap();
    events.set_nonblocking(false).unwrap();
    events.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    BufReader::new(events)
}

#[test]
fn observed_it_is_let_through_and_recorded() {
    everywhere(|| {
        let cell = watched(SPAWNS, false, &[]);
        let running = cell.start().unwrap();
        let level = running
            .record()
            .levels
            .iter()
            .find(|one| one.name == "capabilities");
        let level = level.expect("it says what is watched");
        assert_eq!(level.strength, Strength::Off, "{level:?}");
        assert!(level.detail.starts_with("what the test says; "), "{level:?}");
        let outcome = cell.end(&running);
        assert_eq!(outcome.output, "0\nENOENT\n");
        assert_eq!(
            attempts(&outcome.exit),
            [
                (Attempted::Execute, "/node/bin/node", 1, false),
                (Attempted::Execute, "/node/bin/nothing", 1, false),
            ]
        );
    });
}

#[test]
fn enforced_it_is_refused_and_recorded() {
    everywhere(|| {
        let cell = watched(SPAWNS, true, &[]);
        let running = cell.start().unwrap();
        let levels = &running.record().levels;
        let level = levels
            .iter()
            .find(|one| one.name == "capabilities")
            .expect("a level");
        assert_eq!(level.strength, Strength::Hard, "{level:?}");
        let outcome = cell.end(&running);
        assert_eq!(outcome.output, "EPERM\nEPERM\n");
        assert_eq!(
            attempts(&outcome.exit),
            [
                (Attempted::Execute, "/node/bin/node", 1, true),
                (Attempted::Execute, "/node/bin/nothing", 1, true),
            ]
        );
        // What is named starts, and is no attempt.
        let outcome = watched(SPAWNS, true, &["node"]).run();
        assert_eq!(outcome.output, "0\nEPERM\n");
        assert_eq!(outcome.exit.attempts.len(), 1);
    });
}

#[test]
fn a_name_is_no_way_around_the_file() {
    // A program of its own under an allowed name: the keeper reads that name, and Landlock looks at the file.
    everywhere(|| {
        let program = "
            const fs = require('fs'), { spawnSync } = require('child_process');
            fs.writeFileSync('/data/tool', '#!/node/bin/node\\n', { mode: 0o755 });
            fs.copyFileSync(process.execPath, '/data/sub-tool');
            fs.chmodSync('/data/sub-tool', 0o755);
            fs.mkdirSync('/data/bin');
            fs.renameSync('/data/sub-tool', '/data/bin/node');
            for (const file of ['/data/tool', '/data/bin/node']) {
                const { status, error } = spawnSync(file, ['-e', '']);
                console.log(error ? error.code : status);
            }";
        let outcome = watched(program, true, &["tool", "node"]).run();
        assert_eq!(outcome.output, "EACCES\nEACCES\n", "{outcome:?}");
        assert_eq!(outcome.exit.attempts, []);
    });
}

#[test]
fn raw_sockets_are_seen_and_everything_else_is_left_alone() {
    everywhere(|| {
        // SOCK_RAW is 3; a stream and a datagram beside it work as ever.
        let program = "
            for my $kind ([2, 3, 1], [10, 3, 58], [2, 1, 0], [2, 2, 17], [17, 3, 768], [38, 5, 0], [2, 3, 255]) {
                my $made = socket(my $s, $kind->[0], $kind->[1], $kind->[2]);
                print $made ? 'made' : $! + 0, \"\\n\";
            }";
        // Several times: the first call may come before the keeper is done with the start.
        for enforce in [false, true].repeat(8) {
            let mut cell = Cell::perl(program);
            cell.spec.watch = watched("", enforce, &[]).spec.watch.clone();
            let outcome = cell.run();
            assert_eq!(outcome.output, "1\n1\nmade\nmade\n1\n1\n1\n", "{outcome:?}");
            assert_eq!(
                attempts(&outcome.exit),
                [
                    (Attempted::RawSocket, "icmp", 1, enforce),
                    (Attempted::RawSocket, "icmp6", 1, enforce),
                    // Of these nobody gets any, and that is told too.
                    (Attempted::Socket, "alg", 1, true),
                    (Attempted::Socket, "internet, type 3, protocol 255", 1, true),
                    (Attempted::Socket, "packet", 1, true),
                ]
            );
        }
    });
}

#[test]
fn a_flood_costs_its_sender_and_nobody_else() {
    // Executes without a pause, under ever new names, for two seconds.
    let program = "
        $| = 1; my $end = time + 3; my $n = 0;
        while (time < $end) { exec { '/tmp/' . $n } 'x'; $n++; }
        print \"$n\\n\";";
    let mut cell = Cell::perl(program);
    cell.spec.watch = watched("", true, &[]).spec.watch.clone();
    let running = cell.start().unwrap();
    let keeper = running.record().keeper.pid;
    let mut events = subscribe(&running);
    let started = Instant::now();
    let mut told = 0;
    let mut used = 0;
    loop {
        let mut line = String::new();
        if events.read_line(&mut line).unwrap() == 0 {
            break;
        }
        match serde_json::from_str(&line).unwrap() {
            Event::Attempt(_) => told += 1,
            Event::Exit(_) => break,
            _ => {}
        }
        used = ticks(keeper).unwrap_or(used);
    }
    let outcome = cell.end(&running);
    let tried: u64 = outcome.output.trim().parse().unwrap();
    let counted: u64 = outcome.exit.attempts.iter().map(|one| one.count).sum();
    assert_eq!(counted, tried);
    assert!(tried > 1000, "{tried}");
    // Two thousand a second, and what the first window lets in.
    assert!(
        started.elapsed() > Duration::from_secs(2) && tried < 12_000,
        "{tried}"
    );
    assert!(told < 60 && outcome.exit.attempts.len() < 60, "{told}");
    // In hundredths of a second; a keeper that answers all it can would use all of three seconds.
    assert!(used < 200, "{used}");
}

/// Processor time that a process has used, in clock ticks (`proc(5)`).
fn ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some(fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?)
}

#[test]
fn whoever_comes_later_hears_what_was_tried_before() {
    everywhere(|| {
        let cell = watched(
            "require('child_process').spawnSync('/node/bin/node', ['-e', '']);
             console.log('tried'); setInterval(() => 0, 1000)",
            true,
            &[],
        );
        let running = cell.start().unwrap();
        test_support::eventually::eventually("it tries", Duration::from_secs(20), || {
            cell.log().contains("tried").then_some(()).ok_or("not yet")
        });
        for _ in 0..2 {
            let mut events = subscribe(&running);
            let heard = std::iter::from_fn(|| {
                let mut line = String::new();
                events.read_line(&mut line).ok().map(|_| line)
            });
            let mut attempts = heard.filter_map(|line| match serde_json::from_str(&line) {
                Ok(Event::Attempt(attempt)) => Some(attempt),
                _ => None,
            });
            let attempt = attempts.next().expect("an attempt");
            assert_eq!((attempt.name.as_str(), attempt.count), ("/node/bin/node", 1));
        }
    });
}
