//! The ways to people: e-mail by SMTP, and webhooks. Each try has an end; secrets are read from their files each time, so
//! that a new one holds at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use ring::hmac;
use serde_json::json;

use super::record::Alert;
use crate::clock;
use crate::config;
use crate::recipient::Recipient;

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fewer bytes are no key for signatures.
const SHORTEST_KEY: usize = 16;

/// Why an alert did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undelivered {
    pub(super) why: String,
    /// It will not arrive later either.
    pub(super) final_: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Channels {
    config: config::Alerts,
    /// The host's own name.
    domain: String,
}

impl Channels {
    pub(super) fn new(config: config::Alerts, domain: String) -> Self {
        // The TLS library wants one provider per process. An error says that it has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { config, domain }
    }

    /// Who is told where an instance names nobody.
    pub(super) fn to(&self) -> &[Recipient] {
        &self.config.to
    }

    /// The host's own name.
    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// Tells one recipient.
    pub(super) async fn deliver(&self, to: &Recipient, alert: &Alert) -> Result<(), Undelivered> {
        let told = async {
            match to {
                Recipient::Mail(address) => self.mail(address, alert).await,
                Recipient::Webhook(name) => self.webhook(name, alert).await,
            }
        };
        tokio::time::timeout(PATIENCE, told).await.unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(later(format!("it took more than {seconds} seconds")))
        })
    }

    async fn mail(&self, address: &str, alert: &Alert) -> Result<(), Undelivered> {
        let Some(config) = &self.config.mail else {
            return Err(never(
                "this host has no mail server: [alerts.mail] in redhold.toml names one".to_owned(),
            ));
        };
        let unfit = |error: &dyn std::fmt::Display| never(format!("this cannot be a mail: {error}"));
        let message = Message::builder()
            .from(config.from.parse().map_err(|error| unfit(&error))?)
            .to(address.parse().map_err(|error| unfit(&error))?)
            .subject(format!("[Redhold] {}", alert.title))
            // The same for each try: a mail that came twice is seen to be one.
            .message_id(Some(format!("<{}@{}>", alert.id, self.domain)))
            // No answer by machine, please (RFC 3834).
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(ContentType::TEXT_PLAIN)
            .body(alert.text.clone())
            .map_err(|error| unfit(&error))?;
        let transport = transport(config, &self.domain).map_err(later)?;
        transport
            .send(message)
            .await
            .map(drop)
            .map_err(|error| Undelivered {
                final_: error.is_permanent(),
                why: causes(&error),
            })
    }

    async fn webhook(&self, name: &str, alert: &Alert) -> Result<(), Undelivered> {
        let known = self.config.webhooks.iter().find(|webhook| webhook.name == name);
        let config =
            known.ok_or_else(|| never(format!("redhold.toml has no [[alerts.webhook]] named `{name}`")))?;
        let body = json!({
            "type": format!("alert.{}", serde_json::to_value(alert.kind).unwrap_or_default().as_str().unwrap_or_default()),
            "timestamp": alert.at_ms,
            "data": {
                "id": alert.id,
                "host": self.domain,
                "instance": alert.instance,
                "name": alert.name,
                "topics": alert.topics,
                "title": alert.title,
                "text": alert.text,
            },
        })
        .to_string();
        let key = key(&config.key_file).map_err(later)?;
        let seconds = (clock::now_ms() / 1000).to_string();
        let client = client(config).map_err(later)?;
        let answer = client
            .post(config.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &alert.id)
            .header("webhook-timestamp", &seconds)
            .header("webhook-signature", signature(&key, &alert.id, &seconds, &body))
            .body(body)
            .send()
            .await
            // The address may hold a password, and stands in its error.
            .map_err(|error| later(causes(&error.without_url())))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            // As its specification says: whoever answers so wants no more of these.
            reqwest::StatusCode::GONE => Err(never("it answered 410, which means never again".to_owned())),
            status => Err(later(format!("it answered {}", status.as_u16()))),
        }
    }
}

fn later(why: String) -> Undelivered {
    Undelivered { why, final_: false }
}

fn never(why: String) -> Undelivered {
    Undelivered { why, final_: true }
}

/// An error with its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn transport(config: &config::Mail, domain: &str) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let parameters = || -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(config.server.clone());
        if let Some(file) = &config.ca_file {
            let certificate = Certificate::from_pem(&read(file)?)
                .map_err(|error| format!("{} holds no certificate: {error}", file.display()))?;
            builder = builder
                .certificate_store(CertificateStore::None)
                .add_root_certificate(certificate);
        }
        builder.build_rustls().map_err(|error| causes(&error))
    };
    let tls = match config.security {
        config::Security::None => Tls::None,
        config::Security::StartTls => Tls::Required(parameters()?),
        config::Security::Tls => Tls::Wrapper(parameters()?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.server)
        .port(config.port)
        .timeout(Some(PATIENCE))
        .hello_name(ClientId::Domain(domain.to_owned()))
        .tls(tls);
    if let Some((user, file)) = &config.account {
        let password =
            String::from_utf8(read(file)?).map_err(|_| format!("{} holds no text", file.display()))?;
        builder = builder.credentials(Credentials::new(user.clone(), password.trim_end().to_owned()));
    }
    Ok(builder.build())
}

fn client(config: &config::Webhook) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("redhold/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE);
    if let Some(file) = &config.ca_file {
        let all = reqwest::Certificate::from_pem_bundle(&read(file)?)
            .map_err(|error| format!("{} holds no certificate: {error}", file.display()))?;
        builder = builder.tls_certs_only(all);
    }
    builder.build().map_err(|error| causes(&error))
}

/// The key of a webhook's signatures: bytes in base64 after `whsec_`, or the text as it is.
fn key(file: &Path) -> Result<hmac::Key, String> {
    let text = read(file)?;
    let text = text.trim_ascii();
    let bytes = match text.strip_prefix(b"whsec_") {
        None => text.to_vec(),
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| format!("{} is no base64 after whsec_", file.display()))?,
    };
    if bytes.len() < SHORTEST_KEY {
        return Err(format!(
            "{} holds fewer than {SHORTEST_KEY} bytes",
            file.display()
        ));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// By the Standard Webhooks: over identifier, time and body.
fn signature(key: &hmac::Key, id: &str, seconds: &str, body: &str) -> String {
    let tag = hmac::sign(key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of its reference libraries.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("a key");
        let signed = signature(
            &key(&file).expect("a key"),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            "{\"test\": 2432232314}",
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        fs::write(&file, "short").expect("a key");
        assert!(key(&file).expect_err("too short").contains("16 bytes"));
    }
}
