//! Start an instance, find it again, talk to its keeper, stop it.
//!
//! Everything here blocks for as long as a system call or an answer of a keeper takes: callers with an event loop use
//! a thread for it. A [`Running`] holds no process: dropping it changes nothing.

mod adopt;
mod running;
mod spawn;

pub use adopt::{Adopted, CleanUpError, Lost, adopt};
pub use running::{Running, forget};
pub use spawn::{Descriptors, spawn};
