//! What belongs to one guest on the host's side.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::engine::abi::Exports;
use crate::trace::Origin;
use crate::world::World;

/// Names of scripts by the engine's number for them; none for scripts that are no package's. The engine's reference
/// to a number that stands here is never given back, so that no number is used twice.
pub(super) type Scripts = HashMap<u32, Option<Arc<str>>>;

/// Declares the anchors with their names, so that none can be forgotten.
macro_rules! anchors {
    ($($(#[$doc:meta])* $field:ident: $name:literal,)*) => {
        /// Places in the guest's memory that the host must know; 0 is none. They are the same in every guest of an image.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(super) struct Anchors {
            $($(#[$doc])* pub(super) $field: u32,)*
        }

        impl Anchors {
            /// By the names that an image exports them under.
            pub(super) fn named(&self) -> Vec<(&'static str, u32)> {
                vec![$(($name, self.$field),)*]
            }

            /// As an image exports them.
            pub(super) fn read(mut exported: impl FnMut(&str) -> Option<u32>) -> Option<Self> {
                Some(Self { $($field: exported($name)?,)* })
            }
        }
    };
}

anchors! {
    /// The engine's context.
    context: "anchor.context",
    /// Where the context keeps the guest's own formatter of stack traces.
    formatter: "anchor.formatter",
    /// Where the context keeps how many frames a stack trace has.
    frames: "anchor.frames",
    /// The value: the engine's own function that gives the trace of an error.
    trace: "anchor.trace",
    /// The value: the engine's own `eval`.
    eval: "anchor.eval",
    /// The value: a function that tells what is about to be evaluated, and gives it back.
    seen: "anchor.seen",
    /// The value: the prelude's function that carries out a plan.
    drive: "anchor.drive",
    /// The value: the prelude's function that gives module text for what is no module.
    synthesize: "anchor.synthesize",
    /// The value: the prelude's function that makes one for a file to tell what it compares.
    compared: "anchor.compared",
    /// The value: the prelude's function that is told of rejected promises.
    rejected: "anchor.rejected",
}

/// The data of a store.
pub(super) struct State {
    exports: Option<Arc<Exports>>,
    pub(super) anchors: Anchors,
    pub(super) world: World,
    pub(super) memory: MemoryCap,
    pub(super) scripts: Scripts,
    /// Where the cells of files lie whose coverage is asked for, and where in the files they start.
    pub(super) cells: Vec<(String, u32, Vec<u32>)>,
    /// Fuel that was left when a file was last loaded, or time last passed.
    pub(super) moved: u64,
    /// Who started what goes on later, when nobody of a package is on the stack; by number, from 1.
    pub(super) marks: Vec<Origin>,
}

impl State {
    pub(super) fn new(world: World, anchors: Anchors, memory: u64) -> Self {
        Self {
            exports: None,
            anchors,
            world,
            memory: MemoryCap {
                most: memory,
                largest: 0,
                refused: false,
            },
            scripts: Scripts::default(),
            cells: Vec::new(),
            moved: u64::MAX,
            marks: Vec::new(),
        }
    }

    pub(super) fn exports(&self) -> wasmtime::Result<Arc<Exports>> {
        self.exports
            .clone()
            .ok_or_else(|| wasmtime::Error::msg("the guest calls before it stands"))
    }

    pub(super) fn attach(&mut self, exports: Arc<Exports>) {
        self.exports = Some(exports);
    }
}

/// How much memory a guest may have.
pub(super) struct MemoryCap {
    most: u64,
    /// The most that it had, in bytes.
    pub(super) largest: u64,
    /// Whether it ever asked for more than it may have.
    pub(super) refused: bool,
}

impl ResourceLimiter for MemoryCap {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired as u64 <= self.most;
        if allowed {
            self.largest = self.largest.max(desired as u64);
        }
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= super::TABLE)
    }
}
