//! The guest's values as the host handles them: text and bytes in and out, evaluation, calls, exceptions.

use std::sync::Arc;

use thiserror::Error;
use wasmtime::AsContextMut;

use crate::engine::abi::{Exports, Value};
use crate::engine::state::State;

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
pub(super) struct Vm<C> {
    store: C,
    exports: Arc<Exports>,
}

/// What a call came to.
pub(super) type Outcome = Result<Value, String>;

impl<C: AsContextMut<Data = State>> Vm<C> {
    pub(super) fn new(mut store: C) -> wasmtime::Result<Self> {
        let exports = store.as_context_mut().data().exports()?;
        Ok(Self { store, exports })
    }

    pub(super) fn state(&mut self) -> &mut State {
        self.store.as_context_mut().into_data_mut()
    }

    /// Takes what the host did for the guest out of its fuel.
    pub(super) fn pay(&mut self) -> wasmtime::Result<()> {
        let price = self.state().world.take_work();
        let mut store = self.store.as_context_mut();
        let left = store.get_fuel()?.checked_sub(price);
        store.set_fuel(left.unwrap_or(0))?;
        match left {
            Some(_) => Ok(()),
            None => Err(Halt::Spent("fuel").into()),
        }
    }

    /// Bytes of the guest's memory.
    pub(super) fn read(&mut self, at: u32, len: u32) -> wasmtime::Result<&[u8]> {
        let memory = self.exports.memory.data(self.store.as_context());
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
            .write(self.store.as_context_mut(), at as usize, bytes)
            .map_err(|_| Halt::Broken("an address outside of its memory").into())
    }

    /// Memory of the guest for a number of bytes; whoever asks releases it.
    pub(super) fn room(&mut self, bytes: usize) -> wasmtime::Result<u32> {
        let bytes = u32::try_from(bytes).map_err(|_| Halt::Spent("memory"))?;
        match self.exports.malloc.call(self.store.as_context_mut(), (bytes,))? {
            0 => Err(Halt::Spent("memory").into()),
            at => Ok(at),
        }
    }

    pub(super) fn free(&mut self, at: u32) -> wasmtime::Result<()> {
        self.exports.free.call(self.store.as_context_mut(), (at,))
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
        let memory = self.exports.memory.data(self.store.as_context());
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
        let at = exports.string.call(self.store.as_context_mut(), (value, length))?;
        let len = self.read_u32(length)?;
        self.free(length)?;
        if at == 0 {
            // Converting threw; the exception must not stay behind for somebody else.
            let pending = exports.exception.call(self.store.as_context_mut(), ())?;
            self.release(pending)?;
            return Ok(String::new());
        }
        let text = String::from_utf8_lossy(self.read(at, len)?).into_owned();
        exports.free_string.call(self.store.as_context_mut(), (at,))?;
        Ok(text)
    }

    /// The bytes that a `Uint8Array` shows; none when it is something else.
    pub(super) fn bytes(&mut self, value: Value) -> wasmtime::Result<Option<Vec<u8>>> {
        let exports = Arc::clone(&self.exports);
        if exports.is_undefined.call(self.store.as_context_mut(), (value,))? != 0 {
            return Ok(None);
        }
        let raw = self.read_u64(value)?;
        let context = self.state().anchors.context;
        let length = self.room(4)?;
        let at = exports.view.call(self.store.as_context_mut(), (context, length, raw))?;
        let len = self.read_u32(length)?;
        self.free(length)?;
        if at == 0 {
            // Either none, or an empty one without memory; both threw.
            let pending = exports.exception.call(self.store.as_context_mut(), ())?;
            self.release(pending)?;
            return Ok(None);
        }
        Ok(Some(self.read(at, len)?.to_vec()))
    }

    pub(super) fn new_string(&mut self, text: &str) -> wasmtime::Result<Value> {
        let at = self.put(text.as_bytes())?;
        let exports = Arc::clone(&self.exports);
        let made = exports
            .new_string
            .call(self.store.as_context_mut(), (at, text.len() as u32))?;
        self.free(at)?;
        Ok(made)
    }

    pub(super) fn new_bytes(&mut self, bytes: &[u8]) -> wasmtime::Result<Value> {
        let at = self.put(bytes)?;
        let exports = Arc::clone(&self.exports);
        let made = exports
            .new_bytes
            .call(self.store.as_context_mut(), (at, bytes.len() as u32))?;
        self.free(at)?;
        Ok(made)
    }

    pub(super) fn undefined(&mut self) -> wasmtime::Result<Value> {
        self.exports.undefined.call(self.store.as_context_mut(), ())
    }

    pub(super) fn duplicate(&mut self, value: Value) -> wasmtime::Result<Value> {
        self.exports.duplicate.call(self.store.as_context_mut(), (value,))
    }

    pub(super) fn release(&mut self, value: Value) -> wasmtime::Result<()> {
        self.exports.release.call(self.store.as_context_mut(), (value,))
    }

    /// A property by name.
    pub(super) fn property(&mut self, of: Value, name: &str) -> wasmtime::Result<Value> {
        let at = self.put(name.as_bytes())?;
        let exports = Arc::clone(&self.exports);
        let value = exports.property.call(self.store.as_context_mut(), (of, at))?;
        self.free(at)?;
        Ok(value)
    }

    /// A function that calls the host, as a property of the global object.
    pub(super) fn define_door(&mut self, name: &str) -> wasmtime::Result<()> {
        let exports = Arc::clone(&self.exports);
        let at = self.put(name.as_bytes())?;
        let function = exports
            .new_function
            .call(self.store.as_context_mut(), (at, name.len() as u32, 3))?;
        let global = exports.global.call(self.store.as_context_mut(), ())?;
        exports
            .set_property
            .call(self.store.as_context_mut(), (global, at, function))?;
        self.release(global)?;
        self.release(function)?;
        self.free(at)
    }

    /// Evaluates text under a file name. An exception stays pending and the value is its mark.
    pub(super) fn eval_pending(&mut self, source: &[u8], name: &str) -> wasmtime::Result<Value> {
        let exports = Arc::clone(&self.exports);
        let (text, file) = (self.put(source)?, self.put(name.as_bytes())?);
        let value = exports.eval.call(
            self.store.as_context_mut(),
            (text, source.len() as u32, file, 0),
        )?;
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
        let exports = Arc::clone(&self.exports);
        let (text, file, length) = (self.put(source)?, self.put(name.as_bytes())?, self.room(4)?);
        let code = exports.compile.call(
            self.store.as_context_mut(),
            (text, source.len() as u32, file, 0, STRIP_SOURCE, length),
        )?;
        let len = self.read_u32(length)?;
        for at in [text, file, length] {
            self.free(at)?;
        }
        if code == 0 {
            return Ok(0);
        }
        let value = exports.eval_bytecode.call(self.store.as_context_mut(), (code, len))?;
        self.free(code)?;
        Ok(value)
    }

    /// Calls a function with text as its only argument.
    pub(super) fn call(&mut self, function: Value, argument: &str) -> wasmtime::Result<Outcome> {
        let exports = Arc::clone(&self.exports);
        let this = self.undefined()?;
        let argument = self.new_string(argument)?;
        let arguments = self.room(4)?;
        self.write(arguments, &argument.to_le_bytes())?;
        let value = exports
            .call
            .call(self.store.as_context_mut(), (function, this, 1, arguments))?;
        self.free(arguments)?;
        self.release(argument)?;
        self.outcome(value)
    }

    pub(super) fn is_exception(&mut self, value: Value) -> wasmtime::Result<bool> {
        let is = self.exports.is_exception.call(self.store.as_context_mut(), (value,))?;
        Ok(is != 0)
    }

    pub(super) fn is_function(&mut self, value: Value) -> wasmtime::Result<bool> {
        let is = self.exports.is_function.call(self.store.as_context_mut(), (value,))?;
        Ok(is != 0)
    }

    pub(super) fn is_string(&mut self, value: Value) -> wasmtime::Result<bool> {
        let is = self.exports.is_string.call(self.store.as_context_mut(), (value,))?;
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
        let thrown = exports.exception.call(self.store.as_context_mut(), ())?;
        let said = self.describe(thrown)?;
        self.release(thrown)?;
        Ok(said)
    }

    /// What an error says, with where it was made.
    pub(super) fn describe(&mut self, thrown: Value) -> wasmtime::Result<String> {
        let exports = Arc::clone(&self.exports);
        let mut said = self.text(thrown)?;
        if exports.is_error.call(self.store.as_context_mut(), (thrown,))? != 0 {
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
        let error = exports.new_error.call(self.store.as_context_mut(), ())?;
        let (said, at) = (self.new_string(message)?, self.put(b"message")?);
        exports
            .set_property
            .call(self.store.as_context_mut(), (error, at, said))?;
        self.free(at)?;
        self.release(said)?;
        exports.throw.call(self.store.as_context_mut(), (error,))?;
        self.release(error)
    }

    /// Runs promise jobs until there are none; gives how many ran.
    pub(super) fn run_jobs(&mut self) -> wasmtime::Result<u64> {
        let exports = Arc::clone(&self.exports);
        let mut ran = 0;
        while exports.is_job_pending.call(self.store.as_context_mut(), ())? != 0 {
            if exports.run_job.call(self.store.as_context_mut(), ())? < 0 {
                self.pending_exception()?;
            }
            ran += 1;
        }
        Ok(ran)
    }

    /// Names an object for as long as it lives.
    pub(super) fn address(&mut self, value: Value) -> wasmtime::Result<u32> {
        self.exports.value_address.call(self.store.as_context_mut(), (value,))
    }

    pub(super) fn exports(&self) -> Arc<Exports> {
        Arc::clone(&self.exports)
    }

    pub(super) fn store(&mut self) -> &mut C {
        &mut self.store
    }
}
