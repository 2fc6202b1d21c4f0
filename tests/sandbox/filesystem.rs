//! What a program sees of the files of the host: nothing that its spec does not name, and of that no more than it says.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use runtime::error::StartError;
use runtime::spec::{Access, Isolation, Network, Owner};
use runtime::units::Bytes;

use crate::support::{Cell, USER, chain, everywhere, mount};

#[test]
fn a_program_runs_behind_all_walls() {
    everywhere(|| {
        let cell = Cell::new(
            "console.log(process.getuid(), process.getgid(), process.pid, process.cwd(), require('os').hostname())",
        );
        assert_eq!(cell.run().ok(), "1000 1000 2 /data cell\n");
    });
}

#[test]
fn the_root_holds_only_what_the_spec_names() {
    everywhere(|| {
        let cell = Cell::new(
            "const fs = require('fs');
            for (const at of ['/', '/dev', '/etc', '/..', '/../../..']) console.log(fs.readdirSync(at).sort().join(' '));
            for (const at of ['/root', '/home', '/sys', '/run', '/var', '/boot', '/etc/shadow', '/etc/ssh', '/dev/sda',
              '/dev/vda', '/dev/kmsg', '/dev/mem', '/dev/tty', '/usr/bin', process.env.OUTSIDE])
              if (fs.existsSync(at)) console.log('there is', at);
            console.log(fs.readFileSync('/etc/passwd', 'utf8').split('\\n').length);",
        );
        let mut cell = cell;
        let outside = cell.path().join("run").to_string_lossy().into_owned();
        cell.spec.program.env.push(("OUTSIDE".into(), outside));
        let output = cell.run().ok();
        let lines: Vec<&str> = output.lines().collect();
        let mut root = vec!["code", "data", "dev", "etc", "node", "proc", "tmp", "usr"];
        root.extend(
            ["lib", "lib64"]
                .iter()
                .filter(|name| lines[0].split(' ').any(|found| found == **name)),
        );
        root.sort_unstable();
        assert_eq!(lines[0].split(' ').collect::<Vec<_>>(), root);
        assert_eq!(
            lines[1],
            "fd full null ptmx pts random shm stderr stdin stdout urandom zero"
        );
        assert_eq!(lines[2], "group hostname hosts nsswitch.conf passwd resolv.conf");
        assert_eq!(
            (lines[3], lines[4]),
            (lines[0], lines[0]),
            "`..` leads out of the root"
        );
        assert_eq!(lines[5..], ["3"]);
    });
}

#[test]
fn nothing_can_be_written_but_the_data_and_the_private_folders() {
    everywhere(|| {
        let cell = Cell::new(
            "const fs = require('fs');
            const refused = [], written = [];
            const attempt = (name, act) => { try { act(); written.push(name); } catch (e) { refused.push(e.code); } };
            for (const folder of ['/', '/etc', '/dev', '/usr', '/usr/lib', '/node', '/node/bin', '/code', '/proc'])
              attempt(folder, () => fs.writeFileSync(folder + '/new', 'x'));
            const maps = fs.readFileSync('/proc/self/maps', 'utf8');
            const libraries = [...new Set(maps.match(/\\/\\S+\\.so\\S*/g))];
            for (const file of [process.execPath, '/code/program.cjs', '/etc/passwd', '/etc/hosts', ...libraries]) {
              attempt(file, () => fs.openSync(file, 'r+'));
              attempt('chmod ' + file, () => fs.chmodSync(file, 0o777));
              attempt('unlink ' + file, () => fs.unlinkSync(file));
              attempt('rename ' + file, () => fs.renameSync(file, '/data/moved'));
            }
            for (const file of ['sys/kernel/hostname', 'sys/kernel/core_pattern', 'sys/vm/drop_caches', 'sysrq-trigger',
              'sys/net/ipv4/ip_forward', 'sys/kernel/ns_last_pid', 'irq/default_smp_affinity'])
              attempt('/proc/' + file, () => fs.writeFileSync('/proc/' + file, '1'));
            for (const folder of ['/data', '/tmp', '/dev/shm']) attempt(folder, () => fs.writeFileSync(folder + '/new', 'x'));
            console.log(JSON.stringify(written), refused.length > 20, libraries.length > 3);
            console.log([...new Set(refused)].sort().join(' '));",
        );
        let output = cell.run().ok();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[0], r#"["/data","/tmp","/dev/shm"] true true"#);
        for code in lines[1].split(' ') {
            // Anything else (ENOENT aside, for parts of /proc that this kernel lacks) would be a refusal by accident.
            assert!(
                ["EROFS", "EACCES", "EPERM", "ENOENT", "EBUSY", "EXDEV", "ETXTBSY"].contains(&code),
                "{code}"
            );
        }
        let data = fs::metadata(cell.data()).unwrap();
        let new = fs::metadata(cell.data().join("new")).unwrap();
        assert_eq!((new.uid(), new.mode() & 0o777), (data.uid(), 0o644));
    });
}

#[test]
fn a_translated_folder_keeps_its_owner() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut cell = Cell::new(
        "const fs = require('fs');
        fs.writeFileSync('/data/mine', 'x');
        console.log(fs.statSync('/data/old').uid, fs.readFileSync('/data/old', 'utf8'), fs.statSync('/data/mine').uid);",
    );
    cell.spec.owner = Owner::Translated {
        uid: USER,
        gid: USER,
        of_uid: 0,
        of_gid: 0,
    };
    std::os::unix::fs::chown(cell.data(), Some(0), Some(0)).unwrap();
    fs::write(cell.data().join("old"), "text").unwrap();
    fs::set_permissions(cell.data().join("old"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(cell.run().ok(), "1000 text 1000\n");
    let mine = fs::metadata(cell.data().join("mine")).unwrap();
    assert_eq!((mine.uid(), mine.gid()), (0, 0));
}

#[test]
fn an_instance_never_runs_as_root() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    for owner in [Owner::Caller, Owner::Own { uid: 0, gid: 5000 }] {
        let mut cell = Cell::new("");
        cell.spec.owner = owner;
        let error = chain(&cell.start().unwrap_err());
        assert!(error.contains("never runs as root"), "{error}");
    }
}

#[test]
fn a_link_in_the_data_leads_nowhere() {
    everywhere(|| {
        let cell = Cell::new(
            "const fs = require('fs');
            for (const at of ['/data/file', '/data/folder/passwd', '/data/proc/1/root/etc/passwd', '/data/up/../../../etc/shadow'])
              try { console.log(fs.readFileSync(at, 'utf8').length); } catch (e) { console.log(e.code); }",
        );
        let secret = cell.path().join("secret");
        fs::write(&secret, "of the host").unwrap();
        symlink(&secret, cell.data().join("file")).unwrap();
        symlink("/etc", cell.data().join("folder")).unwrap();
        symlink("/proc", cell.data().join("proc")).unwrap();
        symlink("../../..", cell.data().join("up")).unwrap();
        let output = cell.run().ok();
        // `/etc` inside is the sandbox's own, and that is what the second link leads to.
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!((lines[0], lines[2], lines[3]), ("ENOENT", "EACCES", "ENOENT"));
        assert!(
            lines[1].parse::<usize>().is_ok_and(|length| length < 120),
            "{}",
            lines[1]
        );
    });
}

#[test]
fn a_link_that_an_instance_left_is_not_mounted_next_time() {
    everywhere(|| {
        let mut cell = Cell::new("console.log(require('fs').readdirSync('/files').join(' '))");
        let files = cell.data().join("files");
        cell.spec.mounts.push(mount(&files, "/files", Access::ReadWrite));
        let below = cell.data().join("files/deeper");
        for target in ["/etc", "../..", "/proc/self/root"] {
            let _ = fs::remove_file(&files);
            symlink(target, &files).unwrap();
            let error = cell.start().expect_err("a link was mounted");
            let StartError::Step(step) = &error else {
                panic!("{error:?}");
            };
            assert_eq!(
                step.cause.raw_os_error(),
                Some(libc_eloop()),
                "{target}: {}",
                chain(&error)
            );
        }
        // Nor a folder below one.
        if let Some(last) = cell.spec.mounts.last_mut() {
            last.source = below;
        }
        assert!(cell.start().is_err());
    });
}

fn libc_eloop() -> i32 {
    nix::errno::Errno::ELOOP as i32
}

#[test]
fn a_mount_cannot_be_bent_by_a_link_in_an_earlier_one() {
    everywhere(|| {
        let mut cell = Cell::new("");
        symlink("/etc", cell.data().join("trap")).unwrap();
        let code = cell.path().join("code");
        cell.spec
            .mounts
            .push(mount(&code, "/data/trap", Access::ReadOnly));
        let error = chain(&cell.start().unwrap_err());
        assert!(error.contains("/data/trap"), "{error}");
    });
}

#[test]
fn somebody_elses_folder_is_not_given_away() {
    let mut cell = Cell::new("");
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    std::os::unix::fs::chown(cell.data(), Some(USER + 1), Some(USER + 1)).unwrap();
    let error = chain(&cell.start().unwrap_err());
    assert!(
        error.contains("it belongs to uid 5001, not to uid 5000"),
        "{error}"
    );
    cell.spec.mounts.retain(|mount| mount.access == Access::ReadOnly);
    assert!(chain(&cell.start().unwrap_err()).contains("/data"));
}

#[test]
fn set_user_id_and_device_files_are_inert() {
    everywhere(|| {
        let cell = Cell::perl(
            r#"use strict;
            print -u "/data/id" ? "set-user-id " : "plain ", `/data/id -u`;
            print open(my $fh, "<", "/data/null") ? "opened\n" : "$!\n" if -e "/data/null";
            print `/usr/bin/mknod /data/made c 1 3 2>&1` =~ /Operation not permitted/ ? "refused\n" : "made\n";"#,
        );
        let id = cell.data().join("id");
        fs::copy("/usr/bin/id", &id).unwrap();
        fs::set_permissions(&id, fs::Permissions::from_mode(0o4755)).unwrap();
        if nix::unistd::geteuid().is_root() {
            // Owned by root on the host: would give uid 0 where set-user-id counts.
            let null = cell.data().join("null");
            nix::sys::stat::mknod(
                &null,
                nix::sys::stat::SFlag::S_IFCHR,
                nix::sys::stat::Mode::from_bits_truncate(0o666),
                nix::sys::stat::makedev(1, 3),
            )
            .unwrap();
            assert_eq!(cell.run().ok(), "set-user-id 1000\nPermission denied\nrefused\n");
        } else {
            assert_eq!(cell.run().ok(), "set-user-id 1000\nrefused\n");
        }
    });
}

#[test]
fn the_private_folders_are_bounded() {
    everywhere(|| {
        let mut cell = Cell::new(
            "const fs = require('fs');
            for (const folder of ['/tmp', '/dev/shm']) {
              let megabytes = 0;
              try { for (;; megabytes++) fs.writeFileSync(folder + '/' + megabytes, Buffer.alloc(1 << 20)); }
              catch (e) { console.log(e.code, megabytes); }
            }",
        );
        cell.spec.tmp_size = Bytes::mib(4);
        let output = cell.run().ok();
        for line in output.lines() {
            let megabytes = line
                .strip_prefix("ENOSPC ")
                .and_then(|count| count.parse::<u32>().ok());
            assert!(megabytes.is_some_and(|count| (2..=4).contains(&count)), "{line}");
        }
    });
}

#[test]
fn a_missing_source_is_named_and_an_optional_one_left_out() {
    everywhere(|| {
        let mut cell = Cell::new("console.log(require('fs').existsSync('/extra'))");
        let mut extra = mount(&cell.path().join("missing"), "/extra", Access::ReadOnly);
        extra.optional = true;
        cell.spec.mounts.push(extra.clone());
        assert_eq!(cell.run().ok(), "false\n");
        cell.spec.mounts.pop();
        extra.optional = false;
        cell.spec.mounts.push(extra);
        let error = chain(&cell.start().unwrap_err());
        assert!(
            error.contains("missing") && error.contains("No such file"),
            "{error}"
        );
    });
}

#[test]
fn without_namespaces_landlock_keeps_the_files_apart() {
    everywhere(|| {
        let mut cell = Cell::new(
            "const fs = require('fs');
            const attempt = act => { try { act(); return 'done'; } catch (e) { return e.code; } };
            const [secret, data] = [process.env.SECRET, process.env.DATA];
            console.log(attempt(() => fs.readFileSync(secret)), attempt(() => fs.readdirSync('/root')),
              attempt(() => fs.readdirSync('/var')), attempt(() => fs.writeFileSync('/tmp/redhold-escaped', 'x')),
              attempt(() => fs.writeFileSync(secret + '.new', 'x')), attempt(() => fs.writeFileSync(data + '/own', 'x')));",
        );
        // What this mode cannot hide, file modes do not either: everybody may read the secret.
        fs::set_permissions(cell.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let secret = cell.path().join("secret");
        fs::write(&secret, "of the host").unwrap();
        cell.without_namespaces();
        cell.spec
            .program
            .env
            .push(("SECRET".into(), secret.to_string_lossy().into_owned()));
        cell.spec
            .program
            .env
            .push(("DATA".into(), cell.data().to_string_lossy().into_owned()));
        let running = cell.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
        let level = |name: &str| {
            let found = running.record().levels.iter().find(|level| level.name == name);
            found
                .map(|level| format!("{:?}", level.strength))
                .unwrap_or_default()
        };
        assert_eq!(
            (level("namespaces"), level("landlock")),
            ("None".into(), "Partial".into())
        );
        assert_eq!(
            cell.end(&running).ok(),
            "EACCES EACCES EACCES EACCES EACCES done\n"
        );
        assert_eq!(
            (cell.spec.isolation, cell.spec.network.clone()),
            (Isolation::Landlock, Network::Host)
        );
    });
}
