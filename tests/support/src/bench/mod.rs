//! What the benches share: two contenders on the same flow, what the kernel says of their processes, and the table.

pub mod contender;
pub mod processes;
pub mod table;

/// The value in the middle.
///
/// # Panics
/// Without any value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[upper - 1], values[upper])
    } else {
        values[upper]
    }
}

/// Whether this word stands on the command line. Cargo adds words of its own, so unknown ones are no mistake.
pub fn asked_for(word: &str) -> bool {
    std::env::args().skip(1).any(|given| given == word)
}
