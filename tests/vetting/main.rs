//! The engine with the real QuickJS: what guests can do, and what they cannot.

mod archives;
mod corpus;
mod engine;
mod exercise;
mod feedback;
mod guest;
mod hostile;
mod hostile_packages;
mod judged;
mod support;
mod worker;
