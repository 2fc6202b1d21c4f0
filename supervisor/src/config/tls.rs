//! Pure: where certificates come from, out of flags, environment and file.

use std::path::PathBuf;

use url::Url;

use super::file::TlsTable;
use super::{Acme, ExternalAccount, Tls};

/// Where orders go when no directory is named.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Resolves the table; `named` is what flags and environment say, and wins over it.
pub(super) fn resolve(
    mode: Option<String>,
    named: (Option<PathBuf>, Option<PathBuf>),
    table: TlsTable,
    wrong: &mut Vec<String>,
) -> Tls {
    let mode = mode.or_else(|| table.mode.clone());
    let certificate = named.0.or_else(|| table.certificate.clone());
    let key = named.1.or_else(|| table.key.clone());
    let of_acme = [
        ("contact", table.contact.is_some()),
        ("directory", table.directory.is_some()),
        ("terms-agreed", table.terms_agreed.is_some()),
        ("ca-file", table.ca_file.is_some()),
        ("eab-kid", table.eab_kid.is_some()),
        ("eab-key-file", table.eab_key_file.is_some()),
    ];
    if mode.as_deref() != Some("acme")
        && let Some((name, _)) = of_acme.iter().find(|(_, named)| *named)
    {
        wrong.push(format!("tls: `{name}` is named, but the mode is not `acme`"));
        return Tls::Off;
    }
    match (mode.as_deref(), certificate, key) {
        (Some("off"), None, None) => Tls::Off,
        (Some("local"), None, None) | (None, None, None) => Tls::Local,
        (Some("acme"), None, None) => Tls::Acme(acme(table, wrong)),
        (None | Some("files"), Some(certificate), Some(key)) => Tls::Files { certificate, key },
        (None | Some("files"), _, _) => {
            wrong.push("tls: files need both a certificate and a key".to_owned());
            Tls::Off
        }
        (Some("off" | "local" | "acme"), _, _) => {
            wrong.push("tls: a certificate or a key is named, but the mode is not `files`".to_owned());
            Tls::Off
        }
        (Some(other), _, _) => {
            wrong.push(format!(
                "tls: `{other}` is no mode; choose local, files, acme or off"
            ));
            Tls::Off
        }
    }
}

fn acme(table: TlsTable, wrong: &mut Vec<String>) -> Acme {
    let contact = table.contact.unwrap_or_default();
    if !contact.strip_prefix("mailto:").is_some_and(is_address) {
        wrong.push(
            "tls: acme needs whom the authority may write to, such as contact = \"mailto:you@example.org\""
                .to_owned(),
        );
    }
    let directory = table.directory.unwrap_or_else(|| DIRECTORY.to_owned());
    let secure = Url::parse(&directory).is_ok_and(|url| url.scheme() == "https" && url.has_host());
    if !secure {
        wrong.push(format!("tls: the directory `{directory}` is no https address"));
    }
    if table.terms_agreed != Some(true) {
        wrong.push(format!(
            "tls: acme needs your agreement to the authority's terms of service; {directory} names them under \
             `termsOfService`, and terms-agreed = true says that you agree"
        ));
    }
    let external_account = match (table.eab_kid, table.eab_key_file) {
        (Some(kid), Some(key_file)) => Some(ExternalAccount { kid, key_file }),
        (None, None) => None,
        _ => {
            wrong.push("tls: an external account needs both eab-kid and eab-key-file".to_owned());
            None
        }
    };
    Acme {
        contact,
        directory,
        ca_file: table.ca_file,
        external_account,
    }
}

/// As much as can be seen from here; RFC 8555 7.3 allows one address without headers.
fn is_address(text: &str) -> bool {
    let halves = text.split_once('@');
    halves.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        && !text.contains(|c: char| c.is_whitespace() || ",?%".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> (Tls, Vec<String>) {
        let mut wrong = Vec::new();
        let table = toml::from_str(text).expect("a table");
        (resolve(None, (None, None), table, &mut wrong), wrong)
    }

    #[test]
    fn acme_wants_an_agreement_and_whom_to_write_to() {
        let whole = "mode = 'acme'\ncontact = 'mailto:a@b.example'\nterms-agreed = true";
        let (tls, wrong) = resolved(whole);
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(
            matches!(&tls, Tls::Acme(acme) if acme.directory == DIRECTORY),
            "{tls:?}"
        );
        for (text, part) in [
            ("mode = 'acme'\ncontact = 'mailto:a@b.example'", "terms-agreed"),
            (
                "mode = 'acme'\ncontact = 'mailto:a@b.example'\nterms-agreed = false",
                "terms-agreed",
            ),
            (
                "mode = 'acme'\ncontact = 'a@b.example'\nterms-agreed = true",
                "mailto:",
            ),
            ("mode = 'acme'\nterms-agreed = true", "mailto:"),
            ("contact = 'mailto:a@b.example'", "`contact`"),
            ("mode = 'files'\nterms-agreed = true", "`terms-agreed`"),
        ] {
            let (_, wrong) = resolved(text);
            assert!(wrong.len() == 1 && wrong[0].contains(part), "{text}: {wrong:?}");
        }
        for (more, part) in [
            ("directory = 'http://a.example/d'", "https"),
            ("directory = 'https:'", "https"),
            ("eab-kid = 'k'", "eab-key-file"),
            ("certificate = '/c'", "`files`"),
        ] {
            let (_, wrong) = resolved(&format!("{whole}\n{more}"));
            assert!(wrong.len() == 1 && wrong[0].contains(part), "{more}: {wrong:?}");
        }
    }
}
