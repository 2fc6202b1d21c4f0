//! What stands in the texts of a file: addresses, hosts, phrases, and long texts that are no language.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oxc_ast::AstKind;
use oxc_ast::ast::{BinaryExpression, BinaryOperator, CallExpression, TemplateLiteral};
use oxc_syntax::node::NodeId;

use super::super::finding::About;
use super::super::lists;
use super::shapes::Shape;
use super::{Walk, paths};
use crate::capability::Kind;

/// Texts from this length on are looked at as data.
const BLOB: usize = 1024;
/// Bits per character, in hundredths, from which a text is no language: base 64 of packed data has 580 to 600, of
/// English text 550, hexadecimal digits 390 to 400.
const DENSE_BASE64: u32 = 540;
const DENSE_HEX: u32 = 330;
/// How much of a text is shown.
const SHOWN: usize = 120;

impl<'a> Walk<'a, '_> {
    pub(super) fn text(&mut self, id: NodeId, at: u32, text: &str, raw: Option<&str>) {
        if let Some(raw) = raw {
            self.tally.escapes(at, raw);
        }
        // Parts of a sum are looked at together; directives and names of modules say nothing.
        if matches!(
            self.parent(id),
            AstKind::Directive(_) | AstKind::ImportDeclaration(_)
        ) {
            return;
        }
        self.mention_module(text);
        let in_sum = matches!(self.parent(id), AstKind::BinaryExpression(sum) if sum.operator == BinaryOperator::Addition);
        if !in_sum {
            self.say(id, at, text);
        }
        self.blob(at, text);
    }

    pub(super) fn template(&mut self, id: NodeId, template: &TemplateLiteral<'a>) {
        let Shape { text, .. } = self.template_shape(template);
        self.say(id, template.span.start, &text);
        if template.expressions.is_empty() {
            self.blob(template.span.start, &text);
        }
    }

    fn template_shape(&self, template: &TemplateLiteral<'a>) -> Shape {
        super::shapes::of_template(&self.names, template)
    }

    /// A sum of texts, looked at from its top only.
    pub(super) fn sum(&mut self, id: NodeId, sum: &BinaryExpression<'a>) {
        if sum.operator != BinaryOperator::Addition
            || matches!(self.parent(id), AstKind::BinaryExpression(outer) if outer.operator == BinaryOperator::Addition)
        {
            return;
        }
        let known = super::shapes::of_sum(&self.names, sum);
        if known.text.len() > known.pieces * "{?}".len() {
            self.say(id, sum.span.start, &known.text);
            self.blob(sum.span.start, &known.text);
        }
    }

    /// Texts that functions put together: `path.join(os.homedir(), ".ssh", "id_rsa")`, `["a", "b"].join("")`.
    pub(super) fn decoder(&mut self, call: &CallExpression<'a>) {
        let name = self.names.name(&call.callee);
        let method = call
            .callee
            .get_member_expr()
            .and_then(|member| member.static_property_name());
        match name.as_deref() {
            Some("path.join" | "path.resolve" | "path.posix.join") => {
                let text = self.call_shape(call);
                self.say(call.node_id.get(), call.span.start, &text);
            }
            Some("Buffer.from" | "buffer.Buffer.from" | "Buffer") => {
                let encoding = call
                    .arguments
                    .get(1)
                    .and_then(|one| self.names.constant(one.as_expression()?));
                self.decodes |= matches!(encoding.as_deref(), Some("base64" | "base64url" | "hex"));
            }
            Some(
                "atob"
                | "unescape"
                | "crypto.createDecipheriv"
                | "crypto.createDecipher"
                | "zlib.inflateSync"
                | "zlib.gunzipSync"
                | "zlib.brotliDecompressSync",
            ) => {
                self.decodes = true;
                let text = self.call_shape(call);
                self.say(call.node_id.get(), call.span.start, &text);
            }
            Some("String.fromCharCode" | "String.fromCodePoint") => {
                self.tally.char_codes(call);
                let text = self.call_shape(call);
                self.say(call.node_id.get(), call.span.start, &text);
            }
            _ => {}
        }
        match method {
            Some("join" | "concat" | "toString") => {
                let text = self.call_shape(call);
                self.say(call.node_id.get(), call.span.start, &text);
            }
            Some("push") => self.tally.rotation(call),
            Some("split") => self.tally.split(call),
            _ => {}
        }
    }

    fn call_shape(&self, call: &CallExpression<'a>) -> String {
        super::shapes::of_call(&self.names, call).map_or_else(String::new, |shape| shape.text)
    }

    /// Modules may be loaded by somebody who is told their names: frameworks do so with plugins.
    fn mention_module(&mut self, text: &str) {
        let plausible = (2..=100).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b'@'));
        if plausible && self.found.named.len() < 20_000 {
            self.found.named.insert(text.to_owned());
        }
    }

    fn say(&mut self, id: NodeId, at: u32, text: &str) {
        if text.len() < 4 || !text.is_char_boundary(text.len().min(8192)) && text.len() > 65_536 {
            return;
        }
        for phrase in lists::phrases(text) {
            if phrase.list == "editor-token" {
                if self.is_editor() {
                    self.site(id, at, Kind::EdToken, phrase.entry);
                }
                continue;
            }
            self.about(
                at,
                About::Mentions {
                    list: phrase.list.to_owned(),
                    entry: phrase.entry.to_owned(),
                    said: shown(text),
                },
            );
        }
        self.addresses(at, text);
    }

    fn addresses(&mut self, at: u32, text: &str) {
        let mut rest = text;
        let mut told = 0;
        while let Some(start) = memchr::memmem::find(rest.as_bytes(), b"://") {
            let scheme = rest[..start]
                .rfind(|c: char| !c.is_ascii_alphanumeric())
                .map_or(0, |before| before + 1);
            let scheme = if rest.is_char_boundary(scheme) {
                scheme
            } else {
                start
            };
            let end = rest[start..]
                .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ')' | ','))
                .map_or(rest.len(), |end| start + end);
            let url = &rest[scheme..end];
            if let Some(host) = paths::host(url)
                && told < 20
                && matches!(
                    &rest[scheme..start],
                    "http" | "https" | "ws" | "wss" | "mqtt" | "mqtts" | "tcp" | "ftp" | "socks5"
                )
            {
                told += 1;
                self.host(at, &host, url);
            }
            rest = &rest[end.max(start + 3)..];
        }
        if told == 0 {
            self.bare_address(at, text);
        }
    }

    /// A text that is nothing but a host or an address.
    fn bare_address(&mut self, at: u32, text: &str) {
        if text.len() > 253 || !text.contains(['.', ':']) {
            return;
        }
        let host = text.split(['/', '?']).next().unwrap_or(text);
        let without_port = match host.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                host
            }
            _ => host,
        };
        if let Ok(address) = without_port.parse::<IpAddr>() {
            return self.address(at, address);
        }
        if let Some(list) = lists::known_for(&without_port.to_ascii_lowercase())
            && without_port.contains('.')
            && paths::host(without_port).is_some()
        {
            self.about(
                at,
                About::Host {
                    host: without_port.to_ascii_lowercase(),
                    url: shown(text),
                    listed: Some(list.to_owned()),
                    half: self.how.half,
                },
            );
        }
    }

    fn host(&mut self, at: u32, host: &str, url: &str) {
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.address(at, address);
        }
        // Names of schemas and namespaces are written as addresses and never asked for.
        if matches!(
            host,
            "localhost" | "www.w3.org" | "json-schema.org" | "schemas.xmlsoap.org"
        ) || !host.contains('.')
        {
            return;
        }
        self.about(
            at,
            About::Host {
                host: host.to_owned(),
                url: shown(url),
                listed: lists::known_for(host).map(str::to_owned),
                half: self.how.half,
            },
        );
    }

    fn address(&mut self, at: u32, address: IpAddr) {
        let scope = match address {
            IpAddr::V4(four) if four.is_loopback() || four.is_unspecified() => "loopback",
            IpAddr::V4(four) if four.is_private() => "private",
            IpAddr::V4(four) if four.is_link_local() => "link-local",
            IpAddr::V4(four) if four.is_documentation() => "documentation",
            // 1.2.3.4 and below 1.0.0.0 are versions and examples more often than addresses.
            IpAddr::V4(four) if four.is_broadcast() || four.is_multicast() || four.octets()[0] == 0 => return,
            IpAddr::V4(_) => "public",
            IpAddr::V6(six) if six.is_loopback() || six.is_unspecified() => "loopback",
            IpAddr::V6(six) if six.is_unicast_link_local() => "link-local",
            IpAddr::V6(six) if six.is_unique_local() => "private",
            IpAddr::V6(_) => "public",
        };
        self.about(
            at,
            About::Address {
                address: address.to_string(),
                scope: scope.to_owned(),
            },
        );
    }

    fn blob(&mut self, at: u32, text: &str) {
        if text.len() < BLOB {
            return;
        }
        let Some((alphabet, entropy)) = density(text) else {
            return;
        };
        self.tally.blobs.push((
            at,
            About::Blob {
                bytes: text.len(),
                alphabet: alphabet.to_owned(),
                entropy,
                decoder: false,
                content: content(alphabet, text).to_owned(),
            },
        ));
    }
}

/// The alphabet and density of a text that is no language; nothing when it may be one.
fn density(text: &str) -> Option<(&'static str, u32)> {
    let bytes = text.as_bytes();
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let of = |test: fn(&u8) -> bool| -> u32 {
        (0..=255_u8)
            .filter(&test)
            .map(|byte| counts[usize::from(byte)])
            .sum()
    };
    let hex = of(u8::is_ascii_hexdigit);
    let base = of(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_'));
    let total = bytes.len() as u32;
    // Line ends and the like are no part of the data.
    let nearly = |part: u32| u64::from(part) * 100 >= u64::from(total) * 98;
    let entropy = entropy(&counts, total);
    if nearly(hex) && entropy >= DENSE_HEX {
        return Some(("hex", entropy));
    }
    if nearly(base) && entropy >= DENSE_BASE64 {
        return Some(("base64", entropy));
    }
    let spaces = counts[usize::from(b' ')];
    let dense = entropy >= 600 && u64::from(spaces) * 100 < u64::from(total);
    dense.then_some(("other", entropy))
}

/// Bits per character, in hundredths. Rounded, so that every machine says the same.
fn entropy(counts: &[u32; 256], total: u32) -> u32 {
    let total = f64::from(total);
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum();
    (bits * 100.0).round() as u32
}

/// What encoded bytes are, by how they begin.
fn content(alphabet: &str, text: &str) -> &'static str {
    let head: String = text.chars().filter(|c| !c.is_whitespace()).take(64).collect();
    let bytes = match alphabet {
        "hex" => head
            .as_bytes()
            .chunks_exact(2)
            .map_while(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect(),
        "base64" => STANDARD
            .decode(head.replace('-', "+").replace('_', "/"))
            .unwrap_or_default(),
        _ => return "unknown",
    };
    let known: [(&[u8], &str); 14] = [
        (b"\0asm", "wasm"),
        (b"\x7fELF", "elf"),
        (b"MZ", "pe"),
        (b"\x89PNG", "png"),
        (b"\xff\xd8\xff", "jpeg"),
        (b"GIF8", "gif"),
        (b"\x1f\x8b", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"wOFF", "font"),
        (b"wOF2", "font"),
        (b"%PDF", "pdf"),
        (b"<svg", "svg"),
        (b"<?xml", "xml"),
        (b"RIFF", "media"),
    ];
    if let Some((_, name)) = known.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return name;
    }
    let readable = !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e));
    if readable { "text" } else { "unknown" }
}

/// The beginning of a text, for the reader of a report.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
