//! The hidden roles between the host and the program: keeper outside the sandbox, init as its first process.
//!
//! Single-threaded, synchronous and small; their private memory is a benchmark.
