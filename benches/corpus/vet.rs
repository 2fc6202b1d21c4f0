//! Runs `redhold vet` on a package, and measures it from outside.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::bench::{asked_for, processes};
use test_support::data;
use test_support::eventually::let_pass;

use crate::case::{Case, Kind};

/// Between two looks at the memory of the processes. Each look reads their own high-water marks.
const LOOK: Duration = Duration::from_millis(15);

/// Where vetting takes place.
pub(crate) struct Bench {
    data: PathBuf,
    registry: String,
}

/// What came of a package.
pub(crate) struct Looked {
    /// `trusted`, `review`, `refused`, or what went wrong.
    pub(crate) verdict: String,
    /// Rule, what counts and what is said, of reasons that count.
    pub(crate) reasons: Vec<Reason>,
    pub(crate) seconds: f64,
    pub(crate) mebibytes: f64,
    /// Whether both reports were equal.
    pub(crate) equal: bool,
    pub(crate) registered: u64,
    pub(crate) fed: u64,
    pub(crate) coverage: Option<u64>,
    pub(crate) integrity: String,
}

#[derive(Clone)]
pub(crate) struct Reason {
    pub(crate) rule: String,
    pub(crate) counts_as: String,
    pub(crate) says: String,
}

struct Run {
    text: Value,
    seconds: f64,
    mebibytes: f64,
}

impl Bench {
    /// In a data directory that is kept, so that real packages are fetched once.
    pub(crate) fn new(registry: String) -> Self {
        Self {
            data: data::shared().join("corpus"),
            registry,
        }
    }

    pub(crate) fn look(&self, case: &Case) -> Looked {
        // `--single`: a look while rules change. Nothing is known about repetition then.
        let fresh = self.run(case, false);
        let (first, second) = if asked_for("--single") {
            (None, fresh)
        } else {
            (Some(fresh), self.run(case, true))
        };
        let result = &second.text[0];
        let reasons = result["decision"]["reasons"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Looked {
            verdict: result["decision"]["verdict"]
                .as_str()
                .map_or_else(|| second.text["said"].to_string(), str::to_owned),
            reasons: reasons
                .map(|reason| Reason {
                    rule: text(&reason["rule"]),
                    counts_as: text(&reason["counts_as"]),
                    says: text(&reason["says"]),
                })
                .filter(|reason| reason.counts_as != "trusted")
                .collect(),
            seconds: second.seconds,
            mebibytes: second.mebibytes,
            equal: first.is_none_or(|first| first.text == second.text),
            registered: result["report"]["tried"]["registered"].as_u64().unwrap_or(0),
            fed: result["report"]["tried"]["fed"].as_u64().unwrap_or(0),
            coverage: result["report"]["coverage"].as_u64(),
            integrity: text(&result["report"]["integrity"]),
        }
    }

    fn run(&self, case: &Case, cached: bool) -> Run {
        let mut command = Command::new(data::binary());
        command.args(["vet", "--json", "--data-dir"]).arg(&self.data);
        if cached {
            command.arg("--offline");
        }
        if case.kind != Kind::Real {
            command.env("npm_config_registry", &self.registry);
        }
        let start = Instant::now();
        let mut child = command
            .arg(&case.spec)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("redhold vet");
        let (pid, ended) = (child.id().cast_signed(), AtomicBool::new(false));
        let mut out = Vec::new();
        let mebibytes = thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut most: f64 = 0.0;
                while !ended.load(Ordering::Relaxed) {
                    most = most.max(processes::tree(pid).into_iter().map(high_water).sum());
                    let_pass(LOOK);
                }
                most
            });
            let mut stdout = child.stdout.take().expect("its output");
            let _ = stdout.read_to_end(&mut out);
            ended.store(true, Ordering::Relaxed);
            watch.join().expect("a watch")
        });
        let seconds = start.elapsed().as_secs_f64();
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            let _ = stderr.read_to_string(&mut said);
        }
        let _ = child.wait();
        let text = serde_json::from_slice(&out).unwrap_or_else(|_| serde_json::json!({ "said": said }));
        Run {
            text,
            seconds,
            mebibytes,
        }
    }
}

/// The most memory that a process had at once, in MiB.
fn high_water(pid: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    number.unwrap_or(0.0) / 1024.0
}
