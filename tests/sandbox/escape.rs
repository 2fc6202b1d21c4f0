//! Ways out of a container that have worked somewhere: none may work here.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use runtime::spec::{Access, Network};

use crate::support::{Cell, everywhere, mount};

/// Runs Perl that prints `name: answer` lines; every answer must be among the refusals.
fn refused(program: &str, refusals: &[&str]) {
    let text = format!(
        "$| = 1;\n\
         sub attempt {{ my ($name, $act) = @_; $! = 0; my $r = eval {{ $act->() }}; \
         print \"$name: \", ($r ? 'DONE' : \"$!\"), \"\\n\" }}\n{program}"
    );
    let mut cell = Cell::perl(&text);
    cell.spec.network = Network::Host;
    let output = cell.run().ok();
    assert!(output.lines().count() > 0);
    for line in output.lines() {
        let answer = line.split_once(": ").map_or("", |(_, answer)| answer);
        assert!(refusals.contains(&answer), "{line}");
    }
}

#[test]
fn the_executables_of_node_and_of_the_keeper_cannot_be_overwritten() {
    // CVE-2019-5736: /proc/[pid]/exe of a process that entered from outside was opened for writing.
    everywhere(|| {
        refused(
            r#"for my $pid (1, $$, 'self') {
                attempt("write exe $pid", sub { open(my $f, '+<', "/proc/$pid/exe") });
                attempt("append exe $pid", sub { open(my $f, '>>', "/proc/$pid/exe") });
            }
            # Opened for reading first, then again through the descriptor.
            attempt('reopen', sub { open(F, '<', '/proc/1/exe') && open(G, '+<', '/proc/self/fd/' . fileno(F)) });
            attempt('reopen own', sub { open(F, '<', '/proc/self/exe') && open(G, '+<', '/proc/self/fd/' . fileno(F)) });"#,
            &["Permission denied", "Read-only file system", "Text file busy"],
        );
    });
}

#[test]
fn the_way_back_to_the_hosts_root_is_gone() {
    everywhere(|| {
        refused(
            r#"attempt('chroot', sub { chroot('/tmp') });
            mkdir '/tmp/a';
            attempt('double chroot', sub { chroot('/tmp/a') && chdir('../../../..') && chroot('.') });
            for my $at ('/proc/1/root/etc/hostname', '/proc/1/cwd/etc', "/proc/1/task/1/root/bin") {
                attempt($at, sub { stat($at) });
            }
            for my $fd (0 .. 20) {
                next unless -l "/proc/self/fd/$fd";
                next if readlink("/proc/self/fd/$fd") =~ m{^/(proc|code)};
                attempt("folder behind $fd", sub { opendir(my $d, "/proc/self/fd/$fd/..") });
            }"#,
            &["Operation not permitted", "Permission denied", "Not a directory"],
        );
        // Climbing up ends at the own root.
        let cell = Cell::perl(
            "chdir('..') for 1 .. 50; opendir(my $d, '.'); print join(' ', sort grep { !/^\\./ } readdir $d)",
        );
        let root = cell.run().ok();
        assert!(root.starts_with("bin code data dev etc"), "{root}");
        assert!(!root.contains("root"), "{root}");
    });
}

#[test]
fn control_groups_and_kernel_helpers_cannot_be_reached() {
    // release_agent, core_pattern, modprobe, hotplug and binfmt_misc run programs of one's choice as the host's root.
    everywhere(|| {
        refused(
            r#"my ($cgroup, $fs, $at) = ('cgroup', 'cgroup', '/tmp');
            attempt('mount cgroup', sub { syscall(165, $cgroup, $at, $fs, 0, 0) == 0 });
            for my $file ('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/proc/sys/kernel/hotplug',
                '/proc/sys/fs/binfmt_misc/register', '/proc/sys/kernel/yama/ptrace_scope', '/sys/fs/cgroup/release_agent',
                '/sys/kernel/uevent_helper', '/proc/sys/kernel/usermodehelper/bset') {
                attempt($file, sub { open(my $f, '>', $file) });
            }
            attempt('own oom score', sub { open(F, '>', '/proc/self/oom_score_adj') && syswrite(F, '-1000') });
            attempt('own map', sub { open(F, '>', '/proc/self/uid_map') && syswrite(F, '0 0 1') });"#,
            &[
                "Operation not permitted",
                "Permission denied",
                "Read-only file system",
                "No such file or directory",
            ],
        );
    });
}

#[test]
fn namespaces_cannot_be_entered_or_made() {
    everywhere(|| {
        refused(
            r#"for my $kind ('user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup') {
                attempt("open init's $kind", sub { open(my $f, '<', "/proc/1/ns/$kind") });
                attempt("enter own $kind", sub { open(F, '<', "/proc/self/ns/$kind") && syscall(308, fileno(F), 0) == 0 });
            }
            attempt('unshare user', sub { syscall(272, 0x10000000) == 0 });
            attempt('unshare mount', sub { syscall(272, 0x20000) == 0 });
            attempt('clone user', sub { my $r = syscall(56, 0x10000000 | 17, 0, 0, 0, 0); exit 0 if $r == 0; $r > 0 });
            my $arguments = pack('Q11', 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0);
            attempt('clone3 user', sub { my $r = syscall(435, $arguments, 88); exit 0 if $r == 0; $r > 0 });"#,
            &[
                "Operation not permitted",
                "Permission denied",
                "Function not implemented",
            ],
        );
    });
}

#[test]
fn a_terminal_takes_no_keystrokes_from_a_program() {
    everywhere(|| {
        refused(
            r#"open(my $pty, '+<', '/dev/ptmx') or die "no terminal: $!";
            my $c = 'x';
            attempt('TIOCSTI', sub { ioctl($pty, 0x5412, $c) });
            attempt('TIOCSTI in 64 bits', sub { syscall(16, fileno($pty), 0x100005412, $c) == 0 });
            attempt('the console', sub { open(my $f, '+<', '/dev/console') });
            attempt('the terminal of the starter', sub { open(my $f, '+<', '/dev/tty') });"#,
            &[
                "Operation not permitted",
                "No such file or directory",
                "No such device or address",
            ],
        );
    });
}

#[test]
fn privileges_do_not_come_back() {
    everywhere(|| {
        let mut cell = Cell::perl(
            r#"print "effective $>\n";
            print join(' ', map { $! = 0; $_->() ? 'DONE' : ($! + 0) }
                sub { $> = 0; $> == 0 }, sub { syscall(105, 0) == 0 }, sub { syscall(117, 0, 0, 0) == 0 },
                sub { syscall(116, 0, 0) == 0 }, sub { syscall(119, 0, 0, 0) == 0 },
                sub { chown(0, 0, '/data/own') }), "\n";
            print `/data/root/id -u`;
            open(my $f, '<', '/proc/self/status'); while (<$f>) { print if /^Cap(Eff|Prm|Bnd)/ }"#,
        );
        let folder = cell.path().join("code/root");
        fs::create_dir(&folder).unwrap();
        fs::copy("/usr/bin/id", folder.join("id")).unwrap();
        fs::set_permissions(folder.join("id"), fs::Permissions::from_mode(0o4755)).unwrap();
        cell.spec
            .mounts
            .push(mount(&folder, "/data/root", Access::ReadOnly));
        let output = cell.run().ok();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[0], "effective 1000");
        assert!(!lines[1].contains("DONE"), "{output}");
        assert_eq!(
            lines[2], "1000",
            "a set-user-id program of the host's root gave its rights away"
        );
        for line in &lines[3..] {
            assert!(line.ends_with("\t0000000000000000"), "{line}");
        }
    });
}

#[test]
fn another_instance_is_out_of_reach() {
    everywhere(|| {
        let other = Cell::new("require('fs').writeFileSync('/data/secret', 'x'); setInterval(() => 0, 1000)");
        let running = other.start().unwrap();
        let mut cell = Cell::new(
            "const fs = require('fs');
            const attempt = act => { try { return act(); } catch (e) { return e.code; } };
            console.log(attempt(() => fs.readFileSync(process.env.SECRET, 'utf8')),
              attempt(() => process.kill(Number(process.env.OTHER), 'SIGKILL')),
              attempt(() => fs.readdirSync('/proc/' + process.env.OTHER)),
              attempt(() => fs.readdirSync('/dev/shm').length), attempt(() => fs.readdirSync('/tmp').length));",
        );
        for (key, value) in [
            (
                "SECRET",
                other.data().join("secret").to_string_lossy().into_owned(),
            ),
            ("OTHER", running.record().init.pid.to_string()),
        ] {
            cell.spec.program.env.push((key.into(), value));
        }
        assert_eq!(cell.run().ok(), "ENOENT ESRCH ENOENT 0 0\n");
        assert!(running.status().is_ok(), "the other instance was hurt");
    });
}
