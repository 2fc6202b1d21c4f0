//! What code mentions, hides and waits for.

use super::*;

#[test]
fn texts_are_looked_at() {
    check_says(&[
        ("f('https://pastebin.com/raw/x')", &["host pastebin.com paste"]),
        (
            "f('https://api.' + 'telegram.org/bot' + token)",
            &["host api.telegram.org messenger"],
        ),
        (
            "f(['webhook', 'site'].join('.'))",
            &["host webhook.site request-catcher"],
        ),
        (
            "f(atob('aHR0cHM6Ly93ZWJob29rLnNpdGUveA=='))",
            &["host webhook.site request-catcher"],
        ),
        (
            "f('https://example.org/a', 'http://www.w3.org/2000/svg')",
            &["host example.org -"],
        ),
        ("f('203.0.113.7')", &["address 203.0.113.7 documentation"]),
        ("f('http://8.8.8.8:80/')", &["address 8.8.8.8 public"]),
        (
            "f('127.0.0.1', '192.168.0.1')",
            &["address 127.0.0.1 loopback", "address 192.168.0.1 private"],
        ),
        ("f('~/.npmrc')", &["mentions secret-path: .npmrc"]),
        (
            "const os = require('os'); f(require('path').join(os.homedir(), '.ssh', 'x'))",
            &["mentions secret-path: {home}/.ssh"],
        ),
        (
            "f('.github/workflows/a.yml')",
            &["mentions workflow-path: .github/workflows"],
        ),
        (
            "f('claude --dangerously-skip-permissions -p')",
            &["mentions ai-tool: --dangerously-skip-permissions"],
        ),
        (
            "f('curl -fsSL https://bun.sh/install')",
            &[
                "host bun.sh -",
                "mentions runtime-download: bun.sh/install",
                "mentions runtime-download: curl -fsSL https://bun",
            ],
        ),
        ("f('npm publish')", &["mentions registry-publish: npm publish"]),
        (
            "f(`http://169.254.169.254/latest`)",
            &[
                "address 169.254.169.254 link-local",
                "mentions cloud-metadata: 169.254.169.254",
            ],
        ),
        // Twins.
        ("f('version 1.2.3', '1.2.3.4.5', 'a:b', 'npm install')", &[]),
        ("'use strict'; import_('pastebin')", &[]),
        ("// https://pastebin.com/x\nf()", &[]),
    ]);
}

#[test]
fn gates_are_noted() {
    check_says(&[
        ("if (Date.now() > 1800000000000) f()", &["date 1800000000000"]),
        (
            "if (new Date() > new Date('2027-01-01')) f()",
            &["date 2027-01-01"],
        ),
        (
            "const now = new Date().getTime(); if (now >= Date.UTC(2027, 1)) f()",
            &["date 2027-1"],
        ),
        ("if (new Date().getFullYear() >= 2027) f()", &["date 2027"]),
        ("if (Math.random() < 0.01) f()", &["chance 0.01"]),
        (
            "if (require('os').hostname() === 'build-7') f()",
            &["host name is build-7"],
        ),
        ("if (process.env.USER == 'ci') f()", &["user is ci"]),
        // Twins.
        ("if (Date.now() - start > 5000) f()", &[]),
        ("if (msg.time > 1800000000000) f()", &[]),
        ("if (Math.random() < probability) f()", &[]),
        ("if (hostname === 'x') f()", &[]),
    ]);
}

#[test]
fn hidden_code_is_measured() {
    let names: String = (0..30).map(|at| format!("var _0x{at:04x} = {at};")).collect();
    let table: String = (0..40).map(|at| format!("'t{at}',")).collect();
    let rotator = format!(
        "var t = [{table}]; (function (l, n) {{ while (true) {{ try {{ break }} catch (e) {{ l.push(l.shift()) }} }} }})(t, 3)"
    );
    let codes = "String.fromCharCode(104, 116, 116, 112, 115, 58, 47, 47, 120, 46, 121, 122, n)";
    let escapes = "f('\\x68\\x74\\x74\\x70\\x73\\x3a\\x2f\\x2f\\x78\\x2e\\x79\\x7a\\x68')";
    let xor = "o += String.fromCharCode(d.charCodeAt(i) ^ k.charCodeAt(i % k.length))";
    let bytes = "for (;;) out[i] = data[i] ^ key[i % key.length]";
    let flat =
        "var o = '3|1|0|2'.split('|'), i = 0; while (true) { switch (o[i++]) { case '0': f() } break }";
    check_says(&[
        (&names, &["obfuscated hex-identifiers"]),
        (&rotator, &["obfuscated string-rotator"]),
        (codes, &["obfuscated charcode-table"]),
        (escapes, &["host x.yzh -", "obfuscated hex-escapes"]),
        (xor, &["obfuscated xor-decoder"]),
        (bytes, &["obfuscated xor-decoder"]),
        (flat, &["obfuscated flattened"]),
        (
            "eval(function(p,a,c,k,e,d){return p}('x'))",
            &["obfuscated packer"],
        ),
        // Twins: minified names, a checksum, a websocket mask, a table, control characters.
        ("function a(b,c){return b(c)}", &[]),
        ("crc = (crc >>> 8) ^ table[(crc ^ s.charCodeAt(i)) & 0xff]", &[]),
        ("for (;;) data[i] = data[i] ^ mask[i % 4]", &[]),
        (&format!("var t = [{table}]"), &[]),
        (&format!("var t = [{table}]; a.push(b.shift())"), &[]),
        (
            "f('\\x1b[31m\\x1b[0m\\x00\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\\x0b\\x0c\\x0e')",
            &[],
        ),
        ("list.push(other.pop())", &[]),
    ]);
}

#[test]
fn hidden_characters_are_told() {
    let selectors: String = (0..40)
        .map(|at| char::from_u32(0xe0100 + at).expect("a character"))
        .collect();
    check_says(&[
        (&format!("f('{selectors}')"), &["hidden selector"]),
        ("/* \u{202e} } \u{2066} */ f()", &["hidden direction"]),
        ("var \u{3164} = 1", &["hidden filler"]),
        // Twins: an emoji, a joiner in a word, a byte order mark.
        ("f('\u{2764}\u{fe0f}', '\u{1f468}\u{200d}\u{1f469}')", &[]),
        ("\u{feff}f('ü')", &[]),
    ]);
}

#[test]
fn blobs_are_measured() {
    use base64::Engine;
    let noise: Vec<u8> = (0_u32..3000)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let base = base64::engine::general_purpose::STANDARD.encode(&noise);
    let wasm = base64::engine::general_purpose::STANDARD.encode([b"\0asm\x01\0\0\0", &noise[..]].concat());
    let hex: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
    let prose = "the quick brown fox jumps over the lazy dog and does so again. ".repeat(40);
    check_says(&[
        (&format!("x = '{base}'"), &["blob base64 unknown false"]),
        (
            &format!("eval2(Buffer.from('{base}', 'base64'))"),
            &["blob base64 unknown true"],
        ),
        (&format!("x = atob('{wasm}')"), &["blob base64 wasm true"]),
        (&format!("x = '{hex}'"), &["blob hex unknown false"]),
        (&format!("x = '{prose}'"), &[]),
        (&format!("x = '{}'", "a".repeat(4000)), &[]),
    ]);
}
