//! The three things that connect a program with the outside: its guest channel, its listener, and its output.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use runtime::process::{Descriptors, spawn};
use test_support::eventually::eventually;

use crate::attempts::{ended, probing};
use crate::support::{Cell, chain, everywhere};

#[test]
fn the_guest_channel_leads_to_nothing_of_the_keeper() {
    everywhere(|| {
        // SO_PEERPIDFD gives a handle on the keeper, which is of the same user where there is no root.
        let outcome = probing(&["kill-keeper", "keeper-namespace", "send-rights", "descriptors"]).run();
        ended(
            outcome,
            &[
                ("kill-keeper", "EINVAL EPERM ENOPROTOOPT ESRCH"),
                ("keeper-namespace", "EACCES EPERM ENOTTY ENOPROTOOPT ESRCH EINVAL"),
                // All that was sent was closed again.
                ("send-rights", "ok"),
                ("descriptors", "ok"),
                ("open-descriptors", "0,1,2,4"),
            ],
        );
    });
}

#[test]
fn the_listener_leads_to_nothing_of_the_host() {
    everywhere(|| {
        let cell = probing(&["listener-file", "listener-folder", "descriptors"]);
        let listener = UnixListener::bind(cell.path().join("socket")).unwrap();
        let descriptors = Descriptors {
            listener: Some(listener.into()),
        };
        let running = spawn(test_support::redhold!(), &cell.spec, descriptors)
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        ended(
            cell.end(&running),
            &[
                ("listener-file", "EPERM"),
                ("listener-folder", "ENOTDIR"),
                ("descriptors", "ok"),
                ("open-descriptors", "0,1,2,3,4"),
            ],
        );
    });
}

#[test]
fn nothing_that_is_said_on_the_guest_channel_hurts_the_keeper() {
    everywhere(|| {
        let cell = Cell::new(
            "const fs = require('fs');
            const all = bytes => { for (let at = 0; at < bytes.length;) {
              try { at += fs.writeSync(4, bytes, at); } catch (e) { if (e.code !== 'EAGAIN') throw e; } } };
            const megabyte = Buffer.alloc(1 << 20, 'x');
            for (let n = 0; n < 64; n++) all(megabyte);                       // no end of line
            all(Buffer.from('\\n' + '['.repeat(60000) + '\\n'));              // depth
            all(Buffer.from('{\"a\":'.repeat(10000) + '\\n'));
            all(Buffer.from([0xff, 0xfe, 0, 10, 0xc0, 0x80, 10]));             // not UTF-8
            all(Buffer.from('{\"type\":\"state\",\"type\":{},\"n\":1e999999}\\n{\"type\":\"\\\\ud800\"}\\n'));
            all(Buffer.from('{}\\n'.repeat(20000)));                           // a flood
            // Only when the flood's second is over does it listen again.
            setTimeout(() => all(Buffer.from('{\"type\":\"state\",\"state\":\"ready\"}\\n')), 1500);
            setInterval(() => 0, 1000);",
        );
        let running = cell.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
        let status = eventually("the keeper hears the last words", Duration::from_secs(30), || {
            let status = running.status().map_err(|error| chain(&error))?;
            match &status.guest_state {
                Some(state) if state["state"] == "ready" => Ok(status),
                other => Err(format!("{other:?}")),
            }
        });
        let keeper = status.run.keeper.pid;
        let memory = || {
            let text = fs::read_to_string(format!("/proc/{keeper}/status")).unwrap();
            let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        running.kill().unwrap();
        let most = memory();
        running.wait().unwrap();
        assert!(most < 16 * 1024, "the keeper grew to {most} KiB");
    });
}

#[test]
fn a_program_is_interrupted_only_when_that_cannot_end_it() {
    everywhere(|| {
        let asks = |cell: Cell| {
            let running = cell.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
            eventually("it is heard", Duration::from_secs(30), || {
                let status = running.status().map_err(|error| chain(&error))?;
                status.guest_state.ok_or_else(|| "not yet".to_owned())
            });
            let events = BufReader::new(running.subscribe().unwrap()).lines();
            let said = running.diagnose().map_err(|error| error.to_string());
            (cell, running, events, said)
        };

        let node = |program: &str| {
            Cell::new(&format!(
                "const say = (message) => require('fs').writeSync(4, JSON.stringify(message) + '\\n');
                {program} setInterval(() => say({{ type: 'state', state: 'up' }}), 100);"
            ))
        };

        let (silent, running, _, said) = asks(node("process.on('SIGUSR1', () => process.exit(1));"));
        assert!(
            said.unwrap_err()
                .contains("has not said that it can tell what it does")
        );
        running.kill().unwrap();
        silent.end(&running);

        // It says that it can be asked, and would die of it.
        let (liar, running, events, said) = asks(Cell::perl(
            "open(my $keeper, '>&=', 4); $keeper->autoflush(1);
            print $keeper qq({\"type\":\"interruptible\"}\\n);
            for (;;) { print $keeper qq({\"type\":\"state\",\"state\":\"up\"}\\n); select(undef, undef, undef, 0.1); }",
        ));
        said.unwrap();
        let state = |line: &String| line.contains("\"up\"");
        assert_eq!(events.map_while(Result::ok).filter(state).take(5).count(), 5);
        running.kill().unwrap();
        assert_eq!(liar.end(&running).exit.signal, Some(9));

        let (ready, running, events, said) = asks(node(
            "say({ type: 'interruptible' }); process.on('SIGUSR1', () => say({ type: 'stack', n: 7 }));",
        ));
        said.unwrap();
        let told = events
            .map_while(Result::ok)
            .any(|line| line.contains("{\"type\":\"stack\",\"n\":7}"));
        assert!(told);
        running.kill().unwrap();
        ready.end(&running);
    });
}
