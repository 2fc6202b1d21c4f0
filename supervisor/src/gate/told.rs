//! What npm was told to install, looked at as a whole: its parts are let in with it, not each by itself.
//!
//! npm asks a registry for one part after the other and never says what it was told. So whoever starts it says so here
//! ([`Visit::tell`]), or `gate.cjs` does inside it; from an npm of which nobody has said anything, the package that it asks
//! for first is taken. Where there is a limit to how long npm waits, it goes on after that, and the rest is done behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use node_vetting::policy;
use node_vetting::report::Verdict;
use npm::{PackageName, Version};
use tokio::sync::watch;

use super::session::{Asked, Visit};
use super::{Judgement, News};
use crate::problem::Code;

/// Without a question for so long, the next one is that of another npm, where it does not say which one it is.
const PAUSE: Duration = Duration::from_secs(2);

/// Most packages that one npm is believed to be told.
const MOST: usize = 200;

/// One npm: what it was told, and what became of that.
#[derive(Default)]
pub(super) struct Run {
    /// What it calls itself.
    session: Option<String>,
    /// When it last asked for something.
    asked: Option<Instant>,
    told: Vec<Asked>,
    /// Somebody said what it was told before it asked for anything.
    announced: bool,
    looking: Option<Looking>,
}

#[derive(Clone)]
struct Looking {
    since: Instant,
    /// npm does not wait for it any more.
    late: Arc<AtomicBool>,
    outcome: watch::Receiver<Outcome>,
}

/// What became of it so far.
#[derive(Clone, Default)]
struct Outcome {
    done: bool,
    judged: Vec<Judgement>,
}

impl Run {
    fn of(told: Vec<Asked>, announced: bool) -> Self {
        Self {
            told,
            announced,
            ..Self::default()
        }
    }

    /// Whether the npm that asks now, and calls itself `session`, is this one.
    fn is(&self, session: Option<&str>) -> bool {
        match (self.session.as_deref(), session) {
            (Some(known), Some(now)) => known == now,
            (None, Some(_)) if self.announced => true,
            _ => self.asked.is_some_and(|last| last.elapsed() < PAUSE),
        }
    }
}

impl Visit {
    /// What the npm that starts now was told to install.
    pub(super) fn tell(self: &Arc<Self>, mut told: Vec<Asked>) {
        told.truncate(MOST);
        self.known().run = Run::of(told, true);
        self.look();
    }

    /// npm, which calls itself `session`, asks for the document of a package.
    pub(super) fn asked(&self, name: &PackageName, session: Option<&str>) {
        let mut known = self.known();
        if !known.run.is(session) {
            let wanted = String::new();
            let name = name.to_string();
            known.run = Run::of(vec![Asked { name, wanted }], false);
        }
        known.run.session = session.map(|session| session.chars().take(64).collect());
        known.run.asked = Some(Instant::now());
    }

    /// Begins to look at what npm was told, once.
    fn look(self: &Arc<Self>) -> Looking {
        let mut known = self.known();
        if let Some(looking) = &known.run.looking {
            return looking.clone();
        }
        let (say, outcome) = watch::channel(Outcome::default());
        let looking = Looking {
            since: Instant::now(),
            late: Arc::default(),
            outcome,
        };
        known.run.looking = Some(looking.clone());
        let (visit, told) = (self.clone(), std::mem::take(&mut known.run.told));
        let late = looking.late.clone();
        while known.behind.try_join_next().is_some() {}
        known.behind.spawn(async move {
            for asked in told.iter().filter(|_| visit.mode != policy::Gate::Off) {
                visit.look_at(asked, &late, &say).await;
            }
            say.send_modify(|outcome| outcome.done = true);
        });
        looking
    }

    async fn look_at(&self, asked: &Asked, late: &AtomicBool, say: &watch::Sender<Outcome>) {
        let Ok(name) = asked.name.parse() else { return };
        match self.judge(&name, &asked.wanted).await {
            Ok(judgement) => {
                self.announce(&judgement, late.load(Ordering::Relaxed));
                say.send_modify(|outcome| outcome.judged.push(judgement));
            }
            // npm says that there is none, and its parts are looked at each by itself.
            Err(problem) if problem.code() == Code::Missing => {}
            Err(problem) => (self.news)(News::Failed(&name, &problem)),
        }
    }

    /// Says what became of a package to the person before it, and to npm where that waits for it.
    pub(super) fn announce(&self, judgement: &Judgement, late: bool) {
        (self.news)(News::Judged { judgement, late });
        if !late && judgement.verdict != Verdict::Trusted && self.mode.lets(judgement.verdict) {
            self.known().notices.push(judgement.to_string());
        }
    }

    /// One line that npm prints because it comes with an archive.
    pub(super) fn notice(&self) -> Option<HeaderValue> {
        let text = self.known().notices.pop()?;
        // A header holds no other characters.
        let plain = |c: char| if c.is_ascii_graphic() { c } else { ' ' };
        HeaderValue::from_str(&text.chars().map(plain).collect::<String>()).ok()
    }

    /// Waits until all that npm was told to install was looked at, or it has waited long enough.
    ///
    /// # Errors
    /// That it may not be installed.
    pub(super) async fn first(self: &Arc<Self>) -> Result<(), Judgement> {
        let mut looking = self.look();
        let ended = async {
            // The sender goes with the session only.
            let _ = looking.outcome.wait_for(|outcome| outcome.done).await;
        };
        match self.patience {
            None => ended.await,
            Some(patience) => {
                let left = patience.saturating_sub(looking.since.elapsed());
                let waited = tokio::time::timeout(left, ended).await;
                if waited.is_err() && !looking.late.swap(true, Ordering::Relaxed) {
                    (self.news)(News::Late(patience));
                }
            }
        }
        self.known().run.asked = Some(Instant::now());
        let stopped = {
            let outcome = looking.outcome.borrow();
            let mut judged = outcome.judged.iter();
            judged
                .find(|judgement| !self.mode.lets(judgement.verdict))
                .cloned()
        };
        stopped.map_or(Ok(()), Err)
    }

    /// A part of which nobody has told, in an npm that does not wait: it is looked at behind it, by itself.
    pub(super) fn look_behind(self: &Arc<Self>, name: &PackageName, version: &Version) {
        let (visit, name, version) = (self.clone(), name.clone(), version.to_string());
        self.known().behind.spawn(async move {
            match visit.judge(&name, &version).await {
                // Alone it may look stranger than it is where it is used.
                Ok(judgement) if judgement.verdict == Verdict::Refused => visit.announce(&judgement, true),
                Ok(_) => {}
                Err(problem) => (visit.news)(News::Failed(&name, &problem)),
            }
        });
    }

    /// What is not trusted of all that the newest npm was told to install, as soon as that is known.
    pub(super) async fn verdicts(&self) -> Vec<String> {
        let looking = self.known().run.looking.clone();
        let Some(mut looking) = looking else {
            return Vec::new();
        };
        let _ = looking.outcome.wait_for(|outcome| outcome.done).await;
        let outcome = looking.outcome.borrow();
        let told = outcome.judged.iter();
        told.filter(|judgement| judgement.verdict != Verdict::Trusted)
            .map(ToString::to_string)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_npm_is_told_from_the_next() {
        let asked = |session: Option<&str>| Run {
            session: session.map(str::to_owned),
            asked: Some(Instant::now()),
            ..Run::default()
        };
        assert!(asked(Some("a")).is(Some("a")));
        assert!(!asked(Some("a")).is(Some("b")));
        // Who does not say which one it is, is told by its pauses.
        assert!(asked(None).is(None));
        assert!(!Run::default().is(None));
        // What was said before an npm asked for anything is about the npm that asks next.
        assert!(Run::of(Vec::new(), true).is(Some("a")));
        assert!(!Run::of(Vec::new(), false).is(Some("a")));
    }
}
