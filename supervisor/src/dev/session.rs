//! The running instance and the person in front of it: events, signals, crashes, the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::error::RequestError;
use runtime::process::Running;
use runtime::record::{Event, ExitRecord, Level as Wall, RunRecord, Strength};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::dev::ending::{self, Crashes, Next};
use crate::dev::launch::Launcher;
use crate::dev::log::{Follower, From};
use crate::dev::screen::{Ready, Said, Screen};
use crate::dev::signals::Signals;
use crate::instances::ending::why;
use crate::instances::messages::{self, Flows};
use crate::problem::{Code, Problem};
use crate::proxy::Upstream;
use crate::telemetry::line::{Level, Line};

/// How long a gentle stop may take before everything inside is killed.
const GRACE: Duration = Duration::from_secs(10);

/// What shows an address to the person.
pub(super) type Open<'a> = Box<dyn FnOnce(&str) + 'a>;

/// From the first instance to the last of one `redhold dev`.
pub(super) struct Session<'a> {
    pub(super) launcher: Launcher<'a>,
    pub(super) upstream: watch::Sender<Upstream>,
    pub(super) signals: Signals,
    pub(super) screen: Arc<dyn Screen>,
    pub(super) level: Level,
    pub(super) begun: Instant,
    pub(super) url: String,
    /// Called once, when flows run for the first time.
    pub(super) open: Option<Open<'a>>,
}

/// How one instance's life ended.
enum End {
    /// By the person.
    Asked,
    /// By the person, who did not want to wait.
    Killed,
    /// By itself.
    Crashed {
        exit: Option<ExitRecord>,
        was_ready: bool,
    },
}

/// What is known of the living instance.
struct Life {
    running: Running,
    events: Lines<BufReader<UnixStream>>,
    ready: bool,
    stopping: bool,
    killed: bool,
}

impl Session<'_> {
    /// Runs until the person ends it, or it cannot go on.
    pub(super) async fn run(mut self) -> Result<(), Problem> {
        let mut crashes = Crashes::default();
        let mut from = From::Start;
        let mut next = match self.launcher.adopt()? {
            Some(running) => {
                self.note("it was left running: took it over as it is");
                from = From::Now;
                running
            }
            None => self.start()?,
        };
        loop {
            let follower = self.follow(from)?;
            from = From::Now;
            let lived = self.live(next).await;
            let last_lines = follower.finish();
            match lived? {
                End::Asked => return Ok(()),
                End::Killed => return Err(Problem::new(Code::Interrupted, "stopped at once")),
                End::Crashed { exit, was_ready } => {
                    let why = exit
                        .as_ref()
                        .map_or_else(|| "is gone without a record".to_owned(), why);
                    match crashes.next(self.begun.elapsed(), was_ready) {
                        Next::GiveUp => return Err(gave_up(exit.as_ref(), &why, was_ready, &last_lines)),
                        Next::Restart(wait) => {
                            if !self.pause(&why, wait, &last_lines).await {
                                return Ok(());
                            }
                        }
                    }
                    next = self.start()?;
                }
            }
        }
    }

    fn start(&mut self) -> Result<Running, Problem> {
        self.upstream.send_replace(Upstream::Starting);
        self.launcher.start()
    }

    /// Waits before the next start; false when the person ends it meanwhile.
    async fn pause(&mut self, why: &str, wait: Duration, last_lines: &[String]) -> bool {
        let said = format!("Node-RED {why}; it starts again in {:.1} s", wait.as_secs_f64());
        self.screen.show(Said::Warning(&said));
        self.upstream.send_replace(Upstream::Down {
            title: "Node-RED crashed".to_owned(),
            detail: format!(
                "It {why} and starts again in a moment.\n\n{}",
                last_lines.join("\n")
            ),
        });
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = self.signals.next() => false,
        }
    }

    fn follow(&self, from: From) -> Result<Follower, Problem> {
        let (screen, least) = (self.screen.clone(), self.level);
        let show = move |line: Line| {
            if line.level >= least {
                screen.show(Said::Log(&line));
            }
        };
        Follower::start(&self.launcher.log(), from, show)
            .map_err(|error| Problem::io("cannot follow the log", error))
    }

    /// One instance, from its start to its end; nothing of it is left afterwards.
    async fn live(&mut self, running: Running) -> Result<End, Problem> {
        let mut life = Life {
            events: subscribe(&running)?,
            ready: false,
            stopping: false,
            killed: false,
            running,
        };
        let exit = loop {
            tokio::select! {
                line = life.events.next_line() => {
                    let Ok(Some(line)) = line else { break None };
                    let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
                    if let Some(exit) = self.heard(&mut life, event) {
                        break Some(exit);
                    }
                }
                () = self.signals.next() => self.asked(&mut life)?,
            }
        };
        let exit = match exit {
            // The event comes before the keeper has tidied up and left; the next start needs its place.
            Some(exit) => Some(life.running.wait().unwrap_or(exit)),
            None => self.launcher.lost()?,
        };
        life.running.forget().map_err(|error| {
            Problem::new(Code::Failed, "cannot clean up after the instance").because(error)
        })?;
        Ok(if life.killed {
            End::Killed
        } else if life.stopping {
            End::Asked
        } else {
            End::Crashed {
                exit,
                was_ready: life.ready,
            }
        })
    }

    /// A signal: the first asks, the second does not.
    fn asked(&mut self, life: &mut Life) -> Result<(), Problem> {
        let done = |answer| match answer {
            // It has ended by itself meanwhile; the event of that is on its way.
            Ok(()) | Err(RequestError::Gone { .. }) => Ok(()),
            Err(error) => Err(Problem::new(Code::Failed, "cannot stop Node-RED").because(error)),
        };
        if life.stopping {
            life.killed = true;
            return done(life.running.kill());
        }
        life.stopping = true;
        self.note("stopping Node-RED (Ctrl-C again stops it at once)");
        self.upstream.send_replace(Upstream::Down {
            title: "Node-RED is stopping".to_owned(),
            detail: "Start it again with `redhold dev`.".to_owned(),
        });
        done(life.running.stop(GRACE))
    }

    /// Something happened; gives the exit back when it was the last.
    fn heard(&mut self, life: &mut Life, event: Event) -> Option<ExitRecord> {
        match event {
            Event::Guest { message } => {
                if let Some(flows) = messages::flows(&message) {
                    self.flows(life, &flows);
                }
            }
            Event::Stuck { silent_ms: 0 } => self.note("Node-RED answers again"),
            Event::Stuck { silent_ms } => self.screen.show(Said::Warning(&format!(
                "Node-RED has not come to breathe for {} s: a flow keeps it busy\n  Ctrl-C twice stops it; with --safe it \
                 starts with the flows stopped, so that they can be mended",
                silent_ms / 1000
            ))),
            // Nothing is watched here.
            Event::Attempt(_) => {}
            Event::Oom(_) => {}
            Event::Exit(exit) => return Some(exit),
        }
        None
    }

    fn flows(&mut self, life: &mut Life, flows: &Flows) {
        match flows {
            Flows::Run => {}
            Flows::Safe => self.note("safe mode: the flows start with the next deploy"),
            Flows::Stopped if life.stopping => {}
            Flows::Stopped => self.note("the flows were stopped"),
            Flows::Failed(why) => {
                // The log has the rest of it.
                let why = why.lines().next().unwrap_or_default();
                let what = if life.ready {
                    "nobody caught an error"
                } else {
                    "the flows did not start"
                };
                let said = format!("{what}: {why}");
                self.screen.show(Said::Warning(&said));
            }
            Flows::Missing(types) => {
                let said = format!(
                    "the flows wait for what is not installed: {}\n  install it with Menu > Manage palette in the \
                     editor, or name its modules in package.json and start again",
                    types.join(", ")
                );
                self.screen.show(Said::Warning(&said));
            }
        }
        if life.ready || life.stopping {
            return;
        }
        if matches!(flows, Flows::Failed(_)) {
            // It may be about to end. If it is not, its editor is where a person can mend it.
            self.upstream
                .send_replace(Upstream::Ready(self.launcher.socket()));
            return;
        }
        life.ready = true;
        self.upstream
            .send_replace(Upstream::Ready(self.launcher.socket()));
        match self.open.take() {
            Some(open) => {
                let ready = self.ready(life.running.record());
                self.screen.show(Said::Ready(&ready));
                open(&self.url);
            }
            None => self.note("Node-RED runs again"),
        }
    }

    fn ready(&self, record: &RunRecord) -> Ready {
        let describe = |wall: &Wall| match wall.strength {
            Strength::None => format!("{} (not available here)", wall.name),
            _ => format!("{} ({})", wall.name, wall.detail),
        };
        let (node_red, node) = self.launcher.versions();
        Ready {
            url: self.url.clone(),
            folder: self.launcher.folder().to_path_buf(),
            node_red,
            node,
            seconds: self.begun.elapsed().as_secs_f64(),
            holds: record
                .levels
                .iter()
                .filter(|wall| wall.strength == Strength::Hard)
                .map(|wall| wall.name.clone())
                .collect(),
            lacks: record
                .levels
                .iter()
                .filter(|wall| matches!(wall.strength, Strength::Partial | Strength::None))
                .map(describe)
                .collect(),
        }
    }

    fn note(&self, text: &str) {
        self.screen.show(Said::Note(text));
    }
}

fn subscribe(running: &Running) -> Result<Lines<BufReader<UnixStream>>, Problem> {
    let cannot =
        |error: std::io::Error| Problem::new(Code::Failed, "cannot listen to the keeper").because(error);
    let stream = running
        .subscribe()
        .map_err(|error| Problem::new(Code::Failed, "cannot listen to the keeper").because(error))?;
    stream.set_nonblocking(true).map_err(cannot)?;
    Ok(BufReader::new(UnixStream::from_std(stream).map_err(cannot)?).lines())
}

fn gave_up(exit: Option<&ExitRecord>, why: &str, was_ready: bool, last_lines: &[String]) -> Problem {
    let message = if was_ready {
        format!("Node-RED {why}, again and again")
    } else {
        format!("Node-RED {why} before its flows ran")
    };
    let advice = exit.map_or("look for what killed it: `dmesg` may know", ending::advice);
    let problem = Problem::new(Code::Failed, message).hint(advice);
    match last_lines.iter().rev().find(|line| line.contains("Error")) {
        Some(line) => problem.because(line.trim().to_owned()),
        None => problem,
    }
}
