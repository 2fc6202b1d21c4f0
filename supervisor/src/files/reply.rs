//! Answers with a file: whole, a part of it, or that it has not changed.

use std::fs::File;
use std::io::{self, SeekFrom};

use bytes::Bytes;
use futures_util::Stream;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::{FilePath, Opened};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// The head of an answer, and which bytes are its body.
#[derive(Debug)]
pub struct Reply {
    /// 200, 206, 304 or 416.
    pub status: StatusCode,
    /// Everything that belongs to it.
    pub headers: HeaderMap,
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub length: u64,
}

impl Reply {
    /// What a request with these headers gets of a file (RFC 9110, 13 and 14).
    #[must_use]
    pub fn to(asked: &HeaderMap, path: &FilePath, file: &Opened) -> Self {
        let text = |name| {
            asked
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let tag = format!("\"{}\"", file.tag);
        let modified = http_date(file.modified);
        let mut headers = HeaderMap::new();
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(ETAG, &tag);
        set(ACCEPT_RANGES, "bytes");
        // A page among the files must not act as the host, or as the editor of the instance.
        set(CONTENT_SECURITY_POLICY, "sandbox");
        set(X_CONTENT_TYPE_OPTIONS, "nosniff");
        if let Some(modified) = &modified {
            set(LAST_MODIFIED, modified);
        }
        let (mut status, mut start, mut length) = (StatusCode::OK, 0, file.size);
        let same = |list: &str| {
            list.split(',')
                .map(|one| one.trim().trim_start_matches("W/"))
                .any(|one| one == tag || one == "*")
        };
        if text(IF_NONE_MATCH).is_some_and(same) {
            (status, length) = (StatusCode::NOT_MODIFIED, 0);
        } else {
            set(CONTENT_TYPE, &content_type(path.as_str()));
            let fresh = text(IF_RANGE).is_none_or(|value| value == tag);
            match text(RANGE).filter(|_| fresh).map(|range| part(range, file.size)) {
                None | Some(Part::Whole) => {}
                Some(Part::Of(first, count)) => {
                    (status, start, length) = (StatusCode::PARTIAL_CONTENT, first, count);
                    let last = first + count - 1;
                    set(CONTENT_RANGE, &format!("bytes {first}-{last}/{}", file.size));
                }
                Some(Part::Nothing) => {
                    (status, length) = (StatusCode::RANGE_NOT_SATISFIABLE, 0);
                    set(CONTENT_RANGE, &format!("bytes */{}", file.size));
                }
            }
            set(CONTENT_LENGTH, &length.to_string());
        }
        Self {
            status,
            headers,
            start,
            length,
        }
    }
}

/// The bytes of a file from `start`, `length` of them; fewer when it became shorter meanwhile.
///
/// # Errors
/// The kernel's.
pub async fn body(
    file: File,
    start: u64,
    length: u64,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
    let mut file = tokio::fs::File::from_std(file);
    if start > 0 {
        file.seek(SeekFrom::Start(start)).await?;
    }
    Ok(ReaderStream::with_capacity(file.take(length), CHUNK))
}

/// A type by the name's ending; text is taken for UTF-8.
fn content_type(path: &str) -> String {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    match kind.type_() {
        mime_guess::mime::TEXT => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    }
}

fn http_date(seconds: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    (seconds >= 0).then(|| time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// What a `Range` means for a file.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// Nothing that is understood, or several parts: the whole file is a right answer.
    Whole,
    /// First byte and count, at least one.
    Of(u64, u64),
    /// Nothing that the file has.
    Nothing,
}

fn part(range: &str, size: u64) -> Part {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
    else {
        return Part::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            None => Part::Whole,
            Some(count) if count == 0 || size == 0 => Part::Nothing,
            Some(count) => Part::Of(size - count.min(size), count.min(size)),
        },
        (first, last) => {
            let Some(first) = number(first) else {
                return Part::Whole;
            };
            let last = match last {
                "" => Some(u64::MAX),
                last => number(last),
            };
            match last {
                None => Part::Whole,
                Some(last) if last < first => Part::Whole,
                Some(_) if first >= size => Part::Nothing,
                Some(last) => Part::Of(first, last.min(size - 1) - first + 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parts_of_the_file() {
        for (range, expected) in [
            ("bytes=0-0", Part::Of(0, 1)),
            ("bytes=2-", Part::Of(2, 8)),
            ("bytes=2-99999999999999999999", Part::Of(2, 8)),
            ("bytes=-3", Part::Of(7, 3)),
            ("bytes=-30", Part::Of(0, 10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=5-4", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=a-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes", Part::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), Part::Nothing);
    }

    #[test]
    fn dates_and_types_are_as_browsers_read_them() {
        assert_eq!(
            http_date(784_111_777).as_deref(),
            Some("Sun, 06 Nov 1994 08:49:37 GMT")
        );
        assert_eq!(content_type("a/b.txt"), "text/plain; charset=utf-8");
        assert_eq!(content_type("b.png"), "image/png");
        assert_eq!(content_type("b"), "application/octet-stream");
    }
}
