//! The walls around one process, as an ordered list of steps; the order is the security argument.
//!
//! 1. Outside, in the keeper: who it is on the host ([`idmap`]), which libraries it needs ([`libraries`]), control
//!    groups ([`cgroup`]), and as root the mount trees ([`sources`]), because only there every path can be reached,
//!    and the cable of a filtered network ([`cable`], [`rules`], [`tried`], [`tools`]; [`forwarding`] is for the whole host), while the first process waits for the word to go on.
//! 2. Inside, as the first process of new namespaces, with all capabilities over them and none over the host: take
//!    on the identity, open the mount trees if nobody did, name the host, switch on loopback, build the root and
//!    move in ([`mounts`]), then drop every capability and lock the door behind ([`capabilities`]).
//! 3. In the child that becomes the program: descriptors, resource limits ([`rlimits`]), Landlock ([`landlock`]),
//!    and last the system call filter ([`seccomp`]), because the steps before need calls that it forbids.
//!
//! Nothing of the program's is read, executed or resolved before step 3 is done.

pub(crate) mod cable;
pub(crate) mod capabilities;
pub mod cgroup;
pub(crate) mod files;
pub mod forwarding;
pub(crate) mod idmap;
pub(crate) mod landlock;
pub(crate) mod libraries;
pub(crate) mod mounts;
pub(crate) mod network;
pub mod probe;
pub mod quota;
pub(crate) mod rlimits;
pub(crate) mod rules;
pub mod seccomp;
pub(crate) mod sources;
pub(crate) mod tools;
pub(crate) mod tried;
pub mod worker;
