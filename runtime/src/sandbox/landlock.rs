//! Landlock: path rules under the mounts, and signals and abstract sockets kept inside.
//!
//! With a root of its own the path rules are a second wall behind the mounts; without one they are the only wall.
//! Abstract sockets belong to the network namespace, so on the host's network only the scope of Landlock keeps the
//! program away from those of the host (`landlock(7)`, ABI 6).

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::error::StepError;
use crate::record::{Level, Strength};
use crate::spec::{Access, InstanceSpec, Isolation, Programs, Watch};

/// The newest rights and scopes asked for; an older kernel keeps what it knows, and the level says so.
const ABI_WANTED: ABI = ABI::V6;
/// Writable parts of the private root.
const PRIVATE: [&str; 2] = ["/tmp", "/dev"];
/// What a program on the host's own root may read beside the mounts of its spec: libraries, time zones,
/// certificates, names, and what the C library and libuv look up.
const SHARED: [&str; 12] = [
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/etc/ssl",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/proc",
];
/// Devices such a program may use.
const DEVICES: [&str; 6] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/shm",
];

/// What the kernel executes to load a program that is linked dynamically, by the architectures that there are stacks for.
const LOADERS: [&str; 4] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// Restricts this thread and all its children, and says how far the kernel went along.
///
/// # Errors
/// When a rule names a path that cannot be opened, or the kernel refuses the ruleset.
pub(crate) fn restrict(spec: &InstanceSpec) -> Result<Level, StepError> {
    let status = apply(spec).map_err(|error| {
        StepError::new(
            "restrict files and signals by Landlock",
            "",
            std::io::Error::other(error),
        )
    })?;
    Ok(level(&status, spec.isolation))
}

fn apply(spec: &InstanceSpec) -> Result<RestrictionStatus, Box<dyn std::error::Error + Send + Sync>> {
    let all = AccessFs::from_all(ABI_WANTED);
    let read = AccessFs::from_read(ABI_WANTED);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?;
    let named = executable(spec);
    for (path, access) in allowed(spec) {
        let rights: BitFlags<AccessFs> = if access == Access::ReadWrite { all } else { read };
        let rights = if named.is_some() {
            rights & !AccessFs::Execute
        } else {
            rights
        };
        // A path that is not there needs no rule.
        if let Ok(at) = PathFd::new(&path) {
            let rights = if path.is_dir() {
                rights
            } else {
                rights & AccessFs::from_file(ABI_WANTED)
            };
            rules = rules.add_rule(PathBeneath::new(at, rights))?;
        }
    }
    for path in named.into_iter().flatten() {
        if let Ok(at) = PathFd::new(&path) {
            rules = rules.add_rule(PathBeneath::new(at, BitFlags::from(AccessFs::Execute)))?;
        }
    }
    Ok(rules.restrict_self()?)
}

/// The only files that may be executed, where the spec enforces that: the program itself, which is about to be, those
/// that are named, and what loads them (`ld.so(8)`).
fn executable(spec: &InstanceSpec) -> Option<Vec<PathBuf>> {
    let Watch {
        enforce: true,
        programs: Programs::Named(names),
        ..
    } = spec.watch.as_ref()?
    else {
        return None;
    };
    let search = spec.program.env.iter().find(|(key, _)| key == "PATH");
    let folders: Vec<&str> = search.map_or(Vec::new(), |(_, value)| value.split(':').collect());
    let mut files = vec![spec.program.path.clone()];
    files.extend(LOADERS.map(PathBuf::from));
    for name in names {
        if name.contains('/') {
            files.push(name.into());
        } else {
            files.extend(folders.iter().map(|folder| Path::new(folder).join(name)));
        }
    }
    files.retain(|path| path.is_file());
    Some(files)
}

fn allowed(spec: &InstanceSpec) -> Vec<(PathBuf, Access)> {
    let with = |paths: &[&str], access: Access| -> Vec<(PathBuf, Access)> {
        paths.iter().map(|path| (PathBuf::from(path), access)).collect()
    };
    let mut paths = match spec.isolation {
        Isolation::Namespaces => {
            let mut paths = with(&["/"], Access::ReadOnly);
            paths.extend(with(&PRIVATE, Access::ReadWrite));
            paths
        }
        Isolation::Landlock => {
            let mut paths = with(&SHARED, Access::ReadOnly);
            paths.extend(with(&DEVICES, Access::ReadWrite));
            paths
        }
    };
    paths.extend(
        spec.mounts
            .iter()
            .map(|mount| (mount.target.clone(), mount.access)),
    );
    paths
}

fn level(status: &RestrictionStatus, isolation: Isolation) -> Level {
    let kernel = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => format!("ABI {}", effective_abi as i32),
        LandlockStatus::NotEnabled => "the kernel has it, but it was not switched on at boot".to_owned(),
        LandlockStatus::NotImplemented => "the kernel was built without it".to_owned(),
    };
    let (strength, detail) = match (&status.ruleset, isolation) {
        (RulesetStatus::FullyEnforced, Isolation::Namespaces) => (
            Strength::Hard,
            format!("files, signals and abstract sockets, {kernel}"),
        ),
        (RulesetStatus::FullyEnforced, Isolation::Landlock) => (
            Strength::Partial,
            format!(
                "the only wall around files, {kernel}: names of files and processes of the host stay visible"
            ),
        ),
        (RulesetStatus::PartiallyEnforced, _) => (
            Strength::Partial,
            format!("this kernel knows less than was asked for, {kernel}"),
        ),
        _ => (Strength::None, kernel),
    };
    Level {
        name: "landlock".to_owned(),
        strength,
        detail,
    }
}
