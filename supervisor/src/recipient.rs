//! Pure: who can be told of something.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Before the name of a webhook.
const WEBHOOK: &str = "webhook:";

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Recipient {
    /// An e-mail address.
    Mail(String),
    /// A webhook of the host's configuration, by its name.
    Webhook(String),
}

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(WEBHOOK) {
            return match is_name(name) {
                true => Ok(Self::Webhook(name.to_owned())),
                false => Err(format!("`{name}` is no webhook's name, which has a-z, 0-9 and -")),
            };
        }
        match text.parse::<lettre::Address>() {
            Ok(_) => Ok(Self::Mail(text.to_owned())),
            Err(_) => Err(format!(
                "`{text}` is neither an e-mail address nor webhook:NAME for a webhook in the host's redhold.toml"
            )),
        }
    }
}

/// Whether a webhook can have this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=40).contains(&name.len()) && name.bytes().all(inner)
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(address) => f.write_str(address),
            Self::Webhook(name) => write!(f, "{WEBHOOK}{name}"),
        }
    }
}

impl TryFrom<String> for Recipient {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Recipient> for String {
    fn from(recipient: Recipient) -> Self {
        recipient.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_and_nothing_else() {
        for good in ["ops@example.org", "webhook:chat-1"] {
            let parsed: Recipient = good.parse().expect(good);
            assert_eq!(parsed.to_string(), good);
        }
        for bad in [
            "",
            "ops",
            "a@b\nBcc: c@d",
            "a@b, c@d",
            "webhook:",
            "webhook:A",
            "webhook:../x",
            "https://example.org/hook",
        ] {
            assert!(bad.parse::<Recipient>().is_err(), "{bad}");
        }
    }
}
