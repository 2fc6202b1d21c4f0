//! The disk fails under the journal: an error is never an acknowledgement, and nothing that was one is lost.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use test_support::eventually::{eventually, let_pass};
use test_support::guest::{Kernel, disk};
use test_support::program::find;
use test_support::skip::skipped;

use super::{DISK, Inside, MEMORY, round, script};

const TEST: &str = "disk::an_error_of_the_disk_is_never_an_acknowledgement";

/// The device mapper's name for the disk, and what the kernel calls it.
const MAPPED: &str = "tested";
const DEVICE: &str = "/dev/dm-0";

/// Bytes of a block of the file system, and sectors in it.
const BLOCK: u64 = 4096;
const SECTORS: u64 = BLOCK / 512;

fn does(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect(program);
    let said = test_support::program::said(&output);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    said
}

/// Puts another table under the mounted file system.
fn map(table: &str) {
    let mut load = Command::new("dmsetup")
        .args(["load", MAPPED])
        .stdin(Stdio::piped())
        .spawn()
        .expect("dmsetup");
    let mut input = load.stdin.take().expect("its input");
    input.write_all(table.as_bytes()).expect("a table");
    drop(input);
    assert!(load.wait().expect("dmsetup").success());
    does("dmsetup", &["suspend", "--nolockfs", "--noudevsync", MAPPED]);
    does("dmsetup", &["resume", "--noudevsync", MAPPED]);
}

fn sectors() -> u64 {
    does("blockdev", &["--getsz", "/dev/ubda"])
        .trim()
        .parse()
        .expect("a number")
}

fn sound() -> String {
    format!("0 {} linear /dev/ubda 0\n", sectors())
}

/// A table with one block that takes nothing.
fn broken_at(block: u64) -> String {
    let (at, end) = (block * SECTORS, (block + 1) * SECTORS);
    format!(
        "0 {at} linear /dev/ubda 0\n{at} {SECTORS} error\n{end} {} linear /dev/ubda {end}\n",
        sectors() - end
    )
}

/// The block of the disk that has the end of the newest segment, once it is there.
fn end_of_the_journal() -> u64 {
    let segments = fs::read_dir(Inside::data().join("store/journal-v1")).expect("a journal");
    let newest = segments
        .map(|entry| entry.expect("an entry").path())
        .max()
        .expect("a segment");
    eventually("the end is on the disk", Duration::from_secs(30), || {
        let last = (newest.metadata().expect("a segment").len() - 1) / BLOCK;
        let listed = does("filefrag", &["-v", "-b4096", newest.to_str().expect("a path")]);
        listed.lines().find_map(|line| physical(line, last)).ok_or(listed)
    })
}

/// The block of the disk of a block of a file, when this line of the list has it:
/// `   0:        0..       3:      34321..     34324:      4:             last,eof`.
fn physical(line: &str, block: u64) -> Option<u64> {
    let numbers: Vec<u64> = line
        .split([':', '.', ' '])
        .filter(|part| !part.is_empty())
        .map_while(|part| part.parse().ok())
        .collect();
    let [_, first, end, physical, ..] = numbers[..] else {
        return None;
    };
    (first..=end).contains(&block).then(|| physical + block - first)
}

fn refuses(host: &Inside) -> Value {
    host.ask("GET", "/host", &Value::Null).expect("it answers")["storeRefuses"].clone()
}

fn number(host: &Inside) -> u64 {
    Inside::number(
        &host
            .ask("GET", "/instances/pump", &Value::Null)
            .expect("it is there"),
    )
}

/// The half that is run by the guest.
fn inside() {
    let host = Inside::start();
    host.create("pump").expect("created");
    for number in 1..=5 {
        host.set("pump", number).expect("changed");
    }
    assert_eq!(refuses(&host), Value::Null);

    // One block, under the end of the journal: `fdatasync` fails once, and would succeed ever after.
    map(&broken_at(end_of_the_journal()));
    let said = host.set("pump", 1000).expect_err("it cannot be durable");
    assert!(
        said.contains("500") && said.contains("not stored") && said.contains("dmesg"),
        "{said}"
    );
    assert!(refuses(&host).is_string());
    assert_eq!(number(&host), 5, "what was refused is not shown");
    // It goes on by itself, elsewhere.
    eventually("changes are taken again", Duration::from_secs(30), || {
        host.set("pump", 6)
    });
    assert_eq!(refuses(&host), Value::Null);
    map(&sound());
    host.set("pump", 7).expect("changed");

    // Now nothing can be written at all: no number of tries makes an acknowledgement.
    map(&format!(
        "0 {} flakey /dev/ubda 0 0 3600 1 error_writes\n",
        sectors()
    ));
    for number in 2000..2005 {
        host.set("pump", number).expect_err("nothing can be written");
        let_pass(Duration::from_millis(600));
    }
    assert_eq!(number(&host), 7, "it still answers");
    assert!(refuses(&host).is_string());
    host.kill();
    does("umount", &[DISK]);
    map(&sound());
    does("e2fsck", &["-p", DEVICE]);
    does("mount", &["-t", "ext4", DEVICE, DISK]);
    fs::remove_dir_all(Inside::data().join("store/index-v1")).expect("removed");
    let host = Inside::start();
    assert_eq!(number(&host), 7);
    host.set("pump", 8).expect("changed");
    host.kill();
}

#[test]
fn an_error_of_the_disk_is_never_an_acknowledgement() {
    if round().is_some() {
        return inside();
    }
    let Some(kernel) = Kernel::find(TEST) else { return };
    for (program, package) in [
        ("dmsetup", "dmsetup"),
        ("insmod", "kmod"),
        ("filefrag", "e2fsprogs"),
    ] {
        if find(program).is_none() {
            return skipped(TEST, &format!("{program}: sudo apt-get install {package}"));
        }
    }
    let disk = disk(128);
    let before = format!(
        "for module in dm-mod dm-flakey; do insmod /usr/lib/uml/modules/$(uname -r)/kernel/drivers/md/$module.ko; done\n\
         dmsetup create --noudevsync {MAPPED} --table \"0 $(blockdev --getsz /dev/ubda) linear /dev/ubda 0\"\n"
    );
    let script = before + &script(DEVICE, TEST, 1);
    let said = kernel
        .boot(&script, MEMORY, &[disk.path()])
        .ends(Duration::from_secs(240));
    assert!(said.contains("RESULT 0") && said.contains("1 passed"), "{said}");
}
