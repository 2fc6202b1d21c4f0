//! The walls, tried against the real kernel.

mod escape;
mod filesystem;
mod keeper;
mod limits;
mod network;
mod processes;
mod syscalls;
