//! Stacks on disk: fetched once, verified, shared read-only by every instance.
