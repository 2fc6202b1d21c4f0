//! Control groups v2 on a machine that has v1: the limits tests again, in a User-Mode Linux guest.
//!
//! The guest is a kernel that runs as an ordinary program, with this machine's files as its read-only root
//! (Documentation/virt/uml/user_mode_linux_howto_v2.rst). It runs this very test binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use test_support::skip::skipped;

/// A whole machine from boot to power off; the guest needs a tenth of it.
const PATIENCE_S: &str = "180";

#[test]
fn cgroup_v2_in_a_guest_kernel() {
    let test = "cgroup_v2_in_a_guest_kernel";
    if !cfg!(target_arch = "x86_64") {
        return skipped(test, "User-Mode Linux, which exists for x86_64 only");
    }
    let Some(kernel) = find("linux.uml") else {
        return skipped(test, "linux.uml: sudo apt-get install user-mode-linux");
    };
    let folder = tempfile::tempdir().expect("a folder for the guest");
    let init = folder.path().join("init");
    fs::write(&init, script()).unwrap();
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new("timeout")
        .args(["-k", "5", PATIENCE_S])
        .arg(kernel)
        .args([
            "mem=768M",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "quiet",
            "cgroup_no_v1=all",
        ])
        .args(["con=null", "con0=fd:0,fd:1"])
        .arg(format!("init={}", init.display()))
        .env("TMPDIR", memory_folder())
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("the guest boots");
    let said = String::from_utf8_lossy(&output.stdout);
    for part in ["root", "delegated"] {
        assert!(said.contains(&format!("RESULT {part}=0")), "as {part}:\n{said}");
    }
    // Both runs must have had tests to run.
    assert_eq!(said.matches("test result: ok.").count(), 2, "{said}");
    assert!(!said.contains(" 0 passed"), "{said}");
}

/// First process of the guest. The second run is what systemd's `Delegate=yes` gives to a user, by hand: a group of
/// its own with the three files that delegation hands over (cgroup-v2.rst, "Model of Delegation").
fn script() -> String {
    let test = std::env::current_exe().expect("the path of this test");
    let test = test.display();
    let node = crate::support::node();
    let node = node.display();
    format!(
        r#"#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run
export REDHOLD_TEST_NODE='{node}' REDHOLD_TEST_PATIENCE=5
mount -t proc none /proc
mount -t sysfs none /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs none /run
chmod 1777 /run
'{test}' limits:: groups:: --test-threads=1 --color never
echo "RESULT root=$?"
delegated=/sys/fs/cgroup/delegated
echo '+memory +cpu +pids +io' > /sys/fs/cgroup/cgroup.subtree_control
mkdir $delegated
chown 5000 $delegated $delegated/cgroup.procs $delegated/cgroup.threads $delegated/cgroup.subtree_control
echo $$ > $delegated/cgroup.procs
export REDHOLD_TEST_DELEGATED=1
setpriv --reuid 5000 --regid 5000 --clear-groups '{test}' limits:: groups:: --test-threads=1 --color never
echo "RESULT delegated=$?"
echo o > /proc/sysrq-trigger
sleep 5
"#
    )
}

/// The guest's memory is a file: one on a disk would be slow, one in a small memory file system would not fit.
fn memory_folder() -> PathBuf {
    let shared = Path::new("/dev/shm");
    let roomy = nix::sys::statvfs::statvfs(shared)
        .is_ok_and(|stat| stat.blocks_available() * stat.fragment_size() > 800 << 20);
    if roomy {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
