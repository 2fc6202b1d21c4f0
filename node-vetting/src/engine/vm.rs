//! The guest's values as the host handles them: text and bytes in and out, evaluation, calls, exceptions.

use std::sync::Arc;

use thiserror::Error;
use wasmtime::{AsContextMut, StoreContextMut};

use crate::engine::abi::{Exports, Value};
use crate::engine::state::State;

/// Text is compiled as a script, or as a module.
const SCRIPT: u32 = 0;
pub(super) const MODULE: u32 = 1;
/// Leave the source out of what is compiled: its functions print as native ones.
const STRIP_SOURCE: u32 = 1 << 4;
/// Longest text of an exception that is kept, in bytes.
const SAID: usize = 2000;

/// Ends a run from inside a host call.
#[derive(Debug, Error)]
pub(super) enum Halt {
    /// A budget is spent.
    #[error("the budget of {0} is spent")]
    Spent(&'static str),
    /// The guest handed over what cannot be.
    #[error("the guest broke the interface: {0}")]
    Broken(&'static str),
}

/// A guest with its store, from outside or from inside a host call.
pub(super) struct Vm<'a> {
    pub(super) store: StoreContextMut<'a, State>,
    exports: Arc<Exports>,
}

/// What a call came to.
pub(super) type Outcome = Result<Value, String>;

impl<'a> Vm<'a> {
    pub(super) fn new(store: &'a mut impl AsContextMut<Data = State>) -> wasmtime::Result<Self> {
        let store = store.as_context_mut();
        let exports = store.data().exports()?;
        Ok(Self { store, exports })
    }

    pub(super) fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    /// The guest got somewhere.
    pub(super) fn moved(&mut self) -> wasmtime::Result<()> {
        self.state().moved = self.store.get_fuel()?;
        Ok(())
    }

    /// Takes what the host did for the guest out of its fuel.
    pub(super) fn pay(&mut self) -> wasmtime::Result<()> {
        let price = self.state().world.take_work();
        let left = self.store.get_fuel()?.checked_sub(price);
        self.store.set_fuel(left.unwrap_or(0))?;
        match left {
            Some(_) => Ok(()),
            None => Err(Halt::Spent("fuel").into()),
        }
    }

    /// Bytes of the guest's memory.
    pub(super) fn read(&mut self, at: u32, len: u32) -> wasmtime::Result<&[u8]> {
        let memory = self.exports.memory.data(&self.store);
        Ok(memory
            .get(at as usize..at as usize + len as usize)
            .ok_or(Halt::Broken("an address outside of its memory"))?)
    }

    /// A number in the guest's memory.
    pub(super) fn read_u32(&mut self, at: u32) -> wasmtime::Result<u32> {
        let bytes = self.read(at, 4)?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    }

    /// A number in the guest's memory.
    pub(super) fn read_u64(&mut self, at: u32) -> wasmtime::Result<u64> {
        let bytes = self.read(at, 8)?;
        Ok(u64::from_le_bytes(bytes.try_into()?))
    }

    /// Puts bytes into the guest's memory.
    pub(super) fn write(&mut self, at: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        self.exports
            .memory
            .write(&mut self.store, at as usize, bytes)
            .map_err(|_| Halt::Broken("an address outside of its memory").into())
    }

    /// Memory of the guest for a number of bytes; whoever asks releases it.
    pub(super) fn room(&mut self, bytes: usize) -> wasmtime::Result<u32> {
        let bytes = u32::try_from(bytes).map_err(|_| Halt::Spent("memory"))?;
        match self.exports.malloc.call(&mut self.store, (bytes,))? {
            0 => Err(Halt::Spent("memory").into()),
            at => Ok(at),
        }
    }

    pub(super) fn free(&mut self, at: u32) -> wasmtime::Result<()> {
        self.exports.free.call(&mut self.store, (at,))
    }

    /// Bytes in fresh memory of the guest, with a zero behind them.
    pub(super) fn put(&mut self, bytes: &[u8]) -> wasmtime::Result<u32> {
        let at = self.room(bytes.len() + 1)?;
        self.write(at, bytes)?;
        self.write(at + bytes.len() as u32, &[0])?;
        Ok(at)
    }

    /// Text that ends with a zero.
    pub(super) fn read_text(&mut self, at: u32) -> wasmtime::Result<String> {
        let memory = self.exports.memory.data(&self.store);
        let rest = memory
            .get(at as usize..)
            .ok_or(Halt::Broken("an address outside of its memory"))?;
        let end = memchr::memchr(0, rest).ok_or(Halt::Broken("text without an end"))?;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    /// The text of a value; nothing of the guest runs when it is a string. What is no valid text becomes so.
    pub(super) fn text(&mut self, value: Value) -> wasmtime::Result<String> {
        let length = self.room(4)?;
        let exports = Arc::clone(&self.exports);
        let at = exports.string.call(&mut self.store, (value, length))?;
        let len = self.read_u32(length)?;
        self.free(length)?;
        if at == 0 {
            // Converting threw; the exception must not stay behind for somebody else.
            let pending = exports.exception.call(&mut self.store, ())?;
            self.release(pending)?;
            return Ok(String::new());
        }
        let text = String::from_utf8_lossy(self.read(at, len)?).into_owned();
        exports.free_string.call(&mut self.store, (at,))?;
        Ok(text)
    }

    /// The bytes that a `Uint8Array` shows; none when it is something else.
    pub(super) fn bytes(&mut self, value: Value) -> wasmtime::Result<Option<Vec<u8>>> {
        let exports = Arc::clone(&self.exports);
        if exports.is_undefined.call(&mut self.store, (value,))? != 0 {
            return Ok(None);
        }
        let (at, len) = self.view(value)?;
        if at == 0 {
            // Either none, or an empty one without memory; both threw.
            let pending = exports.exception.call(&mut self.store, ())?;
            self.release(pending)?;
            return Ok(None);
        }
        Ok(Some(self.read(at, len)?.to_vec()))
    }

    /// Where the bytes of a `Uint8Array` lie, and how many they are.
    fn view(&mut self, value: Value) -> wasmtime::Result<(u32, u32)> {
        let exports = Arc::clone(&self.exports);
        let raw = self.read_u64(value)?;
        let context = self.state().anchors.context;
        let length = self.room(4)?;
        let at = exports.view.call(&mut self.store, (context, length, raw))?;
        let len = self.read_u32(length)?;
        self.free(length)?;
        Ok((at, len))
    }

    /// Where the bytes of a `Uint8Array` lie.
    pub(super) fn bytes_at(&mut self, value: Value) -> wasmtime::Result<u32> {
        Ok(self.view(value)?.0)
    }

    pub(super) fn new_string(&mut self, text: &str) -> wasmtime::Result<Value> {
        let at = self.put(text.as_bytes())?;
        let exports = Arc::clone(&self.exports);
        let made = exports
            .new_string
            .call(&mut self.store, (at, text.len() as u32))?;
        self.free(at)?;
        Ok(made)
    }

    pub(super) fn new_bytes(&mut self, bytes: &[u8]) -> wasmtime::Result<Value> {
        let at = self.put(bytes)?;
        let exports = Arc::clone(&self.exports);
        let made = exports
            .new_bytes
            .call(&mut self.store, (at, bytes.len() as u32))?;
        self.free(at)?;
        Ok(made)
    }

    pub(super) fn undefined(&mut self) -> wasmtime::Result<Value> {
        self.exports.undefined.call(&mut self.store, ())
    }

    pub(super) fn truth(&mut self, truth: bool) -> wasmtime::Result<Value> {
        let function = if truth {
            &self.exports.truth
        } else {
            &self.exports.untruth
        };
        function.call(&mut self.store, ())
    }

    /// Whether an ES module that was evaluated has come to its end, and what it threw if it threw.
    pub(super) fn settled(&mut self, promise: Value) -> wasmtime::Result<Result<bool, String>> {
        let exports = Arc::clone(&self.exports);
        match exports.promise_state.call(&mut self.store, (promise,))? {
            0 => Ok(Ok(false)),
            1 => Ok(Ok(true)),
            _ => {
                let thrown = exports.promise_result.call(&mut self.store, (promise,))?;
                let said = self.describe(thrown)?;
                self.release(thrown)?;
                Ok(Err(said))
            }
        }
    }

    pub(super) fn release(&mut self, value: Value) -> wasmtime::Result<()> {
        self.exports.release.call(&mut self.store, (value,))
    }

    /// A property by name.
    pub(super) fn property(&mut self, of: Value, name: &str) -> wasmtime::Result<Value> {
        let at = self.put(name.as_bytes())?;
        let exports = Arc::clone(&self.exports);
        let value = exports.property.call(&mut self.store, (of, at))?;
        self.free(at)?;
        Ok(value)
    }

    /// A function that calls the host, as a property of the global object.
    pub(super) fn define_door(&mut self, name: &str) -> wasmtime::Result<()> {
        let exports = Arc::clone(&self.exports);
        let at = self.put(name.as_bytes())?;
        let function = exports
            .new_function
            .call(&mut self.store, (at, name.len() as u32, 3))?;
        let global = exports.global.call(&mut self.store, ())?;
        exports
            .set_property
            .call(&mut self.store, (global, at, function))?;
        self.release(global)?;
        self.release(function)?;
        self.free(at)
    }

    /// Evaluates text under a file name. An exception stays pending and the value is its mark.
    pub(super) fn eval_pending(&mut self, source: &[u8], name: &str) -> wasmtime::Result<Value> {
        let exports = Arc::clone(&self.exports);
        let (text, file) = (self.put(source)?, self.put(name.as_bytes())?);
        let value = exports
            .eval
            .call(&mut self.store, (text, source.len() as u32, file, 0))?;
        self.free(text)?;
        self.free(file)?;
        Ok(value)
    }

    /// Evaluates one of our own scripts without leaving its source in the guest.
    pub(super) fn eval_stripped(&mut self, source: &[u8], name: &str) -> wasmtime::Result<Outcome> {
        match self.eval_stripped_pending(source, name)? {
            0 => Ok(Err(self.pending_exception()?)),
            value => self.outcome(value),
        }
    }

    /// The same with an exception left pending. 0 when the text could not be compiled.
    pub(super) fn eval_stripped_pending(&mut self, source: &[u8], name: &str) -> wasmtime::Result<Value> {
        match self.compile(source, name, SCRIPT)? {
            Some(code) => self.eval_compiled(&code),
            None => Ok(0),
        }
    }

    /// Compiles text; none when it cannot be, with an exception pending.
    pub(super) fn compile(
        &mut self,
        source: &[u8],
        name: &str,
        kind: u32,
    ) -> wasmtime::Result<Option<Vec<u8>>> {
        let exports = Arc::clone(&self.exports);
        let (text, file, length) = (self.put(source)?, self.put(name.as_bytes())?, self.room(4)?);
        let code = exports.compile.call(
            &mut self.store,
            (text, source.len() as u32, file, kind, STRIP_SOURCE, length),
        )?;
        let len = self.read_u32(length)?;
        for at in [text, file, length] {
            self.free(at)?;
        }
        if code == 0 {
            return Ok(None);
        }
        let compiled = self.read(code, len)?.to_vec();
        self.free(code)?;
        Ok(Some(compiled))
    }

    /// Runs what was compiled.
    pub(super) fn eval_compiled(&mut self, code: &[u8]) -> wasmtime::Result<Value> {
        let exports = Arc::clone(&self.exports);
        let at = self.put(code)?;
        let value = exports
            .eval_bytecode
            .call(&mut self.store, (at, code.len() as u32))?;
        self.free(at)?;
        Ok(value)
    }

    /// Calls a function with text as its only argument.
    pub(super) fn call(&mut self, function: Value, argument: &str) -> wasmtime::Result<Outcome> {
        let (this, argument) = (self.undefined()?, self.new_string(argument)?);
        let outcome = self.call_with(function, this, &[argument])?;
        self.release(argument)?;
        Ok(outcome)
    }

    /// Calls a function; the arguments stay the caller's.
    pub(super) fn call_with(
        &mut self,
        function: Value,
        this: Value,
        arguments: &[Value],
    ) -> wasmtime::Result<Outcome> {
        let value = self.call_pending(function, this, arguments)?;
        self.outcome(value)
    }

    /// Calls a function. An exception stays pending and the value is its mark.
    pub(super) fn call_pending(
        &mut self,
        function: Value,
        this: Value,
        arguments: &[Value],
    ) -> wasmtime::Result<Value> {
        let exports = Arc::clone(&self.exports);
        let bytes: Vec<u8> = arguments.iter().flat_map(|value| value.to_le_bytes()).collect();
        let list = self.put(&bytes)?;
        let value = exports
            .call
            .call(&mut self.store, (function, this, arguments.len() as u32, list))?;
        self.free(list)?;
        Ok(value)
    }

    pub(super) fn is_exception(&mut self, value: Value) -> wasmtime::Result<bool> {
        let is = self.exports.is_exception.call(&mut self.store, (value,))?;
        Ok(is != 0)
    }

    pub(super) fn is_function(&mut self, value: Value) -> wasmtime::Result<bool> {
        let is = self.exports.is_function.call(&mut self.store, (value,))?;
        Ok(is != 0)
    }

    pub(super) fn is_string(&mut self, value: Value) -> wasmtime::Result<bool> {
        let is = self.exports.is_string.call(&mut self.store, (value,))?;
        Ok(is != 0)
    }

    fn outcome(&mut self, value: Value) -> wasmtime::Result<Outcome> {
        if !self.is_exception(value)? {
            return Ok(Ok(value));
        }
        self.release(value)?;
        Ok(Err(self.pending_exception()?))
    }

    /// What the pending exception says; it is pending no more.
    pub(super) fn pending_exception(&mut self) -> wasmtime::Result<String> {
        let exports = Arc::clone(&self.exports);
        let thrown = exports.exception.call(&mut self.store, ())?;
        let said = self.describe(thrown)?;
        self.release(thrown)?;
        Ok(said)
    }

    /// What an error says, with where it was made.
    pub(super) fn describe(&mut self, thrown: Value) -> wasmtime::Result<String> {
        let exports = Arc::clone(&self.exports);
        let mut said = self.text(thrown)?;
        if exports.is_error.call(&mut self.store, (thrown,))? != 0 {
            let stack = self.property(thrown, "stack")?;
            if self.is_string(stack)? {
                said.push('\n');
                said.push_str(&self.text(stack)?);
            }
            self.release(stack)?;
        }
        said.truncate(said.floor_char_boundary(SAID));
        Ok(said)
    }

    /// Throws an error in the guest; the caller then returns no value.
    pub(super) fn throw(&mut self, message: &str) -> wasmtime::Result<()> {
        let exports = Arc::clone(&self.exports);
        let error = exports.new_error.call(&mut self.store, ())?;
        let (said, at) = (self.new_string(message)?, self.put(b"message")?);
        exports.set_property.call(&mut self.store, (error, at, said))?;
        self.free(at)?;
        self.release(said)?;
        exports.throw.call(&mut self.store, (error,))?;
        self.release(error)
    }

    /// Runs promise jobs until there are none; gives how many ran.
    pub(super) fn run_jobs(&mut self) -> wasmtime::Result<u64> {
        let exports = Arc::clone(&self.exports);
        let mut ran = 0;
        while exports.is_job_pending.call(&mut self.store, ())? != 0 {
            if exports.run_job.call(&mut self.store, ())? < 0 {
                self.pending_exception()?;
            }
            ran += 1;
        }
        Ok(ran)
    }

    pub(super) fn exports(&self) -> Arc<Exports> {
        Arc::clone(&self.exports)
    }
}
