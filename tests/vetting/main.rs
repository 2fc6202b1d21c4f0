//! The engine with the real QuickJS: what guests can do, and what they cannot.

mod engine;
mod exercise;
mod feedback;
mod guest;
mod hostile;
mod support;
mod worker;
