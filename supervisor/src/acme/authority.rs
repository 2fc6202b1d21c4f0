//! One authority: this host's account there, and an order from its beginning to the certificate.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType,
    Error, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::challenges::{Challenges, Offer};
use super::http::Http;
use super::place::{Journal, Pending};
use crate::config::Acme;
use crate::problem::{Code, Problem};
use crate::{clock, paths};

/// How an order is looked at until something has come of it.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));

/// See the module.
pub(super) struct Authority {
    config: Acme,
    http: Http,
    external: Option<ExternalAccountKey>,
    file: PathBuf,
    account: Option<Account>,
}

/// The account as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    contact: String,
    external: Option<String>,
    credentials: AccountCredentials,
}

/// Why there is no certificate.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// In words.
    pub(super) text: String,
    /// When the authority wants to be asked again, in milliseconds since 1970.
    pub(super) asked: Option<u64>,
    /// Whom it concerns.
    pub(super) reach: Reach,
}

/// Whom a failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The one name.
    Name,
    /// The one name, and probably others: the authority counts.
    Limit,
    /// Every name: the authority cannot be reached, or does not know this host.
    All,
}

impl Authority {
    /// Prepares everything; asks nobody. `folder` is where the account is kept.
    ///
    /// # Errors
    /// When a file of the configuration cannot be used.
    pub(super) fn new(config: &Acme, folder: &Path) -> Result<Self, Problem> {
        let external = match &config.external_account {
            None => None,
            Some(named) => {
                let file = &named.key_file;
                let text = std::fs::read_to_string(file)
                    .map_err(|error| Problem::io(format!("cannot read {}", file.display()), error))?;
                let text = text.trim().trim_end_matches('=');
                let key = URL_SAFE_NO_PAD.decode(text).ok().filter(|key| !key.is_empty());
                let key = key.ok_or_else(|| {
                    Problem::new(Code::Usage, format!("{} holds no key", file.display())).hint(
                        "it must be the key of the external account as the authority gave it, in base64url",
                    )
                })?;
                Some(ExternalAccountKey::new(named.kid.clone(), &key))
            }
        };
        Ok(Self {
            config: config.clone(),
            http: Http::new(config)?,
            external,
            file: folder.join("account.json"),
            account: None,
        })
    }

    /// Whether this host has had an account here.
    pub(super) fn known(&self) -> bool {
        self.file.exists()
    }

    /// The account: the one of before, or a new one.
    pub(super) async fn account(&mut self) -> Result<Account, Failure> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let account = match self.kept() {
            Some(kept) => {
                let builder = Account::builder_with_http(Box::new(self.http.clone()));
                let account = builder.from_credentials(kept.credentials).await;
                let account = account.map_err(|error| self.failure(&error, Reach::All))?;
                if kept.contact != self.config.contact {
                    let changed = account.update_contacts(&[&self.config.contact]).await;
                    if let Err(error) = changed {
                        if kind(&error) == Some("accountDoesNotExist") {
                            self.forget();
                        }
                        return Err(self.failure(&error, Reach::All));
                    }
                    let again = self.kept().ok_or_else(|| unwritten("the account is gone"))?;
                    self.keep(again.credentials)?;
                }
                account
            }
            None => {
                let new = NewAccount {
                    contact: &[&self.config.contact],
                    // The configuration is refused without it.
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let builder = Account::builder_with_http(Box::new(self.http.clone()));
                let directory = self.config.directory.clone();
                let made = builder.create(&new, directory, self.external.as_ref()).await;
                let (account, credentials) = made.map_err(|error| self.failure(&error, Reach::All))?;
                self.keep(credentials)?;
                account
            }
        };
        self.account = Some(account.clone());
        Ok(account)
    }

    /// The account on the disk, if it is one for this configuration.
    fn kept(&self) -> Option<Kept> {
        let kept: Kept = serde_json::from_slice(&std::fs::read(&self.file).ok()?).ok()?;
        (kept.directory == self.config.directory && kept.external == self.bound()).then_some(kept)
    }

    fn bound(&self) -> Option<String> {
        self.config
            .external_account
            .as_ref()
            .map(|external| external.kid.clone())
    }

    fn keep(&self, credentials: AccountCredentials) -> Result<(), Failure> {
        let kept = Kept {
            directory: self.config.directory.clone(),
            contact: self.config.contact.clone(),
            external: self.bound(),
            credentials,
        };
        let text = serde_json::to_vec_pretty(&kept).map_err(unwritten)?;
        paths::write_private(&self.file, &text).map_err(unwritten)
    }

    /// Lets go of an account that the authority has forgotten (RFC 8555, 6.7); the next request opens another.
    fn forget(&mut self) {
        self.account = None;
        // One that cannot be removed is found out again.
        let _ = std::fs::remove_file(&self.file);
    }

    fn failure(&self, error: &Error, reach: Reach) -> Failure {
        let later = self.http.later();
        let reach = match error {
            Error::Api(_) if later.is_some_and(|later| later.everything) => Reach::All,
            Error::Api(_) if kind(error) == Some("accountDoesNotExist") => Reach::All,
            Error::Api(_) if kind(error) == Some("rateLimited") => reach.max_limit(),
            Error::Api(_) | Error::Timeout(_) | Error::Str(_) => reach,
            _ => Reach::All,
        };
        let suggested = match error {
            Error::Timeout(Some(at)) => {
                let wait = at.saturating_duration_since(std::time::Instant::now());
                Some(clock::now_ms() + u64::try_from(wait.as_millis()).unwrap_or(0))
            }
            _ => None,
        };
        Failure {
            text: words(error),
            asked: later.map(|later| later.at).or(suggested),
            reach,
        }
    }

    /// Orders a certificate for `name`, or goes on with the order of before; its key and its chain, PEM.
    /// What must outlive this process is kept on the way.
    pub(super) async fn order(
        &mut self,
        name: &str,
        challenges: &Arc<Challenges>,
        journal: &mut Journal,
    ) -> Result<String, Failure> {
        let account = self.account().await?;
        let _ = self.http.later();
        let taken = self.taken_up(&account, journal.record.order.clone()).await?;
        let again = taken.is_some();
        let (mut order, key) = match taken {
            Some(taken) => taken,
            None => {
                // Counted before it is made: nobody may live to count it afterwards.
                journal.record.failures.begin(clock::now_ms());
                journal.record.order = None;
                journal.keep().await.map_err(unwritten)?;
                let names = [Identifier::Dns(name.to_owned())];
                let new = NewOrder::new(&names);
                let mut order = account.new_order(&new).await;
                if let Err(error) = &order
                    && kind(error) == Some("accountDoesNotExist")
                {
                    self.forget();
                    order = self.account().await?.new_order(&new).await;
                }
                let order = order.map_err(|error| self.failure(&error, Reach::Name))?;
                let key = KeyPair::generate().map_err(unwritten)?;
                journal.record.order = Some(Pending {
                    directory: self.config.directory.clone(),
                    url: order.url().to_owned(),
                    key: key.serialize_pem(),
                });
                journal.keep().await.map_err(unwritten)?;
                (order, key)
            }
        };
        let come = self.complete(name, &mut order, &key, challenges).await;
        if again && come.as_ref().is_err_and(|failure| failure.reach == Reach::Name) {
            // A second try led to nothing either: the next one is with a new order.
            journal.record.order = None;
        }
        Ok(format!("{}{}", key.serialize_pem(), come?))
    }

    /// An order of before, when its authority still knows it and it can still come to something.
    async fn taken_up(
        &self,
        account: &Account,
        before: Option<Pending>,
    ) -> Result<Option<(Order, KeyPair)>, Failure> {
        let Some(before) = before.filter(|before| before.directory == self.config.directory) else {
            return Ok(None);
        };
        let Ok(key) = KeyPair::from_pem(&before.key) else {
            return Ok(None);
        };
        match account.order(before.url).await {
            Ok(mut order) => {
                let alive = order.state().status != OrderStatus::Invalid;
                Ok(alive.then_some((order, key)))
            }
            Err(Error::Api(_)) => Ok(None),
            Err(error) => Err(self.failure(&error, Reach::All)),
        }
    }

    async fn complete(
        &self,
        name: &str,
        order: &mut Order,
        key: &KeyPair,
        challenges: &Arc<Challenges>,
    ) -> Result<String, Failure> {
        let failed = |error: Error| self.failure(&error, Reach::Name);
        let mut status = order.state().status;
        if status == OrderStatus::Pending {
            let offers = self.answer(name, order, challenges).await?;
            status = order.poll_ready(&POLL).await.map_err(failed)?;
            drop(offers);
        }
        if status == OrderStatus::Invalid {
            return Err(Failure {
                text: reasons(order)
                    .await
                    .unwrap_or_else(|| "the authority did not say why".to_owned()),
                asked: None,
                reach: Reach::Name,
            });
        }
        if status == OrderStatus::Ready {
            let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(unwritten)?;
            params.distinguished_name = DistinguishedName::new();
            let request = params.serialize_request(key).map_err(unwritten)?;
            order.finalize_csr(request.der()).await.map_err(failed)?;
        }
        order.poll_certificate(&POLL).await.map_err(failed)
    }

    /// Lets the front answer for every name of the order, and tells the authority.
    async fn answer(
        &self,
        name: &str,
        order: &mut Order,
        challenges: &Arc<Challenges>,
    ) -> Result<Vec<Offer>, Failure> {
        let failed = |error: Error| self.failure(&error, Reach::Name);
        let mut offers = Vec::new();
        let mut all = order.authorizations();
        while let Some(authorization) = all.next().await {
            let mut authorization = authorization.map_err(failed)?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let mut challenge = authorization
                .challenge(ChallengeType::Http01)
                .ok_or_else(|| Failure {
                    text: "the authority offers no `http-01`, the one way of proof that this host has"
                        .to_owned(),
                    asked: None,
                    reach: Reach::Name,
                })?;
            let answer = challenge.key_authorization();
            offers.push(challenges.offer(name, &challenge.token, answer.as_str()));
            // One of an order that is taken up again is perhaps being looked at already.
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await.map_err(failed)?;
            }
        }
        Ok(offers)
    }

    /// When the authority wants the certificate to be renewed, and when to ask again, in milliseconds since 1970; `None`
    /// from one that has no opinion.
    pub(super) async fn window(
        &mut self,
        certificate: &CertificateDer<'_>,
    ) -> Result<Option<((u64, u64), u64)>, Failure> {
        let Ok(identifier) = CertificateIdentifier::try_from(certificate) else {
            return Ok(None);
        };
        let account = self.account().await?;
        match account.renewal_info(&identifier).await {
            Ok((info, wait)) => {
                let millis = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
                let window = &info.suggested_window;
                let bounds = (
                    millis(window.start.unix_timestamp()),
                    millis(window.end.unix_timestamp()),
                );
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Ok(Some((bounds, wait)))
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(self.failure(&error, Reach::All)),
        }
    }
}

impl Reach {
    fn max_limit(self) -> Self {
        if self == Self::All { Self::All } else { Self::Limit }
    }
}

/// What went wrong with the proofs of an order.
async fn reasons(order: &mut Order) -> Option<String> {
    let mut all = order.authorizations();
    while let Some(Ok(mut authorization)) = all.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let mut errors = authorization
            .challenges
            .iter()
            .filter_map(|challenge| challenge.error.as_ref());
        if let Some(error) = errors.next() {
            return Some(error.to_string());
        }
    }
    None
}

/// The last part of the type of an authority's refusal.
fn kind(error: &Error) -> Option<&str> {
    match error {
        Error::Api(problem) => problem.r#type.as_deref()?.rsplit(':').next(),
        _ => None,
    }
}

/// An error and everything behind it, in one line of bearable length: an authority chooses the words.
fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    line.chars().take(600).collect()
}

/// Something on this side, that another name would meet too.
pub(super) fn unwritten(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Failure {
    Failure {
        text: error.into().to_string(),
        asked: None,
        reach: Reach::All,
    }
}
