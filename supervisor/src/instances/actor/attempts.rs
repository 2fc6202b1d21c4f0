//! What the program tried and may not do, as events. The keeper counts and tells seldom; what it tells again to a new
//! supervisor is not noted twice.

use std::collections::BTreeMap;

use runtime::record::{Attempt, Attempted, ExitRecord};
use serde_json::json;

use super::Actor;
use crate::instances::events::{KEPT, Kind};

/// What was noted of a run: how often each thing had been tried by then.
pub(super) type Noted = BTreeMap<(Attempted, String), u64>;

impl Actor {
    /// The keeper tells of one.
    pub(super) async fn attempted(&mut self, attempt: Attempt) {
        let Some(life) = &self.life else { return };
        let run_ms = life.running.record().started_ms;
        let mut noted = match self.life.as_mut().and_then(|life| life.attempts.take()) {
            Some(noted) => noted,
            None => self.noted_attempts(run_ms),
        };
        self.note_attempt(&attempt, run_ms, &mut noted).await;
        if let Some(life) = &mut self.life {
            life.attempts = Some(noted);
        }
    }

    /// Its end tells how often all of it was; also of what nobody was there to hear of.
    pub(super) async fn last_attempts(&self, exit: &ExitRecord) {
        if exit.attempts.is_empty() {
            return;
        }
        let mut noted = self.noted_attempts(exit.started_ms);
        for attempt in &exit.attempts {
            self.note_attempt(attempt, exit.started_ms, &mut noted).await;
        }
    }

    async fn note_attempt(&self, attempt: &Attempt, run_ms: u64, noted: &mut Noted) {
        let key = (attempt.what, attempt.name.clone());
        if noted.get(&key).is_some_and(|count| *count >= attempt.count) {
            return;
        }
        let detail = json!({ "attempt": attempt, "runMs": run_ms, "capability": capability(attempt) });
        self.note(
            Kind::Attempted,
            text(attempt, &self.record.record.name),
            Some(detail),
        )
        .await;
        noted.insert(key, attempt.count);
    }

    /// By the events themselves, so that a supervisor that was killed leaves nothing open.
    fn noted_attempts(&self, run_ms: u64) -> Noted {
        let events = self.shared.events.list(self.id(), None, KEPT).unwrap_or_default();
        let mut noted = Noted::new();
        for (_, event) in events {
            let Some(detail) = event.detail.filter(|_| event.kind == Kind::Attempted) else {
                continue;
            };
            if detail["runMs"].as_u64() == Some(run_ms)
                && let Ok(attempt) = serde_json::from_value::<Attempt>(detail["attempt"].clone())
            {
                noted.insert((attempt.what, attempt.name), attempt.count);
            }
        }
        noted
    }
}

/// What would allow it, in the words of the settings.
fn capability(attempt: &Attempt) -> Option<String> {
    match attempt.what {
        Attempted::Execute => {
            let file = attempt.name.rsplit('/').next().unwrap_or_default();
            let plain = !file.is_empty() && !file.contains(['{', '}', '*', ' ']);
            plain.then(|| format!("proc.spawn{{{file}}}"))
        }
        Attempted::RawSocket => Some("code.native".to_owned()),
        Attempted::Others => None,
    }
}

fn text(attempt: &Attempt, instance: &str) -> String {
    let name = &attempt.name;
    let what = match attempt.what {
        Attempted::Execute => format!("start {name}"),
        Attempted::RawSocket => format!("make a raw socket ({name})"),
        Attempted::Others => format!("do {name}"),
    };
    let who = attempt
        .by
        .as_ref()
        .map_or_else(String::new, |by| format!(", by its own account for {by}"));
    let often = match attempt.count {
        1 => String::new(),
        count => format!(" {count} times"),
    };
    let outcome = match (attempt.refused, attempt.what) {
        (true, _) => "was refused",
        (false, Attempted::RawSocket) => "was left to the kernel, which allows it to nobody here",
        (false, _) => "was let through",
    };
    let advice = capability(attempt).map_or_else(String::new, |word| {
        format!("; `redhold instance allow {instance} {word}` if it should")
    });
    format!("tried{often} to {what}{who}, for which nothing was vetted; it {outcome}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(what: Attempted, name: &str) -> Attempt {
        Attempt {
            what,
            name: name.to_owned(),
            count: 1,
            first_ms: 1,
            last_ms: 1,
            refused: false,
            by: None,
        }
    }

    #[test]
    fn each_attempt_is_told_with_what_would_allow_it() {
        let mut one = attempt(Attempted::Execute, "/bin/sh");
        assert_eq!(
            text(&one, "pump"),
            "tried to start /bin/sh, for which nothing was vetted; it was let through; `redhold instance allow pump proc.spawn{sh}` if it should"
        );
        one.by = Some("node-red-contrib-x".to_owned());
        one.count = 100;
        one.refused = true;
        assert!(text(&one, "pump").starts_with(
            "tried 100 times to start /bin/sh, by its own account for node-red-contrib-x, for which nothing was vetted; it was refused;"
        ));
        let raw = text(&attempt(Attempted::RawSocket, "icmp"), "pump");
        assert!(
            raw.contains("raw socket (icmp)") && raw.contains("code.native"),
            "{raw}"
        );
    }

    #[test]
    fn what_no_setting_can_name_is_not_advised() {
        for name in ["/data/", "", "/data/a b", "/data/x{y}", "/data/*"] {
            assert_eq!(capability(&attempt(Attempted::Execute, name)), None, "{name}");
        }
        assert_eq!(capability(&attempt(Attempted::Others, "many")), None);
    }
}
