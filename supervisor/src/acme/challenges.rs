//! What the front answers when an authority asks whether a name leads here (RFC 8555, 8.3).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Where it asks, in clear, before the token.
pub(super) const PATH: &str = "/.well-known/acme-challenge/";

/// The answers of this moment, by host name and token.
#[derive(Debug, Default)]
pub struct Challenges(RwLock<HashMap<(String, String), String>>);

/// An answer that is given until this is dropped.
#[derive(Debug)]
pub(super) struct Offer {
    all: Arc<Challenges>,
    key: (String, String),
}

impl Challenges {
    /// The answer to a request for `path` of a host, named without a port.
    #[must_use]
    pub fn answer(&self, host: &str, path: &str) -> Option<String> {
        // Nearly every request ends here, without a lock.
        let token = path.strip_prefix(PATH)?;
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&(host.to_owned(), token.to_owned())).cloned()
    }

    /// Answers from now on.
    pub(super) fn offer(self: &Arc<Self>, host: &str, token: &str, answer: &str) -> Offer {
        let key = (host.to_owned(), token.to_owned());
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(key.clone(), answer.to_owned());
        Offer {
            all: self.clone(),
            key,
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let mut all = self.all.0.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_for_one_name_and_ends_with_its_order() {
        let all = Arc::new(Challenges::default());
        let offer = all.offer("a.example", "t", "t.thumb");
        let path = format!("{PATH}t");
        assert_eq!(all.answer("a.example", &path).as_deref(), Some("t.thumb"));
        for (host, path) in [
            ("b.example", path.as_str()),
            ("a.example", "/t"),
            ("a.example", PATH),
            ("a.example", "/.well-known/acme-challenge/t/"),
        ] {
            assert_eq!(all.answer(host, path), None, "{host}{path}");
        }
        drop(offer);
        assert_eq!(all.answer("a.example", &path), None);
    }
}
