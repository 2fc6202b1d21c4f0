//! sizes.
