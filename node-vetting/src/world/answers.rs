//! What hosts answer over HTTP. Every answer is useful enough to go on with, and marked.

use serde_json::{Value, json};
use url::Url;

use crate::world::secrets::MARKER;

/// An answer.
pub(super) struct Http {
    pub(super) status: u16,
    /// Pairs of name and value.
    pub(super) headers: Value,
    pub(super) body: Vec<u8>,
}

impl Http {
    /// The words beside the status.
    pub(super) const fn message(&self) -> &'static str {
        match self.status {
            101 => "Switching Protocols",
            _ => "OK",
        }
    }
}

/// Text that runs as JavaScript, as a shell script and as neither, and says when it did.
pub(super) fn script() -> String {
    format!("globalThis.canary=\"{MARKER}\"; //{MARKER}\n")
}

/// Text that is none of these.
pub(super) fn text() -> String {
    format!("ok {MARKER}")
}

/// Words of paths behind which services answer with JSON.
const JSON: [&str; 12] = [
    "api", "json", "geo", "country", "where", "locat", "lookup", "whois", "latest", "version", "status",
    "config",
];

/// Fields that programs look for in an answer, all at once.
fn fields(country: &str) -> Value {
    json!({
        "ok": true, "status": "ok", "success": true, "result": { "ok": true, "code": script() }, "error": null,
        "id": MARKER, "url": format!("https://files.example/{MARKER}.js"), "version": "99.0.0",
        "country": country, "countryCode": country, "country_code": country, "country_iso": country,
        "country_name": country_name(country), "ip": "203.0.113.9", "city": "Springfield", "code": script(), "script": script(), "cmd": MARKER,
        "command": format!("echo {MARKER}"), "data": [], "message": text(), "token": MARKER, "value": 42,
        "access_token": MARKER, "token_type": "Bearer", "expires_in": 3600, "results": [],
    })
}

fn country_name(code: &str) -> &str {
    match code {
        "US" => "United States",
        "RU" => "Russia",
        "BY" => "Belarus",
        "CN" => "China",
        "IR" => "Iran",
        code => code,
    }
}

/// The answer to a request. `country` is where the guest is, for services that tell it.
pub(super) fn http(method: &str, url: &Url, headers: &Value, configured: bool, country: &str) -> Http {
    let accept = header(headers, "accept");
    let path = url.path();
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    if header(headers, "upgrade").eq_ignore_ascii_case("websocket") {
        return Http {
            status: 101,
            headers: json!([
                ["upgrade", "websocket"],
                ["connection", "Upgrade"],
                [
                    "sec-websocket-accept",
                    accept_key(&header(headers, "sec-websocket-key"))
                ],
            ]),
            body: Vec::new(),
        };
    }
    let (kind, body) = match extension {
        "js" | "mjs" | "cjs" | "sh" | "py" | "ps1" | "txt" => ("text/plain; charset=utf-8", script()),
        "json" => ("application/json", fields(country).to_string()),
        "xml" => (
            "application/xml",
            format!("<?xml version=\"1.0\"?><ok>{MARKER}</ok>"),
        ),
        "html" | "htm" => ("text/html", page()),
        "exe" | "bin" | "gz" | "tgz" | "zip" | "node" | "wasm" => (
            "application/octet-stream",
            format!("\x7fELF{MARKER}\n{}", script()),
        ),
        _ if accept.contains("text/html") => ("text/html", page()),
        _ if accept.contains("javascript") => ("text/javascript", script()),
        // Hosts that serve one thing are asked for nothing but what the host's own name says.
        _ if configured || accept.contains("json") || method != "GET" || tells_json(url) => {
            ("application/json", fields(country).to_string())
        }
        // Nothing says what is wanted: text that can be evaluated.
        _ => ("text/plain; charset=utf-8", script()),
    };
    let headers = json!([
        ["content-type", kind],
        ["content-length", body.len().to_string()],
        ["server", "nginx"],
    ]);
    let body = if method == "HEAD" {
        Vec::new()
    } else {
        body.into_bytes()
    };
    Http {
        status: 200,
        headers,
        body,
    }
}

fn tells_json(url: &Url) -> bool {
    let said = |text: &str| JSON.iter().any(|word| text.contains(word));
    said(url.path())
        || url
            .host_str()
            .is_some_and(|host| host.starts_with("ip") || said(host) && url.path() == "/")
}

/// The same as raw bytes, for whoever writes HTTP to a socket by hand.
pub(super) fn raw() -> Vec<u8> {
    let body = script();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn page() -> String {
    format!("<!doctype html><title>{MARKER}</title><pre>{}</pre>", script())
}

/// A header out of pairs.
fn header(headers: &Value, name: &str) -> String {
    let pairs = headers.as_array().map(Vec::as_slice).unwrap_or_default();
    pairs
        .iter()
        .find(|pair| pair[0].as_str().is_some_and(|key| key.eq_ignore_ascii_case(name)))
        .and_then(|pair| pair[1].as_str())
        .unwrap_or_default()
        .to_owned()
}

/// What RFC 6455 wants back for a key.
fn accept_key(key: &str) -> String {
    use base64::Engine as _;
    use sha1::{Digest, Sha1};
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    base64::engine::general_purpose::STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_marked_and_fit_what_is_asked() {
        for (url, accept, kind) in [
            ("https://evil.example/x.js", "", "text/plain; charset=utf-8"),
            ("https://evil.example/", "application/json", "application/json"),
            ("https://evil.example/raw/x", "", "text/plain; charset=utf-8"),
            ("https://evil.example/", "text/html,*/*", "text/html"),
        ] {
            let url = Url::parse(url).expect("an address");
            let answer = http("GET", &url, &json!([["Accept", accept]]), false, "US");
            assert_eq!(answer.headers[0][1], kind, "{url}");
            let text = String::from_utf8(answer.body).expect("text");
            assert!(text.contains(MARKER), "{url}");
        }
    }

    #[test]
    fn sockets_of_the_web_are_opened() {
        // The example of RFC 6455, section 1.3.
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
