//! A whole machine as an ordinary program: a User-Mode Linux kernel, with this machine's files as its read-only root
//! (Documentation/virt/uml/user_mode_linux_howto_v2.rst). Killing it is a power cut: what it had not flushed to its
//! disk, a file here, is gone.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::eventually::{eventually, let_pass};
use crate::program::find;
use crate::skip::skipped;

/// From power on to the first line of a script; a machine that has nothing else to do needs two seconds.
const BOOTS: Duration = Duration::from_secs(90);

/// A kernel to boot.
#[derive(Debug)]
pub struct Kernel(PathBuf);

impl Kernel {
    /// The one that is installed; without one, and on other processors, the test is skipped.
    #[must_use]
    pub fn find(test: &str) -> Option<Self> {
        if !cfg!(target_arch = "x86_64") {
            skipped(test, "User-Mode Linux, which exists for x86_64 only");
            return None;
        }
        let found = find("linux.uml");
        if found.is_none() {
            skipped(test, "linux.uml: sudo apt-get install user-mode-linux");
        }
        found.map(Self)
    }

    /// Boots with a script for bash as first process, so much memory, and disks `/dev/ubda` and so on.
    ///
    /// # Panics
    /// When it does not come to its script.
    #[must_use]
    pub fn boot(&self, script: &str, memory_mib: u32, disks: &[&Path]) -> Machine {
        let folder = tempfile::tempdir().expect("a folder for the guest");
        let init = folder.path().join("init");
        fs::write(&init, format!("{HEAD}{script}{TAIL}")).expect("its script");
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).expect("its script");
        let mut command = Command::new(&self.0);
        command
            .arg(format!("mem={memory_mib}M"))
            .args(["rootfstype=hostfs", "rootflags=/", "ro", "quiet", "cgroup_no_v1=all"])
            .args(["con=null", "con0=fd:0,fd:1"])
            .args((0..).zip(disks).map(|(number, disk)| format!("ubd{number}={}", disk.display())))
            .arg(format!("init={}", init.display()))
            .env("TMPDIR", memory_folder())
            .env("HOME", folder.path())
            // Its processes are many, and go together.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the guest boots");
        let said = Arc::new(Mutex::new(String::new()));
        let listener = listen(child.stdout.take().expect("its console"), said.clone());
        let machine = Machine {
            _folder: folder,
            child,
            said,
            listener: Some(listener),
        };
        machine.until("BOOTED", BOOTS);
        machine
    }
}

/// What every script begins with.
const HEAD: &str = r"#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run
mount -t proc none /proc
mount -t sysfs none /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs none /run
chmod 1777 /run
ip link set lo up
echo BOOTED
";

/// And ends with.
const TAIL: &str = r"
echo o > /proc/sysrq-trigger
sleep 5
";

/// A guest that runs.
#[derive(Debug)]
pub struct Machine {
    _folder: TempDir,
    child: Child,
    said: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
}

impl Machine {
    /// Everything on its console so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has said something.
    ///
    /// # Panics
    /// With all that it said, when it does not.
    pub fn until(&self, words: &str, patience: Duration) {
        eventually(&format!("the guest says `{words}`"), patience, || {
            let said = self.said();
            if said.contains(words) { Ok(()) } else { Err(said) }
        });
    }

    /// Cuts its power; everything that it said.
    #[must_use]
    pub fn cut(mut self) -> String {
        self.end();
        self.said()
    }

    /// Waits until it has switched itself off; everything that it said. One that does not is cut.
    #[must_use]
    pub fn ends(mut self, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            let_pass(Duration::from_millis(50));
        }
        self.end();
        self.said()
    }

    fn end(&mut self) {
        let group = i32::try_from(self.child.id()).map(Pid::from_raw);
        // One that has switched itself off is gone already.
        let _ = group.map(|group| killpg(group, Signal::SIGKILL));
        let _ = self.child.wait();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

fn listen(mut console: impl Read + Send + 'static, said: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = console.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..count]).replace('\r', "");
            said.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&text);
        }
    })
}

/// An empty file system of this size for a guest; its file is in memory, where there is room, so that the cuts of
/// many machines wear no disk.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn disk(mib: u64) -> tempfile::NamedTempFile {
    let image = tempfile::NamedTempFile::new_in(memory_folder()).expect("a file");
    image.as_file().set_len(mib << 20).expect("its size");
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-b", "4096"])
        .arg(image.path())
        .status();
    assert!(made.expect("mkfs.ext4").success(), "mkfs.ext4");
    image
}

/// The guest's memory is a file: one on a disk would be slow, one in a small memory file system would not fit.
fn memory_folder() -> PathBuf {
    let shared = Path::new("/dev/shm");
    let roomy = nix::sys::statvfs::statvfs(shared)
        .is_ok_and(|stat| stat.blocks_available() * stat.fragment_size() > 1200 << 20);
    if roomy {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    }
}
