//! The compile cache of a stack: what V8 made of Node-RED's code, once, for every instance on the host.
//!
//! It saves 0.08 s of the 0.5 s of CPU of a start. Code is code: who can write into the cache runs in every
//! instance. So it is filled by a run of its own, with the trusted stack, an empty project and nobody's flows,
//! behind the same walls as an instance and without network; then the host copies it, file by file, and instances
//! get the copy read-only.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use runtime::error::{RequestError, StartError, or_absent};
use runtime::process::{self, Descriptors, Running};
use runtime::record::ExitRecord;
use runtime::spec::{Isolation, Limits, LogSpec, Network, Owner};
use runtime::store::Stack;
use runtime::units::Bytes;
use thiserror::Error;

use super::settings::Purpose;
use super::{NpmSettings, PrepareError, Settings, Wanted, flags, prepare_for};
use crate::removal;

/// How long the run may take: it takes a second, on a small board five.
const PATIENCE: Duration = Duration::from_secs(90);

/// Most that is taken over: Node-RED's own is 6 MB in a thousand files.
const MOST_FILES: usize = 20_000;
const MOST_BYTES: u64 = 128 << 20;

/// Why there is no compile cache. An instance starts without one, only slower.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WarmError {
    /// A file or directory of the cache could not be made, read or copied.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The run could not be prepared.
    #[error("cannot prepare the run that fills the compile cache")]
    Prepare(#[from] PrepareError),
    /// The run could not be started.
    #[error("cannot start the run that fills the compile cache")]
    Start(#[from] StartError),
    /// The run was lost.
    #[error("lost the run that fills the compile cache")]
    Lost(#[from] RequestError),
    /// The run ended badly, or not at all.
    #[error("the run that fills the compile cache failed: {0}")]
    Failed(String),
    /// What the run left is not a compile cache.
    #[error("the compile cache holds {0}")]
    Odd(String),
}

/// The stack's compile cache for instances with these limits, if there is one.
#[must_use]
pub fn find(stack: &Stack, limits: &Limits) -> Option<PathBuf> {
    let published = published(stack, limits);
    published.is_dir().then_some(published)
}

/// The run that fills a cache.
#[derive(Clone, Copy, Debug)]
pub struct Warming<'a> {
    /// What runs as its keeper.
    pub executable: &'a Path,
    /// The stack whose code is compiled.
    pub stack: &'a Stack,
    /// The limits of the instances that the cache is for.
    pub limits: &'a Limits,
    /// Its walls.
    pub isolation: Isolation,
    /// Whose it is.
    pub owner: Owner,
    /// In which group its own group is made.
    pub control_group: Option<&'a Path>,
}

impl Warming<'_> {
    /// Gives the cache, and fills it first when there is none. Takes about two seconds then; a second caller waits
    /// for the first.
    ///
    /// # Errors
    /// When the run fails or its result cannot be published; nothing is left behind then.
    pub fn warm(&self) -> Result<PathBuf, WarmError> {
        let published = published(self.stack, self.limits);
        let caches = &self.stack.cache_dir;
        make(caches, 0o755)?;
        let lock_path = caches.join("lock");
        let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
        lock.lock().map_err(failed(&lock_path))?;
        if published.is_dir() {
            return Ok(published);
        }
        // A run that was killed left this, and the lock says that nobody uses it now.
        let scratch = Scratch::new(caches.join("warm"))?;
        let filled = self.fill(&scratch)?;
        let copy = scratch.0.join("copy");
        make(&copy, 0o755)?;
        let mut taken = Taken::default();
        take(&filled, &copy, &mut taken)?;
        if taken.files == 0 {
            return Err(WarmError::Failed("it left nothing".to_owned()));
        }
        // Not synced file by file: Node.js checks each entry's checksum and compiles anew what a crash tore.
        fs::rename(&copy, &published).map_err(failed(&published))?;
        Ok(published)
    }

    /// Runs Node-RED until its flows have started and gives the directory that it filled.
    fn fill(&self, scratch: &Scratch) -> Result<PathBuf, WarmError> {
        let [run, data, filled] = ["run", "data", "filled"].map(|name| scratch.0.join(name));
        for path in [&run, &data, &filled] {
            make(path, 0o700)?;
        }
        let owner = match self.owner {
            Owner::Caller => Owner::Caller,
            Owner::Own { uid, gid } | Owner::Translated { uid, gid, .. } => {
                for path in [&data, &filled] {
                    chown(path, Some(uid), Some(gid)).map_err(failed(path))?;
                }
                Owner::Own { uid, gid }
            }
        };
        let log = run.join("log");
        let wanted = Wanted {
            id: "warm"
                .parse()
                .map_err(|error| WarmError::Odd(format!("{error}")))?,
            stack: self.stack,
            cache: Some(&filled),
            data: &data,
            files: None,
            read_only: false,
            run_dir: &run,
            log: LogSpec {
                file: log.clone(),
                max_size: Bytes::mib(1),
                keep: 0,
            },
            limits: self.limits.clone(),
            isolation: self.isolation,
            owner,
            network: Network::Loopback,
            env: Vec::new(),
            npm: NpmSettings::default(),
            host_tools: false,
            watch: None,
            settings: Settings::default(),
        };
        let mut spec = prepare_for(&wanted, Purpose::Warm)?;
        spec.control_group = self.control_group.map(Path::to_path_buf);
        let running = process::spawn(self.executable, &spec, Descriptors::default())?;
        let exit = ended(&running)?;
        if exit.code == Some(0) {
            return Ok(filled);
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        let last = said.lines().last().unwrap_or("it said nothing");
        Err(WarmError::Failed(format!(
            "{last} (exit code {:?}, signal {:?})",
            exit.code, exit.signal
        )))
    }
}

/// V8 refuses code that was compiled under other flags, and counts the heap's size among them before Node.js 24.
fn published(stack: &Stack, limits: &Limits) -> PathBuf {
    let major: u32 = stack
        .node_version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .unwrap_or(0);
    let heap = flags::node(limits)
        .into_iter()
        .find_map(|flag| Some(flag.strip_prefix("--max-old-space-size=")?.to_owned()))
        .filter(|_| major < 24);
    stack
        .cache_dir
        .join(heap.map_or_else(|| "any".to_owned(), |heap| format!("heap-{heap}")))
}

/// A directory that goes when this does.
struct Scratch(PathBuf);

impl Scratch {
    fn new(path: PathBuf) -> Result<Self, WarmError> {
        or_absent(removal::remove_all(&path)).map_err(failed(&path))?;
        make(&path, 0o700)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = removal::remove_all(&self.0);
    }
}

/// Waits for the end, and makes one when it takes too long.
fn ended(running: &Running) -> Result<ExitRecord, WarmError> {
    let (sender, receiver) = mpsc::channel();
    let waiting = running.clone();
    std::thread::spawn(move || {
        // Nobody listens any more when the patience below has ended.
        let _ = sender.send(waiting.wait());
    });
    if let Ok(exit) = receiver.recv_timeout(PATIENCE) {
        return Ok(exit?);
    }
    running.kill()?;
    Err(WarmError::Failed(format!(
        "it took more than {} s",
        PATIENCE.as_secs()
    )))
}

#[derive(Default)]
struct Taken {
    files: usize,
    bytes: u64,
}

/// Copies plain files and directories, and refuses everything else: the run is trusted as far as its stack is, and
/// the host reads here as itself.
fn take(from: &Path, to: &Path, taken: &mut Taken) -> Result<(), WarmError> {
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed(&source))?;
        taken.files += 1;
        if taken.files > MOST_FILES || taken.bytes > MOST_BYTES {
            return Err(WarmError::Odd("more than any stack has".to_owned()));
        }
        if kind.is_dir() {
            make(&target, 0o755)?;
            take(&source, &target, taken)?;
        } else if kind.is_file() {
            let mut bytes = Vec::new();
            OpenOptions::new()
                .read(true)
                .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
                .open(&source)
                .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
                .map_err(failed(&source))?;
            taken.bytes += bytes.len() as u64;
            fs::write(&target, bytes).map_err(failed(&target))?;
            // Node.js makes them private to its uid; instances have uids of their own.
            fs::set_permissions(&target, Permissions::from_mode(0o644)).map_err(failed(&target))?;
        } else {
            return Err(WarmError::Odd(format!(
                "{}, which is no plain file",
                source.display()
            )));
        }
    }
    Ok(())
}

fn make(path: &Path, mode: u32) -> Result<(), WarmError> {
    DirBuilder::new()
        .recursive(true)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> WarmError + use<> {
    let path = path.to_path_buf();
    move |source| WarmError::File { path, source }
}
