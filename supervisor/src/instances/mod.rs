//! Instances: what a person wants of each, what is decided, and what is done about it.
//!
//! Pure and tested without a process: [`machine`] (what an instance does next), [`restart`], [`health`], `check`, `patch`, `wish`, `messages`,
//! `figures`, `ending`, `stack`, `allowance`, `verdicts`. Effects: `actor` (one task per instance), `job` (what blocks), `disk` (what its files may take up), `networks` (what it is connected to), `errand` and `npm` (what runs before or beside it); [`service`] has every operation.
//! [`spec`] turns a wish into a runtime spec.

mod actor;
pub mod allowance;
pub(crate) mod carried;
mod check;
pub(crate) mod disk;
pub(crate) mod ending;
pub(crate) mod errand;
pub mod events;
pub mod figures;
mod gated;
pub mod health;
mod job;
mod lists;
mod load;
pub mod machine;
pub(crate) mod messages;
pub mod model;
pub mod networks;
mod npm;
pub mod observed;
pub(crate) mod packages;
mod patch;
pub mod place;
pub mod queue;
mod request;
pub mod restart;
pub mod service;
pub mod spec;
mod stack;
pub mod tokens;
pub(crate) mod undo;
mod unpack;
pub mod upkeep;
pub mod verdicts;
mod wish;
mod world;

use std::path::PathBuf;
use std::sync::Arc;

use runtime::spec::Isolation;

use self::disk::Disks;
use self::events::Events;
use self::model::Named;
use self::networks::Networks;
use self::queue::StartQueue;
use crate::gate::NpmGate;
use crate::secret::HostKey;
use crate::stacks::Stacks;
use crate::store::Store;
use crate::store::table::Table;

pub use self::service::Instances;
pub use self::spec::cache;
pub use self::spec::{NpmSettings, PrepareError, Settings, WELCOME_FLOW, Wanted, prepare, reserved};

/// What all instances of a host share.
#[derive(Debug)]
pub struct Shared {
    /// Where records are.
    pub store: Store,
    /// What happened.
    pub events: Events,
    /// Everything on the disk.
    pub data_dir: PathBuf,
    /// Node.js and Node-RED.
    pub stacks: Arc<Stacks>,
    /// Opens secrets.
    pub key: HostKey,
    /// Who starts when.
    pub queue: StartQueue,
    /// What is executed as keeper.
    pub executable: PathBuf,
    /// The strongest walls of this host.
    pub isolation: Isolation,
    /// The control group in which they live, where one was named.
    pub control_group: Option<PathBuf>,
    /// What bounds their disk space.
    pub disks: Arc<Disks>,
    /// How npm reaches its registry.
    pub npm: NpmSettings,
    /// The registry that npm gets instead.
    pub gate: NpmGate,
    /// What they are connected to.
    pub networks: Networks,
}

/// Key of the record that says who has a name.
fn name_key(name: &str) -> String {
    Table::<Named>::key(name)
}
