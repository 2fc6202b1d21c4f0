//! The keeper at work: the log, the end, the control socket, and what it leaves behind, which is nothing.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use runtime::error::{RequestError, StartError};
use runtime::process::{Descriptors, Running, spawn};
use runtime::record::{Event, Strength};
use runtime::spec::{LogSpec, Program};
use runtime::units::Bytes;
use test_support::eventually::{eventually, let_pass};

use crate::support::{Cell, chain, everywhere, ours, process_is};

const PATIENCE: Duration = Duration::from_secs(20);

fn start(cell: &Cell) -> Running {
    cell.start().unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// Nothing of an instance that has ended may be found anywhere.
fn assert_gone(running: &Running) {
    let record = running.record();
    for (name, process) in [("keeper", record.keeper), ("init", record.init)] {
        eventually(&format!("the {name} is gone"), PATIENCE, || {
            if process_is(&process) {
                Err(process.pid)
            } else {
                Ok(())
            }
        });
    }
    for group in &record.cgroups {
        assert!(!Path::new(group).exists(), "{group} is left");
    }
    let left: Vec<_> = fs::read_dir(running.run_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        left.iter().all(|name| name == "run.json" || name == "exit.json"),
        "{left:?}"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(running.run_dir().parent().unwrap().to_str().unwrap()),
        "a mount is left on the host"
    );
    assert_eq!(ours(&record.id), Vec::<i32>::new(), "processes are left");
}

#[test]
fn ends_are_told_as_they_were() {
    everywhere(|| {
        for (program, code, signal) in [
            ("", Some(0), None),
            ("process.exit(7)", Some(7), None),
            ("throw new Error('x')", Some(1), None),
            ("process.kill(process.pid, 'SIGKILL')", None, Some(9)),
            ("process.kill(process.pid, 'SIGSEGV')", None, Some(11)),
            ("process.abort()", None, Some(6)),
        ] {
            let cell = Cell::new(program);
            let running = start(&cell);
            let outcome = cell.end(&running);
            assert_eq!(
                outcome.errors.contains("Error: x"),
                program.starts_with("throw"),
                "{outcome:?}"
            );
            let exit = outcome.exit;
            assert_eq!(
                (exit.code, exit.signal, exit.stopping, &exit.oom),
                (code, signal, false, &None),
                "{program}"
            );
            assert!(
                exit.started_ms <= exit.ended_ms && exit.cpu_us.is_some_and(|used| used > 1000),
                "{exit:?}"
            );
            let text = fs::read_to_string(running.run_dir().join("exit.json")).unwrap();
            assert_eq!(
                serde_json::from_str::<runtime::record::ExitRecord>(&text).unwrap(),
                exit
            );
            assert_gone(&running);
            running.forget().unwrap();
            assert_eq!(fs::read_dir(&cell.spec.run_dir).unwrap().count(), 0);
        }
    });
}

#[test]
fn a_stop_is_gentle_first_and_then_not() {
    everywhere(|| {
        let gentle = Cell::new(
            "process.on('SIGTERM', () => setTimeout(() => process.exit(3), 100)); setInterval(() => 0, 1000); console.log('up')",
        );
        let running = start(&gentle);
        wait_for(&gentle, "up");
        running.stop(Duration::from_secs(20)).unwrap();
        let exit = gentle.end(&running).exit;
        assert_eq!((exit.code, exit.signal, exit.stopping), (Some(3), None, true));

        let deaf = Cell::new(
            "process.on('SIGTERM', () => 0); setInterval(() => 0, 1000);
            require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => 0, 1000)'], { detached: true }); console.log('up')",
        );
        let running = start(&deaf);
        wait_for(&deaf, "up");
        let before = Instant::now();
        running.stop(Duration::from_millis(300)).unwrap();
        let exit = deaf.end(&running).exit;
        assert_eq!((exit.code, exit.signal, exit.stopping), (None, Some(9), true));
        assert!((Duration::from_millis(300)..PATIENCE).contains(&before.elapsed()));
        assert_gone(&running);

        let other = Cell::new("setInterval(() => 0, 1000)");
        let running = start(&other);
        running.kill().unwrap();
        assert_eq!(other.end(&running).exit.signal, Some(9));
        assert!(matches!(
            running.stop(Duration::ZERO),
            Err(RequestError::Gone { .. })
        ));
        assert!(matches!(running.status(), Err(RequestError::Gone { .. })));
    });
}

fn wait_for(cell: &Cell, text: &str) {
    eventually(text, PATIENCE, || {
        let log = cell.log();
        if log.contains(text) { Ok(()) } else { Err(log) }
    });
}

#[test]
fn a_keeper_told_to_end_ends_its_instance_gently() {
    everywhere(|| {
        let cell = Cell::new(
            "process.on('SIGTERM', () => process.exit(4)); setInterval(() => 0, 1000); console.log('up')",
        );
        let running = start(&cell);
        wait_for(&cell, "up");
        let keeper = nix::unistd::Pid::from_raw(running.record().keeper.pid);
        nix::sys::signal::kill(keeper, nix::sys::signal::SIGHUP).unwrap();
        assert!(
            running.status().is_ok(),
            "a hang-up of the terminal is no wish to stop"
        );
        nix::sys::signal::kill(keeper, nix::sys::signal::SIGTERM).unwrap();
        assert_eq!(cell.end(&running).exit.code, Some(4));
    });
}

#[test]
fn a_flood_of_output_is_kept_in_bounds_and_never_stalls() {
    everywhere(|| {
        let mut cell = Cell::new(
            "const fs = require('fs'), line = 'x'.repeat(99) + '\\n', block = line.repeat(1000);
            for (let i = 0; i < 200; i++) fs.writeSync(i % 2 + 1, block);
            fs.writeSync(1, 'the last line');",
        );
        cell.spec.log = LogSpec {
            file: cell.path().join("log"),
            max_size: Bytes::kib(256),
            keep: 2,
        };
        let exit = cell.run().exit;
        assert_eq!(exit.code, Some(0));
        let mut files = 0;
        for entry in fs::read_dir(cell.path()).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("log") {
                files += 1;
                let metadata = entry.metadata().unwrap();
                assert!(metadata.len() <= 256 * 1024, "{entry:?} has {}", metadata.len());
                assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
            }
        }
        assert_eq!(files, 3);
        let log = cell.log();
        assert!(
            log.ends_with(" o the last line\n"),
            "{}",
            &log[log.len().saturating_sub(300)..]
        );
        for line in log.lines() {
            let fields: Vec<&str> = line.splitn(3, ' ').collect();
            assert!(
                fields[0].parse::<u64>().is_ok_and(|at| at > 1_600_000_000_000),
                "{line}"
            );
            assert!(["o", "e"].contains(&fields[1]), "{line}");
        }
    });
}

#[test]
fn a_full_disk_neither_stalls_nor_ends_an_instance() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut cell = Cell::new(
        "const fs = require('fs'), block = ('y'.repeat(99) + '\\n').repeat(1000);
        for (let i = 0; i < 20; i++) fs.writeSync(1, block);
        console.log('flooded'); fs.writeFileSync('/data/flooded', '');
        const wait = setInterval(() => { if (!fs.existsSync('/data/room')) return;
          clearInterval(wait); console.log('after'); process.exit(5); }, 20);",
    );
    let disk = cell.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let none: Option<&str> = None;
    nix::mount::mount(
        Some("tmpfs"),
        &disk,
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        Some("size=512k"),
    )
    .unwrap();
    cell.spec.log = LogSpec {
        file: disk.join("log"),
        max_size: Bytes::mib(8),
        keep: 1,
    };
    let running = start(&cell);
    eventually("the program got through its flood", PATIENCE, || {
        fs::metadata(cell.data().join("flooded")).map(drop)
    });
    nix::mount::mount(
        none,
        &disk,
        none,
        nix::mount::MsFlags::MS_REMOUNT,
        Some("size=4m"),
    )
    .unwrap();
    fs::write(cell.data().join("room"), "").unwrap();
    let exit = running.wait().unwrap();
    let log = cell.log();
    nix::mount::umount2(&disk, nix::mount::MntFlags::MNT_DETACH).unwrap();
    assert_eq!(exit.code, Some(5));
    let note = log
        .lines()
        .find(|line| line.contains("redhold: "))
        .expect("the loss is told");
    assert!(
        note.contains("log lines were lost: No space left on device"),
        "{note}"
    );
    assert!(log.ends_with(" o after\n"));
    assert!(
        log.lines()
            .all(|line| line.split(' ').next().is_some_and(|at| at.parse::<u64>().is_ok())),
        "a torn line"
    );
}

#[test]
fn out_of_memory_is_known_and_named() {
    let mut cell = Cell::new("const hog = []; for (;;) hog.push(Buffer.alloc(1 << 20, 1))");
    cell.spec.limits.memory = Some(Bytes::mib(96));
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let running = start(&cell);
    let memory = running
        .record()
        .levels
        .iter()
        .find(|level| level.name == "memory");
    assert_eq!(memory.map(|level| level.strength), Some(Strength::Hard));
    let events = BufReader::new(running.subscribe().unwrap());
    let events: Vec<Event> = events
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    let exit = cell.end(&running).exit;
    let oom = exit.oom.clone().expect("the record says why");
    assert!(oom.kills >= 1 && oom.limit == Some(96 << 20), "{oom:?}");
    assert_eq!((exit.code, exit.signal, exit.stopping), (None, Some(9), false));
    assert!(
        events.iter().any(|event| matches!(event, Event::Oom(_))),
        "{events:?}"
    );
    assert!(
        matches!(events.last(), Some(Event::Exit(last)) if *last == exit),
        "{events:?}"
    );
    assert!(cell.log().contains("redhold: out of memory"), "{}", cell.log());
    assert_gone(&running);
}

#[test]
fn a_reader_that_does_not_read_hurts_nobody() {
    everywhere(|| {
        let cell = Cell::new(
            "const net = require('net'), guest = new net.Socket({ fd: 4 });
            const line = JSON.stringify({ type: 'noise', text: 'z'.repeat(2000) }) + '\\n';
            let left = 3000;
            const more = () => { while (left-- > 0) if (!guest.write(line)) return guest.once('drain', more); console.log('said'); setTimeout(() => process.exit(0), 300); };
            more();",
        );
        let begun = Instant::now();
        let running = start(&cell);
        let deaf = running.subscribe().unwrap();
        let listener = BufReader::new(running.subscribe().unwrap());
        // What never asks, what never ends its line, and what asks for nonsense.
        let silent = UnixStream::connect(running.run_dir().join("control.sock")).unwrap();
        let mut endless = UnixStream::connect(running.run_dir().join("control.sock")).unwrap();
        endless.write_all(&[b'x'; 5000]).unwrap();
        let mut nonsense = UnixStream::connect(running.run_dir().join("control.sock")).unwrap();
        nonsense.write_all(b"{\"op\":\"explode\"}\n[]\n").unwrap();
        let mut answers = BufReader::new(nonsense).lines();
        for _ in 0..2 {
            assert!(answers.next().unwrap().unwrap().contains("not a request"));
        }
        let mut exit = None;
        let mut messages = 0;
        for line in listener.lines() {
            match serde_json::from_str(&line.unwrap()).unwrap() {
                Event::Exit(record) => exit = Some(record),
                _ => messages += 1,
            }
        }
        // A thousand a second pass, in as many seconds as this machine takes for it.
        let most = 1000 * (begun.elapsed().as_secs() + 2);
        assert!((50..=most).contains(&messages), "{messages} of at most {most}");
        assert_eq!(exit.expect("the reader that reads hears the end").code, Some(0));
        let mut heard = Vec::new();
        // It was cut off at what the kernel holds for it.
        let _ = (&deaf).read_to_end(&mut heard);
        assert!(
            heard.len() < 1_000_000,
            "{} bytes were kept for somebody who does not read",
            heard.len()
        );
        drop(silent);
    });
}

#[test]
fn only_the_owner_and_root_are_heard() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let cell = Cell::new("setInterval(() => 0, 1000)");
    let running = start(&cell);
    let socket = cell.spec.run_dir.join("control.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // Doors left open by mistake.
    fs::set_permissions(cell.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&cell.spec.run_dir, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let program = "use Socket; socket(my $s, PF_UNIX, SOCK_STREAM, 0); connect($s, sockaddr_un($ARGV[0])) or die \"$!\";
        syswrite($s, \"{\\\"op\\\":\\\"kill\\\"}\\n\"); my $n = sysread($s, my $answer, 100); print 'heard: ', $answer // '';";
    let stranger = Command::new("perl")
        .args(["-e", program])
        .arg(&socket)
        .uid(5001)
        .gid(5001)
        .output()
        .unwrap();
    let heard = String::from_utf8_lossy(&stranger.stdout).into_owned();
    assert!(heard == "heard: " || heard.is_empty(), "{stranger:?}");
    let_pass(Duration::from_millis(100));
    assert!(running.status().is_ok(), "a stranger ended the instance");
}

#[test]
fn status_tells_what_the_program_says_of_itself() {
    everywhere(|| {
        let cell = Cell::new(
            "const net = require('net'), guest = new net.Socket({ fd: 4 });
            guest.on('data', d => { const line = String(d); if (line === '{\"op\":\"collect\"}\\n') guest.write('{\"type\":\"memory\",\"collected\":true}\\n');
              else guest.write(JSON.stringify({ type: 'told', line }) + '\\n'); });
            guest.write('{\"type\":\"state\",\"state\":\"starting\"}\\n\\n{\"type\":\"state\",\"state\":\"ready\"}\\n');
            setInterval(() => 0, 1000);",
        );
        let running = start(&cell);
        let status = eventually("the program is ready", PATIENCE, || {
            let status = running.status().map_err(|error| chain(&error))?;
            match &status.guest_state {
                Some(state) if state["state"] == "ready" => Ok(status),
                other => Err(format!("{other:?}")),
            }
        });
        assert!(status.last_beat_ms.is_some());
        assert_eq!(&status.run, running.record());
        if nix::unistd::geteuid().is_root() {
            assert!(
                status.memory.is_some_and(|bytes| bytes > 1 << 20)
                    && status.pids.is_some_and(|count| count > 2),
                "{status:?}"
            );
        }
        let mut events = BufReader::new(running.subscribe().unwrap()).lines();
        let mut next = || serde_json::from_str::<Event>(&events.next().unwrap().unwrap()).unwrap();
        assert!(
            matches!(next(), Event::Guest { message } if message["state"] == "ready"),
            "a new subscriber hears the last state"
        );
        running.collect().unwrap();
        assert!(matches!(next(), Event::Guest { message } if message["collected"] == true));
        running.tell(serde_json::json!({ "op": "npm", "n": 1 })).unwrap();
        assert!(
            matches!(next(), Event::Guest { message } if message["line"] == "{\"n\":1,\"op\":\"npm\"}\n"),
            "what is told arrives whole"
        );
        let long = serde_json::json!({ "op": "npm", "text": "x".repeat(20_000) });
        assert!(
            running.tell(long).is_err(),
            "more than a request may have is refused"
        );
        // One beat was heard, and none since.
        assert!(matches!(next(), Event::Stuck { silent_ms } if silent_ms >= 5000));
        running.kill().unwrap();
        assert!(matches!(next(), Event::Exit(exit) if exit.signal == Some(9) && exit.stopping));
    });
}

#[test]
fn a_start_that_fails_says_where_and_leaves_nothing() {
    everywhere(|| {
        let failing = |change: &dyn Fn(&mut Cell)| {
            let mut cell = Cell::new("");
            change(&mut cell);
            let error = cell.start().expect_err("it started");
            assert!(matches!(error, StartError::Step(_)), "{error:?}");
            assert_eq!(ours(cell.spec.id.as_str()), Vec::<i32>::new());
            assert_eq!(
                fs::read_dir(&cell.spec.run_dir).map_or(0, Iterator::count),
                0,
                "files are left"
            );
            chain(&error)
        };
        let program = |path: &'static str, directory: &'static str| {
            move |cell: &mut Cell| {
                cell.spec.program = Program {
                    path: path.into(),
                    directory: directory.into(),
                    ..cell.spec.program.clone()
                };
            }
        };
        let error = failing(&program("/node/bin/nothing", "/data"));
        assert!(
            error.contains("/node/bin/nothing") && error.contains("No such file"),
            "{error}"
        );
        let error = failing(&program("/code/program.cjs", "/data"));
        assert!(
            error.contains("cannot execute the program: /code/program.cjs: Permission denied"),
            "{error}"
        );
        let error = failing(&program("/node/bin/node", "/nowhere"));
        assert!(
            error.contains("cannot enter the working directory of the program: /nowhere"),
            "{error}"
        );
        let error = failing(&|cell| cell.spec.log.file = "/nowhere/log".into());
        assert!(
            error.contains("cannot open the log: /nowhere/log: No such file"),
            "{error}"
        );
        let error = failing(&|cell| cell.spec.run_dir = "/nowhere/run".into());
        assert!(
            error.contains("cannot open the run directory: /nowhere/run"),
            "{error}"
        );
        let error = failing(&|cell| cell.spec.mounts[0].target = "/a/../../b".into());
        assert!(error.contains("/a/../../b"), "{error}");
        let error = failing(&|cell| cell.spec.program.env.push(("A".into(), "\0".into())));
        assert!(error.contains("cannot execute the program"), "{error}");
    });
}

#[test]
fn something_else_in_the_keepers_place_is_found_out() {
    let cell = Cell::new("");
    let error = spawn(Path::new("/bin/true"), &cell.spec, Descriptors::default()).unwrap_err();
    assert!(matches!(error, StartError::Silent { .. }), "{error:?}");
    let error = spawn(Path::new("/nowhere/redhold"), &cell.spec, Descriptors::default()).unwrap_err();
    assert!(matches!(error, StartError::Execute { .. }), "{error:?}");
}

#[test]
fn one_run_directory_has_one_keeper_however_long_its_name() {
    everywhere(|| {
        let mut cell = Cell::new("setInterval(() => 0, 1000)");
        // Longer than a socket's path may be.
        let deep = cell.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o700)).unwrap();
        cell.spec.run_dir = deep;
        let running = start(&cell);
        let error = chain(&cell.start().unwrap_err());
        assert!(error.contains("another keeper"), "{error}");
        assert!(running.status().is_ok(), "the second start hurt the first");
        running.kill().unwrap();
        assert_eq!(cell.end(&running).exit.signal, Some(9));
    });
}
