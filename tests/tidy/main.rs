//! The rules of this repository, and the shrinking lists of exceptions.

mod code;
mod docs;
mod layers;
mod sizes;
