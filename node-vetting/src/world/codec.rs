//! Computing that the guest leaves to the host, because well-kept code for it exists here: compression, addresses,
//! character sets. Nothing of it is recorded: what is done with the result is.
//!
//! | operation | arguments | gives |
//! |---|---|---|
//! | `zlib` | `format: gzip, zlib, raw or auto, mode: deflate or inflate, level` + bytes | bytes |
//! | `url.parse` | `url, base` | `{href, protocol, username, password, host, hostname, port, pathname, search, hash, origin}` |
//! | `text.decode` | `encoding, fatal` + bytes | text as it is |

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder, GzEncoder, MultiGzDecoder, ZlibDecoder, ZlibEncoder};
use serde_json::json;

use crate::world::args::{Args, Fault, Reply};

/// Bytes that one byte of compressed data can unfold to.
const DEFLATE_RATIO: u64 = 1032;
/// Most that compressed data may unfold to.
const MOST_UNPACKED: u64 = 64 << 20;
type Done = Result<Reply, Fault>;

/// What an operation costs that gave so many bytes, or failed, in units of fuel.
pub(super) fn price(op: &str, args: &Args<'_>, given: Option<usize>) -> u64 {
    let taken = args.body().len() as u64;
    match op {
        "zlib" if args.text("mode") == "inflate" => {
            // Nobody knows how far it came: at most this, as the format allows.
            let most = taken.saturating_mul(DEFLATE_RATIO).min(MOST_UNPACKED);
            given.map_or(most, |given| given as u64) * 20
        }
        "zlib" => taken * 100,
        "url.parse" => args.text("url").len() as u64 * 50,
        _ => taken * 12,
    }
}

pub(super) fn convert(op: &str, args: &Args<'_>) -> Done {
    match op {
        "zlib" => zlib(args),
        "url.parse" => address(args.text("url"), args.text("base")),
        "text.decode" => text(args),
        _ => Err(Fault::new(
            "ERR_METHOD_NOT_IMPLEMENTED",
            format!("{op} is not implemented"),
        )),
    }
}

fn zlib(args: &Args<'_>) -> Done {
    let input = args.body();
    let level = args
        .json("level")
        .as_u64()
        .map_or_else(
            Compression::default,
            |level| Compression::new(level.min(9) as u32),
        );
    let unpacks = args.text("mode") == "inflate";
    let format = match args.text("format") {
        "auto" if !unpacks || input.starts_with(b"\x1f\x8b") => "gzip",
        "auto" => "zlib",
        format => format,
    };
    let read: Box<dyn Read> = match (format, unpacks) {
        ("gzip", false) => Box::new(GzEncoder::new(input, level)),
        ("zlib", false) => Box::new(ZlibEncoder::new(input, level)),
        ("raw", false) => Box::new(DeflateEncoder::new(input, level)),
        ("gzip", true) => Box::new(MultiGzDecoder::new(input)),
        ("zlib", true) => Box::new(ZlibDecoder::new(input)),
        ("raw", true) => Box::new(DeflateDecoder::new(input)),
        _ => {
            return Err(Fault::new(
                "ERR_INVALID_ARG_VALUE",
                format!("unknown format {format}"),
            ));
        }
    };
    let mut output = Bounded(Vec::new());
    io::copy(&mut read.take(MOST_UNPACKED + 1), &mut output)
        .map_err(|error| Fault::new("Z_DATA_ERROR", error.to_string()))?;
    if output.0.len() as u64 > MOST_UNPACKED {
        return Err(Fault::new(
            "ERR_BUFFER_TOO_LARGE",
            "Cannot create a Buffer larger than the machine has memory",
        ));
    }
    Ok(Reply::Bytes(output.0.into()))
}

/// Collects what is read; its reader is bounded already.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn address(text: &str, base: &str) -> Done {
    let invalid = || Fault::new("ERR_INVALID_URL", "Invalid URL");
    let url = if base.is_empty() {
        url::Url::parse(text)
    } else {
        url::Url::parse(base).and_then(|base| base.join(text))
    };
    let url = url.map_err(|_| invalid())?;
    let query = url.query().filter(|query| !query.is_empty());
    let fragment = url.fragment().filter(|fragment| !fragment.is_empty());
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let host = format!("{}{port}", url.host_str().unwrap_or_default());
    Ok(json!({
        "href": url.as_str(),
        "protocol": format!("{}:", url.scheme()),
        "username": url.username(),
        "password": url.password().unwrap_or_default(),
        "host": host,
        "hostname": url.host_str().unwrap_or_default(),
        "port": url.port().map_or_else(String::new, |port| port.to_string()),
        "pathname": url.path(),
        "search": query.map_or_else(String::new, |query| format!("?{query}")),
        "hash": fragment.map_or_else(String::new, |fragment| format!("#{fragment}")),
        "origin": url.origin().ascii_serialization(),
    })
    .into())
}

fn text(args: &Args<'_>) -> Done {
    let label = match args.text("encoding") {
        "" => "utf-8",
        label => label,
    };
    let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).ok_or_else(|| {
        Fault::new(
            "ERR_ENCODING_NOT_SUPPORTED",
            format!("The \"{label}\" encoding is not supported"),
        )
    })?;
    let (text, damaged) = encoding.decode_with_bom_removal(args.body());
    if damaged && args.flag("fatal") {
        return Err(Fault::new(
            "ERR_ENCODING_INVALID_ENCODED_DATA",
            format!("The encoded data was not valid for encoding {label}"),
        ));
    }
    Ok(Reply::Text(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn bytes(op: &str, json: &str, input: &[u8]) -> Vec<u8> {
        match convert(op, &Args::parse(json, Some(input))) {
            Ok(Reply::Bytes(bytes)) => bytes.to_vec(),
            other => panic!("{op}: {other:?}"),
        }
    }

    fn told(op: &str, json: &str, input: &[u8]) -> Value {
        match convert(op, &Args::parse(json, Some(input))) {
            Ok(Reply::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{op}: {other:?}"),
        }
    }

    #[test]
    fn packed_and_unpacked() {
        for (format, back) in [
            ("gzip", "gzip"),
            ("gzip", "auto"),
            ("zlib", "auto"),
            ("raw", "raw"),
        ] {
            let packed = bytes(
                "zlib",
                &json!({ "format": format, "mode": "deflate" }).to_string(),
                &[b'x'; 1000],
            );
            assert!(packed.len() < 100, "{format}");
            let unpacked = bytes(
                "zlib",
                &json!({ "format": back, "mode": "inflate" }).to_string(),
                &packed,
            );
            assert_eq!(unpacked, [b'x'; 1000], "{format}");
        }
    }

    #[test]
    fn addresses_and_texts() {
        let url = told(
            "url.parse",
            r#"{"url":"../x?a=1#b","base":"https://u:p@H.example:8443/q/w/e"}"#,
            b"",
        );
        assert_eq!(url["href"], "https://u:p@h.example:8443/q/x?a=1#b");
        assert_eq!(
            (&url["host"], &url["search"]),
            (&json!("h.example:8443"), &json!("?a=1"))
        );
        let text = convert(
            "text.decode",
            &Args::parse(r#"{"encoding":"latin1"}"#, Some(b"\xe4")),
        );
        assert_eq!(text, Ok(Reply::Text("ä".to_owned())));
    }
}
