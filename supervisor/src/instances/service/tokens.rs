//! Access tokens of instances: created, listed, revoked; and what the front is told of them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::warn;
use utoipa::ToSchema;

use super::Instances;
use super::problems::{changed_meanwhile, stored};
use crate::audit::{self, By};
use crate::clock;
use crate::instances::model::Instance;
use crate::instances::tokens::{self, Admission, EndpointToken, TokenUse};
use crate::problem::{Code, Problem};
use crate::store::table::Table;
use crate::store::{Batch, StoreError};

/// Tokens of one instance.
const MOST: usize = 100;

/// What is asked for when a token is created.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewToken {
    /// Its name, of the instance's own: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// When it ends, in milliseconds since 1970; never without one.
    #[serde(default)]
    pub expires_ms: Option<u64>,
}

/// A token as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// When it was used last, in milliseconds since 1970; exact to a minute after the host was killed.
    pub last_used_ms: Option<u64>,
    /// The token itself: only in the answer that creates it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl Instances {
    /// Creates a token for an instance's endpoints.
    ///
    /// # Errors
    /// [`Code::Usage`] when it does not fit, [`Code::Conflict`] when the name is taken.
    pub async fn create_token(&self, by: &By, name: &str, new: NewToken) -> Result<TokenView, Problem> {
        let instance = self.record(name)?;
        self.not_deleted(&instance.record)?;
        let now = clock::now_ms();
        if !tokens::is_name(&new.name) {
            let message = format!("`{}` cannot be a token's name", new.name);
            return Err(Problem::new(Code::Usage, message).hint("use 1 to 40 letters, digits, -, _ and ."));
        }
        if new.expires_ms.is_some_and(|end| end <= now) {
            return Err(Problem::new(Code::Usage, "this token would have ended already")
                .hint("choose a later end, or none"));
        }
        let id = &instance.record.id;
        if self.stored_tokens(id)?.len() >= MOST {
            let message = format!("`{}` has {MOST} tokens already", instance.record.name);
            return Err(Problem::new(Code::Conflict, message).hint("revoke those that nobody uses any more"));
        }
        let token = tokens::fresh();
        let record = EndpointToken {
            digest: tokens::digest(&token),
            created_ms: now,
            expires_ms: new.expires_ms,
        };
        let shown = json!({ "name": new.name, "expiresMs": new.expires_ms });
        let batch = Table::<EndpointToken>::put(&tokens::place(id, &new.name), &record, 0)
            .and_then(|batch| {
                let entry = audit::entry(by, "instance.token-create", id, None, Some(shown))?;
                Ok(batch.and(entry))
            })
            .map_err(stored)?
            // It would outlive an instance that is deleted in this moment.
            .when(Table::<Instance>::key(id), instance.revision);
        self.shared
            .store
            .commit(batch)
            .await
            .map_err(|error| match error {
                StoreError::Conflict { key, .. } if key == Table::<Instance>::key(id) => {
                    changed_meanwhile(&instance.record.name)
                }
                StoreError::Conflict { .. } => {
                    let message = format!("`{}` has a token `{}` already", instance.record.name, new.name);
                    Problem::new(Code::Conflict, message).hint("choose another name, or revoke that one")
                }
                error => stored(error),
            })?;
        Ok(TokenView {
            name: new.name,
            created_ms: now,
            expires_ms: new.expires_ms,
            last_used_ms: None,
            token: Some(token),
        })
    }

    /// The tokens of an instance, by name.
    ///
    /// # Errors
    /// [`Code::Missing`] when there is no such instance.
    pub fn tokens(&self, name: &str) -> Result<Vec<TokenView>, Problem> {
        let id = self.record(name)?.record.id;
        let written = Table::<TokenUse>::of(&self.shared.store)
            .scan(&tokens::place(&id, ""))
            .map_err(stored)?;
        let written: HashMap<String, u64> = written
            .into_iter()
            .map(|(place, used)| (place, used.record.at_ms))
            .collect();
        let view = |(place, token): (String, EndpointToken)| {
            let known = written.get(&place).copied().unwrap_or(0);
            let used = self.uses.of(&place).max(known);
            TokenView {
                name: place.split_once('/').map_or("", |(_, name)| name).to_owned(),
                created_ms: token.created_ms,
                expires_ms: token.expires_ms,
                last_used_ms: Some(used).filter(|used| *used > 0),
                token: None,
            }
        };
        Ok(self.stored_tokens(&id)?.into_iter().map(view).collect())
    }

    fn stored_tokens(&self, id: &str) -> Result<Vec<(String, EndpointToken)>, Problem> {
        let all = Table::<EndpointToken>::of(&self.shared.store).scan(&tokens::place(id, ""));
        let all = all.map_err(stored)?.into_iter();
        Ok(all.map(|(place, token)| (place, token.record)).collect())
    }

    /// Revokes a token: with the answer it is taken nowhere any more.
    ///
    /// # Errors
    /// [`Code::Missing`] when there is none of this name.
    pub async fn revoke_token(&self, by: &By, name: &str, token: &str) -> Result<(), Problem> {
        let instance = self.record(name)?.record;
        let place = tokens::place(&instance.id, token);
        let table = Table::<EndpointToken>::of(&self.shared.store);
        let found = table.get(&place).map_err(stored)?.ok_or_else(|| {
            let message = format!("`{}` has no token `{token}`", instance.name);
            Problem::new(Code::Missing, message).hint(format!(
                "`redhold instance token list {}` shows all",
                instance.name
            ))
        })?;
        let shown = json!({ "name": token, "expiresMs": found.record.expires_ms });
        let batch = audit::entry(by, "instance.token-revoke", &instance.id, Some(shown), None)
            .map_err(stored)?
            .remove(Table::<EndpointToken>::key(&place))
            .remove(Table::<TokenUse>::key(&place));
        self.shared.store.commit(batch).await.map_err(stored)?;
        self.uses.revoke(&place);
        Ok(())
    }

    /// What the front takes for an instance, by the digests of the tokens.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn admissions(&self, id: &str) -> Result<HashMap<String, Admission>, Problem> {
        let all = self.stored_tokens(id)?.into_iter();
        Ok(all
            .map(|(place, token)| {
                let admission = self.uses.admission(&place, &token);
                (token.digest, admission)
            })
            .collect())
    }

    /// Writes when tokens were used, where that was not yet: of each at most once, however often it was.
    pub async fn write_uses(&self) {
        let mut batch = Batch::default();
        let used = self.uses.take();
        for (place, at_ms) in &used {
            // One that was revoked meanwhile is not brought back.
            let known = Table::<EndpointToken>::of(&self.shared.store).get(place);
            let Ok(Some(_)) = known else { continue };
            match Table::<TokenUse>::set(place, &TokenUse { at_ms: *at_ms }) {
                Ok(written) => batch = batch.and(written),
                Err(error) => warn!(%error, "the use of a token could not be noted"),
            }
        }
        if !used.is_empty()
            && let Err(error) = self.shared.store.commit(batch).await
        {
            warn!(%error, "uses of tokens could not be noted");
        }
    }
}
