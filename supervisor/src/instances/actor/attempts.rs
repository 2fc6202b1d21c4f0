//! What the program tried and may not do, as events. The keeper counts and tells seldom; what it tells again to a new
//! supervisor is not noted twice.

use std::collections::BTreeMap;

use runtime::record::{Attempt, Attempted, ExitRecord};
use runtime::traffic::Target;
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
        Attempted::RawSocket => Some("net.raw".to_owned()),
        Attempted::Name | Attempted::Connect => {
            let host = host(&attempt.name);
            host.parse::<Target>()
                .is_ok()
                .then(|| format!("net.connect{{{host}}}"))
        }
        Attempted::Socket | Attempted::Closed | Attempted::Others => None,
    }
}

/// Of a destination, without port and protocol.
fn host(name: &str) -> &str {
    let name = name.strip_suffix("/udp").unwrap_or(name);
    match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((six, _)) => six,
        None => name.split_once(':').map_or(name, |(host, _)| host),
    }
}

fn text(attempt: &Attempt, instance: &str) -> String {
    let name = &attempt.name;
    let what = match attempt.what {
        Attempted::Execute => format!("start {name}"),
        Attempted::RawSocket => format!("make a raw socket ({name})"),
        Attempted::Socket => format!("make a socket of the family {name}"),
        Attempted::Name => format!("look up {name}"),
        Attempted::Connect | Attempted::Closed => format!("reach {name}"),
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
    let why = match attempt.what {
        Attempted::Name | Attempted::Connect => ", which neither a report nor its flows name",
        Attempted::Closed => ", where its network does not lead",
        Attempted::Socket => ", which nobody gets here",
        _ => ", for which nothing was vetted",
    };
    let advice = match (capability(attempt), attempt.what) {
        (Some(word), _) => format!("; `redhold instance allow {instance} {word}` if it should"),
        (None, Attempted::Closed) => {
            "; `network.allow` in its settings says what it reaches, if it should".to_owned()
        }
        (None, _) => String::new(),
    };
    format!("tried{often} to {what}{who}{why}; it {outcome}{advice}")
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
            raw.contains("raw socket (icmp)") && raw.contains("net.raw"),
            "{raw}"
        );
    }

    #[test]
    fn hosts_are_told_with_what_would_allow_them() {
        for (what, name, word) in [
            (Attempted::Name, "a.example", Some("net.connect{a.example}")),
            (
                Attempted::Connect,
                "a.example:443",
                Some("net.connect{a.example}"),
            ),
            (
                Attempted::Connect,
                "10.0.0.1:53/udp",
                Some("net.connect{10.0.0.1}"),
            ),
            (
                Attempted::Connect,
                "[2001:db8::1]:53",
                Some("net.connect{2001:db8::1}"),
            ),
            (Attempted::Name, "x;y.example", None),
            (Attempted::Closed, "169.254.169.254:80", None),
            (Attempted::Socket, "packet", None),
        ] {
            assert_eq!(capability(&attempt(what, name)).as_deref(), word, "{name}");
        }
        let said = text(&attempt(Attempted::Connect, "a.example:443"), "pump");
        assert_eq!(
            said,
            "tried to reach a.example:443, which neither a report nor its flows name; it was let through; \
             `redhold instance allow pump net.connect{a.example}` if it should"
        );
        let said = text(&attempt(Attempted::Closed, "169.254.169.254:80"), "pump");
        assert!(
            said.contains("does not lead") && said.contains("network.allow"),
            "{said}"
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
