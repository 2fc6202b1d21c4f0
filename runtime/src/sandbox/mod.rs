//! The walls around one process, as an ordered list of steps; the order is the security argument.

pub mod cgroup;
pub mod probe;
