//! The walls, tried against the real kernel.

mod adoption;
mod attempts;
mod channels;
mod escape;
mod filesystem;
mod filtered;
mod groups;
mod guest_kernel;
mod hosts;
mod keeper;
mod limits;
mod network;
mod processes;
mod quota;
mod shared;
mod support;
mod syscalls;
mod vetting;
mod watch;
