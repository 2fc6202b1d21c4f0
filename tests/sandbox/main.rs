//! The walls, tried against the real kernel.

mod adoption;
mod escape;
mod filesystem;
mod groups;
mod guest_kernel;
mod keeper;
mod limits;
mod network;
mod processes;
mod support;
mod syscalls;
