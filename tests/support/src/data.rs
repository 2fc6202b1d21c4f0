//! The data directory that all tests share, with the real default stack in it, fetched once.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The shared data directory: `REDHOLD_TEST_DATA`, else `redhold-test-data` in Cargo's target directory. The first
/// caller on the machine fetches the stack; the others wait for it.
///
/// # Panics
/// When the directory cannot be made or the stack cannot be fetched.
pub fn shared() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        let dir = std::env::var_os("REDHOLD_TEST_DATA")
            .map_or_else(|| target_dir().join("redhold-test-data"), PathBuf::from);
        fs::create_dir_all(&dir).expect("the shared data directory");
        let lock = File::create(dir.join("test.lock")).expect("the lock of the shared data directory");
        lock.lock().expect("the lock of the shared data directory");
        let fetched = Command::new(binary())
            .args(["stack", "fetch", "--data-dir"])
            .arg(&dir)
            .output()
            .expect("redhold stack fetch");
        assert!(
            fetched.status.success(),
            "redhold stack fetch: {}\n{}",
            fetched.status,
            String::from_utf8_lossy(&fetched.stderr)
        );
        dir
    })
}

/// Gives a data directory of a test what the engine of vetting is made from and of, where other tests made it already.
/// Links, not copies: the engine takes a file that is its user's alone, and no link of another kind.
///
/// # Panics
/// When there can be no folder.
pub fn lend_engine(data: &Path) {
    let folder = data.join("vetting/engine");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .expect("the folder of the engine");
    let made = fs::read_dir(shared().join("vetting-engine"));
    for entry in made.into_iter().flatten().flatten() {
        // On another file system the host makes its own.
        let _ = fs::hard_link(entry.path(), folder.join(entry.file_name()));
    }
}

/// The `redhold` that Cargo built beside the running test or bench.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn binary() -> PathBuf {
    let profile = target_dir_of_profile();
    let binary = profile.join("redhold");
    assert!(binary.exists(), "{} is not built", binary.display());
    binary
}

/// `<target>/<profile>`: tests and benches run in its `deps`.
fn target_dir_of_profile() -> PathBuf {
    let me = std::env::current_exe().expect("the path of the running test");
    me.parent()
        .and_then(Path::parent)
        .expect("a test runs in <target>/<profile>/deps")
        .to_path_buf()
}

fn target_dir() -> PathBuf {
    target_dir_of_profile()
        .parent()
        .expect("a profile has a target directory")
        .to_path_buf()
}
