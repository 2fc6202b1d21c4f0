//! Reasons in what routes beside the editor and beside the flows let their callers do.
//!
//! Every route is asked with values that say that the caller chose them. Where such a value comes up in a command, in code or
//! in a path, whoever reaches the address decides about it.

use std::collections::BTreeSet;

use crate::report::{Reason, Verdict};
use crate::trace::{Event, Phase, Trace, What};

/// In every value that a caller gives; `caller` in the driver's plan.
const CHOSEN: &str = "chosen-by-caller";

/// The routes of one run that ask for a permission, as `GET /path`.
pub(super) struct Routes(BTreeSet<String>);

impl Routes {
    pub(super) fn of(trace: &Trace) -> Self {
        let guarded = trace.events.iter().filter_map(|event| match &event.what {
            What::RedAdminRoute {
                method,
                path,
                permission: Some(_),
            } => Some(format!("{method} {path}")),
            _ => None,
        });
        Self(guarded.collect())
    }

    /// What an event shows of the route in which it happens.
    pub(super) fn reason(&self, package: &str, event: &Event) -> Option<Reason> {
        let Phase::Admin(route) = &event.phase else {
            return None;
        };
        let chosen = |text: &str| text.contains(CHOSEN);
        let (rule, says, what, decides) = match &event.what {
            What::Spawn {
                command,
                arguments,
                shell,
                payload,
                ..
            } if payload.remote || chosen(command) || arguments.iter().any(|argument| chosen(argument)) => {
                let line = format!("{command} {}", arguments.join(" "));
                let line = line.trim().to_owned();
                // A value among others cannot become a command of its own, unless a shell reads it.
                let decides = *shell || chosen(command) || payload.remote;
                (
                    "admin.command",
                    format!("runs a command with what they say in it: `{line}`"),
                    line,
                    decides,
                )
            }
            What::Eval { how, payload, .. } if chosen(&payload.shown) => (
                "admin.command",
                format!("runs what they say as code ({how})"),
                how.clone(),
                true,
            ),
            What::FsRead { path, .. } if chosen(path) && !path.contains("node_modules") => (
                "admin.files",
                format!("reads a file that they name: {path}"),
                path.clone(),
                is_bare(path),
            ),
            What::FsWrite { path, .. } | What::FsDelete { path, .. } if chosen(path) => (
                "admin.files",
                format!("changes a file that they name: {path}"),
                path.clone(),
                is_bare(path),
            ),
            _ => return None,
        };
        let open = !self.is_guarded(route);
        let who = if open {
            "For anybody"
        } else {
            "For whoever has the permission"
        };
        let mut reason = Reason::about(rule, package)
            .says(format!("{who} who asks for {route}, it {says}."))
            .fact("what", what)
            .fact("route", route.as_str());
        if !(open && decides) {
            reason.severity = Verdict::Review;
        }
        Some(reason)
    }

    /// Routes are asked under a shortened path, and `ALL` under a method.
    fn is_guarded(&self, route: &str) -> bool {
        let path = route.split_once(' ').map_or(route, |(_, path)| path);
        self.0.contains(route) || self.0.contains(&format!("ALL {path}"))
    }
}

/// Whether the caller's text is the whole path: nothing stands before it but the folder that every bare name is in.
fn is_bare(path: &str) -> bool {
    path.strip_prefix("/data/")
        .or_else(|| path.strip_prefix('/'))
        .is_some_and(|rest| rest.starts_with(CHOSEN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{End, Payload};

    fn spawned(route: &str, command: &str, shell: bool) -> Event {
        Event {
            at: 0,
            phase: Phase::Admin(route.to_owned()),
            site: None,
            callers: Vec::new(),
            what: What::Spawn {
                command: command.to_owned(),
                arguments: Vec::new(),
                shell,
                detached: false,
                payload: Payload {
                    bytes: 0,
                    digest: String::new(),
                    shown: String::new(),
                    secrets: Vec::new(),
                    remote: false,
                },
            },
        }
    }

    #[test]
    fn who_may_ask_and_what_they_decide() {
        let guard = Event {
            what: What::RedAdminRoute {
                method: "GET".to_owned(),
                path: "/guarded".to_owned(),
                permission: Some("x.read".to_owned()),
            },
            ..spawned("", "", false)
        };
        let trace = Trace {
            run: "base".to_owned(),
            events: vec![guard],
            end: End::Done,
            fuel: 0,
            memory: 0,
            loaded: Vec::new(),
            covered: Vec::new(),
        };
        let routes = Routes::of(&trace);
        let severity = |route: &str, command: &str, shell| {
            let reason = routes.reason("x@1.0.0", &spawned(route, command, shell))?;
            Some((reason.rule, reason.severity))
        };
        let rule = |severity| Some(("admin.command".to_owned(), severity));
        assert_eq!(
            severity("GET /x", "chosen-by-caller-c", false),
            rule(Verdict::Refused)
        );
        assert_eq!(
            severity("GET /x", "ping chosen-by-caller-host", true),
            rule(Verdict::Refused)
        );
        assert_eq!(
            severity("GET /guarded", "chosen-by-caller-c", true),
            rule(Verdict::Review)
        );
        assert_eq!(severity("GET /x", "date", true), None);
    }
}
