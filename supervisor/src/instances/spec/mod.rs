//! From what a person wants to a runtime spec: paths inside, generated settings, start levers.
//!
//! Only [`cache`] starts a process, once per stack. [`prepare`] writes the guest's files into the run directory and returns plain data for `runtime::process::spawn`.

mod assets;
pub mod cache;
mod env;
mod flags;
mod libraries;
mod settings;

use std::io;
use std::path::{Path, PathBuf};

use runtime::spec::{
    Access, InstanceId, InstanceSpec, Isolation, Limits, LogSpec, Mount, Network, Owner, Program, Watch,
};
use runtime::store::Stack;
use runtime::units::Bytes;
use thiserror::Error;

pub use assets::WELCOME_FLOW;
pub use env::{NpmSettings, reserved};
use settings::Purpose;
pub use settings::Settings;

/// Size of the private `/tmp`: uploads, npm's cache, and what flows put there.
const TMP_SIZE: Bytes = Bytes::mib(256);

/// Milliseconds that Node-RED gets to stop its flows: it needs 16 ms, nodes with connections a few seconds.
const STOP_GRACE_MS: u64 = 10_000;

/// What a person wants of one instance. Not printable: environment and settings hold secrets.
#[derive(Clone)]
pub struct Wanted<'a> {
    /// Which instance.
    pub id: InstanceId,
    /// The pinned Node.js and Node-RED.
    pub stack: &'a Stack,
    /// A compile cache that [`cache::find`] or [`cache::Warming::warm`] gave, or none.
    pub cache: Option<&'a Path>,
    /// Node-RED's user directory on the host, absolute; the process's working directory.
    pub data: &'a Path,
    /// A second writable directory, for the files that flows read and write by a relative name, absolute.
    /// `None` leaves them in `data`, as plain Node-RED does.
    pub files: Option<&'a Path>,
    /// The data and files directories may not be written.
    pub read_only: bool,
    /// Directory of this run (0700, exists).
    pub run_dir: &'a Path,
    /// Where the output goes.
    pub log: LogSpec,
    /// What it may use up.
    pub limits: Limits,
    /// How it is walled off.
    pub isolation: Isolation,
    /// Whose files it writes.
    pub owner: Owner,
    /// Which network it sees.
    pub network: Network,
    /// The person's environment; see [`reserved`] for the names that are refused.
    pub env: Vec<(String, String)>,
    /// How the palette reaches the npm registry.
    pub npm: NpmSettings,
    /// Show the host's `/usr` (read-only), so that flows can run its programs.
    pub host_tools: bool,
    /// What it may do behind its walls, where that is watched.
    pub watch: Option<Watch>,
    /// Node-RED's settings.
    pub settings: Settings,
}

/// Why no spec could be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// A directory that must be absolute is not.
    #[error("the path {} is not absolute", .0.display())]
    Relative(PathBuf),
    /// The person's environment names something that Redhold decides itself.
    #[error("the environment variable {name} cannot be set: {reason}")]
    Reserved {
        /// The variable.
        name: String,
        /// Who decides it instead.
        reason: &'static str,
    },
    /// The person's environment holds something that no environment can.
    #[error("the environment variable {0:?} is not a usable name, or its value holds a NUL character")]
    Unusable(String),
    /// The host lacks a system library that Node.js needs.
    #[error("the system library {0} was not found")]
    Library(&'static str),
    /// The memory limit leaves no room for Node-RED.
    #[error("a memory limit of {0} is too small for Node-RED, which needs at least {1}")]
    Memory(Bytes, Bytes),
    /// One of the guest's files could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Inside paths. With [`Isolation::Landlock`] there is no root of its own, so they are the host's.
struct Inside {
    node: PathBuf,
    modules: PathBuf,
    guest: PathBuf,
    data: PathBuf,
    files: PathBuf,
    cache: Option<PathBuf>,
}

/// Makes the spec of one instance and writes the files it loads at its start into the run directory.
///
/// # Errors
/// When the wish contradicts itself, the host lacks a library, or the run directory cannot be written.
pub fn prepare(wanted: &Wanted<'_>) -> Result<InstanceSpec, PrepareError> {
    prepare_for(wanted, Purpose::Serve)
}

fn prepare_for(wanted: &Wanted<'_>, purpose: Purpose) -> Result<InstanceSpec, PrepareError> {
    let files = wanted.files.unwrap_or(wanted.data);
    for path in [wanted.data, files, wanted.run_dir] {
        if !path.is_absolute() {
            return Err(PrepareError::Relative(path.to_path_buf()));
        }
    }
    env::check(&wanted.env)?;
    let guest = wanted.run_dir.join("guest");
    let inside = inside(wanted, &guest);
    let arguments = flags::arguments(wanted, &inside)?;
    assets::write(
        &guest,
        &settings::document(wanted, &inside, purpose),
        wanted.npm.ca.as_deref(),
    )?;
    Ok(InstanceSpec {
        id: wanted.id.clone(),
        run_dir: wanted.run_dir.to_path_buf(),
        log: wanted.log.clone(),
        program: Program {
            path: inside.node.join("bin/node"),
            args: arguments,
            env: env::environment(wanted, &inside),
            directory: inside.data.clone(),
        },
        input: settings::secrets(&wanted.settings),
        mounts: mounts(wanted, &inside, &guest, purpose)?,
        holds: wanted.stack.directories().map(Path::to_path_buf).to_vec(),
        links: libraries::links(wanted.host_tools),
        tmp_size: TMP_SIZE,
        hostname: wanted.id.as_str().to_owned(),
        isolation: wanted.isolation,
        owner: wanted.owner,
        network: wanted.network.clone(),
        limits: wanted.limits.clone(),
        watch: wanted.watch.clone(),
        control_group: None,
        stop_grace_ms: STOP_GRACE_MS,
    })
}

fn inside(wanted: &Wanted<'_>, guest: &Path) -> Inside {
    match wanted.isolation {
        Isolation::Namespaces => Inside {
            node: "/node".into(),
            modules: "/stack/node_modules".into(),
            guest: "/redhold".into(),
            data: "/data".into(),
            files: if wanted.files.is_some() { "/files" } else { "/data" }.into(),
            cache: wanted.cache.map(|_| "/cache".into()),
        },
        Isolation::Landlock => Inside {
            node: wanted.stack.node_dir.clone(),
            modules: wanted.stack.modules.clone(),
            guest: guest.to_path_buf(),
            data: wanted.data.to_path_buf(),
            files: wanted.files.unwrap_or(wanted.data).to_path_buf(),
            // Node.js looks a module's code up by its path, and these paths are not those of the warm-up.
            cache: None,
        },
    }
}

fn mounts(
    wanted: &Wanted<'_>,
    inside: &Inside,
    guest: &Path,
    purpose: Purpose,
) -> Result<Vec<Mount>, PrepareError> {
    let mount = |source: &Path, target: &Path, access| Mount {
        source: source.to_path_buf(),
        target: target.to_path_buf(),
        access,
        optional: false,
    };
    let writable = if wanted.read_only {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    };
    let mut mounts = libraries::mounts(wanted.host_tools)?;
    mounts.push(mount(
        &wanted.stack.node_dir.join("bin"),
        &inside.node.join("bin"),
        Access::ReadOnly,
    ));
    mounts.push(mount(&wanted.stack.modules, &inside.modules, Access::ReadOnly));
    if let (Some(source), Some(target)) = (wanted.cache, &inside.cache) {
        let access = match purpose {
            Purpose::Serve => Access::ReadOnly,
            Purpose::Warm => Access::ReadWrite,
        };
        mounts.push(mount(source, target, access));
    }
    mounts.push(mount(guest, &inside.guest, Access::ReadOnly));
    if wanted.isolation == Isolation::Namespaces {
        for name in ["passwd", "group"] {
            mounts.push(mount(
                &guest.join(name),
                &Path::new("/etc").join(name),
                Access::ReadOnly,
            ));
        }
    }
    mounts.push(mount(wanted.data, &inside.data, writable));
    if let Some(files) = wanted.files {
        mounts.push(mount(files, &inside.files, writable));
    }
    Ok(mounts)
}
