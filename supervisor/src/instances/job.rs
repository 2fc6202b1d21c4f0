//! What an instance's actor has done elsewhere, because it blocks: starting, waiting for an end, asking over a socket.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use runtime::process::{self, Adopted, Descriptors, Running};
use runtime::record::{ExitRecord, Level};
use runtime::spec::{Isolation, LogSpec, Owner};
use runtime::store::Stack;
use runtime::units;

use super::model::Instance;
use super::place::Place;
use super::spec::{self, Wanted};
use super::{Shared, cache, wish};
use crate::paths;
use crate::problem::{Code, Problem};

/// File in the run directory with the settings with which the instance was started.
const STARTED_WITH: &str = "started.json";

/// First host uid, and gid, of instances of `serve`; `dev` has the 65,536 below.
const FIRST_UID: u32 = 1_900_065_536;

/// Size at which a log is rotated, and how many rotated files stay.
const LOG_SIZE: units::Bytes = units::Bytes::mib(4);
const LOG_KEEP: u8 = 4;

/// How a job went.
pub(super) enum Done {
    Spawned(Result<Listening, Problem>),
    /// It has ended, and whoever kept it has tidied up; without a record it was lost.
    Ended(Option<ExitRecord>),
    /// It lives; only the connection to its keeper broke.
    Lives(Listening),
    Probed(bool),
    Limited(Result<Vec<Level>, String>),
    Erased(io::Result<()>),
    /// A request to the keeper.
    Asked(Result<(), String>),
}

/// A living instance and the connection that carries its events.
pub(super) struct Listening {
    pub(super) running: Running,
    pub(super) events: UnixStream,
}

impl Listening {
    pub(super) fn to(running: Running) -> Result<Self, Problem> {
        let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
            Problem::new(Code::Failed, "cannot listen to the keeper").because(error)
        };
        let events = running.subscribe().map_err(|error| cannot(error.into()))?;
        events
            .set_nonblocking(true)
            .map_err(|error| cannot(error.into()))?;
        Ok(Self { running, events })
    }
}

/// Whose files an instance writes.
pub(super) fn owner(number: u32) -> Owner {
    if !nix::unistd::geteuid().is_root() {
        return Owner::Caller;
    }
    let id = FIRST_UID + number;
    Owner::Own { uid: id, gid: id }
}

/// Makes the socket on which requests wait for the instance.
pub(super) fn listen(place: &Place) -> io::Result<OwnedFd> {
    let path = place.socket();
    let temporary = place.run().join("front.new");
    let _ = fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))?;
    fs::rename(&temporary, &path)?;
    Ok(listener.into())
}

/// Starts an instance, fetching its stack when it is not here.
pub(super) async fn start(
    shared: Arc<Shared>,
    instance: Instance,
    safe: bool,
    listener: Arc<OwnedFd>,
) -> Done {
    let stack = match stack(&shared, &instance).await {
        Ok(stack) => stack,
        Err(problem) => return Done::Spawned(Err(problem)),
    };
    let started = tokio::task::spawn_blocking(move || spawn(&shared, &instance, safe, &stack, &listener));
    Done::Spawned(
        started
            .await
            .unwrap_or_else(|error| Err(Problem::new(Code::Failed, "the start broke off").because(error))),
    )
}

async fn stack(shared: &Shared, instance: &Instance) -> Result<Stack, Problem> {
    let lock = shared.stacks.resolve(Some(&instance.stack))?;
    shared.stacks.ensure(&lock, &runtime::store::Silent).await
}

fn spawn(
    shared: &Shared,
    instance: &Instance,
    safe: bool,
    stack: &Stack,
    listener: &OwnedFd,
) -> Result<Listening, Problem> {
    let place = Place::of(&shared.data_dir, &instance.id);
    let owner = owner(instance.number);
    let cannot = |error| Problem::io(format!("cannot prepare {}", place.root().display()), error);
    place.make(owner).map_err(cannot)?;
    npmrc(shared, instance, &place, owner)?;
    let sealed = |error| Problem::new(Code::Failed, "cannot prepare the environment").because(error);
    let limits = wish::limits(&instance.settings);
    let cache = match cache::find(stack, &limits) {
        None if shared.isolation == Isolation::Namespaces => {
            // Without it a start only takes longer.
            let group = shared.control_group.as_deref();
            cache::warm(&shared.executable, stack, &limits, shared.isolation, owner, group).ok()
        }
        found => found,
    };
    let secret = instance
        .credential_secret
        .as_ref()
        .map(|hidden| wish::open(&instance.id, hidden, &shared.key))
        .transpose()
        .map_err(sealed)?;
    let wanted = Wanted {
        id: instance
            .id
            .parse()
            .map_err(|error: runtime::spec::InvalidInstanceId| {
                Problem::new(Code::Failed, "this instance's record is damaged").because(error)
            })?,
        stack,
        cache: cache.as_deref(),
        data: &place.data(),
        files: Some(&place.files()),
        read_only: false,
        run_dir: &place.run(),
        log: LogSpec {
            file: place.log(),
            max_size: LOG_SIZE,
            keep: LOG_KEEP,
        },
        limits,
        isolation: shared.isolation,
        owner,
        network: wish::network(&instance.settings),
        env: wish::environment(instance, &shared.key).map_err(sealed)?,
        npm: shared.npm.clone(),
        host_tools: false,
        settings: wish::node_red(instance, safe, secret, shared.key.voucher(&instance.id)),
    };
    let mut spec = spec::prepare(&wanted)
        .map_err(|error| Problem::new(Code::Failed, "cannot prepare Node-RED").because(error))?;
    spec.control_group.clone_from(&shared.control_group);
    let started_with = serde_json::to_vec(instance)
        .map_err(|error| Problem::new(Code::Failed, "cannot note the settings").because(error))?;
    paths::write_private(&place.run().join(STARTED_WITH), &started_with).map_err(cannot)?;
    let descriptors = Descriptors {
        listener: Some(listener.try_clone().map_err(cannot)?),
    };
    let running = process::spawn(&shared.executable, &spec, descriptors).map_err(|error| {
        Problem::new(Code::Host, "cannot start Node-RED in its sandbox")
            .because(error)
            .hint("`redhold doctor` says what this machine lacks")
    })?;
    Listening::to(running)
}

/// The person's `.npmrc`, where npm looks for it.
fn npmrc(shared: &Shared, instance: &Instance, place: &Place, owner: Owner) -> Result<(), Problem> {
    let Some(hidden) = &instance.settings.palette.npmrc else {
        return Ok(());
    };
    let text = wish::open(&instance.id, hidden, &shared.key)
        .map_err(|error| Problem::new(Code::Failed, "cannot write the .npmrc").because(error))?;
    let path = place.data().join(".npmrc");
    paths::write_private(&path, text.as_bytes())
        .and_then(|()| match owner {
            Owner::Own { uid, gid } => std::os::unix::fs::lchown(&path, Some(uid), Some(gid)),
            _ => Ok(()),
        })
        .map_err(|error| Problem::io("cannot write the .npmrc", error))
}

/// The settings with which the instance that runs was started.
pub(super) fn started_with(place: &Place) -> Option<Instance> {
    serde_json::from_slice(&fs::read(place.run().join(STARTED_WITH)).ok()?).ok()
}

/// What was left here by an earlier supervisor.
pub(super) fn found(run_dir: &Path) -> Result<Done, Problem> {
    let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
        Problem::new(
            Code::Failed,
            format!("cannot tell what runs from {}", run_dir.display()),
        )
        .because(error)
    };
    match process::adopt(run_dir).map_err(|error| cannot(error.into()))? {
        Adopted::Alive(running) => Listening::to(running).map(Done::Lives),
        Adopted::Ended(exit) => Ok(Done::Ended(Some(exit))),
        Adopted::Lost(lost) => {
            lost.clean_up().map_err(|error| cannot(error.into()))?;
            Ok(Done::Ended(None))
        }
        Adopted::Nothing => Ok(Done::Ended(None)),
    }
}

/// Waits until the instance has ended and its keeper has gone.
pub(super) async fn end(running: Running) -> Done {
    let waited = tokio::task::spawn_blocking(move || match running.wait() {
        Ok(exit) => Done::Ended(Some(exit)),
        Err(_) => found(running.run_dir()).unwrap_or(Done::Ended(None)),
    });
    waited.await.unwrap_or(Done::Ended(None))
}

/// Asks the keeper for something.
pub(super) async fn ask(
    request: impl FnOnce() -> Result<(), runtime::error::RequestError> + Send + 'static,
) -> Done {
    use runtime::error::RequestError;
    let asked = tokio::task::spawn_blocking(move || match request() {
        // It has ended by itself meanwhile; the event of that is on its way.
        Ok(()) | Err(RequestError::Gone { .. }) => Ok(()),
        Err(error) => Err(error.to_string()),
    });
    Done::Asked(asked.await.unwrap_or_else(|error| Err(error.to_string())))
}

/// Sets other limits on what runs.
pub(super) async fn limit(running: Running, instance: Instance) -> Done {
    let limits = wish::limits(&instance.settings);
    let limited =
        tokio::task::spawn_blocking(move || running.limit(&limits).map_err(|error| error.to_string()));
    Done::Limited(limited.await.unwrap_or_else(|error| Err(error.to_string())))
}

/// Removes all files of an instance.
pub(super) async fn erase(place: Place) -> Done {
    let erased = tokio::task::spawn_blocking(move || place.erase());
    Done::Erased(erased.await.unwrap_or_else(|error| Err(io::Error::other(error))))
}

/// Asks for the head of the editor's page, or of whatever is served there: any answer is one.
pub(super) async fn probe(socket: PathBuf, path: String, patience: Duration) -> Done {
    let asked = async {
        let stream = tokio::net::UnixStream::connect(socket).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .ok()?;
        let request = Request::builder()
            .method(Method::HEAD)
            .uri(path)
            .header("host", "localhost")
            .header("connection", "close")
            .body(Empty::<Bytes>::new())
            .ok()?;
        let answer = async { sender.send_request(request).await.ok().map(drop) };
        let serve = async { connection.await.ok() };
        tokio::select! {
            answer = answer => answer,
            _ = serve => None,
        }
    };
    let answered = tokio::time::timeout(patience, asked).await;
    Done::Probed(matches!(answered, Ok(Some(()))))
}
