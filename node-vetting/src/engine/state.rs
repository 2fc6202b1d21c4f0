//! What belongs to one guest on the host's side.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::engine::abi::{Exports, Value};
use crate::world::World;

/// Names of scripts by the engine's number for them; none for scripts that are no package's. The engine's reference
/// to a number that stands here is never given back, so that no number is used twice.
pub(super) type Scripts = HashMap<u32, Option<Arc<str>>>;

/// Places in the guest's memory that the host must know. They are the same in every guest of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Anchors {
    /// The engine's context.
    pub(super) context: u32,
    /// The function that carries out a plan.
    pub(super) drive: Value,
    /// The function that gives module source text for what is no module.
    pub(super) synthesize: Value,
    /// Where the context keeps the guest's own formatter of stack traces.
    pub(super) formatter: u32,
    /// Where the context keeps how many frames a stack trace has.
    pub(super) frames: u32,
}

impl Anchors {
    /// By the names that an image exports them under.
    pub(super) fn named(&self) -> [(&'static str, u32); 5] {
        [
            ("anchor.context", self.context),
            ("anchor.drive", self.drive),
            ("anchor.synthesize", self.synthesize),
            ("anchor.formatter", self.formatter),
            ("anchor.frames", self.frames),
        ]
    }

    /// As an image exports them.
    pub(super) fn read(mut exported: impl FnMut(&str) -> Option<u32>) -> Option<Self> {
        let mut values = [0; 5];
        for (value, (name, _)) in values.iter_mut().zip(Self::default().named()) {
            *value = exported(name)?;
        }
        let [context, drive, synthesize, formatter, frames] = values;
        Some(Self {
            context,
            drive,
            synthesize,
            formatter,
            frames,
        })
    }
}

/// The data of a store.
pub(super) struct State {
    exports: Option<Arc<Exports>>,
    pub(super) anchors: Anchors,
    pub(super) world: World,
    pub(super) memory: MemoryCap,
    pub(super) scripts: Scripts,
    /// Promises that were rejected and that nobody has caught so far: the promise, and what was said.
    pub(super) rejections: Vec<(u32, String)>,
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
            rejections: Vec::new(),
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
