//! Pure: how an instance ended, in words, and whether it is started again.

use std::time::Duration;

use runtime::record::ExitRecord;

/// Crashes within [`WINDOW`] after which it stays down: something crashes it every time.
const LOOP: usize = 4;
const WINDOW: Duration = Duration::from_secs(120);

/// What to do after an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Start it again after this wait.
    Restart(Duration),
    /// It would crash again.
    GiveUp,
}

/// The crashes of one `redhold dev`.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    at: Vec<Duration>,
}

impl Crashes {
    /// Decides after a crash at `now` (since any fixed moment). One that never got its flows running would not get
    /// further the next time; one that ran for long gets a fresh start.
    pub(super) fn next(&mut self, now: Duration, was_ready: bool) -> Next {
        if !was_ready {
            return Next::GiveUp;
        }
        self.at.retain(|at| now.saturating_sub(*at) < WINDOW);
        self.at.push(now);
        if self.at.len() >= LOOP {
            return Next::GiveUp;
        }
        let doubled = u32::try_from(self.at.len() - 1).unwrap_or(u32::MAX);
        Next::Restart(Duration::from_millis(500) * 2_u32.saturating_pow(doubled))
    }
}

/// Why it ended, as the end of a sentence: "Node-RED ...".
pub(super) fn why(exit: &ExitRecord) -> String {
    if let Some(oom) = &exit.oom {
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        let limit = oom
            .limit
            .map_or_else(String::new, |limit| format!(" of {}", mib(limit)));
        let peak = oom.peak.or(exit.memory_peak);
        let peak = peak.map_or_else(String::new, |peak| format!(" (it had {})", mib(peak)));
        return format!("ran out of its memory{limit}{peak}");
    }
    match (exit.code, exit.signal) {
        (Some(0), _) => "ended by itself".to_owned(),
        // V8 aborts when its heap is full; a shell would call that 134.
        (Some(134), _) | (_, Some(6)) => "aborted, most often because its heap was full".to_owned(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (_, Some(signal)) => format!("was killed by {}", signal_name(signal)),
        (None, None) => "is gone, and nobody saw how".to_owned(),
    }
}

/// What a person can do about it.
pub(super) fn advice(exit: &ExitRecord) -> &'static str {
    if exit.oom.is_some() || exit.signal == Some(6) || exit.code == Some(134) {
        "give it more with --memory, or start with --safe and look for the flow that needs so much"
    } else {
        "start with --safe to open the editor with the flows stopped"
    }
}

fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(
        |_| format!("signal {signal}"),
        |known| format!("{known} (signal {signal})"),
    )
}

#[cfg(test)]
mod tests {
    use runtime::record::OomRecord;

    use super::*;

    #[test]
    fn crashes_that_follow_each_other_end_it() {
        let mut crashes = Crashes::default();
        let at = Duration::from_secs;
        assert_eq!(
            crashes.next(at(0), true),
            Next::Restart(Duration::from_millis(500))
        );
        assert_eq!(crashes.next(at(5), true), Next::Restart(Duration::from_secs(1)));
        assert_eq!(crashes.next(at(9), true), Next::Restart(Duration::from_secs(2)));
        assert_eq!(crashes.next(at(20), true), Next::GiveUp);
        assert_eq!(
            crashes.next(at(900), true),
            Next::Restart(Duration::from_millis(500))
        );
        assert_eq!(crashes.next(at(1900), false), Next::GiveUp);
    }

    #[test]
    fn each_end_has_its_words() {
        let base = ExitRecord {
            id: "x".to_owned(),
            code: None,
            signal: None,
            oom: None,
            stopping: false,
            started_ms: 0,
            ended_ms: 0,
            cpu_us: None,
            memory_peak: None,
        };
        let oom = OomRecord {
            kills: 1,
            limit: Some(256 << 20),
            peak: Some(256 << 20),
        };
        for (exit, said) in [
            (
                ExitRecord {
                    code: Some(1),
                    ..base.clone()
                },
                "ended with exit code 1",
            ),
            (
                ExitRecord {
                    signal: Some(9),
                    ..base.clone()
                },
                "was killed by SIGKILL (signal 9)",
            ),
            (
                ExitRecord {
                    signal: Some(9),
                    oom: Some(oom),
                    ..base.clone()
                },
                "ran out of its memory of 256 MiB (it had 256 MiB)",
            ),
            (base, "is gone, and nobody saw how"),
        ] {
            assert_eq!(why(&exit), said);
        }
    }
}
