//! Pure: which headers go on, which stay, which are ours.

use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Request, Uri};

/// Headers that speak about one connection only (RFC 9110, 7.6.1), beside those that `Connection` lists.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Says to an instance that the front knows who asks; only with the value that it was given at its start.
pub(super) const VOUCHER: HeaderName = HeaderName::from_static("x-redhold-voucher");

/// The part of the path that an instance does not see.
pub(super) const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Names a request in every log that it passes.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers that only a front may set; what a client claims in them is dropped.
const FORWARDED: [HeaderName; 7] = [
    VOUCHER,
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// The protocol that a message asks to change to, when `Connection` says so too.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let named = listed(headers).any(|token| token.eq_ignore_ascii_case("upgrade"));
    named.then(|| headers.get(UPGRADE).cloned()).flatten()
}

/// Removes what belongs to one connection. An upgrade is kept when `keep` names its protocol.
pub(super) fn strip(headers: &mut HeaderMap, keep: Option<HeaderValue>) {
    let named: Vec<HeaderName> = listed(headers)
        .filter_map(|token| token.parse().ok())
        // A client that lists these would make the far side misread the message; they are never its to remove.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    if let Some(protocol) = keep {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// Tells the instance who asked, in place of whatever the client claimed.
pub(super) fn forwarded(headers: &mut HeaderMap, uri: &Uri, client: IpAddr, secure: bool) {
    for name in &FORWARDED {
        headers.remove(name);
    }
    // An absolute target overrides the header (RFC 9112, 3.2.2); the instance gets the short form and one host.
    if let Some(host) = uri
        .authority()
        .and_then(|a| HeaderValue::from_str(a.as_str()).ok())
    {
        headers.insert(HOST, host);
    }
    let host = headers
        .entry(HOST)
        .or_insert(HeaderValue::from_static("localhost"))
        .clone();
    headers.insert("x-forwarded-host", host);
    let scheme = if secure { "https" } else { "http" };
    headers.insert("x-forwarded-proto", HeaderValue::from_static(scheme));
    if let Ok(client) = HeaderValue::from_str(&client.to_string()) {
        headers.insert("x-forwarded-for", client);
    }
}

/// Takes a prefix off a request's path, and tells the instance which.
pub(super) fn cut<B>(request: &mut Request<B>, prefix: &str) {
    let rest = request
        .uri()
        .path_and_query()
        .and_then(|path| path.as_str().strip_prefix(prefix));
    if let Some(Ok(uri)) = rest.map(str::parse) {
        // The host stays in its header: what had it in the address was judged, and is not needed any more.
        if let Some(authority) = request.uri().authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            request.headers_mut().insert(HOST, host);
        }
        *request.uri_mut() = uri;
    }
    if let Ok(prefix) = HeaderValue::from_str(prefix) {
        request.headers_mut().insert(PREFIX, prefix);
    }
}

/// Removes cookies by their names; all others stay as they came.
pub(super) fn without_cookies(headers: &mut HeaderMap, names: &[&str]) {
    if !headers.contains_key(COOKIE) {
        return;
    }
    let named = |pair: &&[u8]| {
        let name = pair.split(|c| *c == b'=').next().unwrap_or_default().trim_ascii();
        names.iter().any(|unwanted| unwanted.as_bytes() == name)
    };
    let left: Vec<HeaderValue> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| {
            let pairs = value.as_bytes().split(|c| *c == b';');
            let pairs: Vec<&[u8]> = pairs.filter(|pair| !named(pair)).collect();
            let text = pairs.join(&b';');
            HeaderValue::from_bytes(text.trim_ascii())
                .ok()
                .filter(|value| !value.is_empty())
        })
        .collect();
    headers.remove(COOKIE);
    for value in left {
        headers.append(COOKIE, value);
    }
}

/// Lets an instance set cookies for its own host only, and none of these names, which are the front's. With a `Domain`
/// its cookie would be sent to its neighbours and to the host itself, which share the domain above it.
pub(super) fn keep_cookies_apart(headers: &mut HeaderMap, names: &[&str]) {
    if !headers.contains_key(SET_COOKIE) {
        return;
    }
    let name = |part: &[u8]| {
        // A browser sends a value without a name as it is, so that `=a=b` comes back as `a=b`.
        let at = part
            .iter()
            .position(|c| !b"= \t".contains(c))
            .unwrap_or(part.len());
        let name = part[at..].split(|c| *c == b'=').next().unwrap_or_default();
        name.trim_ascii().to_ascii_lowercase()
    };
    let left: Vec<HeaderValue> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|value| {
            let mut parts = value.as_bytes().split(|c| *c == b';');
            let cookie = parts.next()?;
            let own = name(cookie);
            if names.iter().any(|name| own.eq_ignore_ascii_case(name.as_bytes())) {
                return None;
            }
            let attributes = parts.filter(|part| name(part) != b"domain");
            let parts: Vec<&[u8]> = std::iter::once(cookie).chain(attributes).collect();
            HeaderValue::from_bytes(&parts.join(&b';')).ok()
        })
        .collect();
    headers.remove(SET_COOKIE);
    for value in left {
        headers.append(SET_COOKIE, value);
    }
}

/// The tokens of `Connection`.
fn listed(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_belongs_to_a_connection_stays_there() {
        let mut map = headers(&[
            ("connection", "close, X-Secret, host, content-length"),
            ("x-secret", "1"),
            ("host", "localhost"),
            ("content-length", "3"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        assert_eq!(upgrade(&map), None);
        strip(&mut map, None);
        assert_eq!(names(&map), ["accept", "content-length", "host"]);
    }

    #[test]
    fn a_cookie_goes_without_the_others() {
        let mut map = headers(&[("cookie", "a=1; redhold=secret; redhold2=b=c")]);
        map.append(COOKIE, HeaderValue::from_static("redhold=more"));
        without_cookies(&mut map, &["redhold"]);
        let left: Vec<_> = map.get_all(COOKIE).iter().collect();
        assert_eq!(left, ["a=1; redhold2=b=c"]);
        without_cookies(&mut map, &["a", "redhold2"]);
        assert!(!map.contains_key(COOKIE));
    }

    #[test]
    fn an_instance_sets_cookies_for_itself_only() {
        for (set, left) in [
            ("a=1; Path=/; HttpOnly", Some("a=1; Path=/; HttpOnly")),
            ("a=domain; Domain=example.org; Secure", Some("a=domain; Secure")),
            ("a=1;DOMAIN = .example.org;domain;\tdomain\t=x", Some("a=1")),
            ("domain=x; path=/", Some("domain=x; path=/")),
            ("a", Some("a")),
            ("redhold=x; Path=/", None),
            (" =redhold=x", None),
            ("REDHOLD =x", None),
            ("redhold2=x", Some("redhold2=x")),
        ] {
            let mut map = headers(&[("set-cookie", set)]);
            map.append(SET_COOKIE, HeaderValue::from_static("b=2; domain=org"));
            keep_cookies_apart(&mut map, &["redhold"]);
            let kept: Vec<_> = map.get_all(SET_COOKIE).iter().collect();
            let expected: Vec<_> = left.into_iter().chain(["b=2"]).collect();
            assert_eq!(kept, expected, "{set}");
        }
    }

    #[test]
    fn an_upgrade_goes_on_when_it_is_meant() {
        let mut map = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let protocol = upgrade(&map);
        strip(&mut map, protocol);
        assert_eq!(map["upgrade"], "websocket");
        assert_eq!(map["connection"], "upgrade");
    }

    #[test]
    fn a_client_cannot_say_who_it_is() {
        let mut map = headers(&[
            ("host", "localhost:1880"),
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
        ]);
        forwarded(
            &mut map,
            &Uri::from_static("/a"),
            IpAddr::from([127, 0, 0, 1]),
            false,
        );
        assert_eq!(map["x-forwarded-for"], "127.0.0.1");
        assert_eq!(map["x-forwarded-host"], "localhost:1880");
        assert_eq!(map["x-forwarded-proto"], "http");
        assert!(!map.contains_key("forwarded") && !map.contains_key("x-real-ip"));
    }
}
