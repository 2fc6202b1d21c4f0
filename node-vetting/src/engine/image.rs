//! From the engine's module and our scripts to a compiled image: prepare one guest, bake it, compile the result.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::hash::Hash;

use bytes::Bytes;
use npm::Client;
use sha2::{Digest, Sha256};
use wasmtime::{Engine as Wasmtime, Linker, Module, Store, Val};

use crate::closure::hex;
use crate::engine::abi::Exports;
use crate::engine::bake::{Prepared, bake};
use crate::world::World;
use crate::engine::folder::Folder;
use crate::engine::imports;
use crate::engine::pinned::Pinned;
use crate::engine::state::{Anchors, State};
use crate::engine::vm::Vm;
use crate::engine::{EngineError, JS_STACK, configure};

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
const FORMAT: u32 = 1;
/// Enough for preparing a guest a hundred times over.
const FUEL: u64 = 200_000_000_000;
const MEMORY: u64 = 256 << 20;
/// Values that no context has by chance.
const MARKS: [u64; 2] = [0x5a17, 0x5a18];
/// Bytes of the context in which the two places are looked for.
const CONTEXT: u32 = 4096;

/// One of our own scripts.
#[derive(Clone, Debug)]
pub struct Script {
    /// The file name that it runs under.
    pub name: Cow<'static, str>,
    /// Its text.
    pub source: Cow<'static, str>,
}

/// What a guest is prepared with.
///
/// The scripts run in order; while they do, the global function `host` is the door, and the packages lie below
/// [`PACKAGES`](crate::world::PACKAGES). The last script comes to an object with the functions `drive` (carries out one
/// run; text in, text out) and `synthesize` (the path of something that is no module in, module text out).
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Our scripts.
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
        for pinned in [&QUICKJS].into_iter().chain(&self.packages) {
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

    /// The compiled image, made when it is not there yet.
    ///
    /// # Errors
    /// When a package cannot be had, or our scripts fail.
    pub async fn image(&self, folder: &Folder, client: &Client) -> Result<File, EngineError> {
        let engine = Wasmtime::new(&configure())?;
        let name = format!("{}.image", self.key(&engine));
        if let Some(file) = folder.file(&name)? {
            return Ok(file);
        }
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
        let baked = self.bake(&engine, &module, files)?;
        folder.publish(&name, &engine.precompile_module(&baked)?)?;
        folder.file(&name)?.ok_or_else(|| EngineError::Incomplete(name))
    }

    /// Prepares a guest and turns it into a module.
    fn bake(
        &self,
        engine: &Wasmtime,
        module: &Bytes,
        files: Vec<(String, Bytes)>,
    ) -> Result<Vec<u8>, EngineError> {
        let compiled = Module::new(engine, module)?;
        let mut linker = Linker::new(engine);
        imports::link(&mut linker)?;
        let world = World::for_preparing(files);
        let mut store = Store::new(engine, State::new(world, Anchors::default(), MEMORY));
        store.limiter(|state| &mut state.memory);
        store.set_fuel(FUEL)?;
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = linker.instantiate(&mut store, &compiled)?;
        let exports = std::sync::Arc::new(Exports::find(&mut store, &instance)?);
        store.data_mut().attach(exports.clone());
        exports.initialize.call(&mut store, ())?;
        if exports.init.call(&mut store, ())? != 0 {
            return Err(EngineError::Incomplete(QUICKJS.spec()));
        }
        exports.set_max_stack.call(&mut store, (JS_STACK,))?;
        exports.set_module_loader.call(&mut store, (1,))?;
        exports.set_rejections.call(&mut store, (1,))?;
        let context = exports.context.call(&mut store, ())?;
        store.data_mut().anchors.context = context;
        let anchors = self.prepare(&mut store)?;
        exports.run_gc.call(&mut store, ())?;
        let stack_pointer = match instance
            .get_global(&mut store, "__stack_pointer")
            .map(|global| global.get(&mut store))
        {
            Some(Val::I32(value)) => value,
            _ => return Err(EngineError::Incomplete(QUICKJS.spec())),
        };
        let exported = anchors.named();
        Ok(bake(
            module,
            &Prepared {
                memory: exports.memory.data(&store),
                stack_pointer,
                exported: &exported,
            },
        )?)
    }

    /// Runs our scripts.
    fn prepare(&self, store: &mut Store<State>) -> Result<Anchors, EngineError> {
        let mut vm = Vm::new(store)?;
        let mut anchors = vm.state().anchors;
        [anchors.frames, anchors.formatter] = find_places(&mut vm)?;
        vm.state().anchors = anchors;
        vm.define_door(imports::DOOR)?;
        let mut last = None;
        for script in &self.scripts {
            let value = vm
                .eval_stripped(script.source.as_bytes(), &script.name)?
                .map_err(|said| EngineError::Script {
                    name: script.name.to_string(),
                    said,
                })?;
            vm.run_jobs()?;
            if let Some(before) = last.replace(value) {
                vm.release(before)?;
            }
        }
        let Some(last) = last else { return Ok(anchors) };
        for (name, place) in [
            ("drive", &mut anchors.drive),
            ("synthesize", &mut anchors.synthesize),
        ] {
            let function = vm.property(last, name)?;
            if vm.is_function(function)? {
                *place = function;
            }
        }
        Ok(anchors)
    }
}

/// Where the context keeps the two settings of stack traces: seen by changing them.
fn find_places(vm: &mut Vm<&mut Store<State>>) -> Result<[u32; 2], EngineError> {
    let context = vm.state().anchors.context;
    let eval = |vm: &mut Vm<_>, text: String| -> Result<(), EngineError> {
        let value = vm
            .eval_stripped(text.as_bytes(), "<places>")?
            .map_err(|said| EngineError::Script {
                name: "<places>".to_owned(),
                said,
            })?;
        Ok(vm.release(value)?)
    };
    let [frames, formatter] = MARKS;
    eval(vm, format!("Error.stackTraceLimit={frames};Error.prepareStackTrace={formatter};0"))?;
    let bytes = vm.read(context, CONTEXT)?.to_vec();
    let find = |mark: u64| {
        bytes
            .chunks_exact(8)
            .position(|chunk| chunk == mark.to_le_bytes())
            .map(|at| context + at as u32 * 8)
            .ok_or_else(|| EngineError::Incomplete("the engine's settings of stack traces".to_owned()))
    };
    let places = [find(frames)?, find(formatter)?];
    eval(vm, "Error.stackTraceLimit=10;Error.prepareStackTrace=undefined;0".to_owned())?;
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
