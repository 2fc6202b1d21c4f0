//! Changing the limits of a group in which something runs.

use super::files::{CgroupError, read_number, write};
use super::place::Places;
use super::{Group, Level};
use crate::spec::Limits;
use crate::units::Bytes;

impl Group {
    /// Sets other limits on memory, processor time and tasks while the group is in use, and says what is enforced
    /// now. What the kernel refuses, such as less memory than v1 can reclaim, stays as it was and is said so.
    ///
    /// # Errors
    /// When the group is gone.
    pub fn change(&mut self, limits: &Limits) -> Result<&[Level], CgroupError> {
        match limits.memory {
            Some(limit) => self.make_room(limit)?,
            None => self.lift(&[
                ("memory.memsw.limit_in_bytes", "-1"),
                ("memory.limit_in_bytes", "-1"),
                ("memory.max", "max"),
            ])?,
        }
        if limits.cpu.is_none() {
            self.lift(&[("cpu.cfs_quota_us", "-1"), ("cpu.max", "max")])?;
        }
        if limits.pids.is_none() {
            self.lift(&[("pids.max", "max")])?;
        }
        let asked = Limits {
            io: None,
            ..limits.clone()
        };
        self.set_limits(&asked, None, &Places::default());
        self.memory_limit = limits.memory.map(|limit| limit.0);
        self.levels.retain(|level| level.name != "io");
        Ok(&self.levels)
    }

    /// On v1 the limit on memory and swap must be the higher one at all times.
    fn make_room(&self, limit: Bytes) -> Result<(), CgroupError> {
        if let Some(both) = self.file("memory.memsw.limit_in_bytes")
            && read_number(&both)? < limit.0
        {
            write(&both, &limit.0.to_string())?;
        }
        Ok(())
    }

    fn lift(&self, files: &[(&str, &str)]) -> Result<(), CgroupError> {
        for (name, none) in files {
            if let Some(file) = self.file(name) {
                write(&file, none)?;
            }
        }
        Ok(())
    }
}
