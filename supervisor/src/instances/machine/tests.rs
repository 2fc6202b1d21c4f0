//! Every input in every reachable state, and long random lives, against a world that keeps count of processes.

use std::collections::{HashSet, VecDeque};

use proptest::prelude::*;

use super::*;

const INPUTS: [Input; 17] = [
    Input::Want(Desired::Running),
    Input::Want(Desired::Suspended),
    Input::Want(Desired::Stopped),
    Input::Restart { safe: false },
    Input::Restart { safe: true },
    Input::Delete,
    Input::Place,
    Input::Spawned,
    Input::SpawnFailed,
    Input::Adopted {
        ready: false,
        frozen: false,
    },
    Input::Adopted {
        ready: true,
        frozen: false,
    },
    Input::Ready,
    Input::Deployed,
    Input::Ended,
    Input::Hung,
    Input::Due,
    Input::Adopted {
        ready: true,
        frozen: true,
    },
];

/// What the actor's side of it looks like from outside.
#[derive(Clone, Debug, Default)]
struct World {
    /// Starts under way.
    spawning: usize,
    /// Processes.
    processes: usize,
    frozen: bool,
    /// It was asked to end, or killed.
    told: bool,
    /// Places held or asked for.
    places: usize,
    waiting: bool,
    erased: bool,
}

impl World {
    /// Whether the world can bring this about now.
    fn possible(&self, input: Input) -> bool {
        match input {
            Input::Place => self.places > 0 && self.processes + self.spawning == 0,
            Input::Spawned | Input::SpawnFailed => self.spawning > 0,
            Input::Ready | Input::Hung | Input::Deployed => self.processes > 0 && !self.frozen,
            Input::Ended => self.processes > 0,
            Input::Due => self.waiting,
            // Only asked once, before anything else.
            Input::Adopted { .. } => false,
            _ => true,
        }
    }

    fn happens(&mut self, input: Input) {
        match input {
            Input::Spawned => {
                self.spawning -= 1;
                self.processes += 1;
            }
            Input::SpawnFailed => self.spawning -= 1,
            Input::Ended => {
                self.processes -= 1;
                self.frozen = false;
                self.told = false;
            }
            Input::Due => self.waiting = false,
            _ => {}
        }
    }

    fn carry_out(&mut self, effects: &[Effect]) -> Result<(), String> {
        for effect in effects {
            if self.erased {
                return Err("something was done after everything was removed".to_owned());
            }
            match effect {
                Effect::Queue => {
                    self.places += 1;
                    self.waiting = false;
                }
                Effect::Leave => self.places = self.places.saturating_sub(1),
                Effect::Spawn { .. } => self.spawning += 1,
                Effect::Stop | Effect::Kill if self.processes == 0 => {
                    return Err("nobody is there to be ended".to_owned());
                }
                Effect::Stop if self.frozen => return Err("the frozen hear nothing".to_owned()),
                Effect::Stop | Effect::Kill => self.told = true,
                Effect::Freeze | Effect::Thaw if self.processes == 0 => {
                    return Err("nobody is there to be frozen".to_owned());
                }
                Effect::Freeze => self.frozen = true,
                Effect::Thaw => self.frozen = false,
                Effect::Wait(_) => self.waiting = true,
                Effect::Erase => self.erased = true,
                Effect::RememberSafe(_) | Effect::GaveUp => {}
            }
        }
        Ok(())
    }

    fn check(&self, machine: &Machine) -> Result<(), String> {
        if self.processes + self.spawning > 1 {
            return Err("two processes of one instance".to_owned());
        }
        if self.places > 1 {
            return Err("two places for one instance".to_owned());
        }
        let idle = self.processes + self.spawning == 0;
        let fits = match machine.phase() {
            Phase::Stopped | Phase::Down => idle && self.places == 0,
            Phase::Waiting => idle && self.waiting && self.places == 0,
            Phase::Queued => idle && self.places == 1,
            // One that was adopted has no place.
            Phase::Starting => !idle,
            Phase::Running => !idle && self.places == 0 && !self.frozen,
            Phase::Suspended => !idle && self.frozen,
            Phase::Stopping => (self.told || self.spawning == 1) && self.places == 0,
            Phase::Deleted => idle && self.erased && self.places == 0,
        };
        if fits {
            Ok(())
        } else {
            Err(format!("{machine:?} does not fit {self:?}"))
        }
    }
}

struct Life {
    machine: Machine,
    world: World,
    now: Duration,
}

impl Life {
    fn new() -> Self {
        Self {
            machine: Machine::new(false, 1),
            world: World::default(),
            now: Duration::ZERO,
        }
    }

    fn step(&mut self, input: Input) -> Result<Vec<Effect>, String> {
        self.now += Duration::from_secs(1);
        self.world.happens(input);
        let effects = self.machine.step(self.now, input, &RestartSettings::default());
        self.world.carry_out(&effects)?;
        self.world.check(&self.machine)?;
        Ok(effects)
    }

    /// Lets the world do what it has to, without a person.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..100 {
            let next = if self.world.spawning > 0 {
                Input::Spawned
            } else if self.world.told && self.world.processes > 0 {
                Input::Ended
            } else if self.world.places > 0 && self.machine.phase() == Phase::Queued {
                Input::Place
            } else if self.machine.phase() == Phase::Starting {
                Input::Ready
            } else if self.world.waiting && self.machine.phase() == Phase::Waiting {
                Input::Due
            } else {
                return Ok(());
            };
            self.step(next)?;
        }
        Err("it never comes to rest".to_owned())
    }
}

fn key(life: &Life) -> String {
    let mut machine = life.machine.clone();
    machine.crashes.forget();
    // When it was does not tell states apart.
    machine.ready_at = Duration::ZERO;
    format!("{machine:?} {} {:?}", life.machine.crashes(), life.world)
}

/// Breadth first through everything that can be reached.
#[test]
fn every_input_in_every_state() {
    let mut seen = HashSet::new();
    let mut paths: VecDeque<Vec<Input>> = VecDeque::from([Vec::new()]);
    while let Some(path) = paths.pop_front() {
        for input in INPUTS {
            let mut life = Life::new();
            for before in &path {
                life.step(*before).expect("walked before");
            }
            if !life.world.possible(input) {
                // What cannot be still must not do harm: a late or repeated word.
                let late = matches!(input, Input::Due | Input::Ready | Input::Hung | Input::Ended);
                if !late || life.world.processes > 0 {
                    continue;
                }
                let effects = life.machine.step(life.now, input, &RestartSettings::default());
                assert_eq!(effects, [], "{path:?}, then a stray {input:?}");
                continue;
            }
            if let Err(error) = life.step(input) {
                panic!("{path:?}, then {input:?}: {error}");
            }
            if seen.insert(key(&life)) && path.len() < 14 {
                let mut longer = path.clone();
                longer.push(input);
                paths.push_back(longer);
            }
        }
    }
    assert!(seen.len() > 200, "only {} states were reached", seen.len());
}

#[test]
fn what_was_found_alive_goes_on() {
    for (ready, frozen, phase) in [
        (true, false, Phase::Running),
        (false, false, Phase::Starting),
        (true, true, Phase::Suspended),
    ] {
        let mut life = Life::new();
        life.world.processes = 1;
        life.world.frozen = frozen;
        life.step(Input::Adopted { ready, frozen }).expect("adopted");
        assert_eq!(life.machine.phase(), phase);
        let effects = life.step(Input::Want(Desired::Running)).expect("wanted");
        assert_eq!(
            effects,
            if frozen { vec![Effect::Thaw] } else { vec![] },
            "not started again"
        );
        life.step(Input::Want(Desired::Stopped)).expect("stopped");
        life.settle().expect("at rest");
        assert_eq!(life.machine.phase(), Phase::Stopped);
    }
}

#[test]
fn a_crash_loop_is_explained_by_safe_mode_and_ended_by_a_deploy() {
    let mut life = Life::new();
    life.step(Input::Want(Desired::Running)).expect("wanted");
    let mut starts = 0;
    while !life.machine.safe() {
        life.settle().expect("running");
        life.step(Input::Ended).expect("crashed");
        starts += 1;
        assert!(starts <= 5, "no storm");
    }
    life.settle().expect("running");
    assert_eq!((life.machine.phase(), starts), (Phase::Running, 5));
    let effects = life.step(Input::Deployed).expect("deployed");
    assert_eq!(effects, [Effect::RememberSafe(false)]);
    assert_eq!(life.machine.crashes(), 0);

    // What says "deployed" before each crash is counted all the same; one that ran for a while is a person's.
    life.step(Input::Ended).expect("crashed");
    life.settle().expect("running");
    life.step(Input::Deployed).expect("said at once");
    assert_eq!(life.machine.crashes(), 1);
    life.now += SETTLED;
    life.step(Input::Deployed).expect("deployed");
    assert_eq!(life.machine.crashes(), 0);

    life.step(Input::Restart { safe: true }).expect("restarted");
    for _ in 0..3 {
        life.settle().expect("running");
        life.step(Input::Ended).expect("crashed");
    }
    assert_eq!(life.machine.phase(), Phase::Down);
    life.step(Input::Want(Desired::Running)).expect("a person acts");
    life.settle().expect("running");
    assert_eq!(life.machine.phase(), Phase::Running);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever happened before: wanting it stopped ends stopped, wanting it running ends running unless it is down,
    /// and deleting it is the end.
    #[test]
    fn wishes_come_true(numbers in prop::collection::vec(0..INPUTS.len(), 0..200)) {
        let mut life = Life::new();
        for number in numbers {
            let input = INPUTS[number];
            if life.world.possible(input) {
                life.step(input).map_err(TestCaseError::fail)?;
            }
        }
        let deleted = life.machine.phase() == Phase::Deleted || life.machine.after == After::Delete
            && life.machine.phase() == Phase::Stopping;
        life.step(Input::Want(Desired::Stopped)).map_err(TestCaseError::fail)?;
        life.settle().map_err(TestCaseError::fail)?;
        let rest = if deleted { Phase::Deleted } else { Phase::Stopped };
        prop_assert_eq!(life.machine.phase(), rest);
        life.step(Input::Want(Desired::Running)).map_err(TestCaseError::fail)?;
        life.settle().map_err(TestCaseError::fail)?;
        prop_assert_eq!(life.machine.phase(), if deleted { Phase::Deleted } else { Phase::Running });
        life.step(Input::Delete).map_err(TestCaseError::fail)?;
        life.settle().map_err(TestCaseError::fail)?;
        prop_assert_eq!(life.machine.phase(), Phase::Deleted);
        for input in INPUTS {
            let effects = life.machine.step(life.now, input, &RestartSettings::default());
            prop_assert_eq!(effects, vec![]);
        }
    }
}
