//! The guest's exported functions with their types, looked up once per instance.
//!
//! A JavaScript value is handled as the address of a box in the guest's memory that holds it: a [`Value`].

use wasmtime::{Extern, Instance, Memory, Store, TypedFunc};

/// The address of a box with a JavaScript value in the guest's memory. 0 is none.
pub(super) type Value = u32;

macro_rules! exports {
    ($($field:ident: $name:literal ($($argument:ty),*) -> $result:ty;)*) => {
        /// What the host calls in the guest.
        pub(super) struct Exports {
            pub(super) memory: Memory,
            $(pub(super) $field: TypedFunc<($($argument,)*), $result>,)*
        }

        impl Exports {
            /// Looks all of them up.
            ///
            /// # Errors
            /// When the engine is another one than was pinned.
            pub(super) fn find<T: 'static>(store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<Self> {
                let memory = instance
                    .get_export(&mut *store, "memory")
                    .and_then(Extern::into_memory)
                    .ok_or_else(|| wasmtime::Error::msg("the engine exports no memory"))?;
                Ok(Self {
                    memory,
                    $($field: instance.get_typed_func(&mut *store, $name)?,)*
                })
            }
        }
    };
}

exports! {
    initialize: "_initialize"() -> ();
    init: "qjs_init"() -> u32;
    context: "qjs_get_context_ptr"() -> u32;
    set_module_loader: "qjs_set_module_loader"(u32) -> ();
    set_rejections: "qjs_set_promise_rejection_handler"(u32) -> ();
    set_memory_limit: "qjs_set_memory_limit"(u32) -> ();
    set_max_stack: "qjs_set_max_stack_size"(u32) -> ();
    run_gc: "qjs_run_gc"() -> ();
    malloc: "wasm_malloc"(u32) -> u32;
    free: "wasm_free"(u32) -> ();
    eval: "qjs_eval"(u32, u32, u32, u32) -> Value;
    compile: "qjs_compile"(u32, u32, u32, u32, u32, u32) -> u32;
    eval_bytecode: "qjs_eval_bytecode"(u32, u32) -> Value;
    undefined: "qjs_get_undefined"() -> Value;
    truth: "qjs_get_true"() -> Value;
    untruth: "qjs_get_false"() -> Value;
    global: "qjs_get_global"() -> Value;
    new_string: "qjs_new_string"(u32, u32) -> Value;
    new_bytes: "qjs_new_uint8_array"(u32, u32) -> Value;
    new_error: "qjs_new_error"() -> Value;
    new_function: "qjs_new_host_function"(u32, u32, u32) -> Value;
    throw: "qjs_throw"(Value) -> u32;
    exception: "qjs_get_exception"() -> Value;
    is_exception: "qjs_is_exception"(Value) -> u32;
    is_string: "qjs_is_string"(Value) -> u32;
    is_undefined: "qjs_is_undefined"(Value) -> u32;
    is_function: "qjs_is_function"(Value) -> u32;
    is_error: "qjs_is_error"(Value) -> u32;
    release: "qjs_free_value"(Value) -> ();
    string: "qjs_get_string_len"(Value, u32) -> u32;
    free_string: "qjs_free_cstring"(u32) -> ();
    property: "qjs_get_prop_string"(Value, u32) -> Value;
    set_property: "qjs_set_prop_string"(Value, u32, Value) -> u32;
    call: "qjs_call"(Value, Value, u32, u32) -> Value;
    is_job_pending: "qjs_is_job_pending"() -> u32;
    run_job: "qjs_execute_pending_job"() -> i32;
    promise_state: "qjs_promise_state"(Value) -> u32;
    promise_result: "qjs_promise_result"(Value) -> Value;
    view: "JS_GetUint8Array"(u32, u32, u64) -> u32;
    script_name: "JS_GetScriptOrModuleName"(u32, u32) -> u32;
    atom_text: "JS_AtomToCStringLen"(u32, u32, u32) -> u32;
    free_atom: "JS_FreeAtom"(u32, u32) -> ();
    free_text: "JS_FreeCString"(u32, u32) -> ();
    new_plain_error: "JS_NewPlainError"(u32, u32, u32) -> u64;
}
