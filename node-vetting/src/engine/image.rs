//! From the engine's module and our scripts to a compiled image: prepare one guest, bake it, compile the result.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use npm::Client;
use sha2::{Digest, Sha256};
use wasmtime::{Engine as Wasmtime, Instance, Linker, Module, Store, Val};

use crate::closure::hex;
use crate::engine::abi::{Exports, Value};
use crate::engine::bake::{Prepared, bake};
use crate::engine::folder::Folder;
use crate::engine::pinned::Pinned;
use crate::engine::state::{Anchors, State};
use crate::engine::vm::{MODULE, Vm};
use crate::engine::{EngineError, JS_STACK, configure};
use crate::engine::{imports, modules};
use crate::world::World;

/// The JavaScript engine: QuickJS-ng as a WebAssembly module that keeps all of its state in its memory.
pub const QUICKJS: Pinned = Pinned {
    name: Cow::Borrowed("quickjs-wasi"),
    version: Cow::Borrowed("3.6.2"),
    integrity: Cow::Borrowed(
        "sha512-FCqGtGOrMgzUiIrMNMA2YnsOxCNwo31dzqXvclXUC6xeT35NJLKXQJsvbeCTjvoFAwZgEAPg8U6+KAPDGXn8Mg==",
    ),
};
/// Where the module lies in the package.
const MODULE_FILE: &str = "quickjs.wasm";
/// Changes whenever what this file or `bake` makes changes.
const FORMAT: u32 = 2;
/// Enough for preparing a guest a hundred times over.
const FUEL: u64 = 200_000_000_000;
const MEMORY: u64 = 256 << 20;
/// Values that no context has by chance.
const MARKS: [u64; 2] = [0x5a17, 0x5a18];
/// Bytes of the context in which the two places are looked for.
const CONTEXT: u32 = 4096;

/// How names of compiled images end.
pub const IMAGE: &str = "image";

/// One module of the prelude.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its path in the prelude: `core/host.js`.
    pub name: Cow<'static, str>,
    /// Its text.
    pub source: Cow<'static, str>,
}

/// What a guest is prepared with: a prelude of ES modules and packages that it loads.
///
/// The modules are called `node:internal/` and their path and import each other by relative paths; those that the first
/// one needs run, each after what it needs. While they do, the global function `host` is the door, and the packages lie
/// below [`PACKAGES`](crate::world::PACKAGES). What they leave as `globalThis.__guest` is taken away: an object with the
/// functions `drive` (carries out one run; text in, text out), `synthesize` (the path of something that is no module in,
/// module text out), `rejected` (promise, reason, and whether it has been caught since) and `compared` (makes the function
/// that a file tells what it compares; may be missing).
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The modules, the one to start with first.
    pub scripts: Vec<Script>,
    /// Packages that they load.
    pub packages: Vec<Pinned>,
}

impl Recipe {
    /// Names the compiled image: another one for anything that could make a difference.
    #[must_use]
    pub fn key(&self, engine: &Wasmtime) -> String {
        let mut hasher = Sha256::new();
        let mut text = format!("{FORMAT}\n{}\n", env!("CARGO_PKG_VERSION"));
        for pinned in self.pinned() {
            let _ = writeln!(text, "{} {}", pinned.spec(), pinned.integrity);
        }
        for script in &self.scripts {
            let _ = writeln!(text, "{} {} {}", script.name, script.source.len(), script.source);
        }
        hasher.update(text);
        let mut settings = Digesting(hasher);
        engine.precompile_compatibility_hash().hash(&mut settings);
        hex(&settings.0.finalize())
    }

    /// The name of the compiled image, whether it is there or not.
    ///
    /// # Errors
    /// When there is no engine for this machine.
    pub fn name(&self) -> Result<String, EngineError> {
        Ok(self.key(&Wasmtime::new(&configure())?))
    }

    /// The path of the compiled image, which is made when it is not there yet.
    ///
    /// # Errors
    /// When a package cannot be had, or our scripts fail.
    pub async fn image(&self, folder: &Folder, client: &Client) -> Result<PathBuf, EngineError> {
        let engine = Wasmtime::new(&configure())?;
        let name = format!("{}.{IMAGE}", self.key(&engine));
        if folder.file(&name)?.is_none() {
            let baked = self.baked(&engine, folder, client).await?;
            folder.publish(&name, &engine.precompile_module(&baked)?)?;
        }
        Ok(folder.path(&name))
    }

    /// The archives that the image is made from, by `name@version`.
    ///
    /// # Errors
    /// When one is not there and cannot be fetched.
    pub async fn parts(
        &self,
        folder: &Folder,
        client: &Client,
    ) -> Result<Vec<(String, Vec<u8>)>, EngineError> {
        let mut parts = Vec::new();
        for pinned in self.pinned() {
            parts.push((pinned.spec(), pinned.archive(folder, client).await?));
        }
        Ok(parts)
    }

    /// Keeps an archive where the image is made from it; whether it is.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn plant(&self, folder: &Folder, bytes: &[u8]) -> Result<bool, EngineError> {
        for pinned in self.pinned() {
            if pinned.plant(folder, bytes)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn pinned(&self) -> impl Iterator<Item = &Pinned> {
        [&QUICKJS].into_iter().chain(&self.packages)
    }

    /// The module with a prepared guest in it.
    async fn baked(
        &self,
        engine: &Wasmtime,
        folder: &Folder,
        client: &Client,
    ) -> Result<Vec<u8>, EngineError> {
        let module = QUICKJS.get(folder, client).await?;
        let module = module
            .file(MODULE_FILE)
            .cloned()
            .ok_or_else(|| EngineError::Incomplete(QUICKJS.spec()))?;
        let mut files = Vec::new();
        for pinned in &self.packages {
            let package = pinned.get(folder, client).await?;
            for (path, content) in package.files() {
                files.push((format!("{}/{path}", pinned.name), content.clone()));
            }
        }
        self.bake(engine, &module, files)
    }

    /// Prepares a guest and turns it into a module.
    fn bake(
        &self,
        engine: &Wasmtime,
        module: &Bytes,
        files: Vec<(String, Bytes)>,
    ) -> Result<Vec<u8>, EngineError> {
        let compiled = Module::new(engine, module)?;
        // Compiling a module leaves its name taken, so that happens in a guest of its own.
        let mut bench = Raw::start(engine, &compiled, Vec::new())?;
        let mut guest = Raw::start(engine, &compiled, files)?;
        let anchors = self.prepare(&mut bench.store, &mut guest.store)?;
        guest.exports.run_gc.call(&mut guest.store, ())?;
        let stack_pointer = match guest
            .instance
            .get_global(&mut guest.store, "__stack_pointer")
            .map(|global| global.get(&mut guest.store))
        {
            Some(Val::I32(value)) => value,
            _ => return Err(EngineError::Incomplete(QUICKJS.spec())),
        };
        Ok(bake(
            module,
            &Prepared {
                memory: guest.exports.memory.data(&guest.store),
                stack_pointer,
                exported: &anchors.named(),
            },
        )?)
    }

    /// Runs the prelude.
    fn prepare(&self, bench: &mut Store<State>, guest: &mut Store<State>) -> Result<Anchors, EngineError> {
        let mut bench = Vm::new(bench)?;
        let mut vm = Vm::new(guest)?;
        vm.define_door(imports::DOOR)?;
        let mut anchors = vm.state().anchors;
        [anchors.frames, anchors.formatter] = find_places(&mut vm)?;
        anchors.trace = value_of(
            &mut vm,
            "Object.getOwnPropertyDescriptor(Error.prototype, 'stack').get",
        )?;
        anchors.eval = value_of(&mut vm, "eval")?;
        anchors.seen = value_of(&mut vm, SEEN)?;
        vm.state().anchors = anchors;
        for script in self.in_order() {
            let name = format!("{}{}", modules::INTERNAL, script.name);
            let failed = |said| EngineError::Script {
                name: script.name.to_string(),
                said,
            };
            let Some(code) = bench.compile(script.source.as_bytes(), &name, MODULE)? else {
                return Err(failed(bench.pending_exception()?));
            };
            let promise = vm.eval_compiled(&code)?;
            if vm.is_exception(promise)? {
                return Err(failed(vm.pending_exception()?));
            }
            vm.run_jobs()?;
            if !vm.settled(promise)?.map_err(failed)? {
                return Err(failed("it waits for something that never comes".to_owned()));
            }
            vm.release(promise)?;
        }
        let left = value_of(
            &mut vm,
            "(() => { const g = globalThis.__guest; delete globalThis.__guest; return g; })()",
        )?;
        for (name, place) in [
            ("drive", &mut anchors.drive),
            ("synthesize", &mut anchors.synthesize),
            ("compared", &mut anchors.compared),
            ("rejected", &mut anchors.rejected),
        ] {
            let function = vm.property(left, name)?;
            if vm.is_function(function)? {
                *place = function;
            }
        }
        if anchors.drive == 0 {
            return Err(EngineError::Incomplete("the prelude".to_owned()));
        }
        Ok(anchors)
    }

    /// The modules that the first one needs, each behind what it needs.
    fn in_order(&self) -> Vec<&Script> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        if let Some(first) = self.scripts.first() {
            self.visit(first, &mut seen, &mut order);
        }
        order
    }

    fn visit<'a>(&'a self, script: &'a Script, seen: &mut BTreeSet<&'a str>, order: &mut Vec<&'a Script>) {
        if !seen.insert(&script.name) {
            return;
        }
        for name in imported(&script.source) {
            let path = modules::beside(&script.name, &name);
            if let Some(next) = self.scripts.iter().find(|other| other.name == path) {
                self.visit(next, seen, order);
            }
        }
        order.push(script);
    }
}

/// Tells of text that a module is about to evaluate in its own surroundings, and gives it back.
const SEEN: &str =
    "((door) => (text) => (typeof text === 'string' ? (door('code.seen', text), text) : text))(host)";

/// What a module of the prelude imports from its neighbours.
fn imported(source: &str) -> Vec<String> {
    let allocator = oxc_allocator::Allocator::default();
    let parsed = oxc_parser::Parser::new(&allocator, source, oxc_span::SourceType::mjs()).parse();
    let mut names: Vec<(u32, String)> = parsed
        .module_record
        .requested_modules
        .iter()
        .filter(|(name, _)| name.starts_with('.'))
        .map(|(name, at)| {
            (
                at.first().map_or(0, |request| request.statement_span.start),
                name.to_string(),
            )
        })
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

/// A guest of the engine as it comes.
struct Raw {
    store: Store<State>,
    instance: Instance,
    exports: Arc<Exports>,
}

impl Raw {
    fn start(engine: &Wasmtime, module: &Module, files: Vec<(String, Bytes)>) -> Result<Self, EngineError> {
        let mut linker = Linker::new(engine);
        imports::link(&mut linker)?;
        let world = World::for_preparing(files);
        let mut store = Store::new(engine, State::new(world, Anchors::default(), MEMORY));
        store.limiter(|state| &mut state.memory);
        store.set_fuel(FUEL)?;
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = linker.instantiate(&mut store, module)?;
        let exports = Arc::new(Exports::find(&mut store, &instance)?);
        store.data_mut().attach(Arc::clone(&exports));
        exports.initialize.call(&mut store, ())?;
        if exports.init.call(&mut store, ())? != 0 {
            return Err(EngineError::Incomplete(QUICKJS.spec()));
        }
        exports.set_max_stack.call(&mut store, (JS_STACK,))?;
        exports.set_module_loader.call(&mut store, (1,))?;
        exports.set_rejections.call(&mut store, (1,))?;
        store.data_mut().anchors.context = exports.context.call(&mut store, ())?;
        Ok(Self {
            store,
            instance,
            exports,
        })
    }
}

/// What an expression of ours comes to.
fn value_of(vm: &mut Vm<'_>, text: &str) -> Result<Value, EngineError> {
    vm.eval_stripped(text.as_bytes(), "<image>")?
        .map_err(|said| EngineError::Script {
            name: "<image>".to_owned(),
            said,
        })
}

/// Where the context keeps the two settings of stack traces: seen by changing them.
fn find_places(vm: &mut Vm<'_>) -> Result<[u32; 2], EngineError> {
    let context = vm.state().anchors.context;
    let [frames, formatter] = MARKS;
    value_of(
        vm,
        &format!("Error.stackTraceLimit={frames};Error.prepareStackTrace={formatter};0"),
    )?;
    let bytes = vm.read(context, CONTEXT)?.to_vec();
    let find = |mark: u64| {
        bytes
            .chunks_exact(8)
            .position(|chunk| chunk == mark.to_le_bytes())
            .map(|at| context + at as u32 * 8)
            .ok_or_else(|| EngineError::Incomplete("the engine's settings of stack traces".to_owned()))
    };
    let places = [find(frames)?, find(formatter)?];
    value_of(vm, "Error.stackTraceLimit=10;Error.prepareStackTrace=undefined;0")?;
    Ok(places)
}

/// Lets what is hashable reach a digest that is equal on every machine and in every build.
struct Digesting(Sha256);

impl std::hash::Hasher for Digesting {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
