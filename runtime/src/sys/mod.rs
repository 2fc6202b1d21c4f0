//! The only unsafe code: thin wrappers over system calls, each stating its contract.

pub(crate) mod xattr;
