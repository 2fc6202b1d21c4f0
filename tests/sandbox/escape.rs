//! escape.
