//! The guest's own code: a Node.js and a Node-RED in JavaScript in which every door is a recording, and the driver that
//! carries out a run in them. It lies in `assets/guest`, one purpose per file, as ES modules that begin at `main.js`.
//!
//! What touches nothing is not ours: streams, buffers and the like are pinned packages, fetched from the registry and
//! loaded by the guest's own loader while its image is prepared.

use std::borrow::Cow;

use crate::engine::{Pinned, Recipe, Script};

/// Names the modules with their texts.
macro_rules! modules {
    ($($path:literal,)*) => {
        /// The modules by their path, the one to start with first.
        const MODULES: &[(&str, &str)] = &[
            $(($path, include_str!(concat!("../../assets/guest/", $path))),)*
        ];
    };
}

modules! {
    "main.js",
    "core/compared.js",
    "core/define.js",
    "core/errors.js",
    "core/host.js",
    "core/loop.js",
    "core/network.js",
    "core/primordials.js",
    "core/stack.js",
    "drive/admin.js",
    "drive/answer.js",
    "drive/configure.js",
    "drive/drive.js",
    "drive/messages.js",
    "drive/plan.js",
    "drive/run.js",
    "drive/tamper.js",
    "drive/values.js",
    "editor/edit.js",
    "editor/html.js",
    "editor/jquery.js",
    "editor/page.js",
    "editor/world.js",
    "loader/bridge.js",
    "loader/builtins.js",
    "loader/commonjs.js",
    "loader/deps.js",
    "loader/esm.js",
    "loader/native.js",
    "node/assert.js",
    "node/async.js",
    "node/buffer.js",
    "node/child_process.js",
    "node/crypto-core.js",
    "node/crypto-random.js",
    "node/crypto.js",
    "node/dgram.js",
    "node/dns.js",
    "node/equality.js",
    "node/events.js",
    "node/fs-core.js",
    "node/fs-sync.js",
    "node/fs.js",
    "node/http-client.js",
    "node/http-messages.js",
    "node/http.js",
    "node/inspect.js",
    "node/misc.js",
    "node/net.js",
    "node/os.js",
    "node/path.js",
    "node/perf_hooks.js",
    "node/process.js",
    "node/pure.js",
    "node/querystring.js",
    "node/rejections.js",
    "node/stream.js",
    "node/terminal.js",
    "node/tls.js",
    "node/types.js",
    "node/url.js",
    "node/util.js",
    "node/vm.js",
    "node/webcrypto.js",
    "node/zlib.js",
    "red/context.js",
    "red/core-types.js",
    "red/log.js",
    "red/node.js",
    "red/router.js",
    "red/runtime.js",
    "red/settings.js",
    "red/util.js",
    "web/blob.js",
    "web/console.js",
    "web/encoding.js",
    "web/events.js",
    "web/fetch.js",
    "web/headers.js",
    "web/intl.js",
    "web/messaging.js",
    "web/streams.js",
    "web/timers.js",
    "web/url.js",
    "web/wasm.js",
}

/// Packages in place of core modules that touch nothing: name, version, integrity.
const PACKAGES: &[(&str, &str, &str)] = &[
    (
        "base64-js",
        "1.5.1",
        "sha512-AKpaYlHn8t4SVbOHCy+b5+KKgvR4vrsD8vbvrbiQJps7fKDTkjkDry6ji0rUJjC0kzbNePLwzxq8iypo41qeWA==",
    ),
    (
        "buffer",
        "6.0.3",
        "sha512-FTiCpNxtwiZZHEZbcbTIcZjERVICn9yq/pDFkTl95/AxzD1naBctN7YO68riM/gLSDY7sdrMby8hofADYuuqOA==",
    ),
    (
        "ieee754",
        "1.2.1",
        "sha512-dcyqhDvX1C46lXZcVqCpK+FtMRQVdIMN6/Df5js2zouUsqG7I6sFxitIC+7KYK29KdXOLHdu9zL4sFnoVQnqaA==",
    ),
    (
        "jsonata",
        "2.2.2",
        "sha512-XDFH2PuaAXv0AXJEWwElXbqADmKFGKMLMkFb+qOz0EhjQW2EIJ6pgtordLU+4u3IVERyBfqy6bi6kZKEncvRqA==",
    ),
    (
        "process",
        "0.11.10",
        "sha512-cdGef/drWFoydD1JsMzuFf8100nZl+GT+yacc2bEced5f9Rjk4z+WtFUTBu9PhOi9j/jfmBPu0mMEY4wIdAF8A==",
    ),
    (
        "punycode",
        "2.3.1",
        "sha512-vYt7UD1U9Wg6138shLtLOvdAu+8DsC/ilFtEVHcH+wydcSpNE20AfSOduf6MkRFahL5FY7X1oU7nKVZFtfq8Fg==",
    ),
    (
        "readable-stream",
        "4.8.0",
        "sha512-2jhTTU3Eilp/2DMT71gbcoqC35eQHasMJH0RHkYxwlxIv3+FR6Y5xAFZIwEGLxKkjZYEFlsiMNIdwUqjK2lLHQ==",
    ),
    (
        "safe-buffer",
        "5.2.1",
        "sha512-rp3So07KcdmmKbGvgaNxQSJr7bGVSVk5S9Eq1F+ppbRo70+YeaDxkw5Dd8NPN+GD6bjnYm2VuPuCXmpuYvmCXQ==",
    ),
    (
        "string_decoder",
        "1.3.0",
        "sha512-hkRX8U1WjJFd8LsDJ2yQ/wWWxaopEsABU1XfkM8A+j0+85JAGppt16cr1Whg6KIbb4okU6Mql6BOj+uup/wKeA==",
    ),
];

/// What guests are prepared with.
#[must_use]
pub fn recipe() -> Recipe {
    let scripts = MODULES.iter().map(|(name, source)| Script {
        name: Cow::Borrowed(name),
        source: Cow::Borrowed(source),
    });
    let packages = PACKAGES.iter().map(|(name, version, integrity)| Pinned {
        name: Cow::Borrowed(name),
        version: Cow::Borrowed(version),
        integrity: Cow::Borrowed(integrity),
    });
    Recipe {
        scripts: scripts.collect(),
        packages: packages.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn files(folder: &Path, prefix: &str, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the folder of the guest's code") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                files(&entry.path(), &format!("{prefix}{name}/"), into);
            } else {
                into.insert(format!("{prefix}{name}"));
            }
        }
    }

    #[test]
    fn every_file_is_embedded() {
        let mut there = BTreeSet::new();
        files(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/guest"),
            "",
            &mut there,
        );
        let embedded: BTreeSet<String> = MODULES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(embedded, there);
        assert_eq!(MODULES[0].0, "main.js");
    }

    #[test]
    fn every_file_says_what_it_is_for() {
        for (name, source) in MODULES {
            assert!(
                source.starts_with("// "),
                "{name} needs a comment that says what it is for"
            );
            assert!(
                source.lines().count() <= 600,
                "{name} is too long: split it by purpose"
            );
        }
    }
}
