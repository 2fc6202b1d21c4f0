//! The shapes of the one call between guest and world: arguments, answers and faults.

use bytes::Bytes;
use serde_json::{Value, json};

/// What the guest gets back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `undefined`.
    Nothing,
    /// Text, in most cases JSON.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self::Text(value.to_string())
    }
}

/// What an operation failed with, as Node.js would say it: a code and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `ENOENT`, `ECONNREFUSED`, `ERR_...`.
    pub code: &'static str,
    /// The sentence.
    pub message: String,
}

impl Fault {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A fault of a file operation, in the words of Node.js.
    pub(super) fn file(code: &'static str, call: &str, path: &str) -> Self {
        let what = match code {
            "ENOENT" => "no such file or directory",
            "EEXIST" => "file already exists",
            "ENOTDIR" => "not a directory",
            "EISDIR" => "illegal operation on a directory",
            "ENOTEMPTY" => "directory not empty",
            "EACCES" => "permission denied",
            "ENOSPC" => "no space left on device",
            "ELOOP" => "too many symbolic links encountered",
            _ => "invalid argument",
        };
        Self::new(code, format!("{code}: {what}, {call} '{path}'"))
    }

    /// As the guest gets it.
    pub(super) fn reply(&self) -> Reply {
        json!({ "error": { "code": self.code, "message": self.message } }).into()
    }
}

/// A budget that was spent; ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent(pub &'static str);

/// What an operation comes to: outside, whether the run goes on; inside, whether it worked.
pub(super) type Answer = Result<Result<Reply, Fault>, Spent>;

/// The arguments of an operation.
pub(super) struct Args<'a> {
    json: Value,
    pub(super) bytes: Option<&'a [u8]>,
}

impl<'a> Args<'a> {
    pub(super) fn parse(json: &str, bytes: Option<&'a [u8]>) -> Self {
        Self {
            json: serde_json::from_str(json).unwrap_or(Value::Null),
            bytes,
        }
    }

    /// A text; empty when there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_default()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.json[name].as_bool().unwrap_or(false)
    }

    /// A number; 0 when there is none.
    pub(super) fn number(&self, name: &str) -> u64 {
        let value = &self.json[name];
        value
            .as_u64()
            .or_else(|| value.as_f64().map(|number| number as u64))
            .unwrap_or(0)
    }

    pub(super) fn port(&self) -> u16 {
        u16::try_from(self.number("port")).unwrap_or(0)
    }

    pub(super) fn json(&self, name: &str) -> &Value {
        &self.json[name]
    }

    /// A list of texts.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let list = self.json[name].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect()
    }

    /// The bytes; none are empty ones.
    pub(super) fn body(&self) -> &'a [u8] {
        self.bytes.unwrap_or_default()
    }
}
