//! Which stacks are offered, which is the default, and fetching one on first use.
