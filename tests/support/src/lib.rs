//! Drives the built binary from outside, for the tests and the benches.
//!
//! Depends on none of our crates, so that a test sees only what a user sees.
