//! What the machine has once for everybody: no instance may use it up, lock it, or leave a trap in it.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::time::Duration;

use runtime::spec::Owner;
use test_support::eventually::eventually;

use crate::attempts::{answers, ended, probing};
use crate::support::{Cell, USER, chain, everywhere};

const PATIENCE: Duration = Duration::from_secs(10);

const SET_ID: &str = "
    const fs = require('fs');
    const attempt = (name, act) => {
      let out = 'ok';
      try { act(); } catch (e) { out = e.code; }
      console.log(JSON.stringify({ name, out }));
    };
    fs.writeFileSync('/data/plain', 'x');
    for (const [bits, mode] of [['user', 0o4755], ['group', 0o2755]]) {
      attempt('chmod ' + bits, () => fs.chmodSync('/data/plain', mode));
      attempt('fchmod ' + bits, () => fs.fchmodSync(fs.openSync('/data/plain', 'r+'), mode));
      attempt('create ' + bits, () => fs.closeSync(fs.openSync('/data/created-' + bits, 'w', mode)));
    }
    attempt('ordinary modes', () => { fs.chmodSync('/data/plain', 0o1755); fs.mkdirSync('/data/folder', 0o1777); });";

const SET_ID_ANSWERS: [(&str, &str); 7] = [
    ("chmod user", "EPERM"),
    ("chmod group", "EPERM"),
    ("fchmod user", "EPERM"),
    ("fchmod group", "EPERM"),
    ("create user", "EPERM"),
    ("create group", "EPERM"),
    ("ordinary modes", "ok"),
];

fn no_set_id_file_in(cell: &Cell) {
    for entry in fs::read_dir(cell.data()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().mode();
        assert_eq!(mode & 0o6000, 0, "{}: {mode:o}", entry.path().display());
    }
}

#[test]
fn no_set_user_id_file_is_left_for_the_host() {
    everywhere(|| {
        let cell = Cell::new(SET_ID);
        ended(cell.run(), &SET_ID_ANSWERS);
        no_set_id_file_in(&cell);
    });
}

#[test]
fn no_set_user_id_file_of_root_is_left_where_owners_are_translated() {
    if !nix::unistd::geteuid().is_root() {
        return test_support::skip::skipped(
            "no_set_user_id_file_of_root_is_left_where_owners_are_translated",
            "root, who alone can translate owners",
        );
    }
    let mut cell = Cell::new(SET_ID);
    cell.spec.owner = Owner::Translated {
        uid: USER,
        gid: USER,
        of_uid: 0,
        of_gid: 0,
    };
    chown(cell.data(), Some(0), Some(0)).unwrap();
    ended(cell.run(), &SET_ID_ANSWERS);
    assert_eq!(fs::metadata(cell.data().join("plain")).unwrap().uid(), 0);
    no_set_id_file_in(&cell);
}

#[test]
fn every_call_that_makes_a_file_refuses_the_set_id_bits() {
    // O_CREAT and O_TMPFILE; without either, a mode means nothing and is not looked at.
    let mut calls = vec![
        "fchmodat=-1,1,04755",
        "fchmodat2=-1,1,02755",
        "mknodat=-1,1,0104755",
        "openat=-1,1,0100,04755",
        "openat=-1,1,020200000,02755",
        "openat2",
        "openat=-1,1,0,04755",
    ];
    let mut wanted = vec!["EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "ENOSYS", "EFAULT"];
    if cfg!(target_arch = "x86_64") {
        calls.extend([
            "chmod=1,04755",
            "creat=1,02755",
            "mknod=1,0104755",
            "open=1,0100,04755",
            "open=1,0,04755",
        ]);
        wanted.extend(["EPERM", "EPERM", "EPERM", "EPERM", "EFAULT"]);
    }
    let attempts: Vec<(&str, &str)> = calls.iter().copied().zip(wanted).collect();
    ended(probing(&calls).run(), &attempts);
}

#[test]
fn terminals_are_left_for_the_others() {
    // kernel.pty.max is one number for all of the machine's containers.
    everywhere(|| {
        let made = answers(&probing(&["terminals"]).run().ok());
        assert_eq!(made["terminals"], "ENOSPC");
        let count: u32 = made["terminals-count"].parse().unwrap();
        assert!((8..=64).contains(&count), "{count} terminals");
    });
}

#[test]
fn files_in_memory_are_bounded_in_number() {
    everywhere(|| {
        let cell = Cell::new(
            "const fs = require('fs');
            for (const name of ['/tmp', '/dev/shm']) {
              let out = 'no end';
              try { for (let n = 0; n < 10000; n++) fs.closeSync(fs.openSync(name + '/' + n, 'w')); }
              catch (e) { out = e.code; }
              console.log(JSON.stringify({ name, out }));
            }",
        );
        ended(cell.run(), &[("/tmp", "ENOSPC"), ("/dev/shm", "ENOSPC")]);
    });
}

#[test]
fn a_crash_calls_no_helper_of_the_host() {
    // A core_pattern that names a program gets the memory of whoever crashes, as root, and heeds no limit but the
    // value 1 (fs/coredump.c); an ordinary file is not written below one page either.
    everywhere(|| {
        let cell = Cell::new(
            "const fs = require('fs');
            const line = fs.readFileSync('/proc/self/limits', 'utf8').match(/Max core file size +(\\S+) +(\\S+)/);
            console.log(JSON.stringify({ name: 'limit', out: line[1] + '-' + line[2] }));",
        );
        ended(cell.run(), &[("limit", "1-1")]);
    });
}

#[test]
fn what_an_instance_needs_is_held_while_it_lives() {
    everywhere(|| {
        let mut cell = Cell::new("setInterval(() => 0, 1000)");
        cell.spec.holds = vec![cell.path().to_owned()];
        let folder = fs::File::open(cell.path()).unwrap();
        let running = cell.start().unwrap();
        assert!(matches!(folder.try_lock(), Err(fs::TryLockError::WouldBlock)));
        running.kill().unwrap();
        cell.end(&running);
        eventually("the hold to go with the keeper", PATIENCE, || folder.try_lock());
    });
}

#[test]
fn what_is_held_for_an_instance_is_not_shown_to_it() {
    // It could lock what it can open, and whoever asks for the stack next would wait for it.
    everywhere(|| {
        let mut cell = Cell::new("console.log('started')");
        cell.spec.holds = vec![cell.path().join("code")];
        let refused = chain(&cell.start().unwrap_err());
        assert!(refused.contains("hold what the instance can open"), "{refused}");
        cell.spec.holds = vec![cell.path().join("code/..").join("code")];
        let refused = chain(&cell.start().unwrap_err());
        assert!(refused.contains("hold what the instance can open"), "{refused}");
    });
}

#[test]
fn a_folder_that_a_stranger_locked_stops_no_start() {
    everywhere(|| {
        let mut cell = Cell::new("console.log('started')");
        cell.spec.holds = vec![cell.path().to_owned()];
        let folder = fs::File::open(cell.path()).unwrap();
        folder.try_lock().unwrap();
        assert_eq!(cell.run().ok(), "started\n");
    });
}
