//! Runs a closure under many conditions and says what the runs show together.
//!
//! The base run comes first. Each other run differs from it in one thing: the planted secrets, the date, the environment,
//! the network, chance. Runs are deterministic, so whatever differs between two traces, that one thing decides.

mod compare;
mod entries;
mod feedback;
mod guesses;
mod observe;
mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::closure::Closure;
use crate::engine::{Budget, Engine, EngineError};
use crate::trace::{End, Trace, What};
use crate::world::{Chance, Conditions, Machine, Set, World};
use observe::Question;
use plan::{Half, Plan};

pub use entries::{Entries, Entry, Install, NodeFile};
pub use observe::{Driven, Evidence, Fact, Observation, Observations};

const DAY: i64 = 86_400_000;
/// Part of the whole budget that the base run may take.
const BASE_SHARE: u64 = 3;
/// Part of a run's budget that the editor half may take.
const EDITOR_SHARE: u64 = 3;
/// What another run may take more than the base run took, in units of fuel.
const MARGIN: u64 = 2_000_000_000;

/// What all runs together may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What messages are tried with besides the usual.
    words: Vec<String>,
}

/// Exercises a closure. What goes wrong in a guest is an observation.
///
/// # Errors
/// When the engine itself fails, which is never the package's doing.
pub fn exercise(engine: &Engine, closure: &Closure, profile: &Profile) -> Result<Observations, EngineError> {
    let case = Case {
        engine,
        closure,
        entries: Entries::of(closure),
        profile,
    };
    let usual = usual(profile);
    let (base, driven) = one(&case, &usual, &[], profile.fuel / BASE_SHARE)?;
    let mut runs = Runs {
        most: base.fuel.saturating_mul(2).saturating_add(MARGIN),
        left: profile.fuel.saturating_sub(base.fuel),
        case: &case,
        made: vec![(base, Question::Nothing)],
        left_out: Vec::new(),
    };
    // What does not come to an end under the usual conditions is told as that, and compared with nothing.
    if runs.made[0].0.end == End::Done {
        let others = others(&usual, &runs.made[0].0);
        runs.make(others)?;
        let traces: Vec<&Trace> = runs.made.iter().map(|(trace, _)| trace).collect();
        let answers = feedback::answers(&usual, &traces, closure);
        runs.make(answers)?;
    }
    Ok(Observations::of(runs.made, driven, runs.left_out))
}

/// The runs of a closure so far.
struct Runs<'a> {
    case: &'a Case<'a>,
    /// Fuel that one of them may take.
    most: u64,
    /// Fuel that is left for all of them.
    left: u64,
    made: Vec<(Trace, Question)>,
    /// Names of those for which nothing was left.
    left_out: Vec<String>,
}

impl Runs<'_> {
    fn make(&mut self, runs: Vec<Run>) -> Result<(), EngineError> {
        for run in runs {
            let fuel = self.most.min(self.left);
            if fuel == 0 {
                self.left_out.push(run.conditions.run);
                continue;
            }
            let (trace, _) = one(self.case, &run.conditions, &run.words, fuel)?;
            self.left = self.left.saturating_sub(trace.fuel);
            self.made.push((trace, run.question));
        }
        Ok(())
    }
}

/// The base run alone: how far a package gets.
///
/// # Errors
/// When the engine itself fails, which is never the package's doing.
pub fn base(engine: &Engine, closure: &Closure, profile: &Profile) -> Result<(Trace, Driven), EngineError> {
    let case = Case {
        engine,
        closure,
        entries: Entries::of(closure),
        profile,
    };
    one(&case, &usual(profile), &[], profile.fuel / BASE_SHARE)
}

/// The conditions of the base run.
fn usual(profile: &Profile) -> Conditions {
    Conditions {
        events: profile.events,
        output: profile.output,
        ..Conditions::default()
    }
}

/// What is exercised, and with what.
struct Case<'a> {
    engine: &'a Engine,
    closure: &'a Closure,
    entries: Entries,
    profile: &'a Profile,
}

/// One run: the editor half, which tells what the nodes are like, and then the runtime half with nodes made accordingly.
fn one(
    case: &Case<'_>,
    conditions: &Conditions,
    words: &[String],
    fuel: u64,
) -> Result<(Trace, Driven), EngineError> {
    let edits = case
        .entries
        .nodes
        .iter()
        .chain(&case.entries.plugins)
        .any(|node| node.html.is_some());
    let mut before = None;
    let mut types = Value::Object(serde_json::Map::new());
    if edits {
        let (trace, answer) = half(case, Half::Editor, (&types, &[]), conditions, fuel / EDITOR_SHARE)?;
        if trace.end != End::Done {
            // The other half would run on nothing, and the verdict is made already.
            return Ok((trace, Driven::default()));
        }
        types = answer["types"].clone();
        before = Some(trace);
    }
    let left = fuel - before.as_ref().map_or(0, |trace| trace.fuel.min(fuel));
    let (trace, answer) = half(case, Half::Runtime, (&types, words), conditions, left)?;
    let driven = serde_json::from_value(answer).unwrap_or_default();
    Ok((
        before.map_or_else(|| trace.clone(), |editor| joined(editor, &trace)),
        driven,
    ))
}

/// One guest.
fn half(
    case: &Case<'_>,
    half: Half,
    (types, words): (&Value, &[String]),
    conditions: &Conditions,
    fuel: u64,
) -> Result<(Trace, Value), EngineError> {
    let mut world = World::new(case.closure, conditions.clone());
    let plan = Plan::new(
        case.closure,
        &case.entries,
        half,
        types.clone(),
        words.to_vec(),
        &mut world,
    );
    let plan = serde_json::to_string(&plan).unwrap_or_default();
    let budget = Budget {
        fuel,
        deadline: case.profile.deadline,
        memory: case.profile.memory,
    };
    let ran = case.engine.run(world, &budget, &plan)?;
    let mut trace = ran.trace;
    let answer: Value = ran
        .answer
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or(Value::Null);
    // The driver catches what packages throw; that it failed itself must not pass for a quiet run.
    let failed = ran.threw.or_else(|| answer["error"].as_str().map(str::to_owned));
    if let (End::Done, Some(said)) = (&trace.end, failed) {
        trace.end = End::Trapped(format!("the driver failed: {said}"));
    }
    Ok((trace, answer))
}

/// Two traces as one.
fn joined(mut editor: Trace, runtime: &Trace) -> Trace {
    editor.events.extend_from_slice(&runtime.events);
    editor.end = runtime.end.clone();
    editor.fuel += runtime.fuel;
    editor.memory = editor.memory.max(runtime.memory);
    let new = runtime.loaded.iter().filter(|file| !editor.loaded.contains(file));
    let new: Vec<String> = new.cloned().collect();
    editor.loaded.extend(new);
    editor.covered.extend_from_slice(&runtime.covered);
    editor
}

/// All runs besides the base, which says what some of them ask for.
fn others(usual: &Conditions, base: &Trace) -> Vec<Run> {
    let with = |run: &str, question, change: &dyn Fn(&mut Conditions)| {
        let mut conditions = Conditions {
            run: run.to_owned(),
            ..usual.clone()
        };
        change(&mut conditions);
        Run {
            conditions,
            question,
            words: Vec::new(),
        }
    };
    let dated =
        |run: &str, days: i64| with(run, Question::Date, &|conditions| conditions.start += days * DAY);
    let conditioned = |run: &str, change: &dyn Fn(&mut Conditions)| with(run, Question::Conditions, change);
    let mut runs = vec![
        with("secrets-b", Question::Secrets, &|conditions| {
            conditions.secrets = Set::B;
        }),
        // Early: where the budget does not suffice for all, what never ran must still be known.
        with("covered", Question::Nothing, &|conditions| {
            conditions.coverage = true;
        }),
        conditioned("ci", &|conditions| {
            conditions.environment = continuous_integration();
        }),
        dated("+400d", 400),
        dated("+4y", 1461),
        dated("-3000d", -3000),
        with("offline", Question::Network, &|conditions| {
            conditions.online = false;
        }),
        conditioned("rng-low", &|conditions| conditions.chance = Chance::Lowest),
        conditioned("rng-high", &|conditions| conditions.chance = Chance::Highest),
    ];
    let asked = feedback::asked_for(base);
    if !asked.is_empty() {
        let run = conditioned("asked-env", &|conditions| {
            conditions.environment = asked.clone();
            // It is also watched what the words are compared with.
            conditions.coverage = true;
        });
        runs.insert(1, run);
    }
    // Where the machine is, a package can only learn from somebody that nobody configured.
    if base.events.iter().any(|event| is_web_elsewhere(&event.what)) {
        for country in ["RU", "BY", "CN", "IR"] {
            runs.push(conditioned(&format!("in {country}"), &|conditions| {
                conditions.country = country.to_owned();
            }));
        }
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

fn is_web_elsewhere(what: &What) -> bool {
    matches!(what, What::Send { peer, .. } if !peer.configured && peer.protocol.starts_with("http"))
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
