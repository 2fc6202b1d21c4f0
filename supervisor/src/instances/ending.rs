//! Pure: how an instance ended, in words.

use runtime::record::ExitRecord;

/// Why it ended, as the end of a sentence: "Node-RED ...".
pub(crate) fn why(exit: &ExitRecord) -> String {
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
            attempts: Vec::new(),
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
