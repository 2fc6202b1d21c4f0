//! Failures of the store and the registry, as a person reads them: with what to do.

use npm::{ConfigError, FetchError};
use runtime::store::StoreError;

use crate::problem::{Code, Problem};

pub(crate) fn store_problem(error: StoreError) -> Problem {
    match error {
        StoreError::Fetch(error) => fetch_problem(error),
        StoreError::NoNode { .. } => Problem::new(Code::Host, error.to_string())
            .hint("choose another stack, or write a lock for this machine with `redhold stack lock`"),
        StoreError::Refused { package, source } => {
            Problem::new(Code::Failed, format!("{package} is refused")).because(source).hint(
                "nothing of it was kept; if the lock file is not yours, do not use it, otherwise write it anew with \
                 `redhold stack lock`",
            )
        }
        StoreError::Space { .. } | StoreError::Full { .. } => Problem::new(Code::Host, error.to_string())
            .hint("free some space, or keep the data elsewhere with --data-dir; nothing was left behind"),
        StoreError::Io { action, path, source } => {
            let denied = source.kind() == std::io::ErrorKind::PermissionDenied;
            let read_only = source.kind() == std::io::ErrorKind::ReadOnlyFilesystem;
            let problem =
                Problem::new(Code::Failed, format!("cannot {action} {}", path.display())).because(source);
            if denied || read_only {
                problem.hint("give this account the right to write there, or keep the data elsewhere with --data-dir")
            } else {
                problem
            }
        }
        StoreError::BrokenOff => Problem::new(Code::Interrupted, error.to_string()),
    }
}

pub(crate) fn fetch_problem(error: FetchError) -> Problem {
    let hint = match &error {
        FetchError::Config(_) => "correct npm's configuration (npmrc files and npm_config_* variables)",
        FetchError::Tls(_) => {
            "install the system's certificates (package `ca-certificates`), or name a file of them with \
             SSL_CERT_FILE or npm's `cafile`"
        }
        FetchError::NotFound { .. } => {
            "is `registry` in npm's configuration right, and does that registry carry this package?"
        }
        FetchError::Denied { sent: false, .. } => {
            "this registry wants credentials: put `//<registry host>/:_authToken=<token>` into ~/.npmrc"
        }
        FetchError::Denied { .. } => {
            "the credentials in npm's configuration are not accepted there: get a new token from the registry"
        }
        FetchError::Integrity { .. } | FetchError::Size { .. } => {
            "the registry, or a proxy before it, gave other bytes than the lock names; nothing of them was kept. \
             Try again, or use another registry"
        }
        FetchError::Network { .. } if error.distrusted() => {
            "if a proxy or registry of your own has a certificate of its own, name its authority with npm's \
             `cafile` or NODE_EXTRA_CA_CERTS"
        }
        FetchError::Network { .. } => {
            "check the connection and npm's `registry`, `proxy` and `noproxy`; what came so far is kept for the \
             next attempt"
        }
        FetchError::Status { .. } => "the registry has trouble: try again later; what came so far is kept",
        FetchError::Redirect { .. } | FetchError::TooLarge { .. } | FetchError::Metadata { .. } => {
            "is `registry` in npm's configuration an npm registry?"
        }
        FetchError::Packument(_) => "choose another version",
    };
    let code = if matches!(error, FetchError::Config(_)) {
        Code::Usage
    } else {
        Code::Failed
    };
    with_source(code, error, hint)
}

pub(crate) fn config_problem(error: ConfigError) -> Problem {
    with_source(
        Code::Usage,
        error,
        "correct npm's configuration (npmrc files and npm_config_* variables)",
    )
}

/// The error's own words as the message; [`Problem`] leaves out a cause that only repeats it.
fn with_source(code: Code, error: impl std::error::Error + Send + Sync + 'static, hint: &str) -> Problem {
    Problem::new(code, error.to_string()).because(error).hint(hint)
}
