//! Who changed what: an entry per change, written in the same stroke as the change itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::store::table::{Record, Table};
use crate::store::{Batch, StoreError};
use crate::{clock, ids};

/// Who acts, and through what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum By {
    /// Somebody on this machine, through the local socket.
    Local {
        /// Their user number.
        uid: u32,
    },
    /// Somebody with the administrator's token.
    Token,
    /// The host itself: a time that was over.
    Host,
    /// A maintenance window of an instance.
    Maintenance,
    /// Whoever can write the host's files: it was found there.
    File,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who.
    pub by: By,
    /// What was done, for example `instance.create`.
    pub action: String,
    /// To what: its identifier.
    pub object: String,
    /// What it was before, without secrets.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// What it is now, without secrets.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
}

impl Record for Entry {
    const TABLE: &'static str = "audit";
    const FORMAT: u32 = 1;
}

/// The batch that notes an entry, to be joined with the one that does it.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn entry(
    by: &By,
    action: &str,
    object: &str,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<Batch, StoreError> {
    let entry = Entry {
        at_ms: clock::now_ms(),
        by: by.clone(),
        action: action.to_owned(),
        object: object.to_owned(),
        before,
        after,
    };
    // By time; two of one millisecond are told apart by chance.
    let name = format!("{:012x}-{}", entry.at_ms, ids::fresh());
    Table::<Entry>::set(&name, &entry)
}
