//! What a program can do to other processes: to those of its own cell what it likes, to all others nothing.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use runtime::spec::{Limits, Network};
use runtime::units::Bytes;

use crate::support::{Cell, USER, everywhere};

#[test]
fn other_processes_do_not_exist() {
    everywhere(|| {
        let cell = Cell::new(
            "const fs = require('fs');
            console.log(fs.readdirSync('/proc').filter(name => /^\\d/.test(name)).join(' '));
            console.log(process.ppid);
            for (const pid of [Number(process.env.OUTSIDE), 999999])
              try { process.kill(pid, 0); console.log('reached'); } catch (e) { console.log(e.code); }",
        );
        let mut cell = cell;
        let own = std::process::id().to_string();
        cell.spec.program.env.push(("OUTSIDE".into(), own));
        assert_eq!(cell.run().ok(), "1 2\n1\nESRCH\nESRCH\n");
    });
}

#[test]
fn init_cannot_be_looked_into_or_ended() {
    everywhere(|| {
        let cell = Cell::new(
            "const fs = require('fs');
            const attempt = act => { try { return String(act()); } catch (e) { return e.code; } };
            console.log(['environ', 'mem', 'maps', 'auxv', 'stack', 'syscall', 'io'].map(name =>
              attempt(() => fs.readFileSync('/proc/1/' + name).length && 'read')).join(' '));
            console.log(['exe', 'root', 'cwd', 'ns/user', 'ns/mnt'].map(name =>
              attempt(() => fs.readlinkSync('/proc/1/' + name))).join(' '));
            console.log(attempt(() => fs.readdirSync('/proc/1/fd').length), attempt(() => fs.openSync('/proc/1/exe', 'r+')));
            for (const signal of ['SIGTERM', 'SIGKILL', 'SIGSTOP', 'SIGSEGV', 'SIGHUP'])
              attempt(() => process.kill(1, signal));
            attempt(() => process.kill(-1, 'SIGCONT'));
            setTimeout(() => console.log('still here', process.ppid), 200);",
        );
        let output = cell.run().ok();
        let lines: Vec<&str> = output.lines().collect();
        for word in lines[..3].iter().flat_map(|line| line.split(' ')) {
            // ENOENT: this kernel has no such file.
            assert!(["EACCES", "EPERM", "ENOENT"].contains(&word), "{output}");
        }
        assert_eq!(lines[3], "still here 1");
    });
}

#[test]
fn a_program_inherits_nothing_but_its_own_descriptors_and_environment() {
    everywhere(|| {
        // What the starter has open without closing it at execution must not get in.
        let leaked = std::fs::File::open("/etc/hostname").unwrap();
        nix::fcntl::fcntl(
            &leaked,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
        )
        .unwrap();
        let mut cell = Cell::perl(
            r#"opendir(my $folder, "/proc/self/fd"); my $own = fileno($folder);
            for my $fd (sort { $a <=> $b } grep { /^\d+$/ } readdir $folder) {
                my $to = readlink("/proc/self/fd/$fd"); next unless defined $to;
                next if $to =~ m{^/proc/|/code/program.pl};
                $to =~ s/\[\d+\]//; print "$fd $to\n";
            }
            print join(",", map { "$_=$ENV{$_}" } sort keys %ENV), "\n";
            open(my $limits, "<", "/proc/self/limits");
            while (<$limits>) { print "$1 $2 $3\n" if /^Max (core file size|open files|file size) +(\S+) +(\S+)/ }
            print umask, " ", (getpgrp() == $$ ? "own session" : "foreign session"), "\n";
            open(my $status, "<", "/proc/self/status"); while (<$status>) { print if /^(Sig(Blk|Ign)|NoNewPrivs|Cap...|Seccomp):/ }"#,
        );
        cell.spec.program.env = vec![("A".into(), "b".into())];
        cell.spec.limits = Limits {
            files: Some(100),
            file_size: Some(Bytes::mib(1)),
            ..cell.spec.limits.clone()
        };
        let output = cell.run().ok().replace('\t', " ");
        let zero = "0000000000000000";
        // Perl itself ignores SIGFPE.
        let perl = "0000000000000080";
        let expected = format!(
            "0 /dev/null\n1 pipe:\n2 pipe:\n4 socket:\nA=b\nfile size 1048576 1048576\ncore file size 1 1\n\
             open files 100 100\n18 own session\nSigBlk: {zero}\nSigIgn: {perl}\nCapInh: {zero}\nCapPrm: {zero}\n\
             CapEff: {zero}\nCapBnd: {zero}\nCapAmb: {zero}\nNoNewPrivs: 1\nSeccomp: 2\n"
        );
        assert_eq!(output, expected);
        drop(leaked);
    });
}

#[test]
fn orphans_are_buried_and_end_with_the_program() {
    everywhere(|| {
        let cell = Cell::perl(
            r#"$| = 1;
            for (1 .. 20) { if (fork() == 0) { if (fork() == 0) { select(undef, undef, undef, 0.05); exit 3 } exit 0 } wait }
            if (fork() == 0) { sleep 1000 }
            select(undef, undef, undef, 0.3);
            my $zombies = grep { open(my $f, "<", "/proc/$_/stat") && <$f> =~ /\) Z / } map { m{(\d+)} } glob("/proc/[0-9]*");
            my $living = () = glob("/proc/[0-9]*");
            print "$zombies zombies, $living processes\n";"#,
        );
        let before = std::time::Instant::now();
        // Init, the program, and the child that sleeps on.
        assert_eq!(cell.run().ok(), "0 zombies, 3 processes\n");
        assert!(
            before.elapsed() < Duration::from_secs(60),
            "a child outlived its cell"
        );
    });
}

#[test]
fn node_finds_all_that_it_needs() {
    everywhere(|| {
        let mut cell = Cell::new(
            "const { Worker } = require('worker_threads'), fs = require('fs'), net = require('net'), http = require('http');
            const done = name => { console.log(name); };
            (async () => {
              await new Promise(go => new Worker('setTimeout(() => 0, 5)', { eval: true }).on('exit', go)); done('worker');
              const child = require('child_process').spawnSync(process.execPath, ['-p', '1+1']);
              done('child ' + child.stdout.toString().trim());
              const wasm = new WebAssembly.Memory({ initial: 1, maximum: 100 }); done('wasm ' + wasm.buffer.byteLength);
              require('crypto').scryptSync('a', 'b', 32); done('crypto');
              const server = http.createServer((q, s) => s.end('hello')).listen(0, '127.0.0.1');
              await new Promise(go => server.on('listening', go));
              done(await (await fetch('http://localhost:' + server.address().port)).text()); server.close();
              const unix = net.createServer(c => c.end('unix')).listen('/tmp/x.sock');
              await new Promise(go => net.connect('/tmp/x.sock').on('data', d => { done(String(d)); go(); })); unix.close();
              await new Promise(go => { const watch = fs.watch('/data', () => { watch.close(); go(); });
                setTimeout(() => fs.writeFileSync('/data/w', 'x'), 20); }); done('watch');
              const os = require('os');
              done(os.cpus().length > 0 && os.totalmem() > 0 && os.networkInterfaces().lo ? 'os' : 'no os');
              fs.renameSync('/data/w', '/data/v'); fs.mkdirSync('/data/a/b', { recursive: true });
              fs.renameSync('/data/v', '/data/a/b/v'); fs.linkSync('/data/a/b/v', '/data/a/w'); done('rename');
              process.exit(0);
            })();",
        );
        cell.spec.program.env.push(("UV_USE_IO_URING".into(), "1".into()));
        assert_eq!(
            cell.run().ok(),
            "worker\nchild 2\nwasm 65536\ncrypto\nhello\nunix\nwatch\nos\nrename\n"
        );
    });
}

#[test]
fn without_namespaces_signals_stay_inside() {
    everywhere(|| {
        let mut cell = Cell::new(
            "const attempt = pid => { try { process.kill(pid, 'SIGKILL'); return 'killed'; } catch (e) { return e.code; } };
            const child = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => 0, 1000)']);
            console.log(attempt(Number(process.env.OUTSIDE)), attempt(process.ppid), attempt(child.pid));",
        );
        cell.without_namespaces();
        let mut stranger = std::process::Command::new("sleep");
        if nix::unistd::geteuid().is_root() {
            stranger.uid(USER);
        }
        let mut outside = stranger.arg("1000").spawn().unwrap();
        cell.spec
            .program
            .env
            .push(("OUTSIDE".into(), outside.id().to_string()));
        let outcome = cell.run();
        assert!(outside.try_wait().unwrap().is_none(), "a stranger was killed");
        outside.kill().unwrap();
        outside.wait().unwrap();
        assert_eq!(outcome.ok(), "EPERM EPERM killed\n");
        assert_eq!(cell.spec.network, Network::Host);
    });
}
