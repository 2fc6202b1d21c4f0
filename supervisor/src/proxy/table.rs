//! The routes of a host: instances by their names, everything else to the host itself.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::sync::watch;

use super::access::{self, Gate};
use super::guard;
use super::route::{Asked, Route, Routes, SharedFile, Target};
use crate::acme::Challenges;
use crate::clock;
use crate::instances::model::{Access, Shared};
use crate::instances::observed::Upstream;
use crate::instances::tokens::{self, Admission};
use crate::secret::Secret;

/// Paths of the front itself, on every host name.
pub const OWN: &str = "/.redhold/";

/// Asks a browser for a name and a password.
const BASIC: &str = "Basic realm=\"Node-RED\", charset=\"UTF-8\"";

/// Asks a program for a token; a browser asks nobody for it.
const TOKEN: &str = "Bearer realm=\"Node-RED\"";

/// Before the name of an instance that is addressed by a path.
const BY_PATH: &str = "/i/";

/// One instance's entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it is now.
    pub upstream: watch::Receiver<Upstream>,
    /// What vouches for whom the gate knows.
    pub voucher: Option<HeaderValue>,
    /// Path of its editor, where it has one.
    pub editor: Option<String>,
    /// Who may call its endpoints, with the name and password.
    pub endpoints: Access,
    /// Name for `basic`.
    pub user: String,
    /// Password for `basic`.
    pub password: Option<Secret>,
    /// Access tokens, by their digests.
    pub tokens: HashMap<String, Admission>,
    /// Paths of dashboards that pages of other sites may not show in a frame.
    pub unframed: Vec<String>,
    /// Folders that the front serves itself, by their address paths.
    pub shared: BTreeMap<String, Shared>,
    /// Where those folders are.
    pub storage: PathBuf,
}

impl Entry {
    /// Whether a request carries what this access needs.
    fn admits(&self, access: Access, asked: &Asked<'_>) -> bool {
        match access {
            Access::Open => true,
            Access::Basic => self.bears_token(asked) || self.knows_password(asked),
            Access::Tokens => self.bears_token(asked),
        }
    }

    /// Whether a request carries the name and the password; without a password nobody does.
    fn knows_password(&self, asked: &Asked<'_>) -> bool {
        let given = access::basic(asked.headers).zip(self.password.as_ref());
        given.is_some_and(|((name, given), password)| {
            access::same(&name, &self.user) & access::same(&given, password.reveal())
        })
    }

    fn bears_token(&self, asked: &Asked<'_>) -> bool {
        access::endpoint_token(asked.headers)
            .and_then(|token| self.tokens.get(&tokens::digest(token)))
            .is_some_and(|admission| admission.holds(clock::now_ms()))
    }

    /// Whether a path is of a dashboard that other sites may not show in a frame.
    fn is_unframed(&self, path: &str) -> bool {
        self.unframed.iter().any(|prefix| {
            let rest = path.strip_prefix(prefix.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// The shared folder that a path leads into, and the rest of the path; the longest one when there are several.
    fn shares<'a>(&self, path: &'a str) -> Option<(&Shared, &'a str)> {
        let found = self.shared.iter().filter_map(|(prefix, shared)| {
            let prefix = prefix.trim_end_matches('/');
            let rest = path.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((prefix.len(), shared, rest))
        });
        let (_, shared, rest) = found.max_by_key(|(length, ..)| *length)?;
        Some((shared, rest))
    }
}

/// See the module.
#[derive(Debug)]
pub struct HostTable {
    domain: String,
    gate: Arc<Gate>,
    /// Clients in clear are sent to TLS.
    secure: bool,
    /// Instances are also at [`BY_PATH`] of the host's own name.
    by_path: bool,
    /// What an authority of certificates is answered.
    challenges: Option<Arc<Challenges>>,
    entries: RwLock<HashMap<String, Entry>>,
}

impl HostTable {
    /// Without instances.
    #[must_use]
    pub fn new(domain: &str, gate: Arc<Gate>, secure: bool, by_path: bool) -> Self {
        Self {
            domain: domain.to_owned(),
            gate,
            secure,
            by_path,
            challenges: None,
            entries: RwLock::default(),
        }
    }

    /// The same, answering an authority of certificates before anything else.
    #[must_use]
    pub fn proving(mut self, challenges: Option<Arc<Challenges>>) -> Self {
        self.challenges = challenges;
        self
    }

    /// Replaces all entries, by instance name.
    pub fn replace(&self, entries: HashMap<String, Entry>) {
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    fn instance(&self, name: &str, asked: &Asked<'_>, host: &str, prefix: Option<&str>) -> Route {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.get(name) else {
            return Route::Refused {
                status: StatusCode::NOT_FOUND,
                title: "No such instance",
                detail: format!("This host has no instance `{name}`."),
                challenge: None,
            };
        };
        if asked.path.starts_with(OWN) && prefix.is_none() {
            return Route::Local;
        }
        let token = self.gate.bears_token(asked.headers);
        // A browser sends its cookie along for pages of other instances too: they are neighbours by name.
        let known =
            token || guard::own_page(asked.headers, asked.host) && self.gate.signed_in(asked.headers, host);
        let editor = entry.editor.as_deref();
        let is_editor =
            editor.is_some_and(|root| asked.path.trim_end_matches('/') == root.trim_end_matches('/'));
        if !known && is_editor {
            let back = format!("{}{}", prefix.unwrap_or_default(), asked.path);
            return Route::Redirect(format!("{OWN}sign-in?to={back}"));
        }
        if let Some((shared, rest)) = entry.shares(asked.path) {
            if !known && !entry.admits(shared.access, asked) {
                return challenged(shared.access);
            }
            return Route::Shared(SharedFile {
                storage: entry.storage.clone(),
                folder: shared.folder.clone(),
                path: rest.to_owned(),
            });
        }
        if !known && !entry.admits(entry.endpoints, asked) {
            // An editor whose sign-in is over must not make the browser ask for a password.
            return challenged(match editor {
                Some(root) if is_editors(asked.path, root) => Access::Tokens,
                _ => entry.endpoints,
            });
        }
        Route::To(Target {
            upstream: entry.upstream.clone(),
            voucher: entry.voucher.clone().filter(|_| known),
            prefix: prefix.map(str::to_owned),
            // Flows could use what they see, here or where it opens something else.
            token: token || access::endpoint_token(asked.headers).is_some(),
            frames: (is_editor || entry.is_unframed(asked.path))
                .then(|| self.frames(asked))
                .flatten(),
        })
    }
}

impl HostTable {
    /// Says to a browser that only pages of the instance and of this host may show an answer in a frame: a page of
    /// another site could put it below the visitor's mouse.
    fn frames(&self, asked: &Asked<'_>) -> Option<HeaderValue> {
        let scheme = if asked.secure { "https" } else { "http" };
        let port = asked
            .host?
            .strip_prefix(without_port(asked.host?))
            .unwrap_or_default();
        let policy = format!("frame-ancestors 'self' {scheme}://{}{port}", self.domain);
        HeaderValue::from_str(&policy).ok()
    }

    /// What is asked of the host's own name.
    fn own(&self, asked: &Asked<'_>, host: &str) -> Route {
        let Some(rest) = asked.path.strip_prefix(BY_PATH).filter(|_| self.by_path) else {
            return Route::Local;
        };
        let name = rest.split('/').next().unwrap_or_default();
        let prefix = format!("{BY_PATH}{name}");
        let path = &asked.path[prefix.len()..];
        if path.is_empty() {
            // The editor's relative addresses need the slash.
            return Route::Redirect(format!("{prefix}/"));
        }
        let inside = Asked { path, ..*asked };
        self.instance(name, &inside, host, Some(&prefix))
    }
}

/// Asks for what this access needs.
fn challenged(access: Access) -> Route {
    let (challenge, detail) = match access {
        Access::Tokens => (
            TOKEN,
            "This needs an access token, as `Authorization: Bearer rht_...`.",
        ),
        Access::Open | Access::Basic => (BASIC, "This needs a name and a password."),
    };
    Route::Refused {
        status: StatusCode::UNAUTHORIZED,
        title: "Who are you?",
        detail: detail.to_owned(),
        challenge: Some(challenge),
    }
}

/// Whether a path looks like the editor's. A flow may have made an endpoint of the same name, so it opens nothing.
fn is_editors(path: &str, root: &str) -> bool {
    let inside = path.strip_prefix(root.trim_end_matches('/'));
    let Some(inside) = inside.filter(|inside| inside.starts_with('/')) else {
        return false;
    };
    let first = guard::first_segment(inside);
    let page = ["red", "vendor", "core", "favicon.ico"];
    guard::is_editor_api(first) || page.iter().any(|name| name.eq_ignore_ascii_case(first))
}

impl Routes for HostTable {
    fn find(&self, asked: &Asked<'_>) -> Route {
        let proof = self.challenges.as_ref().zip(asked.host);
        if let Some(text) = proof.and_then(|(all, host)| all.answer(without_port(host), asked.path)) {
            return Route::Proof(text);
        }
        if self.secure && !asked.secure {
            return Route::Secure;
        }
        let Some(host) = asked.host else {
            return Route::Local;
        };
        let host = without_port(host);
        if host == self.domain || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return self.own(asked, host);
        }
        let name = host
            .strip_suffix(self.domain.as_str())
            .and_then(|rest| rest.strip_suffix('.'));
        match name {
            Some(name) if !name.contains('.') => self.instance(name, asked, host, None),
            _ => Route::Refused {
                status: StatusCode::MISDIRECTED_REQUEST,
                title: "Not here",
                detail: format!("This host is {}, and does not answer to {host}.", self.domain),
                challenge: None,
            },
        }
    }
}

/// A host without its port and without the dot that may end it.
#[must_use]
pub fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;
    use crate::instances::tokens::EndpointToken;

    fn find(table: &HostTable, host: &str, path: &str, headers: &HeaderMap) -> String {
        let asked = Asked {
            host: Some(host),
            path,
            headers,
            secure: true,
        };
        match table.find(&asked) {
            Route::To(target) if target.voucher.is_some() => "vouched".to_owned(),
            Route::To(target) if target.token => "to, stripped".to_owned(),
            Route::To(target) if target.frames.is_some() => "to, unframed".to_owned(),
            Route::To(_) => "to".to_owned(),
            Route::Shared(file) => format!("{}:{}", file.folder, file.path),
            Route::Local => "local".to_owned(),
            Route::Secure => "secure".to_owned(),
            Route::Proof(text) => text,
            Route::Redirect(to) => to,
            Route::Refused { status, .. } => status.as_u16().to_string(),
        }
    }

    #[test]
    fn names_lead_to_instances_and_the_editor_to_the_gate() {
        let folder = tempfile::tempdir().expect("a folder");
        let gate = Arc::new(Gate::open(folder.path()).expect("a gate").0);
        let table = HostTable::new("h.example", gate.clone(), true, true);
        let (_sender, upstream) = watch::channel(Upstream::Starting);
        let uses = tokens::Uses::default();
        let given = |end| EndpointToken {
            digest: String::new(),
            created_ms: 0,
            expires_ms: end,
        };
        let admissions = HashMap::from([
            (tokens::digest("rht_good"), uses.admission("i/good", &given(None))),
            (
                tokens::digest("rht_old"),
                uses.admission("i/old", &given(Some(1))),
            ),
        ]);
        let entry = |endpoints| Entry {
            upstream: upstream.clone(),
            voucher: Some(HeaderValue::from_static("v")),
            editor: Some(String::new()),
            endpoints,
            user: "u".to_owned(),
            password: Some(Secret::new("p".to_owned())),
            tokens: admissions.clone(),
            unframed: vec!["/ui".to_owned()],
            shared: [("/pub", Access::Open), ("/pub/in", Access::Basic)]
                .map(|(path, access)| {
                    let folder = path.trim_start_matches('/').replace('/', "-");
                    (path.to_owned(), Shared { folder, access })
                })
                .into(),
            storage: PathBuf::from("/nowhere"),
        };
        let locked = Entry {
            password: None,
            ..entry(Access::Basic)
        };
        table.replace(HashMap::from([
            ("open".to_owned(), entry(Access::Open)),
            ("basic".to_owned(), entry(Access::Basic)),
            ("locked".to_owned(), locked),
            ("tokens".to_owned(), entry(Access::Tokens)),
        ]));
        let nobody = HeaderMap::new();
        let mut admin = HeaderMap::new();
        let cookie = gate.cookie("open.h.example", true);
        admin.insert(
            "cookie",
            cookie
                .split(';')
                .next()
                .expect("a pair")
                .parse()
                .expect("a header"),
        );
        let mut neighbour = admin.clone();
        let elsewhere = HeaderValue::from_static("https://basic.h.example");
        neighbour.insert("origin", elsewhere);
        let mut user = HeaderMap::new();
        user.insert("authorization", "Basic dTpw".parse().expect("a header"));
        let mut empty = HeaderMap::new();
        empty.insert("authorization", "Basic dTo=".parse().expect("a header"));
        let bearing = |token: &str| {
            let value = format!("bearer {token}").parse().expect("a header");
            HeaderMap::from_iter([(hyper::header::AUTHORIZATION, value)])
        };
        let (good, old, wrong) = (bearing("rht_good"), bearing("rht_old"), bearing("rht_x"));
        for (host, path, headers, expected) in [
            ("tokens.h.example", "/hello", &nobody, "401"),
            ("tokens.h.example", "/hello", &user, "401"),
            ("tokens.h.example", "/hello", &good, "to, stripped"),
            ("tokens.h.example", "/hello", &old, "401"),
            ("tokens.h.example", "/hello", &wrong, "401"),
            ("basic.h.example", "/hello", &good, "to, stripped"),
            ("basic.h.example", "/pub/in/x", &old, "401"),
            ("basic.h.example", "/pub/in/x", &good, "pub-in:/x"),
            // A token of another instance is not shown to this one's flows either.
            ("open.h.example", "/hello", &wrong, "to, stripped"),
            ("open.h.example", "/ui/x", &nobody, "to, unframed"),
            ("open.h.example", "/uix", &nobody, "to"),
            ("h.example", "/", &nobody, "local"),
            ("10.0.0.1:8443", "/", &nobody, "local"),
            ("[::1]:8443", "/", &nobody, "local"),
            ("other.example", "/", &nobody, "421"),
            ("a.open.h.example", "/", &nobody, "421"),
            ("evilh.example", "/", &nobody, "421"),
            ("none.h.example", "/", &nobody, "404"),
            ("open.h.example:8443", "/", &nobody, "/.redhold/sign-in?to=/"),
            ("h.example", "/i/open", &nobody, "/i/open/"),
            ("h.example", "/i/open/", &nobody, "/.redhold/sign-in?to=/i/open/"),
            ("h.example", "/i/open/hello", &nobody, "to"),
            ("h.example", "/i/open/.redhold/x", &nobody, "to"),
            ("h.example", "/i/basic/hello", &nobody, "401"),
            ("h.example", "/i/none/", &nobody, "404"),
            ("h.example", "/it", &nobody, "local"),
            ("open.h.example", "/flows", &neighbour, "to"),
            ("open.h.example.", "/", &admin, "vouched"),
            ("open.h.example", "/.redhold/sign-in", &nobody, "local"),
            ("open.h.example", "/flows", &nobody, "to"),
            ("open.h.example", "/flows", &admin, "vouched"),
            ("open.h.example", "/hello", &nobody, "to"),
            ("open.h.example", "/pub/a%20b", &nobody, "pub:/a%20b"),
            ("open.h.example", "/pub", &nobody, "pub:"),
            ("open.h.example", "/public", &nobody, "to"),
            ("basic.h.example", "/pub/x", &nobody, "pub:/x"),
            ("basic.h.example", "/pub/inx", &nobody, "pub:/inx"),
            ("basic.h.example", "/pub/in/x", &nobody, "401"),
            ("basic.h.example", "/pub/in/x", &user, "pub-in:/x"),
            ("open.h.example", "/pub/in/x", &admin, "pub-in:/x"),
            ("basic.h.example", "/hello", &nobody, "401"),
            ("basic.h.example", "/hello", &admin, "401"),
            ("basic.h.example", "/hello", &user, "to"),
            ("basic.h.example", "/hello", &empty, "401"),
            ("locked.h.example", "/hello", &empty, "401"),
            ("basic.h.example", "/flows", &nobody, "401"),
            ("basic.h.example", "/flows", &user, "to"),
        ] {
            assert_eq!(find(&table, host, path, headers), expected, "{host}{path}");
        }
        let clear = Asked {
            host: Some("h.example"),
            path: "/",
            headers: &nobody,
            secure: false,
        };
        assert!(matches!(table.find(&clear), Route::Secure));
    }
}
