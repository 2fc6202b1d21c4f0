//! What an instance's actor has done elsewhere, because it blocks: starting, waiting for an end, asking over a socket.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use runtime::process::{self, Adopted, Descriptors, Running};
use runtime::record::{ExitRecord, Level};
use runtime::sandbox::quota::Usage;
use runtime::store::Stack;
use tracing::warn;

use super::model::Instance;
use super::npm::{self, Errands};
use super::place::Place;
use super::{Shared, errand, queue, request, wish, world};
use crate::paths;
use crate::problem::{Code, Problem};

/// File in the run directory with the settings with which the instance was started.
const STARTED_WITH: &str = "started.json";

/// Until the remains of an instance that could not be removed are tried again.
const END_AGAIN: Duration = Duration::from_secs(5);

/// Processor time after which an instance that answered is asked again: two or three of its answers' worth.
const WORKED_US: u64 = 5000;

/// How a job went.
pub(super) enum Done {
    /// With the place among those that start, which it keeps until its flows run.
    Spawned(Result<Listening, Problem>, Option<queue::Place>),
    /// It has ended, and whoever kept it has tidied up; without a record it was lost.
    Ended(Option<ExitRecord>),
    /// It lives; only the connection to its keeper broke.
    Lives(Listening),
    Probed(Served),
    /// The program was interrupted, or why not.
    Diagnosed(Result<(), String>),
    Limited(Result<Vec<Level>, String>),
    Erased(io::Result<()>),
    /// What it has on the disk; nothing where nobody can say.
    Measured(Option<Usage>),
    /// A request to the keeper.
    Asked(Result<(), String>),
    /// npm has done what the editor asked for.
    Npm(request::Answer),
}

/// Whether an instance answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// It does; how much processor time it had used by then, in microseconds, where that is counted.
    Answers(Option<u64>),
    /// It did not in time.
    Silent,
    /// It answered before and has done nothing since: what it would answer now is known, and waking it to hear that is
    /// most of what an idle instance would do.
    Sleeps,
}

/// A living instance and the connection that carries its events.
pub(super) struct Listening {
    pub(super) running: Running,
    pub(super) events: UnixStream,
    /// What bounds its disk space, when that was just found out.
    pub(super) disk: Option<Box<Level>>,
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
        Ok(Self {
            running,
            events,
            disk: None,
        })
    }
}

/// Starts an instance, fetching its stack and its packages when they are not here.
pub(super) async fn start(
    shared: Arc<Shared>,
    instance: Instance,
    safe: bool,
    listener: Arc<OwnedFd>,
    errands: Errands,
    place: Option<queue::Place>,
) -> Done {
    let (stack, place) = match fetched(&shared, &instance, &errands, place).await {
        (Ok(stack), place) => (Arc::new(stack), place),
        (Err(problem), place) => return Done::Spawned(Err(problem), place),
    };
    // Nothing else writes to its folders while it starts.
    let turn = errands.turn().await;
    let readied = {
        let (shared, instance) = (shared.clone(), instance.clone());
        tokio::task::spawn_blocking(move || ready(&shared, &instance)).await
    };
    let disk = match readied.unwrap_or_else(|error| Err(broke_off(error))) {
        Ok(disk) => disk,
        Err(problem) => return Done::Spawned(Err(problem), place),
    };
    let place = npm::before(&shared, &instance, &stack, &errands, place).await;
    if errands.stopped() {
        return Done::Spawned(Err(stopped()), place);
    }
    let started = tokio::task::spawn_blocking(move || spawn(&shared, &instance, safe, &stack, &listener));
    let started = started
        .await
        .unwrap_or_else(|error| Err(broke_off(error)))
        .map(|listening| Listening {
            disk: Some(Box::new(disk)),
            ..listening
        });
    drop(turn);
    Done::Spawned(started, place)
}

fn broke_off(error: tokio::task::JoinError) -> Problem {
    Problem::new(Code::Failed, "the start broke off").because(error)
}

pub(super) async fn stack(shared: &Shared, instance: &Instance) -> Result<Stack, Problem> {
    let lock = shared.stacks.resolve(Some(&instance.stack))?;
    shared.stacks.ensure(&lock, &runtime::store::Silent).await
}

/// The stack, and the place among those that start: whoever has to fetch a hundred megabytes first stands in nobody's
/// way meanwhile.
async fn fetched(
    shared: &Shared,
    instance: &Instance,
    errands: &Errands,
    place: Option<queue::Place>,
) -> (Result<Stack, Problem>, Option<queue::Place>) {
    let here = shared
        .stacks
        .resolve(Some(&instance.stack))
        .and_then(|lock| shared.stacks.find(&lock));
    match here {
        Ok(Some(stack)) => return (Ok(stack), place),
        Ok(None) => drop(place),
        Err(problem) => return (Err(problem), place),
    }
    match errands.unless_stopped(stack(shared, instance)).await {
        Some(Ok(stack)) => (Ok(stack), errands.place(shared, instance).await),
        Some(Err(problem)) => (Err(problem), None),
        None => (Err(stopped()), None),
    }
}

fn stopped() -> Problem {
    Problem::new(Code::Interrupted, "it was stopped before Node-RED ran")
}

/// Its folders, and what bounds them.
fn ready(shared: &Shared, instance: &Instance) -> Result<Level, Problem> {
    let wanted = wish::disk(&shared.data_dir, instance);
    end_left(&wanted.place, &instance.id)?;
    shared.disks.ready(&wanted)
}

/// A supervisor that was killed in the middle of a start leaves a keeper that goes on with it, perhaps after
/// this supervisor has looked. Nobody can reach that one any more: its socket was replaced.
fn end_left(place: &Place, id: &str) -> Result<(), Problem> {
    if let Done::Lives(left) = found(&place.run())? {
        let ended = left.running.kill().and_then(|()| left.running.wait());
        if let Err(error) = ended {
            warn!(instance = id, %error, "what an earlier start left does not answer");
        }
    }
    Ok(())
}

fn spawn(
    shared: &Shared,
    instance: &Instance,
    safe: bool,
    stack: &Stack,
    listener: &OwnedFd,
) -> Result<Listening, Problem> {
    let place = Place::of(&shared.data_dir, &instance.id);
    end_left(&place, &instance.id)?;
    let spec = world::serve(shared, instance, safe, stack)?;
    let cannot = |error| Problem::io(format!("cannot prepare {}", place.root().display()), error);
    let started_with = serde_json::to_vec(instance)
        .map_err(|error| Problem::new(Code::Failed, "cannot note the settings").because(error))?;
    paths::write_private(&place.run().join(STARTED_WITH), &started_with).map_err(cannot)?;
    let descriptors = Descriptors {
        listener: Some(listener.try_clone().map_err(cannot)?),
    };
    let running = process::spawn(&shared.executable, &spec, descriptors).map_err(|error| {
        // Only there is a refusal not a matter of this machine's walls.
        let hint = if matches!(spec.network, runtime::spec::Network::Filtered(_)) {
            "`redhold doctor` says what this machine lacks; with network.mode=host or none it needs no network of its own"
        } else {
            "`redhold doctor` says what this machine lacks"
        };
        Problem::new(Code::Host, "cannot start Node-RED in its sandbox")
            .because(error)
            .hint(hint)
    })?;
    Listening::to(running)
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

/// Waits until the instance has ended and its keeper has gone. Unless the keeper has `told` of the end, it may be only
/// the connection that broke.
pub(super) async fn end(running: Running, told: bool) -> Done {
    loop {
        let running = running.clone();
        let waited = tokio::task::spawn_blocking(move || {
            if !told && let lives @ Done::Lives(_) = found(running.run_dir())? {
                return Ok(lives);
            }
            match running.wait() {
                Ok(exit) => Ok(Done::Ended(Some(exit))),
                Err(_) => found(running.run_dir()),
            }
        });
        match waited.await {
            Ok(Ok(done)) => return done,
            // Something of it may live, so it has not ended: nothing else may be started in its place.
            Ok(Err(problem)) => warn!(%problem, "what is left of an instance cannot be removed yet"),
            Err(error) => warn!(%error, "waiting for an instance's end broke off"),
        }
        tokio::time::sleep(END_AGAIN).await;
    }
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

/// Has the program say what holds its event loop.
pub(super) async fn diagnose(running: Running) -> Done {
    let asked = tokio::task::spawn_blocking(move || running.diagnose().map_err(|error| error.to_string()));
    Done::Diagnosed(asked.await.unwrap_or_else(|error| Err(error.to_string())))
}

/// Sets other limits on what runs.
pub(super) async fn limit(shared: Arc<Shared>, running: Running, instance: Instance) -> Done {
    let limits = wish::limits(&instance.settings);
    let limited = tokio::task::spawn_blocking(move || {
        let disk = shared.disks.change(&wish::disk(&shared.data_dir, &instance));
        let mut levels = running.limit(&limits).map_err(|error| error.to_string())?;
        levels.push(disk);
        Ok(levels)
    });
    Done::Limited(limited.await.unwrap_or_else(|error| Err(error.to_string())))
}

/// Measures what an instance has on the disk.
pub(super) async fn measure(shared: Arc<Shared>, instance: Instance) -> Done {
    let measured =
        tokio::task::spawn_blocking(move || shared.disks.measure(&wish::disk(&shared.data_dir, &instance)));
    Done::Measured(measured.await.unwrap_or(None))
}

/// Removes all files of an instance, when nothing writes to them any more.
pub(super) async fn erase(shared: Arc<Shared>, place: Place, errands: Errands) -> Done {
    let _turn = errands.turn().await;
    let erased = tokio::task::spawn_blocking(move || {
        errand::clear(&place.errand()).map_err(io::Error::other)?;
        shared.disks.erase(&place)
    });
    Done::Erased(erased.await.unwrap_or_else(|error| Err(io::Error::other(error))))
}

/// Asks for the head of the editor's page, or of whatever is served there: any answer is one.
/// It is not asked when it has answered with `before` on its account and has hardly used more since.
pub(super) async fn probe(
    running: Running,
    socket: PathBuf,
    path: String,
    patience: Duration,
    before: Option<u64>,
) -> Done {
    let used = || running.stats().ok()?.cpu_us;
    if let Some((before, now)) = before.zip(used())
        && now.saturating_sub(before) < WORKED_US
    {
        return Done::Probed(Served::Sleeps);
    }
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
        // A connection that is over has handed its answer on, or the lack of one.
        let serve = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            answer = answer => answer,
            none = serve => none,
        }
    };
    let answered = tokio::time::timeout(patience, asked).await;
    Done::Probed(match answered {
        Ok(Some(())) => Served::Answers(used()),
        _ => Served::Silent,
    })
}
