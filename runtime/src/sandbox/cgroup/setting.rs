//! Setting all limits of a group, each by the way of the generation in which its controller is found.

use std::fs::File;
use std::path::Path;

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::pid::PidController;

use super::device::Device;
use super::files::{CgroupError, read_number, set};
use super::oom::Oom;
use super::place::Places;
use super::reading::Reading;
use super::{Group, v1, v2};
use crate::record::Level;
use crate::spec::Limits;
use crate::units::Pids;

impl Group {
    /// Sets and reads back, and finds out how the group reports and is entered.
    pub(super) fn set_all(
        &mut self,
        limits: &Limits,
        writable: Option<&Path>,
        places: &Places,
    ) -> Result<(), CgroupError> {
        self.set_limits(limits, writable, places);
        for directory in &self.directories {
            if let Some(oom) = Oom::of(directory)? {
                self.oom = Some(oom);
            }
        }
        if let [only] = self.directories.as_slice()
            && only.join("cgroup.controllers").exists()
        {
            self.unified = File::open(only).ok();
        }
        Ok(())
    }

    /// Sets and reads back what is asked for, and notes what came of it.
    pub(super) fn set_limits(&mut self, limits: &Limits, writable: Option<&Path>, places: &Places) {
        let memory = limits.memory.map(|limit| {
            self.with(
                "memory.limit_in_bytes",
                "memory.max",
                places,
                "memory",
                |group, second| match second {
                    false => v1::memory(group, limit),
                    true => v2::memory(group, limit),
                },
            )
        });
        let cpu = limits.cpu.map(|share| {
            self.with(
                "cpu.cfs_quota_us",
                "cpu.max",
                places,
                "cpu",
                |group, second| match second {
                    false => v1::cpu(group, share),
                    true => v2::cpu(group, share),
                },
            )
        });
        let pids = limits.pids.map(|limit| {
            self.with("pids.max", "pids.max", places, "pids", |group, _| {
                pids(group, limit)
            })
        });
        let io = limits.io.map(|rate| match writable.map(Device::under) {
            None => Reading::none("no writable folder was named"),
            Some(Err(why)) => Reading::none(&why),
            Some(Ok(device)) => self.with(
                "blkio.throttle.write_bps_device",
                "io.max",
                places,
                "blkio",
                |group, second| match second {
                    false => v1::io(group, rate, &device),
                    true => v2::io(group, rate, &device),
                },
            ),
        });
        self.levels = [("memory", memory), ("cpu", cpu), ("pids", pids), ("io", io)]
            .into_iter()
            .map(|(name, reading)| {
                let reading = reading.unwrap_or_else(Reading::off);
                Level {
                    name: name.to_owned(),
                    strength: reading.strength,
                    detail: reading.detail,
                }
            })
            .collect();
    }

    /// Uses the v1 or the v2 way, by which file is there; a refusal becomes a named lack.
    fn with(
        &self,
        first: &str,
        second: &str,
        places: &Places,
        controller: &str,
        set: impl Fn(&Path, bool) -> Result<Reading, CgroupError>,
    ) -> Reading {
        let found = self.directories.iter().find_map(|directory| {
            match (directory.join(first).exists(), directory.join(second).exists()) {
                (true, _) => Some((directory, false)),
                (false, true) => Some((directory, true)),
                (false, false) => None,
            }
        });
        match found {
            Some((directory, second)) => {
                set(directory, second).unwrap_or_else(|error| Reading::none(&error.in_words()))
            }
            None => Reading::none(&places.why_lacking(controller)),
        }
    }
}

/// Tasks, threads included; the same on v1 and v2.
fn pids(group: &Path, limit: Pids) -> Result<Reading, CgroupError> {
    let controller = PidController::new(group.to_owned(), group.to_owned(), false);
    set(group, controller.set_pid_max(MaxValue::Value(limit.0.into())))?;
    Ok(Reading::count(
        limit,
        read_number(&group.join("pids.max"))?,
        "pids.max",
    ))
}
