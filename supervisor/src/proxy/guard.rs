//! Pure: may this request pass? Keeps web pages of strangers away from editors.
//!
//! Two attacks are shut out. *DNS rebinding*: a stranger's name that resolves to 127.0.0.1 makes the browser send
//! that name as `Host`, so an editor without a sign-in answers to loopback names only ([`loopback`]). The port is not
//! compared, because a forwarded port (`ssh -L 8080:localhost:1880`) is a common and harmless difference. *Cross-site
//! requests*: a page elsewhere may post to, or open a WebSocket on, the editor's API; the browser then sends an `Origin`
//! that differs from `Host`. Endpoints that a flow makes itself stay open to other origins, as in any Node-RED.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN, UPGRADE};
use hyper::{Method, Request, StatusCode, Uri};

/// First path segments of the editor's API in Node-RED 4 and 5.
const EDITOR_API: [&str; 24] = [
    "auth",
    "comms",
    "context",
    "credentials",
    "debug",
    "diagnostics",
    "flow",
    "flows",
    "hooks",
    "icons",
    "inject",
    "library",
    "link-call",
    "locales",
    "mermaid",
    "node-red-debug",
    "nodes",
    "plugins",
    "projects",
    "settings",
    "theme",
    "tail",
    "types",
    "watch",
];

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What the client gets.
    pub(super) status: StatusCode,
    /// For a person.
    pub(super) reason: String,
}

/// Judges a request by its method, target and headers; gives the one host that it names, in lower case.
pub(super) fn judge<B>(request: &Request<B>) -> Result<Option<String>, Refusal> {
    if request.method() == Method::CONNECT {
        return refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "this is no proxy for CONNECT".to_owned(),
        );
    }
    let host = host(request.headers(), request.uri(), request.version())?;
    origin(
        request.method(),
        request.uri().path(),
        request.headers(),
        host.as_deref(),
    )?;
    Ok(host)
}

/// Judges whether a page of another site uses an editor at this path.
pub(super) fn origin(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    host: Option<&str>,
) -> Result<(), Refusal> {
    if guards_origin(method, path, headers) && !own_page(headers, host) {
        return refuse(
            StatusCode::FORBIDDEN,
            "a page of another site may not use this editor".to_owned(),
        );
    }
    Ok(())
}

/// Whether a request comes from a page of this host, or from no page at all.
pub(super) fn own_page(headers: &HeaderMap, host: Option<&str>) -> bool {
    headers.get(ORIGIN).is_none_or(|origin| same_origin(origin, host))
}

/// Whether `host`, perhaps with a port, means this machine wherever it is asked from.
///
/// # Errors
/// With what to say to a client that asked for something else.
pub(super) fn loopback(host: Option<&str>) -> Result<(), Refusal> {
    match host {
        Some(host) if !is_loopback(host) => refuse(
            StatusCode::MISDIRECTED_REQUEST,
            format!("this Node-RED answers to localhost and 127.0.0.1 only, not to {host}"),
        ),
        _ => Ok(()),
    }
}

fn refuse<T>(status: StatusCode, reason: String) -> Result<T, Refusal> {
    Err(Refusal { status, reason })
}

/// The one host that the request names, with its port: from the target when that is absolute (RFC 9112, 3.2.2),
/// else from the header. Only HTTP/1.0 may leave it out.
fn host(headers: &HeaderMap, uri: &Uri, version: hyper::Version) -> Result<Option<String>, Refusal> {
    let bad = |reason: &str| Refusal {
        status: StatusCode::BAD_REQUEST,
        reason: reason.to_owned(),
    };
    let mut all = headers.get_all(HOST).iter();
    let header = match (all.next(), all.next()) {
        (Some(_), Some(_)) => return Err(bad("more than one Host header")),
        (Some(one), None) => Some(one.to_str().map_err(|_| bad("a Host header that is not text"))?),
        (None, _) => None,
    };
    match (uri.authority(), header) {
        (Some(authority), _) => Ok(Some(authority.as_str().to_ascii_lowercase())),
        (None, Some(header)) => Ok(Some(header.to_ascii_lowercase())),
        (None, None) if version == hyper::Version::HTTP_10 => Ok(None),
        (None, None) => Err(bad("no Host header")),
    }
}

/// Whether `host`, perhaps with a port, is a name that resolvers may not send elsewhere (RFC 6761, 6.3), or a
/// loopback address.
fn is_loopback(host: &str) -> bool {
    let name = if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        return is_port_suffix(port) && address.parse::<Ipv6Addr>().is_ok_and(|a| a.is_loopback());
    } else {
        match host.split_once(':') {
            Some((name, port)) if is_port(port) => name,
            Some(_) => return false,
            None => host,
        }
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|a| a.is_loopback())
}

fn is_port_suffix(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(is_port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.parse::<u16>().is_ok() && text.bytes().all(|c| c.is_ascii_digit())
}

/// Whether the origin matters: anything that changes something in the editor's API, and its live channel.
fn guards_origin(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    (!method.is_safe() || headers.contains_key(UPGRADE)) && is_editor_api(first_segment(path))
}

/// What stands first in a path. Express does not fold doubled slashes; those at the front are taken for one, to be sure.
pub(super) fn first_segment(path: &str) -> &str {
    let inside = path.trim_start_matches('/');
    inside.split_once('/').map_or(inside, |(first, _)| first)
}

/// Whether a path that begins with this is the editor's API; Express ignores letter case.
pub(super) fn is_editor_api(first: &str) -> bool {
    EDITOR_API.iter().any(|name| name.eq_ignore_ascii_case(first))
}

/// Whether a page of `origin` is a page of `host`. The scheme is not compared: something in front may add TLS.
fn same_origin(origin: &HeaderValue, host: Option<&str>) -> bool {
    let (Ok(origin), Some(host)) = (origin.to_str(), host) else {
        return false;
    };
    origin
        .split_once("://")
        .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_served() {
        for (host, passes) in [
            ("localhost:1880", true),
            ("LOCALHOST", true),
            ("127.0.0.1:1880", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("a.localhost:1", true),
            ("localhost.", true),
            ("evil.example:1880", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("192.168.1.2:1880", false),
            ("[::2]", false),
            ("[::1]x", false),
            ("localhost:1880:1880", false),
            ("user@localhost", false),
            ("localhost:+80", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(&host.to_ascii_lowercase()), passes, "{host}");
        }
    }

    #[test]
    fn other_sites_cannot_use_the_editor() {
        for (method, path, upgrade, origin, status) in [
            ("POST", "/flows", false, Some("http://localhost:1880"), 200),
            ("POST", "/flows", false, None, 200),
            ("POST", "/flows", false, Some("http://localhost:3000"), 403),
            ("POST", "/FLOWS", false, Some("https://evil.example"), 403),
            ("POST", "/inject/1", false, Some("null"), 403),
            ("GET", "/flows", false, Some("https://evil.example"), 200),
            ("GET", "/comms", true, Some("https://evil.example"), 403),
            ("GET", "/comms", true, Some("http://localhost:1880"), 200),
            ("GET", "/ws/mine", true, Some("https://app.example"), 200),
            ("POST", "/hello", false, Some("https://app.example"), 200),
        ] {
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .header("host", "localhost:1880");
            if upgrade {
                request = request.header("upgrade", "websocket");
            }
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let got = judge(&request.body(()).expect("a request"))
                .err()
                .map_or(200, |refusal| refusal.status.as_u16());
            assert_eq!(got, status, "{method} {path} from {origin:?}");
        }
    }

    #[test]
    fn a_request_names_one_host() {
        let none = Request::get("/").body(()).expect("a request");
        assert_eq!(judge(&none).expect_err("no host").status, 400);
        let two = Request::get("/")
            .header("host", "localhost")
            .header("host", "localhost")
            .body(())
            .expect("a request");
        assert_eq!(judge(&two).expect_err("two hosts").status, 400);
        let absolute = Request::get("http://evil.example/")
            .header("host", "localhost")
            .body(())
            .expect("a request");
        let host = judge(&absolute).expect("one host");
        assert_eq!(loopback(host.as_deref()).expect_err("foreign target").status, 421);
    }
}
