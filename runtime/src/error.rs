//! What can go wrong with starting and finding instances: which step, on what, and why.
