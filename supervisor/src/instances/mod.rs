//! Instances: what a person wants of each, what is decided, and what is done about it.
//!
//! Pure and tested without a process: [`machine`] (what an instance does next), [`restart`], `messages`, `ending`. [`spec`] turns a wish into a runtime spec.

pub(crate) mod ending;
pub mod machine;
pub(crate) mod messages;
pub mod model;
pub mod restart;
pub mod spec;

pub use self::spec::cache;
pub use self::spec::{NpmSettings, PrepareError, Settings, WELCOME_FLOW, Wanted, prepare, reserved};
