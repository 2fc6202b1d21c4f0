//! The one place with unsafe code of this crate: compiled code is mapped from a file.

use std::fs::File;

use wasmtime::{Engine, Module};

/// Maps compiled code.
///
/// # Errors
/// When it was compiled by another wasmtime or for another processor.
#[expect(
    unsafe_code,
    reason = "wasmtime trusts compiled code; the file is this user's alone (module documentation), and compiling anew for every worker would take two seconds"
)]
pub(super) fn map(engine: &Engine, file: File) -> wasmtime::Result<Module> {
    // SAFETY: only `publish` writes such files, with what `Engine::precompile_module` gave, whole and by rename;
    // `Folder::file` has refused a file that anybody but this user could have written or changed.
    unsafe { Module::deserialize_open_file(engine, file) }
}
