//! Pure: how the host reaches people, out of the table `[alerts]`.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use crate::recipient::{Recipient, is_name};

/// How the host reaches people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// Who is told where an instance names nobody.
    pub to: Vec<Recipient>,
    /// The way for e-mail.
    pub mail: Option<Mail>,
    /// Webhooks that instances can name.
    pub webhooks: Vec<Webhook>,
}

/// A server that takes e-mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The sender, such as `Redhold <redhold@example.org>`.
    pub from: String,
    /// Its name.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How it is secured.
    pub security: Security,
    /// Name, and file with the password.
    pub account: Option<(String, PathBuf)>,
    /// The only authorities by whose certificates it is believed, PEM; without it, the system's.
    pub ca_file: Option<PathBuf>,
}

/// How a connection to a mail server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// It begins in clear and is refused without TLS (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// In clear.
    None,
}

/// Something that is told by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The name under which instances know it.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// A file with the key of signatures.
    pub key_file: PathBuf,
    /// The only authorities by whose certificates it is believed, PEM; without it, the system's.
    pub ca_file: Option<PathBuf>,
}

/// The table as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AlertsTable {
    to: Vec<String>,
    mail: Option<MailTable>,
    webhook: Vec<WebhookTable>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct MailTable {
    from: String,
    server: String,
    port: Option<u16>,
    security: Option<Security>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WebhookTable {
    name: String,
    url: String,
    key_file: PathBuf,
    ca_file: Option<PathBuf>,
}

/// Resolves the table.
pub(super) fn resolve(table: AlertsTable, wrong: &mut Vec<String>) -> Alerts {
    let mail = table.mail.map(|table| mail(table, wrong));
    let mut webhooks: Vec<Webhook> = Vec::new();
    for table in table.webhook {
        if webhooks.iter().any(|known| known.name == table.name) {
            wrong.push(format!("alerts.webhook: there are two named `{}`", table.name));
        }
        webhooks.extend(webhook(table, wrong));
    }
    let mut to = Vec::new();
    for text in table.to {
        match text.parse::<Recipient>() {
            Err(why) => wrong.push(format!("alerts.to: {why}")),
            Ok(Recipient::Webhook(name)) if webhooks.iter().all(|known| known.name != name) => {
                wrong.push(format!(
                    "alerts.to: there is no [[alerts.webhook]] named `{name}`"
                ));
            }
            Ok(Recipient::Mail(address)) if mail.is_none() => {
                wrong.push(format!(
                    "alerts.to: `{address}` needs a mail server, as [alerts.mail]"
                ));
            }
            Ok(recipient) => to.push(recipient),
        }
    }
    Alerts { to, mail, webhooks }
}

fn mail(table: MailTable, wrong: &mut Vec<String>) -> Mail {
    if table.from.parse::<lettre::message::Mailbox>().is_err() {
        wrong.push(format!(
            "alerts.mail: `{}` is no sender, such as `Redhold <redhold@example.org>`",
            table.from
        ));
    }
    let server = &table.server;
    if server.is_empty()
        || !server
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b".-:".contains(&c))
    {
        wrong.push(format!("alerts.mail: `{server}` is no name of a server"));
    }
    let security = table.security.unwrap_or(Security::StartTls);
    let account = match (table.user, table.password_file) {
        (Some(user), Some(file)) => Some((user, file)),
        (None, None) => None,
        _ => {
            wrong.push("alerts.mail: `user` and `password-file` need each other".to_owned());
            None
        }
    };
    let here = server == "localhost"
        || server
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if account.is_some() && security == Security::None && !here {
        wrong.push("alerts.mail: without TLS the password would go over the network in clear".to_owned());
    }
    let usual = match security {
        Security::StartTls => 587,
        Security::Tls => 465,
        Security::None => 25,
    };
    Mail {
        from: table.from,
        port: table.port.unwrap_or(usual),
        server: table.server,
        security,
        account,
        ca_file: table.ca_file,
    }
}

fn webhook(table: WebhookTable, wrong: &mut Vec<String>) -> Option<Webhook> {
    if !is_name(&table.name) {
        wrong.push(format!(
            "alerts.webhook: `{}` is no name; use a-z, 0-9 and -",
            table.name
        ));
    }
    let url = Url::parse(&table.url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        wrong.push(format!(
            "alerts.webhook: `{}` is no http or https address",
            table.url
        ));
        return None;
    };
    Some(Webhook {
        name: table.name,
        url,
        key_file: table.key_file,
        ca_file: table.ca_file,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> (Alerts, Vec<String>) {
        let mut wrong = Vec::new();
        let table = toml::from_str(text).expect("a table");
        (resolve(table, &mut wrong), wrong)
    }

    #[test]
    fn a_whole_table_and_what_is_usual() {
        let text = "to = ['ops@example.org', 'webhook:chat']\n\
                    [mail]\nfrom = 'Redhold <r@example.org>'\nserver = 'mail.example.org'\n\
                    user = 'u'\npassword-file = '/p'\n\
                    [[webhook]]\nname = 'chat'\nurl = 'https://chat.example.org/hook'\nkey-file = '/k'";
        let (alerts, wrong) = resolved(text);
        assert_eq!(wrong, [""; 0]);
        assert_eq!((alerts.to.len(), alerts.webhooks.len()), (2, 1));
        let mail = alerts.mail.expect("a server");
        assert_eq!((mail.port, mail.security), (587, Security::StartTls));
        assert_eq!(resolved("").0, Alerts::default());
    }

    #[test]
    fn all_mistakes_are_told() {
        let text = "to = ['ops', 'webhook:none']\n\
                    [mail]\nfrom = 'nobody'\nserver = 'a b'\nsecurity = 'none'\nuser = 'u'\npassword-file = '/p'\n\
                    [[webhook]]\nname = 'A'\nurl = 'https://x'\nkey-file = '/k'\n\
                    [[webhook]]\nname = 'b'\nurl = 'file:///etc/passwd'\nkey-file = '/k'";
        let (_, wrong) = resolved(text);
        for part in [
            "`ops`",
            "named `none`",
            "`nobody`",
            "`a b`",
            "in clear",
            "`A`",
            "file:///etc/passwd",
        ] {
            assert!(
                wrong.iter().any(|line| line.contains(part)),
                "{part} in {wrong:?}"
            );
        }
        assert_eq!(wrong.len(), 7, "{wrong:?}");
        let (_, wrong) = resolved("to = ['ops@example.org']");
        assert!(wrong[0].contains("[alerts.mail]"), "{wrong:?}");
    }
}
