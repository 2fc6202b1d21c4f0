//! What a client gets when no instance answers: a page for a person, a line for a program.

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode};

/// The body of every answer of the front.
pub(super) type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Something to say instead of an answer.
#[derive(Clone, Debug)]
pub(super) struct Page<'a> {
    pub(super) status: StatusCode,
    pub(super) title: &'a str,
    pub(super) detail: &'a str,
    /// A browser asks again by itself after this many seconds; never for anything but a page, so that no program's
    /// request is repeated behind its back.
    pub(super) retry: Option<u8>,
}

impl Page<'_> {
    /// The answer, as a page or as a line.
    pub(super) fn answer(&self, wants_page: bool) -> Response<Body> {
        let (kind, text) = if wants_page {
            ("text/html; charset=utf-8", self.html())
        } else {
            (
                "text/plain; charset=utf-8",
                format!("{}: {}\n", self.title, self.detail),
            )
        };
        let mut response = Response::new(whole(text));
        *response.status_mut() = self.status;
        let to = response.headers_mut();
        to.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        to.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry {
            to.insert(RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
        }
        response
    }

    fn html(&self) -> String {
        let refresh = self.retry.map_or_else(String::new, |seconds| {
            format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">")
        });
        let title = escape(self.title);
        let detail = escape(self.detail);
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">{refresh}\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;\
             margin:20vh auto 0;padding:0 1.5rem}}h1{{font-size:1.4rem}}p{{white-space:pre-wrap}}</style>\
             <main><h1>{title}</h1><p>{detail}</p></main></html>\n"
        )
    }
}

/// Whether whoever asks looks at it: a browser that goes to an address.
pub(super) fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::GET
        && headers
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"))
}

/// A body that is all there.
pub(super) fn whole(text: String) -> Body {
    Full::new(Bytes::from(text))
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_repeat_themselves() {
        let page = Page {
            status: StatusCode::SERVICE_UNAVAILABLE,
            title: "Starting <b>",
            detail: "soon",
            retry: Some(2),
        };
        assert!(page.html().contains("http-equiv=\"refresh\" content=\"2\""));
        assert!(page.html().contains("Starting &lt;b&gt;"));
        let mut browser = HeaderMap::new();
        browser.insert(ACCEPT, HeaderValue::from_static("text/html,*/*"));
        for (method, headers, kind) in [
            (Method::GET, &browser, "text/html; charset=utf-8"),
            (Method::POST, &browser, "text/plain; charset=utf-8"),
            (Method::GET, &HeaderMap::new(), "text/plain; charset=utf-8"),
        ] {
            let answer = page.answer(wants_page(&method, headers));
            assert_eq!(answer.headers()[CONTENT_TYPE], kind);
            assert_eq!(answer.status(), 503);
            assert_eq!(answer.headers()[RETRY_AFTER], "2");
        }
    }
}
