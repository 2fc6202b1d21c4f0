//! Waiting by the clock for what the kernel does not announce: a counter that moves a moment after its event, a group
//! that is busy a moment after its last process has gone.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How often a question is asked.
const INTERVAL: Duration = Duration::from_millis(1);

/// Asks until the answer is final; at the latest after `most` the answer of then is taken.
pub(super) fn ask<T>(most: Duration, mut question: impl FnMut() -> ControlFlow<T, T>) -> T {
    let deadline = Instant::now() + most;
    loop {
        match question() {
            ControlFlow::Break(answer) => return answer,
            ControlFlow::Continue(answer) if Instant::now() >= deadline => return answer,
            ControlFlow::Continue(_) => std::thread::sleep(INTERVAL),
        }
    }
}
