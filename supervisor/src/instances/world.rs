//! The world in which an instance's programs run: folders, user, walls, network, environment. Node-RED and npm get the
//! same one; only npm's memory limit is another, and it is told no secret of Node-RED's.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use runtime::error::or_absent;
use runtime::spec::{
    InstanceId, InstanceSpec, InvalidInstanceId, Isolation, Limits, LogSpec, Network, Owner,
};
use runtime::store::Stack;
use runtime::units;
use sha2::{Digest, Sha256};

use super::allowance::{Allowance, Flows, Vetted};
use super::model::Instance;
use super::place::Place;
use super::spec::{self, Wanted};
use super::{Shared, cache, carried, packages, wish};
use crate::gate;
use crate::ids;
use crate::problem::{Code, Problem};
use crate::secret::SealError;

/// First host uid, and gid, of instances of `serve`; `dev` has the 65,536 below.
const FIRST_UID: u32 = 1_900_065_536;

/// Size at which a log is rotated, and how many rotated files stay.
const LOG_SIZE: units::Bytes = units::Bytes::mib(4);
const LOG_KEEP: u8 = 4;

/// Whose files an instance writes.
pub(super) fn owner(number: u32) -> Owner {
    if !nix::unistd::geteuid().is_root() {
        return Owner::Caller;
    }
    let id = FIRST_UID + number;
    Owner::Own { uid: id, gid: id }
}

/// Where everything lies, made when it is not there.
struct Folders {
    data: PathBuf,
    files: PathBuf,
    run: PathBuf,
    log: LogSpec,
    id: InstanceId,
}

impl Folders {
    fn of(shared: &Shared, instance: &Instance, errand: bool) -> Result<Self, Problem> {
        let place = Place::of(&shared.data_dir, &instance.id);
        let owner = owner(instance.number);
        place
            .make(owner)
            .map_err(|error| Problem::io(format!("cannot prepare {}", place.root().display()), error))?;
        withdraw(&place).map_err(|error| Problem::io("cannot remove the .npmrc of before", error))?;
        let run = if errand { place.errand() } else { place.run() };
        let name = if errand {
            format!("{}-npm", instance.id)
        } else {
            instance.id.clone()
        };
        let id = instance_id(&name)?;
        let (file, keep) = if errand {
            (run.join("log"), 0)
        } else {
            (place.log(), LOG_KEEP)
        };
        let max_size = LOG_SIZE;
        Ok(Self {
            data: place.data(),
            files: place.files(),
            run,
            log: LogSpec { file, max_size, keep },
            id,
        })
    }
}

/// Everything that all programs of an instance share.
fn wanted<'a>(
    shared: &Shared,
    instance: &Instance,
    stack: &'a Stack,
    folders: &'a Folders,
    limits: Limits,
    errand: bool,
) -> Result<Wanted<'a>, Problem> {
    Ok(Wanted {
        id: folders.id.clone(),
        stack,
        cache: None,
        data: &folders.data,
        files: Some(&folders.files),
        read_only: false,
        run_dir: &folders.run,
        log: folders.log.clone(),
        limits,
        isolation: shared.isolation,
        owner: owner(instance.number),
        network: wish::network(instance, &shared.networks, &shared.npm, errand).map_err(|why| {
            Problem::new(Code::Failed, "cannot prepare the network of the instance")
                .because(why)
                .hint("set a larger `pool` for [network] in the host's redhold.toml, or another network mode")
        })?,
        env: wish::environment(instance, &shared.key).map_err(sealed)?,
        npm: shared.npm.clone(),
        host_tools: false,
        watch: None,
        settings: spec::Settings::default(),
    })
}

fn sealed(error: SealError) -> Problem {
    Problem::new(Code::Failed, "cannot prepare the environment").because(error)
}

/// Where npm looks for a project's configuration.
const NPMRC: &str = ".npmrc";

/// A longer one was not written here, in bytes.
const LONGEST_NPMRC: u64 = 1 << 20;

/// Removes the `.npmrc` that earlier versions wrote into the folder, where flows could read its tokens, when it still is
/// that one. The gate alone has the setting now.
fn withdraw(place: &Place) -> io::Result<()> {
    let noted = place.npmrc_digest();
    let Ok(written) = fs::read_to_string(&noted) else {
        return Ok(());
    };
    let mut text = Vec::new();
    // The folder is a stranger's: a link, a pipe or nothing at all is not what was written.
    let read = runtime::beneath::open(&place.data(), Path::new(NPMRC))
        .and_then(|file| file.take(LONGEST_NPMRC).read_to_end(&mut text));
    if read.is_ok() && digest(&text) == written {
        or_absent(fs::remove_file(place.data().join(NPMRC)))?;
    }
    or_absent(fs::remove_file(noted))
}

fn digest(bytes: &[u8]) -> String {
    ids::hexadecimal(&Sha256::digest(bytes))
}

/// Node-RED itself, with its settings.
///
/// # Errors
/// When something cannot be written, or a secret cannot be opened.
pub(super) fn serve(
    shared: &Shared,
    instance: &Instance,
    safe: bool,
    stack: &Stack,
) -> Result<InstanceSpec, Problem> {
    let mut limits = wish::limits(&instance.settings);
    let owner = owner(instance.number);
    let cache = match cache::find(stack, &limits) {
        None if shared.isolation == Isolation::Namespaces => {
            // Without it a start only takes longer.
            let warming = cache::Warming {
                executable: &shared.executable,
                stack,
                limits: &limits,
                isolation: shared.isolation,
                owner,
                control_group: shared.control_group.as_deref(),
            };
            warming.warm().ok()
        }
        found => found,
    };
    let secret = instance
        .credential_secret
        .as_ref()
        .map(|hidden| wish::open(&instance.id, hidden, &shared.key))
        .transpose()
        .map_err(sealed)?;
    let folders = Folders::of(shared, instance, false)?;
    let mut settings = wish::node_red(instance, safe, secret, shared.key.voucher(&instance.id));
    settings.extra = wish::over(carried::of_folder(&folders.data), settings.extra);
    limits.file_size = file_size(shared, instance, &limits);
    let flows = folders.data.join(&settings.flow_file);
    let mut wanted = Wanted {
        cache: cache.as_deref(),
        settings,
        ..wanted(shared, instance, stack, &folders, limits, false)?
    };
    watch(shared, instance, flows, &mut wanted);
    prepare(shared, &wanted, "Node-RED")
}

/// What is watched of what it does, by what is installed now: what comes with the next package holds from the next start.
fn watch(shared: &Shared, instance: &Instance, flows: PathBuf, wanted: &mut Wanted<'_>) {
    let settings = &instance.settings.capabilities;
    let data = wanted.data;
    let vetted = packages::direct(data).into_iter().filter_map(|(name, version)| {
        let report = shared.gate.report(&name, &version)?;
        let capabilities = report.facts.uses.into_iter().map(|one| one.capability).collect();
        Some(Vetted { name, capabilities })
    });
    let allowance = Allowance::of(settings, &vetted.collect::<Vec<_>>());
    wanted.watch = allowance.watch(settings.mode);
    match (&mut wanted.network, &mut wanted.watch) {
        (Network::Filtered(network), _) => {
            let (env, files) = (wanted.env.as_slice(), vec![flows]);
            let hosts = allowance.hosts(settings.mode, Flows { env, files });
            network.hosts = hosts.map(Box::new);
        }
        (Network::Host | Network::Lesser(_), Some(watch)) => watch.words.push_str(UNWATCHED),
        _ => {}
    }
}

/// There is no cable at which it could be seen.
const UNWATCHED: &str = ", connects to whatever it wants to, because on the host's network nobody looks";

/// Where a full disk says so itself, a bound for each file beside that would only say something else.
fn file_size(shared: &Shared, instance: &Instance, limits: &Limits) -> Option<units::Bytes> {
    let place = Place::of(&shared.data_dir, &instance.id);
    limits.file_size.filter(|_| shared.disks.is_watched(&place))
}

/// The spec of a wish, in the host's place for control groups.
fn prepare(shared: &Shared, wanted: &Wanted<'_>, what: &str) -> Result<InstanceSpec, Problem> {
    let mut spec = spec::prepare(wanted)
        .map_err(|error| Problem::new(Code::Failed, format!("cannot prepare {what}")).because(error))?;
    spec.control_group.clone_from(&shared.control_group);
    if matches!(spec.network, Network::Filtered(_)) {
        shared.networks.prepare()?;
    }
    Ok(spec)
}

/// Node.js with these arguments beside Node-RED, with the limit of memory that installations have; with `scripts` there
/// is what an install script needs, a shell and Node.js by its name.
///
/// # Errors
/// As [`serve`].
pub(super) fn errand(
    shared: &Shared,
    instance: &Instance,
    stack: &Stack,
    arguments: Vec<String>,
    scripts: bool,
) -> Result<InstanceSpec, Problem> {
    let limits = Limits {
        memory: Some(units::Bytes::mib(
            instance.settings.limits.install_memory_mib.into(),
        )),
        ..wish::limits(&instance.settings)
    };
    let folders = Folders::of(shared, instance, true)?;
    let wanted = Wanted {
        // A script is started by a shell.
        host_tools: scripts,
        ..wanted(shared, instance, stack, &folders, limits, true)?
    };
    let mut spec = prepare(shared, &wanted, "npm")?;
    spec.program.args = arguments;
    spec.program
        .env
        .extend(wish::npm_options(instance, &shared.key).map_err(sealed)?);
    if scripts {
        let node = spec
            .program
            .path
            .parent()
            .unwrap_or_else(|| Path::new("/"))
            .to_owned();
        for (_, value) in spec.program.env.iter_mut().filter(|(name, _)| name == "PATH") {
            *value = format!("{}:{value}", node.display());
        }
    }
    gate::attach(&mut spec, &Place::of(&shared.data_dir, &instance.id).gate());
    Ok(spec)
}

/// A look at the settings file of a user directory that was unpacked into `data` of `staged`: read-only, without
/// network, as a user that no instance has.
///
/// # Errors
/// As [`serve`].
pub(super) fn look(
    shared: &Shared,
    instance: &Instance,
    stack: &Stack,
    staged: &Path,
) -> Result<InstanceSpec, Problem> {
    let (data, run) = (staged.join("data"), staged.join("run"));
    // Numbers of instances begin with 1.
    let owner = owner(0);
    if let Owner::Own { uid, gid } = owner {
        std::os::unix::fs::lchown(&data, Some(uid), Some(gid))
            .and_then(|()| give(&data, uid, gid))
            .map_err(|error| Problem::io("cannot prepare the import", error))?;
    }
    let wanted = Wanted {
        id: instance_id(&format!("{}-npm", instance.id))?,
        stack,
        cache: None,
        data: &data,
        files: None,
        read_only: true,
        run_dir: &run,
        log: LogSpec {
            file: run.join("log"),
            max_size: LOG_SIZE,
            keep: 0,
        },
        limits: wish::limits(&instance.settings),
        isolation: shared.isolation,
        owner,
        network: Network::Loopback,
        env: Vec::new(),
        npm: spec::NpmSettings::default(),
        host_tools: false,
        watch: None,
        settings: spec::Settings::default(),
    };
    let mut spec = spec::prepare(&wanted)
        .map_err(|error| Problem::new(Code::Failed, "cannot prepare a look at settings.js").because(error))?;
    let script = spec.program.directory.join("settings.js");
    carried::read_settings(&mut spec, &script);
    Ok(spec)
}

/// Gives everything in a folder to which nobody else has access to a user.
///
/// # Errors
/// The kernel's.
pub(super) fn give(folder: &Path, uid: u32, gid: u32) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give(&entry.path(), uid, gid)?;
        }
        std::os::unix::fs::lchown(entry.path(), Some(uid), Some(gid))?;
    }
    Ok(())
}

fn instance_id(text: &str) -> Result<InstanceId, Problem> {
    text.parse().map_err(|error: InvalidInstanceId| {
        Problem::new(Code::Failed, "this instance's record is damaged").because(error)
    })
}
