//! The limits of a running instance: changed while it runs, and its disk space looked at from time to time, told when
//! it runs out and when there is some again. Where nothing but that bounds it, a full one is stopped.

use runtime::record::{Level, Strength};
use runtime::sandbox::quota::Usage;
use runtime::units::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::Actor;
use crate::instances::disk::Stage;
use crate::instances::events::{KEPT, Kind};
use crate::instances::job;
use crate::instances::machine::{Input, Phase};
use crate::instances::model::Desired;

impl Actor {
    /// Sets the limits of now on what runs.
    pub(super) fn limit(&mut self) {
        if let Some(life) = &self.life {
            let job = job::limit(
                self.shared.clone(),
                life.running.clone(),
                self.record.record.clone(),
            );
            self.jobs.spawn(job);
            self.limiting += 1;
        }
    }

    pub(super) async fn limited(&mut self, outcome: Result<Vec<Level>, String>) {
        match (outcome, &mut self.life) {
            (Ok(walls), Some(life)) => {
                let memory = walls.iter().find(|wall| wall.name == "memory");
                let lesser =
                    memory.filter(|wall| wall.strength == Strength::Partial && !life.walls.contains(wall));
                let text = lesser.map(|wall| format!("its memory is limited to {}", wall.detail));
                life.walls
                    .retain(|wall| walls.iter().all(|new| new.name != wall.name));
                life.walls.extend(walls);
                if let Some(text) = text {
                    self.note(Kind::Changed, text, None).await;
                }
            }
            (Ok(_), None) => {}
            (Err(why), _) => {
                let text = format!("its limits could not be changed: {why}");
                self.note(Kind::Changed, text, None).await;
            }
        }
    }

    pub(super) fn measure_when_due(&mut self, now: Instant) {
        if self.life.is_some() && self.measure.is_some_and(|at| at <= now) {
            // The next one follows when this one has come back.
            self.measure = None;
            let job = job::measure(self.shared.clone(), self.record.record.clone());
            self.jobs.spawn(job);
        }
    }

    /// How full it was when that was last told, so that a new supervisor tells only what is new.
    pub(super) fn remember_stage(&mut self) {
        let known = self.shared.events.list(self.id(), None, KEPT).unwrap_or_default();
        let last = known.iter().rev().find(|(_, event)| event.kind == Kind::Disk);
        let percent = last.and_then(|(_, event)| event.detail.as_ref()?["percent"].as_u64());
        self.stage = Stage::default().next(percent.unwrap_or(0));
    }

    pub(super) async fn measured(&mut self, usage: Option<Usage>) {
        if self.life.is_some() {
            self.measure = Some(Instant::now() + self.shared.disks.every(&self.place));
        }
        let Some(usage) = usage else { return };
        let next = self.stage.next(usage.percent);
        let before = std::mem::replace(&mut self.stage, next);
        let (used, limit) = (Bytes(usage.used), Bytes(usage.limit.unwrap_or_default()));
        let watched = self.shared.disks.is_watched(&self.place);
        let over = watched && usage.percent >= 100;
        let text = match (before, self.stage) {
            (before, now) if before == now => None,
            (_, Stage::Full) if over => Some(format!(
                "used up its disk space, {used} of {limit}: nothing else on this host stops it, so it is stopped"
            )),
            (_, Stage::Full) => Some(format!(
                "used up its disk space, {used} of {limit}: what it writes now fails, and only that"
            )),
            (Stage::Roomy, Stage::Near) => Some(format!("uses {used} of its {limit} of disk space")),
            _ => Some(format!("has disk space again: it uses {used} of {limit}")),
        };
        if let Some(text) = text {
            let detail =
                json!({ "usedBytes": usage.used, "limitBytes": usage.limit, "percent": usage.percent });
            self.note(Kind::Disk, text, Some(detail)).await;
        }
        let lives = matches!(
            self.machine.phase(),
            Phase::Starting | Phase::Running | Phase::Suspended
        );
        if over && lives {
            self.reason = Some(format!("stopped: its disk space of {limit} is used up"));
            self.feed(Input::Want(Desired::Stopped)).await;
        }
    }
}
