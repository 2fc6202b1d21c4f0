//! The living process: taken over, listened to, waited for.

use std::time::Duration;

use runtime::record::{Event as Heard, ExitRecord};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::Instant;
use tracing::warn;

use super::{Actor, Life};
use crate::instances::events::{KEPT, Kind};
use crate::instances::figures::Account;
use crate::instances::health::Health;
use crate::instances::job::{self, Listening};
use crate::instances::machine::{Input, Phase};
use crate::instances::messages::{self, Flows};
use crate::instances::stack;

/// Events that the guest's own words may make within some time; the rest of them is not noted.
const SAID: u32 = 60;
const SAID_WITHIN: Duration = Duration::from_secs(60);

/// What was full before a supervisor came is full then too, and soon told.
const FIRST_MEASURE: Duration = Duration::from_secs(2);

impl Actor {
    /// Takes a living process over.
    pub(super) fn live(&mut self, listening: Listening, flows: bool) {
        let Listening {
            running,
            events,
            disk,
        } = listening;
        let Ok(events) = UnixStream::from_std(events) else {
            // Without an event loop there is no actor.
            return;
        };
        self.health = Health::starting(self.now());
        if flows {
            self.health.started();
        }
        self.probe = None;
        self.served = None;
        self.measure = Some(Instant::now() + FIRST_MEASURE);
        let known = self.life.take().map(|life| life.walls).unwrap_or_default();
        let disk = disk
            .map(|disk| *disk)
            .or_else(|| known.into_iter().find(|wall| wall.name == "disk"));
        let mut walls = running.record().levels.clone();
        walls.extend(disk);
        self.life = Some(Life {
            walls,
            running,
            events: BufReader::new(events).lines(),
            ending: false,
            oom: None,
            flows,
            account: Account::default(),
            started: self.now(),
            thawed: None,
            said: (self.now(), 0),
            attempts: None,
        });
    }

    pub(super) async fn adopt(&mut self, listening: Listening) {
        let status = {
            let running = listening.running.clone();
            tokio::task::spawn_blocking(move || running.status()).await
        };
        let state = match &status {
            Ok(Ok(status)) => status.guest_state.as_ref().and_then(messages::flows),
            _ => None,
        };
        let ready = matches!(
            state,
            Some(Flows::Run | Flows::Safe | Flows::Missing(_) | Flows::Stopped)
        );
        let frozen = listening.running.is_frozen();
        let pid = listening.running.record().init.pid;
        self.started_with = job::started_with(&self.place);
        self.live(listening, matches!(state, Some(Flows::Run)));
        if ready {
            self.health.started();
            self.probe = Some(Instant::now());
        }
        self.limit();
        self.remember_stage();
        self.note(Kind::Adopted, format!("was found alive as process {pid}"), None)
            .await;
        self.feed(Input::Adopted { ready, frozen }).await;
    }

    /// It ended while no supervisor was there.
    pub(super) async fn missed(&mut self, exit: Option<ExitRecord>) {
        if let Some(exit) = exit {
            let known = self.shared.events.list(self.id(), None, KEPT).unwrap_or_default();
            let told = known.iter().rev().any(|(_, event)| {
                let detail = event.detail.as_ref();
                detail.and_then(|detail| detail["exit"]["ended_ms"].as_u64()) == Some(exit.ended_ms)
            });
            if !told {
                self.last_attempts(&exit).await;
                self.tell_end(Some(&exit), exit.stopping).await;
            }
            // Where there was no record, a keeper that is about to write one may be at work.
            self.forget_run();
        }
    }

    pub(super) fn forget_run(&self) {
        if let Err(error) = runtime::process::forget(&self.place.run()) {
            warn!(instance = self.id(), %error, "the records of its run could not be removed");
        }
    }

    /// Hears no more of it: its keeper has `told` its end, or the connection broke.
    pub(super) fn wait_for_end(&mut self, told: bool) {
        if let Some(life) = &mut self.life
            && !std::mem::replace(&mut life.ending, true)
        {
            self.jobs.spawn(job::end(life.running.clone(), told));
        }
    }

    pub(super) async fn ended(&mut self, exit: Option<ExitRecord>) {
        let asked = self.machine.phase() == Phase::Stopping;
        if self.life.take().is_none() {
            return;
        }
        self.probe = None;
        self.fell |= !asked;
        self.end_inquiry().await;
        if let Some(exit) = &exit {
            self.last_attempts(exit).await;
        }
        // Noted before the record of it goes: a supervisor that dies between the two reads it again.
        self.tell_end(exit.as_ref(), asked).await;
        self.forget_run();
        self.feed(Input::Ended).await;
    }

    pub(super) async fn heard(&mut self, event: Heard) {
        match event {
            Heard::Guest { message } => {
                if message["type"] == "deploy" {
                    if self.may_say() {
                        let detail = json!({ "revision": messages::revision(&message) });
                        self.note(Kind::Deployed, "flows were deployed", Some(detail))
                            .await;
                    }
                    self.feed(Input::Deployed).await;
                } else if message["type"] == "memory" {
                    let now = self.now();
                    if let Some(life) = &mut self.life {
                        life.account.take(&message, now);
                    }
                } else if message["type"] == "npm" {
                    self.npm(&message);
                } else if let Some(stack) = stack::read(&message) {
                    self.answered(stack).await;
                } else if let Some(flows) = messages::flows(&message) {
                    self.flows(flows).await;
                }
            }
            Heard::Stuck { silent_ms } if self.machine.phase() != Phase::Suspended => {
                let now = self.now();
                let thawed = self.life.as_ref().and_then(|life| life.thawed);
                let most = thawed.map_or(Duration::MAX, |at| now.saturating_sub(at));
                let silent = (silent_ms > 0).then(|| Duration::from_millis(silent_ms).min(most));
                if let Some(alarm) = self.health.beat(now, silent) {
                    self.alarm(alarm).await;
                }
            }
            Heard::Stuck { .. } => {}
            Heard::Oom(oom) => {
                if let Some(life) = &mut self.life {
                    life.oom = Some(oom);
                }
            }
            Heard::Attempt(attempt) => self.attempted(attempt).await,
            Heard::Exit(_) => self.wait_for_end(true),
        }
    }

    /// Whether what the guest says is noted: each event is a write to the disk that all share.
    fn may_say(&mut self) -> bool {
        let now = self.now();
        let Some(life) = &mut self.life else { return false };
        let (since, count) = &mut life.said;
        if now.saturating_sub(*since) >= SAID_WITHIN {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= SAID
    }

    pub(super) async fn flows(&mut self, flows: Flows) {
        let now = self.now();
        let Some(life) = &mut self.life else { return };
        let run = matches!(flows, Flows::Run);
        let took = now.saturating_sub(life.started);
        let before = std::mem::replace(&mut life.flows, run);
        let first = self.machine.phase() == Phase::Starting;
        let (kind, text) = match flows {
            Flows::Run if first => (
                Kind::Ready,
                format!("its flows run, {:.1} s after its start", took.as_secs_f64()),
            ),
            Flows::Run if before => (Kind::Ready, String::new()),
            Flows::Run => (Kind::Ready, "its flows run".to_owned()),
            Flows::Safe => (
                Kind::NotReady,
                "safe mode: its flows start with the next deploy".to_owned(),
            ),
            Flows::Stopped => (Kind::NotReady, "its flows were stopped".to_owned()),
            Flows::Missing(names) => (
                Kind::NotReady,
                format!("its flows wait for what is not installed: {}", names.join(", ")),
            ),
            Flows::Failed(why) => (
                Kind::NotReady,
                format!("its flows failed: {}", why.lines().next().unwrap_or_default()),
            ),
        };
        self.reason = (!run).then(|| text.clone());
        if self.machine.phase() == Phase::Stopping || text.is_empty() {
            return;
        }
        self.health.started();
        if first || self.may_say() {
            self.note(kind, text, None).await;
        }
        if first {
            self.probe = Some(Instant::now());
            self.feed(Input::Ready).await;
        }
    }
}
