//! What an instance uses, and whether it fits into what it is to have.

use runtime::sandbox::cgroup::{Group, Pressure, Resource, Stats};
use runtime::sandbox::quota::Usage;
use runtime::units::Bytes;

use super::Instances;
use crate::instances::model::Instance;
use crate::instances::wish;
use crate::problem::{Code, Problem};

impl Instances {
    /// What an instance uses and has used; `None` when nothing of it runs. Blocks for a moment.
    #[must_use]
    pub fn stats(&self, id: &str) -> Option<Stats> {
        self.group(id).map(|group| group.stats())
    }

    /// For how long an instance had to wait for a resource; `None` where the kernel does not say. Blocks for a
    /// moment.
    #[must_use]
    pub fn pressure(&self, id: &str, resource: Resource) -> Option<Pressure> {
        self.group(id)?.pressure(resource)
    }

    fn group(&self, id: &str) -> Option<Group> {
        let groups = self.handle(id)?.observed.borrow().groups.clone();
        Group::from_paths(&groups).ok()
    }

    /// What an instance uses of its disk space; `None` where nobody can say. Blocks for a moment.
    #[must_use]
    pub fn disk(&self, instance: &Instance) -> Option<Usage> {
        let wanted = wish::disk(&self.shared.data_dir, instance);
        self.shared.disks.usage(&wanted)
    }

    /// Refuses a memory limit below what a running instance holds: the kernel would end it, or refuse in its turn.
    pub(super) fn fits(&self, before: &Instance, after: &Instance) -> Result<(), Problem> {
        let limit = after.settings.limits.memory_mib;
        let earlier = before.settings.limits.memory_mib;
        if limit == 0 || (earlier != 0 && limit >= earlier) {
            return Ok(());
        }
        let limit = Bytes::mib(limit.into());
        match self.group(&after.id).and_then(|group| group.memory_in_use()) {
            Some(used) if used > limit.0 => {
                let name = &before.name;
                let message = format!(
                    "`{name}` holds {} of memory that cannot be taken back while it runs, more than {limit}",
                    Bytes(used)
                );
                Err(Problem::new(Code::Conflict, message).hint(format!(
                    "stop it, set the limit and start it again: `redhold instance stop {name}`, `redhold limits {name} \
                     --memory {}`, `redhold instance start {name}`",
                    limit.as_mib()
                )))
            }
            _ => Ok(()),
        }
    }
}
