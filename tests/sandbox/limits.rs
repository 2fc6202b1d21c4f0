//! Limits against the real kernel, with real Node.js programs that try to use up everything.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollTimeout, poll};
use runtime::record::Strength;
use runtime::sandbox::cgroup::Group;
use runtime::spec::Limits;
use runtime::units::{Bytes, CpuShare, Pids};

/// A program of Node.js, held back until its group is ready: it waits for a line on its standard input.
fn node(group: &Group, program: &str) -> Child {
    let held = format!("process.stdin.once('data', () => {{ {program} }})");
    let mut child = Command::new("node")
        .args(["-e", &held])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    group
        .add(i32::try_from(child.id()).unwrap())
        .expect("the child joins the group");
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"go\n").unwrap();
    child
}

fn group(id: &str, limits: &Limits) -> Group {
    Group::create(&id.parse().unwrap(), limits, None).expect("a group is made")
}

fn limits() -> Limits {
    Limits {
        memory: Some(Bytes::mib(150)),
        cpu: Some(CpuShare(500)),
        pids: Some(Pids(64)),
        ..Limits::default()
    }
}

#[test]
fn every_limit_is_read_back_as_asked() {
    let group = group("t-readback", &limits());
    for level in group.levels() {
        let wanted = if level.name == "io" {
            Strength::Off
        } else {
            Strength::Hard
        };
        assert_eq!(level.strength, wanted, "{level:?}");
    }
    let paths = group.paths();
    group.remove().unwrap();
    for path in paths {
        assert!(!std::path::Path::new(&path).exists(), "{path} is left");
    }
}

#[test]
fn a_memory_hog_is_killed_and_named_at_once() {
    let hog = group("t-hog", &limits());
    let sibling = group("t-hog-sibling", &limits());
    let mut other = node(&sibling, "setInterval(() => {}, 1000)");
    let mut child = node(&hog, "const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))");
    let (source, flags) = hog.oom_source().expect("memory is offered");
    let mut wait = [PollFd::new(source, flags)];
    assert_eq!(
        poll(&mut wait, PollTimeout::from(20_000u16)),
        Ok(1),
        "no event of memory"
    );
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(9));
    let oom = hog.read_oom().unwrap().expect("the kill is counted");
    assert_eq!((oom.kills, oom.limit), (1, Some(Bytes::mib(150).0)));
    assert!(oom.peak.unwrap() > Bytes::mib(140).0, "{oom:?}");
    assert_eq!(sibling.read_oom().unwrap(), None);
    assert!(other.try_wait().unwrap().is_none(), "the sibling died");
    sibling.remove().unwrap();
    assert_eq!(other.wait().unwrap().signal(), Some(9));
    hog.remove().unwrap();
    test_support::eventually::let_pass(Duration::from_millis(1));
}
