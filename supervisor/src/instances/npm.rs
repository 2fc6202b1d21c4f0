//! npm for an instance: what its settings ask for before it starts, and what its editor asks for while it runs. Always
//! an errand of its own, so that what npm takes is not taken from the instance.
//!
//! An errand that a supervisor left behind when it was killed is ended before the next one; the editor's request is
//! said again until it is answered, so nothing is lost by that.

use std::sync::Arc;
use std::time::Duration;

use runtime::store::Stack;
use serde_json::json;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use super::errand::{self, Outcome};
use super::events::Kind;
use super::gated::{as_npm, failed, may_run, note, reason};
use super::model::Instance;
use super::packages::{Missing, error_lines, npm_program};
use super::place::Place;
use super::request::{Answer, Request, about, answer};
use super::{Shared, job, queue, wish, world};
use crate::gate::{Asked, Judgement};
use crate::problem::{Code, Problem};

/// How long one start of npm may take.
const LONGEST: Duration = Duration::from_secs(600);

/// Who may use an instance's run directory for errands: one at a time, and all of them can be broken off.
#[derive(Clone, Debug, Default)]
pub(super) struct Errands {
    turn: Arc<Mutex<()>>,
    stop: CancellationToken,
}

impl Errands {
    /// Waits until no other errand runs.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Ends what runs or waits; later ones are not touched.
    pub(super) fn break_off(&mut self) {
        self.stop.cancel();
        self.stop = CancellationToken::new();
    }

    /// Whether it was broken off.
    pub(super) fn stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// What comes of `work`; nothing when it was broken off, by dropping it.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.stop.cancelled() => None,
        }
    }

    /// A place among those that start, for one that gave its own back; none when it was broken off.
    pub(super) async fn place(&self, shared: &Shared, instance: &Instance) -> Option<queue::Place> {
        let mut ticket = shared.queue.join(&instance.id);
        self.unless_stopped(ticket.place()).await.flatten()
    }

    /// Runs npm through the gate: what it will be told to install is vetted before, whatever else it asks for while it
    /// waits. Install scripts that the policy names run afterwards.
    async fn run(
        &self,
        shared: &Arc<Shared>,
        instance: &Instance,
        stack: &Arc<Stack>,
        order: Order,
    ) -> Result<Done, Problem> {
        let place = Place::of(&shared.data_dir, &instance.id);
        let session = {
            let upstream = wish::upstream(instance, &shared.key).map_err(|error| {
                Problem::new(Code::Failed, "cannot open the settings of npm").because(error)
            })?;
            let owner = world::owner(instance.number);
            let (team, folder) = (instance.team.as_ref(), place.gate());
            shared.gate.open_for(team, &upstream, &folder, owner).await?
        };
        let admitted = self.unless_stopped(session.admit(&order.asked)).await;
        admitted.ok_or_else(|| Problem::new(Code::Interrupted, "it was stopped"))??;
        let mut outcome = self
            .start(shared, instance, stack, order.arguments, false)
            .await?;
        let (scripts, mut ran) = (session.scripts(), Vec::new());
        if outcome.succeeded() && !scripts.is_empty() {
            let folder = place.data();
            let named = tokio::task::spawn_blocking(move || may_run(&folder, &scripts)).await;
            let named = named.map_err(broken)?;
            if !named.is_empty() {
                let words = ["rebuild", "--ignore-scripts=false", "--"].map(str::to_owned);
                let arguments = words.into_iter().chain(named.iter().cloned()).collect();
                outcome = self.start(shared, instance, stack, arguments, true).await?;
                ran = named;
            }
        }
        Ok(Done {
            outcome,
            judged: session.judged(),
            ran,
        })
    }

    async fn start(
        &self,
        shared: &Arc<Shared>,
        instance: &Instance,
        stack: &Arc<Stack>,
        more: Vec<String>,
        scripts: bool,
    ) -> Result<Outcome, Problem> {
        let mut arguments = vec![
            npm_program(stack, shared.isolation)
                .to_string_lossy()
                .into_owned(),
        ];
        arguments.extend(more);
        let prepared = {
            let (shared, instance, stack) = (shared.clone(), instance.clone(), stack.clone());
            tokio::task::spawn_blocking(move || {
                errand::clear(&Place::of(&shared.data_dir, &instance.id).errand())?;
                world::errand(&shared, &instance, &stack, arguments, scripts)
            })
        };
        let spec = prepared.await.map_err(broken)??;
        let stop = async {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(LONGEST) => {}
            }
        };
        errand::run(&shared.executable, &spec, stop).await
    }
}

/// What npm is told, and what of that the gate is asked for before.
struct Order {
    arguments: Vec<String>,
    asked: Vec<Asked>,
}

/// How npm ended, and what was thought of what it got.
struct Done {
    outcome: Outcome,
    judged: Vec<Judgement>,
    /// Packages whose install scripts ran.
    ran: Vec<String>,
}

fn broken(error: tokio::task::JoinError) -> Problem {
    Problem::new(Code::Failed, "npm broke off").because(error)
}

/// Installs what the settings and package.json ask for and is not there, before a start; gives back a place among
/// those that start, and lets others have it meanwhile. A failure is told and stops nothing: the flows then wait for
/// their types.
pub(super) async fn before(
    shared: &Arc<Shared>,
    instance: &Instance,
    stack: &Arc<Stack>,
    errands: &Errands,
    place: Option<queue::Place>,
) -> Option<queue::Place> {
    let folder = Place::of(&shared.data_dir, &instance.id).data();
    let wanted = instance.settings.palette.packages.clone();
    let looked = tokio::task::spawn_blocking(move || Missing::in_folder(&folder, &wanted)).await;
    let missing = looked.unwrap_or_default();
    if missing.is_empty() {
        return place;
    }
    drop(place);
    let names = missing.names.join(", ");
    let order = Order {
        arguments: missing.arguments(),
        asked: missing.asked,
    };
    let outcome = errands.run(shared, instance, stack, order).await;
    tell(shared, instance, "install", &names, &outcome, errands.stopped()).await;
    errands.place(shared, instance).await
}

/// Notes how it went; `what` was done to `names`.
async fn tell(
    shared: &Shared,
    instance: &Instance,
    what: &str,
    names: &str,
    outcome: &Result<Done, Problem>,
    stopped: bool,
) {
    let (kind, text, detail) = match outcome {
        Ok(Done { outcome, judged, ran }) if outcome.succeeded() => {
            let done = match what {
                "install" => "installed",
                _ => "removed",
            };
            let peak = outcome.exit.memory_peak;
            let detail = json!({ "memoryPeakBytes": peak, "cpuUs": outcome.exit.cpu_us, "vetting": judged, "scripts": ran });
            (Kind::Installed, format!("{done} {names} with npm"), detail)
        }
        Ok(Done { outcome, judged, .. }) => {
            let limit = instance.settings.limits.install_memory_mib;
            let why = match (&outcome.exit.oom, outcome.broken_off) {
                (Some(_), _) => format!("it needs more than limits.installMemoryMib, {limit} MiB"),
                (None, true) if stopped => "it was stopped".to_owned(),
                (None, true) => format!("it took more than {} minutes", LONGEST.as_secs() / 60),
                (None, false) => reason(&outcome.errors),
            };
            let detail =
                json!({ "npm": error_lines(&outcome.errors), "exit": outcome.exit, "vetting": judged });
            let text = format!("npm could not {what} {names}: {why}");
            (failed(&why), text, detail)
        }
        Err(problem) => {
            let text = problem.to_string();
            let kind = failed(&text);
            let detail = json!({ "npm": as_npm(problem).lines().collect::<Vec<_>>() });
            (kind, format!("npm could not {what} {names}: {text}"), detail)
        }
    };
    note(shared, instance, kind, &text, &detail).await;
    shared.events.note(&instance.id, kind, text, Some(detail)).await;
}

/// Does what an editor asked for.
pub(super) async fn serve(
    shared: Arc<Shared>,
    instance: Instance,
    errands: Errands,
    request: Request,
) -> job::Done {
    let outcome = async {
        let stack = Arc::new(job::stack(&shared, &instance).await?);
        let _turn = errands.turn().await;
        let order = Order {
            arguments: request.arguments.clone(),
            asked: request.asked(),
        };
        errands.run(&shared, &instance, &stack, order).await
    };
    let outcome = outcome.await;
    if request.verb() != "info" {
        let stopped = errands.stopped();
        tell(
            &shared,
            &instance,
            request.verb(),
            &request.names(),
            &outcome,
            stopped,
        )
        .await;
    }
    let (code, output, errors) = match &outcome {
        Ok(Done { outcome, .. }) if request.verb() == "info" => (
            outcome.exit.code,
            about(&outcome.output),
            outcome.errors.join("\n"),
        ),
        Ok(Done { outcome, .. }) => (
            outcome.exit.code,
            outcome.output.join("\n"),
            outcome.errors.join("\n"),
        ),
        Err(problem) => (None, String::new(), as_npm(problem)),
    };
    job::Done::Npm(Answer {
        message: answer(&request.id, code, &output, &errors),
        id: request.id,
    })
}
