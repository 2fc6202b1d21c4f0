//! Looks at what the instances use of their limits, from time to time, and notes when that is much for long.

use std::collections::HashMap;
use std::time::Duration;

use runtime::sandbox::cgroup::Group;
use serde_json::json;
use tokio::time::Instant;
use tracing::warn;

use super::{Instances, View};
use crate::instances::events::{KEPT, Kind};
use crate::instances::load::{Line, Load, Turn};
use crate::instances::machine::Phase as State;
use crate::instances::model::{AlertSettings, Settings};

/// How often the shortest window is looked at. A look at one instance reads four small files of the kernel.
const TICK: Duration = Duration::from_secs(1);

/// What is known of one run of an instance.
struct Watched {
    started_ms: Option<u64>,
    next: Instant,
    /// Time and processor time of the last look, in microseconds.
    cpu_us: Option<(Instant, u64)>,
    cpu: Load,
    memory: Load,
}

/// What an instance used between two looks, in percent of its limits.
struct Used {
    cpu: Option<f64>,
    memory: Option<f64>,
}

impl Instances {
    /// Looks for ever; whoever runs this ends it.
    pub async fn watch_loads(&self) {
        let begun = Instant::now();
        let mut all: HashMap<String, Watched> = HashMap::new();
        loop {
            tokio::time::sleep(TICK).await;
            let views = match self.list() {
                Ok(views) => views,
                Err(problem) => {
                    warn!(%problem, "what instances use is not looked at");
                    continue;
                }
            };
            all.retain(|id, _| views.iter().any(|view| view.id == *id));
            for view in views {
                self.look(&mut all, &view, begun).await;
            }
        }
    }

    async fn look(&self, all: &mut HashMap<String, Watched>, view: &View, begun: Instant) {
        let now = Instant::now();
        let started_ms = view.observed.started_ms;
        if view.observed.state != State::Running {
            // Frozen, starting or gone: what it uses then says nothing of its flows.
            all.remove(&view.id);
            return;
        }
        let known = all.entry(view.id.clone()).or_insert_with(|| Watched {
            started_ms,
            next: now,
            cpu_us: None,
            cpu: Load::new(self.was_high(&view.id, Kind::Cpu)),
            memory: Load::new(self.was_high(&view.id, Kind::Memory)),
        });
        if known.started_ms != started_ms {
            *known = Watched {
                started_ms,
                next: now,
                cpu_us: None,
                cpu: Load::default(),
                memory: Load::default(),
            };
        }
        if known.next > now {
            return;
        }
        let Ok(record) = self.record(&view.id) else { return };
        let settings = record.record.settings;
        let window = Duration::from_secs(settings.alerts.load_for_s.into());
        let line = |percent: u32| Line {
            percent: f64::from(percent),
            window,
        };
        known.next = now + line(0).every().max(TICK);
        let groups = view.observed.groups.clone();
        let read = tokio::task::spawn_blocking(move || {
            let group = Group::from_paths(&groups).ok()?;
            Some((group.stats().cpu_us, group.memory_in_use()))
        });
        let Ok(Some((cpu_us, memory))) = read.await else {
            return;
        };
        let used = known.used(now, cpu_us, memory, &settings);
        let at = now.saturating_duration_since(begun);
        let AlertSettings {
            cpu_percent,
            memory_percent,
            ..
        } = settings.alerts;
        let cpu = used
            .cpu
            .and_then(|used| known.cpu.sample(at, used, line(cpu_percent)));
        let memory = used
            .memory
            .and_then(|used| known.memory.sample(at, used, line(memory_percent)));
        let limit = settings.limits.cpu_percent;
        self.turned(
            &view.id,
            Kind::Cpu,
            cpu,
            window,
            &format!("processor limit of {limit} % of a core"),
        )
        .await;
        let limit = settings.limits.memory_mib;
        self.turned(
            &view.id,
            Kind::Memory,
            memory,
            window,
            &format!("memory limit of {limit} MiB"),
        )
        .await;
    }

    /// Whether the last that was told of this load was that it is high. A new supervisor goes on from there.
    fn was_high(&self, id: &str, kind: Kind) -> bool {
        let events = self.events(id, None, KEPT).unwrap_or_default();
        let mut last = events.iter().rev();
        // A run that is over has taken its load with it.
        let last = last.find(|(_, event)| event.kind == kind || event.kind == Kind::Started);
        last.is_some_and(|(_, event)| {
            event.kind == kind && event.detail.as_ref().is_some_and(|detail| detail["high"] == true)
        })
    }

    async fn turned(&self, id: &str, kind: Kind, turn: Option<Turn>, window: Duration, limit: &str) {
        let (high, percent) = match turn {
            None => return,
            Some(Turn::High(percent)) => (true, percent),
            Some(Turn::Normal(percent)) => (false, percent),
        };
        let seconds = window.as_secs();
        let over = match seconds {
            0..120 => format!("{seconds} seconds"),
            _ => format!("{} minutes", seconds / 60),
        };
        let text = match high {
            true => format!("uses {percent:.0} % of its {limit}, on average over {over}"),
            false => format!("uses {percent:.0} % of its {limit} again, on average over {over}"),
        };
        let detail = json!({ "high": high, "percent": percent.round() });
        self.shared.events.note(id, kind, text, Some(detail)).await;
    }
}

impl Watched {
    fn used(&mut self, now: Instant, cpu_us: Option<u64>, memory: Option<u64>, settings: &Settings) -> Used {
        let limits = &settings.limits;
        let percent = |used: f64, limit: f64| (limit > 0.0).then(|| 100.0 * used / limit);
        let before = std::mem::replace(&mut self.cpu_us, cpu_us.map(|used| (now, used)));
        let cpu = before.zip(cpu_us).and_then(|((at, before), after)| {
            let passed = now.saturating_duration_since(at).as_secs_f64();
            let used = after.saturating_sub(before) as f64 / 1e6;
            let cores = f64::from(limits.cpu_percent) / 100.0;
            percent(used, cores * passed)
        });
        let memory = memory.and_then(|used| percent(used as f64, f64::from(limits.memory_mib) * 1_048_576.0));
        Used { cpu, memory }
    }
}
