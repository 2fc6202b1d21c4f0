//! What is told about an instance: its events, and what it is seen to be doing.

use std::time::Duration;

use runtime::record::ExitRecord;
use serde_json::json;
use tracing::warn;

use super::Actor;
use crate::clock;
use crate::instances::ending::why;
use crate::instances::events::Kind;
use crate::instances::health::Alarm;
use crate::instances::machine::{Input, Phase};
use crate::instances::model::{AlertSettings, HealthSettings, HttpSettings, Instance, Kept, RestartSettings};
use crate::instances::observed::{Facts, Observed, Upstream};
use crate::store::table::Table;
use crate::telemetry::logs;

/// Lines of the log that go into the account of a crash, and how many characters of each: a node prints lines of any
/// length, and the store is for records of some kilobytes.
const LAST_LINES: usize = 12;
const LINE: usize = 400;

impl Actor {
    pub(super) async fn remember(&mut self, safe: bool) {
        if safe
            && matches!(
                self.machine.phase(),
                Phase::Waiting | Phase::Queued | Phase::Stopping
            )
        {
            let reason = self.reason.clone().unwrap_or_else(|| "was asked to".to_owned());
            let lines = self.last_lines().await;
            let text = format!("starts with its flows stopped: it {reason}");
            self.note(Kind::SafeMode, text, Some(json!({ "lastLines": lines })))
                .await;
        }
        let kept = Table::<Kept>::set(&self.record.record.id, &Kept { safe });
        let stored = match kept {
            Ok(batch) => self.shared.store.commit(batch).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            warn!(instance = self.id(), %error, "safe mode could not be remembered");
        }
    }

    pub(super) async fn tell_end(&mut self, exit: Option<&ExitRecord>, asked: bool) {
        let why = exit.map_or_else(|| "was lost together with its keeper".to_owned(), why);
        let oom = exit.and_then(|exit| exit.oom.as_ref());
        let kind = match (oom, asked) {
            (Some(_), _) => Kind::OutOfMemory,
            (None, true) => Kind::Stopped,
            (None, false) => Kind::Crashed,
        };
        let lines: Vec<String> = if asked {
            Vec::new()
        } else {
            self.reason = Some(why.clone());
            self.last_lines().await
        };
        let text = if asked && oom.is_none() {
            "stopped".to_owned()
        } else {
            why
        };
        let mut detail = json!({ "exit": exit, "lastLines": lines });
        // They are events of their own.
        if let Some(exit) = detail["exit"].as_object_mut() {
            exit.remove("attempts");
        }
        self.note(kind, text, Some(detail)).await;
    }

    pub(super) async fn alarm(&mut self, alarm: Alarm) {
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        match alarm {
            Alarm::Blocked(time) => self.inquire(time),
            Alarm::Unblocked(time) => self.unblocked(time).await,
            Alarm::NotServing => self.note(Kind::Serving, "does not answer requests", None).await,
            Alarm::ServingAgain => self.note(Kind::Serving, "answers requests again", None).await,
            Alarm::Hung(time) => {
                let why = format!("hung: its event loop stood still for {}", seconds(time));
                self.hung(why).await;
            }
            Alarm::TooSlow(time) => {
                let why = format!("did not get its flows running within {}", seconds(time));
                self.hung(why).await;
            }
        }
    }

    /// The end of its log. Megabytes may have to be read for it, so not here.
    async fn last_lines(&self) -> Vec<String> {
        let log = self.place.log();
        let read = tokio::task::spawn_blocking(move || logs::tail(&log, LAST_LINES)).await;
        let lines = read.ok().and_then(Result::ok).unwrap_or_default();
        lines
            .into_iter()
            .map(|line| line.chars().take(LINE).collect())
            .collect()
    }

    pub(super) async fn hung(&mut self, mut why: String) {
        let lines = self.last_lines().await;
        let mut detail = json!({ "lastLines": lines });
        if let Some(stack) = self.end_inquiry().await {
            why = format!("{why}, held by {}", stack.holder());
            detail["stack"] = json!(stack.lines());
        }
        self.note(Kind::Hung, format!("{why}; it is killed"), Some(detail))
            .await;
        self.reason = Some(why);
        self.fell = true;
        self.feed(Input::Hung).await;
    }

    pub(super) fn publish(&mut self) {
        let state = self.machine.phase();
        let next = Observed {
            state,
            since_ms: 0,
            safe_mode: self.machine.safe(),
            place_in_queue: None,
            pid: self.life.as_ref().map(|life| life.running.record().init.pid),
            started_ms: self.life.as_ref().map(|life| life.running.record().started_ms),
            health: self.life.as_ref().map(|life| Facts {
                alive: !life.ending,
                turning: self.health.turning(),
                serving: self.health.serving(),
                flows: life.flows,
            }),
            reason: self.reason.clone(),
            crashes: self.machine.crashes(),
            restart_needed: self.life.is_some() && self.restart_needed(),
            walls: self
                .life
                .as_ref()
                .map_or_else(Vec::new, |life| life.walls.clone()),
            starts: self.starts,
            restarts: self.restarts,
            figures: self.life.as_ref().and_then(|life| life.account.figures()),
            groups: self
                .life
                .as_ref()
                .map_or_else(Vec::new, |life| life.running.record().cgroups.clone()),
        };
        let way = if self.machine.returns() {
            Upstream::Starting
        } else {
            Upstream::of(&next, &self.place.socket())
        };
        self.upstream.send_if_modified(|now| {
            let changed = *now != way;
            *now = way;
            changed
        });
        self.observed.send_if_modified(|now| {
            let since_ms = if now.state == next.state {
                now.since_ms
            } else {
                clock::now_ms()
            };
            let next = Observed { since_ms, ..next };
            let changed = *now != next;
            *now = next;
            changed
        });
    }

    /// Whether what runs was started with settings that are not those of now, but for what changes while it runs.
    pub(super) fn restart_needed(&self) -> bool {
        let Some(before) = &self.started_with else {
            return false;
        };
        let fixed = |instance: &Instance| {
            let mut settings = instance.settings.clone();
            let limits = &mut settings.limits;
            (limits.cpu_percent, limits.memory_mib, limits.tasks) = (0, 0, 0);
            settings.health = HealthSettings::default();
            settings.restart = RestartSettings::default();
            settings.shared.clear();
            settings.alerts = AlertSettings::default();
            settings.maintenance.clear();
            // The front judges who may come in; only what browsers are told of other origins is Node-RED's.
            settings.http = HttpSettings {
                cors_origins: settings.http.cors_origins,
                cors_methods: settings.http.cors_methods,
                ..HttpSettings::default()
            };
            settings.editor.dashboard_frames = false;
            (settings, instance.stack.clone(), instance.name.clone())
        };
        fixed(before) != fixed(&self.record.record)
    }

    pub(super) fn started_text(&self) -> String {
        let mode = if self.machine.safe() { " in safe mode" } else { "" };
        let pid = self
            .life
            .as_ref()
            .map_or(0, |life| life.running.record().init.pid);
        format!(
            "started{mode} as process {pid}, with {}",
            self.record.record.stack
        )
    }

    pub(super) async fn note(&self, kind: Kind, text: impl Into<String>, detail: Option<serde_json::Value>) {
        self.shared.events.note(self.id(), kind, text, detail).await;
    }
}
