//! Runs guests: QuickJS-ng inside wasmtime, started from a compiled image in which everything is prepared.
//!
//! A guest has no authority. It imports one call of ours, by which it asks its [`World`], and twelve
//! of its engine's that are answered from the same world. It has budgets of fuel, time, memory, events and output; what
//! goes beyond ends it. Nothing in it depends on the machine, so two runs are equal to the event and to the unit of fuel.
//! A guest is used for one run and thrown away.

mod abi;
mod bake;
mod folder;
mod image;
mod imports;
mod map;
mod modules;
mod pinned;
mod site;
mod state;
mod vm;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use wasmtime::{
    Config, Engine as Wasmtime, InstanceAllocationStrategy, InstancePre, Linker, OptLevel,
    PoolingAllocationConfig, Store, Trap, UpdateDeadline, Val,
};

use crate::trace::{End, Trace};
use crate::world::{USER_DIR, World};
use abi::Exports;
use state::{Anchors, State};
use vm::{Halt, Vm};

pub use bake::BakeError;
pub use folder::{Folder, FolderError};
pub use image::{IMAGE, QUICKJS, Recipe, Script};
pub use pinned::{Pinned, PinnedError};

/// Elements that the engine's table of functions may have; it has 531.
const TABLE: usize = 4096;
/// Guests at a time in one process.
const GUESTS: u32 = 8;
/// Most memory that any budget can give.
const MAX_MEMORY: usize = 1 << 30;
/// Stack of machine code. The engine's own stack is in its memory and ends first.
const STACK: usize = 8 << 20;
/// Stack of the thread beneath: the host's calls come on top.
const THREAD_STACK: usize = STACK + (2 << 20);
/// The engine's stack in its memory, in bytes: half of what it has, so that throwing still works at its end.
const JS_STACK: u32 = 512 << 10;
/// Once a deadline has passed: how often the guest is told.
const INSIST: Duration = Duration::from_millis(20);

/// What one run may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Engine instructions, about five thousand million a second.
    pub fuel: u64,
    /// Time by the wall clock: a net below the fuel, not a measure.
    pub deadline: Duration,
    /// Memory of the guest, in bytes.
    pub memory: u64,
}

/// Why there is no engine.
#[derive(Debug, Error)]
pub enum EngineError {
    /// An archive is missing.
    #[error(transparent)]
    Pinned(#[from] PinnedError),
    /// The folder is unusable.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The module cannot be turned into an image.
    #[error(transparent)]
    Bake(#[from] BakeError),
    /// One of our own scripts fails.
    #[error("the script {name} of the guest fails: {said}")]
    Script {
        /// Which.
        name: String,
        /// What it threw.
        said: String,
    },
    /// Something is missing in what was pinned.
    #[error("{0} has not what it should have")]
    Incomplete(String),
    /// The WebAssembly engine fails.
    #[error("the WebAssembly engine: {0:#}")]
    Wasmtime(wasmtime::Error),
}

impl From<wasmtime::Error> for EngineError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Wasmtime(error)
    }
}

/// A compiled image, ready to run guests.
pub struct Engine {
    wasmtime: Wasmtime,
    image: InstancePre<State>,
    anchors: Anchors,
}

/// What a run left.
pub struct Ran {
    /// What was seen.
    pub trace: Trace,
    /// What the plan came to; none when it did not end in order.
    pub answer: Option<String>,
    /// What it threw, when it threw.
    pub threw: Option<String>,
}

impl Engine {
    /// Maps a compiled image by its path.
    ///
    /// # Errors
    /// When it is not there, not this user's alone, or was made by another build.
    pub fn open(image: &Path) -> Result<Self, EngineError> {
        Self::load(Folder::image(image)?)
    }

    /// Maps a compiled image.
    ///
    /// # Errors
    /// When it was made by another build.
    pub fn load(image: File) -> Result<Self, EngineError> {
        let wasmtime = Wasmtime::new(&configure())?;
        let module = map::map(&wasmtime, image)?;
        let mut linker = Linker::new(&wasmtime);
        imports::link(&mut linker)?;
        let image = linker.instantiate_pre(&module)?;
        let state = State::new(World::for_preparing(Vec::new()), Anchors::default(), u64::MAX);
        let mut store = Store::new(&wasmtime, state);
        let instance = image.instantiate(&mut store)?;
        let anchors = Anchors::read(
            |name| match instance.get_global(&mut store, name)?.get(&mut store) {
                Val::I32(value) => Some(value.cast_unsigned()),
                _ => None,
            },
        );
        let anchors = anchors.ok_or_else(|| EngineError::Incomplete("the compiled image".to_owned()))?;
        Ok(Self {
            wasmtime,
            image,
            anchors,
        })
    }

    /// Carries out a plan in a fresh guest. Always ends, and always with a trace: what goes wrong is in it.
    ///
    /// # Errors
    /// When there is no guest to be had. That is never the guest's doing.
    pub fn run(&self, world: World, budget: &Budget, plan: &str) -> Result<Ran, EngineError> {
        let (ended, end) = mpsc::channel::<()>();
        let until = Instant::now() + budget.deadline;
        thread::scope(|scope| {
            let guest = thread::Builder::new()
                .name("guest".to_owned())
                .stack_size(THREAD_STACK)
                .spawn_scoped(scope, move || {
                    let ran = self.run_here(world, budget, until, plan);
                    drop(ended);
                    ran
                })
                .map_err(|error| EngineError::Wasmtime(error.into()))?;
            let mut patience = budget.deadline;
            while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(patience) {
                self.wasmtime.increment_epoch();
                patience = INSIST;
            }
            guest.join().unwrap_or_else(|_| {
                Err(EngineError::Wasmtime(wasmtime::Error::msg(
                    "the host's side panicked",
                )))
            })
        })
    }

    fn run_here(
        &self,
        world: World,
        budget: &Budget,
        until: Instant,
        plan: &str,
    ) -> Result<Ran, EngineError> {
        let mut store = Store::new(&self.wasmtime, State::new(world, self.anchors, budget.memory));
        store.limiter(|state| &mut state.memory);
        store.set_fuel(budget.fuel)?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if Instant::now() >= until {
                return Ok(UpdateDeadline::Interrupt);
            }
            Ok(UpdateDeadline::Continue(1))
        });
        let instance = self.image.instantiate(&mut store)?;
        let exports = Arc::new(Exports::find(&mut store, &instance)?);
        store.data_mut().attach(exports.clone());
        // The engine then says by itself that memory is short, as an exception, before its host has to.
        let limit = u32::try_from(budget.memory).unwrap_or(u32::MAX);
        exports.set_memory_limit.call(&mut store, (limit - limit / 16,))?;
        let outcome = (|| {
            let mut vm = Vm::new(&mut store)?;
            match vm.call(self.anchors.drive, plan)? {
                Ok(value) => {
                    let answer = vm.text(value)?;
                    Ok((Some(answer), None))
                }
                Err(said) => Ok((None, Some(said))),
            }
        })();
        let fuel = budget.fuel - store.get_fuel()?;
        let covered = covered(&store, &exports);
        let state = store.into_data();
        let ((answer, threw), end) = match outcome {
            // The engine says itself that memory is short, and guests can catch that.
            Ok(answers) if state.memory.refused || state.memory.largest >= budget.memory / 8 * 7 => {
                (answers, End::Spent("memory".to_owned()))
            }
            Ok(answers) => (answers, End::Done),
            Err(error) => {
                let stretch = state.moved.min(budget.fuel);
                let end = match ending(&error) {
                    End::Spent(what) if what == "fuel" && stretch > budget.fuel / 4 * 3 => End::Stuck,
                    end => end,
                };
                ((None, None), end)
            }
        };
        let mut trace = state.world.into_trace(end, fuel, state.memory.largest);
        trace.covered = covered;
        Ok(Ran { trace, answer, threw })
    }
}

/// Which cells of the files ran whose coverage was asked for. What stands in no function ran when the file did: 0.
fn covered(store: &Store<State>, exports: &Exports) -> Vec<(String, Vec<u32>)> {
    let memory = exports.memory.data(store);
    let of = |(path, at, starts): &(String, u32, Vec<u32>)| {
        let cells = memory.get(*at as usize..).unwrap_or_default();
        let ran = starts.iter().zip(cells).filter(|(_, cell)| **cell != 0);
        let file = path
            .strip_prefix(USER_DIR)
            .unwrap_or(path)
            .trim_start_matches('/');
        let whole = std::iter::once(0);
        (
            file.to_owned(),
            whole.chain(ran.map(|(start, _)| *start)).collect(),
        )
    };
    store.data().cells.iter().map(of).collect()
}

/// How an error of the WebAssembly engine ended a run.
fn ending(error: &wasmtime::Error) -> End {
    if let Some(Halt::Spent(what)) = error.downcast_ref::<Halt>() {
        return End::Spent((*what).to_owned());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => End::Spent("fuel".to_owned()),
        Some(Trap::Interrupt) => End::Spent("time".to_owned()),
        Some(trap) => End::Trapped(trap.to_string()),
        None => End::Trapped(error.root_cause().to_string()),
    }
}

fn configure() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(GUESTS)
        .total_memories(GUESTS)
        .total_tables(GUESTS)
        .max_memory_size(MAX_MEMORY)
        .table_elements(TABLE);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        // The same bits on every processor.
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(STACK)
        // Unused, but it must not be smaller.
        .async_stack_size(STACK)
        .wasm_backtrace_max_frames(None);
    config
}
