//! Limits on memory, processor time, tasks and input/output, on cgroup v1, hybrid and v2.
