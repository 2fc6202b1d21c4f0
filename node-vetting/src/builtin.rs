//! The modules that Node.js has itself, by the names under which code loads them (`require("module").builtinModules` of
//! Node.js 24).

const MODULES: &[&str] = &[
    "assert",
    "assert/strict",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "dns/promises",
    "domain",
    "events",
    "fs",
    "fs/promises",
    "http",
    "http2",
    "https",
    "inspector",
    "inspector/promises",
    "module",
    "net",
    "os",
    "path",
    "path/posix",
    "path/win32",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "readline/promises",
    "repl",
    "stream",
    "stream/consumers",
    "stream/promises",
    "stream/web",
    "string_decoder",
    "sys",
    "timers",
    "timers/promises",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "util/types",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];
/// Those that need the prefix `node:`; without it the names are of packages.
const PREFIXED: &[&str] = &["sea", "sqlite", "test", "test/reporters"];

/// The module that a specifier means, without the prefix.
pub(crate) fn named(specifier: &str) -> Option<&str> {
    match specifier.strip_prefix("node:") {
        Some(bare) => (MODULES.contains(&bare) || PREFIXED.contains(&bare)).then_some(bare),
        None => MODULES.contains(&specifier).then_some(specifier),
    }
}

/// Whether a bare name is one of them.
pub(crate) fn is(bare: &str) -> bool {
    MODULES.contains(&bare) || PREFIXED.contains(&bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_a_module_or_a_package() {
        assert_eq!(named("fs/promises"), Some("fs/promises"));
        assert_eq!(named("node:fs"), Some("fs"));
        assert_eq!(named("node:sqlite"), Some("sqlite"));
        for package in ["sqlite", "fs/other", "node:nothing", "./fs", ""] {
            assert_eq!(named(package), None, "{package}");
        }
        assert!(is("sqlite") && is("process") && !is("lodash"));
    }
}
