//! Imports of modules: which file is meant, and its text.

use std::borrow::Cow;

use wasmtime::Caller;

use crate::engine::imports::PARSED;
use crate::engine::state::State;
use crate::engine::vm::{Halt, Vm};
use crate::rewrite::exports;
use crate::world::{Format, Resolved};

type Result<T> = wasmtime::Result<T>;

/// Names of modules of the prelude. No package can import them.
pub(super) const INTERNAL: &str = "node:internal/";
/// Stands before the path of what is no ES module: a module made for it must not pass for the file itself.
const SYNTHESIZED: &str = "cjs:";

/// Which module an `import` means.
pub(super) fn normalize(mut caller: Caller<'_, State>, from: u32, name: u32) -> Result<u32> {
    let mut vm = Vm::new(&mut caller)?;
    let (from, name) = (vm.read_text(from)?, vm.read_text(name)?);
    if let Some(inside) = from.strip_prefix(INTERNAL)
        && name.starts_with('.')
    {
        let path = format!("{INTERNAL}{}", beside(inside, &name));
        return vm.put(path.as_bytes());
    }
    if name.starts_with(INTERNAL)
        && (from.starts_with(INTERNAL) || from.starts_with(SYNTHESIZED) || from.starts_with("node:"))
    {
        return vm.put(name.as_bytes());
    }
    let from = from.strip_prefix(SYNTHESIZED).unwrap_or(&from);
    // The prelude imports for somebody by the whole path.
    let from = if from.starts_with("node:") {
        "/data/-"
    } else {
        from
    };
    let found = vm
        .state()
        .world
        .resolve(from, &name, true)
        .map_err(|spent| Halt::Spent(spent.0))?;
    vm.pay()?;
    match found {
        Ok(Resolved {
            path,
            format: Format::Module,
        }) => vm.put(path.as_bytes()),
        Ok(Resolved {
            path,
            format: Format::Builtin,
        }) => vm.put(format!("node:{path}").as_bytes()),
        Ok(Resolved { path, .. }) => vm.put(format!("{SYNTHESIZED}{path}").as_bytes()),
        Err(fault) => {
            vm.throw(&fault.message)?;
            Ok(0)
        }
    }
}

/// A path relative to a file of the prelude.
pub(super) fn beside(file: &str, name: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The text of a module. What is none is wrapped by the guest's loader into one.
pub(super) fn load(mut caller: Caller<'_, State>, name: u32, length: u32) -> Result<u32> {
    let mut vm = Vm::new(&mut caller)?;
    let path = vm.read_text(name)?;
    let text = if path.starts_with(INTERNAL) {
        // They were all loaded when the image was made.
        None
    } else if let Some(path) = path.strip_prefix(SYNTHESIZED) {
        synthesized(&mut vm, path)?
    } else if path.starts_with("node:") {
        synthesized(&mut vm, &path)?
    } else {
        vm.moved()?;
        let source = vm.state().world.source(&path);
        source.map(|source| module(&mut vm, &path, &source)).transpose()?
    };
    let Some(text) = text else {
        vm.throw(&format!("Cannot find module '{path}'"))?;
        return Ok(0);
    };
    let at = vm.put(&text)?;
    vm.write(length, &(text.len() as u32).to_le_bytes())?;
    Ok(at)
}

/// A module's text as the engine gets it.
fn module(vm: &mut Vm<'_>, path: &str, source: &[u8]) -> Result<Vec<u8>> {
    let rewritten = exports(source);
    if rewritten.is_some() {
        vm.state().world.charge(source.len() as u64 * PARSED);
        vm.pay()?;
    }
    Ok(as_module(path, rewritten.as_deref().unwrap_or(source)))
}

/// The engine leaves `import.meta` empty; what Node.js puts there stands in front of the first line.
fn as_module(path: &str, source: &[u8]) -> Vec<u8> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let url = url::Url::from_file_path(path).map_or_else(|()| path.to_owned(), String::from);
    let head = format!(
        "import.meta.url={};import.meta.filename={};import.meta.dirname={};",
        quoted(&url),
        quoted(path),
        quoted(folder)
    );
    [head.as_bytes(), &without_mark(source)].concat()
}

fn synthesized(vm: &mut Vm<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    let function = vm.state().anchors.synthesize;
    if function == 0 {
        return Ok(None);
    }
    match vm.call(function, path)? {
        Ok(value) => {
            let text = vm.text(value)?;
            vm.release(value)?;
            Ok(Some(text.into_bytes()))
        }
        // A module that throws what was thrown: the importer must see it.
        Err(said) => Ok(Some(
            format!("throw new Error({});", serde_json::Value::from(said)).into_bytes(),
        )),
    }
}

/// Text without the mark of its encoding; a first line for the shell becomes a comment.
pub(super) fn without_mark(source: &[u8]) -> Cow<'_, [u8]> {
    let source = source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source);
    if source.starts_with(b"#!") {
        Cow::Owned([b"//", source].concat())
    } else {
        Cow::Borrowed(source)
    }
}
