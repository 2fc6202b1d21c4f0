//! What the editor's palette asks of npm: done outside, one request at a time, and answered when it is done.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Actor;
use crate::instances::job;
use crate::instances::npm;
use crate::instances::request::{self, Answer, Request};

/// The guest says each request again from time to time. One that says it all the time is not answered as often.
const LEAST_BETWEEN: Duration = Duration::from_millis(500);

impl Actor {
    /// A request of the guest, perhaps said again.
    pub(super) fn npm(&mut self, message: &Value) {
        if self.heard_at.is_some_and(|at| at.elapsed() < LEAST_BETWEEN) {
            return;
        }
        self.heard_at = Some(Instant::now());
        let palette = &self.settings().palette;
        let Some(request) = Request::read(message).filter(|request| request.is_granted(palette)) else {
            self.tell_guest(request::refusal(message));
            return;
        };
        let answered = self.answered.as_ref().filter(|answer| answer.id == request.id);
        if let Some(answer) = answered {
            self.tell_guest(answer.message.clone());
            return;
        }
        if self.installing.as_ref().is_some_and(|id| *id != request.id) {
            // It is said again when the one before is done.
            return;
        }
        self.tell_guest(json!({ "op": "npm", "id": request.id, "busy": true }));
        if self.installing.is_none() {
            self.installing = Some(request.id.clone());
            let job = npm::serve(
                self.shared.clone(),
                self.record.record.clone(),
                self.errands.clone(),
                request,
            );
            self.jobs.spawn(job);
        }
    }

    /// npm has done it.
    pub(super) fn npm_done(&mut self, answer: Answer) {
        self.installing = None;
        self.tell_guest(answer.message.clone());
        self.answered = Some(answer);
    }

    fn tell_guest(&mut self, message: Value) {
        if let Some(life) = &self.life {
            let running = life.running.clone();
            self.jobs.spawn(job::ask(move || running.tell(message)));
        }
    }
}
