//! A blocked event loop: what holds it is asked for, and told together with the alarm.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::Actor;
use crate::instances::events::Kind;
use crate::instances::health::ANSWER;
use crate::instances::job;
use crate::instances::stack::Stack;

/// What is known of a loop that stands still.
pub(super) struct Inquiry {
    silent: Duration,
    /// Until when the alarm waits; none once it was given.
    pub(super) until: Option<Instant>,
    stack: Option<Stack>,
    /// The stack came when the alarm was given already: maybe only when the loop was about to turn again.
    late: bool,
}

impl Actor {
    /// The loop has stood still for so long that somebody should know.
    pub(super) fn inquire(&mut self, silent: Duration) {
        let Some(life) = &self.life else { return };
        self.jobs.spawn(job::diagnose(life.running.clone()));
        self.inquiry = Some(Inquiry {
            silent,
            until: Some(Instant::now() + ANSWER),
            stack: None,
            late: false,
        });
    }

    /// The program says what holds its loop. Told only to those who asked: anybody inside may say it at any time.
    pub(super) async fn answered(&mut self, stack: Stack) {
        if let Some(inquiry) = &mut self.inquiry
            && inquiry.stack.is_none()
        {
            inquiry.stack = Some(stack);
            inquiry.late = inquiry.until.is_none();
            self.tell_blocked("").await;
        }
    }

    /// Gives the alarm, if it was not given yet; `why` there is no stack, where there is none.
    pub(super) async fn tell_blocked(&mut self, why: &str) {
        let Some(inquiry) = self.inquiry.as_mut() else {
            return;
        };
        if inquiry.until.take().is_none() {
            return;
        }
        let silent = inquiry.silent.as_secs_f64();
        let stood = format!("its event loop has stood still for {silent:.1} s");
        let (text, detail) = match &inquiry.stack {
            Some(stack) => (
                format!("{stood}, held by {}", stack.holder()),
                json!({ "stack": stack.lines() }),
            ),
            None => (
                format!("{stood}: a flow keeps it busy; which is not known, because {why}"),
                json!({ "noStack": why }),
            ),
        };
        self.note(Kind::Blocked, text, Some(detail)).await;
    }

    /// The time to wait for an answer may be over.
    pub(super) async fn inquiry_due(&mut self, now: Instant) {
        let until = self.inquiry.as_ref().and_then(|inquiry| inquiry.until);
        if until.is_some_and(|until| until <= now) {
            self.tell_blocked(
                "it did not answer: it waits outside of its own code, or gets no processor time",
            )
            .await;
        }
    }

    /// It turns again.
    pub(super) async fn unblocked(&mut self, silent: Duration) {
        let late = self.inquiry.as_ref().is_some_and(|inquiry| inquiry.late);
        let stack = self.end_inquiry().await.filter(|_| late);
        let mut text = format!("its event loop turns again after {:.1} s", silent.as_secs_f64());
        if let Some(stack) = &stack {
            text = format!("{text}; it came out of {}", stack.holder());
        }
        let detail = stack.map(|stack| json!({ "stack": stack.lines() }));
        self.note(Kind::Unblocked, text, detail).await;
    }

    /// It is over, one way or the other; what was known in the end.
    pub(super) async fn end_inquiry(&mut self) -> Option<Stack> {
        self.tell_blocked("that was over before it could answer").await;
        self.inquiry.take()?.stack
    }
}
