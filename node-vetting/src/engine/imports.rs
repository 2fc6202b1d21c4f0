//! What the guest may call: one door to the world, and twelve imports of its engine that are answered without authority.

use wasmtime::{Caller, Linker};

use crate::engine::abi::Value;
use crate::engine::modules::{load, normalize, without_mark};
use crate::engine::state::State;
use crate::engine::vm::{Halt, Vm};
use crate::rewrite::{Names, rewrite};
use crate::trace::Origin;
use crate::world::{PACKAGES, Reply};

/// The name of the door while the image is made; the prelude takes it and removes it.
pub(super) const DOOR: &str = "host";

/// What reading a byte of a source costs, in units of fuel.
pub(super) const PARSED: u64 = 60;

const SUCCESS: u32 = 0;
const BAD_DESCRIPTOR: u32 = 8;
const NOT_SUPPORTED: u32 = 52;

type Result<T> = wasmtime::Result<T>;

/// Everything that the engine imports.
///
/// # Errors
/// Never, unless an import is named twice.
pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap("env", "host_call", door)?;
    linker.func_wrap("env", "host_interrupt", || 0_u32)?;
    linker.func_wrap("env", "host_promise_rejection", rejection)?;
    linker.func_wrap("env", "host_module_normalize", normalize)?;
    linker.func_wrap("env", "host_module_load", load)?;
    linker.func_wrap(
        "env",
        "host_get_timezone_offset",
        |caller: Caller<'_, State>, _high: u32, _low: u32| caller.data().world.utc_offset(),
    )?;
    let wasi = "wasi_snapshot_preview1";
    linker.func_wrap(wasi, "clock_time_get", clock)?;
    linker.func_wrap(wasi, "random_get", random)?;
    linker.func_wrap(wasi, "fd_write", write)?;
    linker.func_wrap(wasi, "fd_close", |_: u32| NOT_SUPPORTED)?;
    linker.func_wrap(wasi, "fd_fdstat_get", |_: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(wasi, "fd_seek", |_: u32, _: u64, _: u32, _: u32| NOT_SUPPORTED)?;
    Ok(())
}

/// The door: `host(op, json, bytes)`.
fn door(
    mut caller: Caller<'_, State>,
    _name: u32,
    _name_length: u32,
    _this: Value,
    count: u32,
    arguments: u32,
) -> Result<Value> {
    let mut vm = Vm::new(&mut caller)?;
    if count == 0 {
        return Err(Halt::Broken("a call without an operation").into());
    }
    let op = {
        let value = vm.read_u32(arguments)?;
        vm.text(value)?
    };
    let json = match count {
        0 | 1 => String::new(),
        _ => {
            let value = vm.read_u32(arguments + 4)?;
            if vm.is_string(value)? {
                vm.text(value)?
            } else {
                String::new()
            }
        }
    };
    let bytes = match count {
        0..=2 => None,
        _ => {
            let value = vm.read_u32(arguments + 8)?;
            vm.bytes(value)?
        }
    };
    if MOVES.contains(&op.as_str()) {
        vm.moved()?;
    }
    match op.as_str() {
        "jobs" => jobs(&mut vm),
        "site.mark" => mark(&mut vm),
        "text.encode" => vm.new_bytes(json.as_bytes()),
        "code.seen" => ask(&mut vm, "code.eval", r#"{"how":"eval"}"#, Some(json.as_bytes())),
        "code.function" => function(&mut vm, &json),
        "code.script" => script(&mut vm, &json, &bytes.unwrap_or_default()),
        _ => ask(&mut vm, &op, &json, bytes.as_deref()),
    }
}

/// Operations that say that the run goes on: the prelude's loop, and the loading of files.
const MOVES: [&str; 4] = ["clock.now", "code.function", "module.source", "phase"];

/// Everything that needs no engine is the world's.
fn ask(vm: &mut Vm<'_>, op: &str, json: &str, bytes: Option<&[u8]>) -> Result<Value> {
    let mut origin = Origin::default();
    if vm.state().world.records(op) {
        origin = vm.origin()?;
        if origin.site.is_none() {
            origin = marked(vm, json).unwrap_or(origin);
        }
    }
    let reply = vm
        .state()
        .world
        .call(op, json, bytes, origin)
        .map_err(|spent| Halt::Spent(spent.0))?;
    vm.pay()?;
    match reply {
        Reply::Nothing => vm.undefined(),
        Reply::Text(text) => vm.new_string(&text),
        Reply::Bytes(bytes) => vm.new_bytes(&bytes),
    }
}

/// Most marks of one run; what is started beyond them is nobody's.
const MOST_MARKS: usize = 20_000;

/// Keeps who calls now, for what goes on later; gives the number of the mark, 0 for none.
fn mark(vm: &mut Vm<'_>) -> Result<Value> {
    let origin = vm.origin()?;
    let marks = &mut vm.state().marks;
    if origin.site.is_none() || marks.len() >= MOST_MARKS {
        return vm.new_string("0");
    }
    marks.push(origin);
    let number = marks.len().to_string();
    vm.new_string(&number)
}

/// Who was kept under the number that a call names.
fn marked(vm: &mut Vm<'_>, json: &str) -> Option<Origin> {
    // Most calls name none, and this is asked often.
    memchr::memmem::find(json.as_bytes(), b"\"by\":")?;
    let arguments: serde_json::Value = serde_json::from_str(json).ok()?;
    let number = usize::try_from(arguments["by"].as_u64()?).ok()?;
    vm.state().marks.get(number.checked_sub(1)?).cloned()
}

/// Runs what promises wait for.
fn jobs(vm: &mut Vm<'_>) -> Result<Value> {
    let ran = vm.run_jobs()?;
    vm.new_string(&serde_json::json!({ "ran": ran }).to_string())
}

/// The text of a CommonJS module as a function of what such a module is given. Lines stay as they are.
///
/// The engine runs an `eval` in its surroundings only where the name means its own function. It therefore stays that
/// one for modules, whatever the global one is by now, and what is handed to it is told by rewriting the calls.
fn function(vm: &mut Vm<'_>, json: &str) -> Result<Value> {
    let path = argument(json, "path");
    let Some(source) = vm.state().world.source(&path) else {
        vm.throw(&format!("Cannot find module '{path}'"))?;
        return Ok(0);
    };
    let ours = path.starts_with(PACKAGES);
    let names = Names::of(&source);
    let covers = vm.state().world.covers();
    let compared = vm.state().anchors.compared;
    let compares = covers && compared != 0;
    let rewritten = if ours {
        None
    } else {
        rewrite(&source, &names, covers, compares)
    };
    if rewritten.is_some() {
        vm.state().world.charge(source.len() as u64 * PARSED);
        vm.pay()?;
    }
    let cells = rewritten.as_ref().map_or(0, |rewritten| rewritten.cells.len());
    let body = rewritten.as_ref().map_or(&*source, |rewritten| &rewritten.text);
    let own = if compares {
        format!("{0} = {0}(); ", names.compared)
    } else {
        String::new()
    };
    let text = [
        format!(
            "(function (eval, {}, {}, {}) {{ {own}return function (exports, require, module, __filename, __dirname) {{",
            names.seen, names.ran, names.compared
        )
        .as_bytes(),
        &*without_mark(body),
        b"\n}; })",
    ]
    .concat();
    let outer = if ours {
        vm.eval_stripped_pending(&text, &path)?
    } else {
        vm.eval_pending(&text, &path)?
    };
    if outer == 0 || vm.is_exception(outer)? {
        return Ok(0);
    }
    let anchors = vm.state().anchors;
    let (this, ran) = (vm.undefined()?, vm.new_bytes(&vec![0; cells])?);
    if let (true, Some(rewritten)) = (covers, rewritten) {
        // The array is never given back, so that it stays where it is.
        let at = vm.bytes_at(ran)?;
        vm.state().cells.push((path, at, rewritten.cells));
    }
    let told = if compares { compared } else { vm.undefined()? };
    let inner = vm.call_pending(outer, this, &[anchors.eval, anchors.seen, ran, told])?;
    vm.release(outer)?;
    if vm.is_exception(inner)? {
        vm.release(inner)?;
        return Ok(0);
    }
    Ok(inner)
}

/// Text as a script under the name of a file; gives what it comes to.
fn script(vm: &mut Vm<'_>, json: &str, source: &[u8]) -> Result<Value> {
    let value = vm.eval_pending(source, &argument(json, "file"))?;
    if !vm.is_exception(value)? {
        return Ok(value);
    }
    vm.release(value)?;
    Ok(0)
}

fn argument(json: &str, name: &str) -> String {
    serde_json::from_str::<serde_json::Value>(json)
        .ok()
        .and_then(|value| value[name].as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// A promise was rejected with nobody to catch it, or somebody now does. The prelude knows what Node.js does then.
fn rejection(mut caller: Caller<'_, State>, promise: Value, reason: Value, handled: u32) -> Result<()> {
    let mut vm = Vm::new(&mut caller)?;
    let function = vm.state().anchors.rejected;
    if function != 0 {
        let (this, handled) = (vm.undefined()?, vm.truth(handled != 0)?);
        if let Ok(value) = vm.call_with(function, this, &[promise, reason, handled])? {
            vm.release(value)?;
        }
    }
    vm.release(promise)?;
    vm.release(reason)
}

fn clock(mut caller: Caller<'_, State>, id: u32, _precision: u64, at: u32) -> Result<u32> {
    let mut vm = Vm::new(&mut caller)?;
    let nanoseconds = vm.state().world.read_clock(id == 0);
    vm.write(at, &nanoseconds.to_le_bytes())?;
    Ok(SUCCESS)
}

fn random(mut caller: Caller<'_, State>, at: u32, length: u32) -> Result<u32> {
    let mut vm = Vm::new(&mut caller)?;
    // The engine asks for a few bytes; more would be memory of the host's.
    let mut bytes = vec![0; (length as usize).min(1 << 16)];
    vm.state().world.fill(&mut bytes);
    vm.write(at, &bytes)?;
    Ok(SUCCESS)
}

/// The engine prints only about itself; it is counted as output.
fn write(
    mut caller: Caller<'_, State>,
    _descriptor: u32,
    parts: u32,
    count: u32,
    written: u32,
) -> Result<u32> {
    let mut vm = Vm::new(&mut caller)?;
    let mut total = 0_u32;
    for part in 0..count {
        total = total.saturating_add(vm.read_u32(parts.wrapping_add(part * 8 + 4))?);
    }
    vm.state()
        .world
        .printed(u64::from(total))
        .map_err(|spent| Halt::Spent(spent.0))?;
    vm.write(written, &total.to_le_bytes())?;
    Ok(SUCCESS)
}
