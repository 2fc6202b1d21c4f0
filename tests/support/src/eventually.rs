//! Waiting for something to become true: the only place in the tests that sleeps.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok`.
///
/// # Panics
/// With the last refusal when `patience` ends first. A slow machine gets more by `REDHOLD_TEST_PATIENCE`, a factor.
pub fn eventually<T, E: Debug>(what: &str, patience: Duration, ask: impl FnMut() -> Result<T, E>) -> T {
    watch(what, patience, INTERVAL, ask)
}

/// The same, looking as often as a measurement needs.
///
/// # Panics
/// As [`eventually`].
pub fn watch<T, E: Debug>(
    what: &str,
    patience: Duration,
    interval: Duration,
    mut ask: impl FnMut() -> Result<T, E>,
) -> T {
    let factor = std::env::var("REDHOLD_TEST_PATIENCE")
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .unwrap_or(1.0);
    let deadline = Instant::now() + patience.mul_f64(factor);
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(refusal) if Instant::now() >= deadline => {
                panic!("{what}: still {refusal:?} after {patience:?}")
            }
            Err(_) => std::thread::sleep(interval),
        }
    }
}

/// Waits a fixed time: only for showing that something does *not* happen, or for letting a burner burn.
pub fn let_pass(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until a moment, for what sends at a fixed rate.
pub async fn until(moment: Instant) {
    tokio::time::sleep_until(moment.into()).await;
}
