//! Runs a closure under many conditions and says what the runs show together.
//!
//! The base run comes first. Each other run differs from it in one thing: the planted secrets, the date, the environment,
//! the network, chance. Runs are deterministic, so whatever differs between two traces, that one thing decides.

mod compare;
mod entries;
mod observe;
mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::closure::Closure;
use crate::engine::{Budget, Engine, EngineError, Ran};
use crate::trace::{End, Trace, What};
use crate::world::{Chance, Conditions, Machine, Set, World};
use observe::Question;
use plan::{Half, Plan};

pub use entries::{Entries, Entry, Install, NodeFile};
pub use observe::{Evidence, Fact, Observation, Observations};

const DAY: i64 = 86_400_000;
/// Keys of the environment that one persona sets.
const MOST_ASKED: usize = 64;
/// Part of the whole budget that the base run may take.
const BASE_SHARE: u64 = 3;
/// Part of a run's budget that the editor half may take.
const EDITOR_SHARE: u64 = 3;
/// What another run may take more than the base run took, in units of fuel.
const MARGIN: u64 = 2_000_000_000;

/// What all runs together may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Fuel of all runs.
    pub fuel: u64,
    /// Memory of a guest, in bytes.
    pub memory: u64,
    /// Time of one run by the wall clock.
    pub deadline: Duration,
    /// Events of one run.
    pub events: usize,
    /// Bytes printed in one run.
    pub output: u64,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            fuel: 60_000_000_000,
            memory: 256 << 20,
            deadline: Duration::from_secs(120),
            events: 50_000,
            output: 64 << 20,
        }
    }
}

/// One run of the plan.
struct Run {
    conditions: Conditions,
    question: Question,
}

/// Exercises a closure. What goes wrong in a guest is an observation.
///
/// # Errors
/// When the engine itself fails, which is never the package's doing.
pub fn exercise(engine: &Engine, closure: &Closure, profile: &Profile) -> Result<Observations, EngineError> {
    let entries = Entries::of(closure);
    let usual = Conditions {
        events: profile.events,
        output: profile.output,
        ..Conditions::default()
    };
    let mut left = profile.fuel;
    let mut exercised = |run: Run, fuel: u64| -> Result<Option<(Trace, Question)>, EngineError> {
        let fuel = fuel.min(left);
        if fuel == 0 {
            return Ok(None);
        }
        let trace = one(engine, closure, &entries, run.conditions, profile, fuel)?;
        left -= trace.fuel.min(left);
        Ok(Some((trace, run.question)))
    };
    let base = Run {
        conditions: usual.clone(),
        question: Question::Nothing,
    };
    let mut runs = Vec::new();
    let mut not_run = Vec::new();
    runs.extend(exercised(base, profile.fuel / BASE_SHARE)?);
    let Some((base, _)) = runs.first() else {
        return Ok(Observations::of(runs, vec![usual.run]));
    };
    if base.end != End::Done {
        // What does not come to an end under the usual conditions is told as that.
        return Ok(Observations::of(runs, not_run));
    }
    let most = base.fuel.saturating_mul(2).saturating_add(MARGIN);
    for run in others(&usual, base) {
        let name = run.conditions.run.clone();
        match exercised(run, most)? {
            Some(done) => runs.push(done),
            None => not_run.push(name),
        }
    }
    Ok(Observations::of(runs, not_run))
}

/// One run: the editor half in a guest of its own, then the other half, under the same conditions.
fn one(
    engine: &Engine,
    closure: &Closure,
    entries: &Entries,
    conditions: Conditions,
    profile: &Profile,
    fuel: u64,
) -> Result<Trace, EngineError> {
    let half = |half, types, fuel| {
        let mut world = World::new(closure, conditions.clone());
        let plan = Plan::new(closure, entries, half, types, &mut world);
        let plan = serde_json::to_string(&plan).unwrap_or_default();
        let budget = Budget {
            fuel,
            deadline: profile.deadline,
            memory: profile.memory,
        };
        engine.run(world, &budget, &plan)
    };
    let pages = entries.nodes.iter().chain(&entries.plugins);
    if pages.clone().all(|file| file.html.is_none()) {
        return half(Half::Runtime, json!({}), fuel).map(told);
    }
    let editor = half(Half::Editor, json!({}), fuel / EDITOR_SHARE)?;
    let types = editor.answer.as_deref().map_or(Value::Null, types_of);
    let editor = told(editor);
    if editor.end != End::Done {
        // The other half would run on nothing, and the verdict is made already.
        return Ok(editor);
    }
    let runtime = told(half(Half::Runtime, types, fuel - editor.fuel.min(fuel))?);
    Ok(joined(editor, runtime))
}

/// What the editor half tells of the types.
fn types_of(answer: &str) -> Value {
    serde_json::from_str(answer)
        .ok()
        .and_then(|mut answer: Value| answer.get_mut("types").map(Value::take))
        .unwrap_or_else(|| json!({}))
}

/// The trace of a guest. The driver catches what packages throw; that it failed itself must not pass for a quiet run.
fn told(ran: Ran) -> Trace {
    let mut trace = ran.trace;
    let failed = ran.threw.or_else(|| {
        let answer: Value = serde_json::from_str(ran.answer.as_deref()?).ok()?;
        answer["error"].as_str().map(str::to_owned)
    });
    if let (End::Done, Some(said)) = (&trace.end, failed) {
        trace.end = End::Trapped(format!("the driver failed: {said}"));
    }
    trace
}

/// Two halves as one run, in order.
fn joined(first: Trace, mut second: Trace) -> Trace {
    let mut events = first.events;
    events.append(&mut second.events);
    let mut loaded = first.loaded;
    second.loaded.retain(|file| !loaded.contains(file));
    loaded.append(&mut second.loaded);
    Trace {
        events,
        loaded,
        fuel: first.fuel + second.fuel,
        memory: first.memory.max(second.memory),
        ..second
    }
}

/// All runs besides the base, which says what some of them ask for.
fn others(usual: &Conditions, base: &Trace) -> Vec<Run> {
    let with = |run: &str, question, change: &dyn Fn(&mut Conditions)| {
        let mut conditions = Conditions {
            run: run.to_owned(),
            ..usual.clone()
        };
        change(&mut conditions);
        Run { conditions, question }
    };
    let dated =
        |run: &str, days: i64| with(run, Question::Date, &|conditions| conditions.start += days * DAY);
    let conditioned = |run: &str, change: &dyn Fn(&mut Conditions)| with(run, Question::Conditions, change);
    let mut runs = vec![
        with("secrets-b", Question::Secrets, &|conditions| {
            conditions.secrets = Set::B
        }),
        conditioned("ci", &|conditions| {
            conditions.environment = continuous_integration()
        }),
        dated("+400d", 400),
        dated("+4y", 1461),
        dated("-3000d", -3000),
        with("offline", Question::Network, &|conditions| {
            conditions.online = false
        }),
        with("covered", Question::Nothing, &|conditions| {
            conditions.coverage = true
        }),
        conditioned("rng-low", &|conditions| conditions.chance = Chance::Lowest),
        conditioned("rng-high", &|conditions| conditions.chance = Chance::Highest),
    ];
    let asked = asked_for(base);
    if !asked.is_empty() {
        runs.insert(
            1,
            conditioned("asked-env", &|conditions| conditions.environment = asked.clone()),
        );
    }
    if asks_who(base) {
        runs.push(conditioned("root-on-windows", &|conditions| {
            conditions.machine = Machine {
                platform: "win32".to_owned(),
                host: "BUILD-AGENT-7".to_owned(),
                user: "root".to_owned(),
                uid: 0,
                utc_offset: 3 * 3600,
                locale: "ru-RU".to_owned(),
                ..Machine::default()
            };
        }));
    }
    runs
}

/// The keys that were asked for and were not there.
fn asked_for(trace: &Trace) -> BTreeMap<String, String> {
    let mut asked = BTreeMap::new();
    for event in &trace.events {
        if let What::EnvRead { key, present: false } = &event.what
            && asked.len() < MOST_ASKED
        {
            asked.insert(key.clone(), "1".to_owned());
        }
    }
    asked
}

fn asks_who(trace: &Trace) -> bool {
    trace
        .events
        .iter()
        .any(|event| matches!(event.what, What::Identity { .. }))
}

fn continuous_integration() -> BTreeMap<String, String> {
    [
        ("CI", "true"),
        ("CONTINUOUS_INTEGRATION", "true"),
        ("BUILD_NUMBER", "118"),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "plant/line3"),
        ("GITHUB_WORKFLOW", "release"),
        ("RUNNER_OS", "Linux"),
        ("GITLAB_CI", "true"),
        ("JENKINS_URL", "https://build.plant.example/"),
        ("NODE_ENV", "production"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}
