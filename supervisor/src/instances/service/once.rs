//! A request to create something that may be sent twice: it carries a key, and the second one gets the first one's
//! instance. Callers hold the lock under which instances are created.

use super::problems::stored;
use crate::instances::model::Created;
use crate::problem::{Code, Problem};
use crate::store::table::Table;
use crate::store::{Batch, StoreError};

/// How long a request can be repeated, in milliseconds: a day. Whoever has had no answer for so long looks first.
const REPEATS: u64 = 24 * 3600 * 1000;

/// The instance that an earlier request with this key created.
///
/// # Errors
/// [`Code::Usage`] when this is no key, or that the store cannot be read.
pub(super) fn before(keys: &Table<Created>, key: &str, now_ms: u64) -> Result<Option<String>, Problem> {
    let harmless = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    if !(1..=64).contains(&key.len()) || !key.bytes().all(harmless) {
        let message = "an Idempotency-Key is 1 to 64 letters, digits, -, _ and .";
        return Err(Problem::new(Code::Usage, message));
    }
    let before = keys.get(key).map_err(stored)?.map(|created| created.record);
    Ok(before
        .filter(|created| counts(created, now_ms))
        .map(|created| created.id))
}

/// The batch that notes what a request with this key creates, and forgets the keys that do not count any more.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn noted(keys: &Table<Created>, key: &str, id: &str, now_ms: u64) -> Result<Batch, StoreError> {
    let old = keys.scan("")?.into_iter();
    let old = old.filter(|(name, created)| name != key && !counts(&created.record, now_ms));
    let created = Created {
        id: id.to_owned(),
        at_ms: now_ms,
    };
    let batch = Table::<Created>::set(key, &created)?;
    Ok(old.fold(batch, |batch, (name, _)| {
        batch.remove(Table::<Created>::key(&name))
    }))
}

fn counts(created: &Created, now_ms: u64) -> bool {
    now_ms.saturating_sub(created.at_ms) < REPEATS
}

#[cfg(test)]
mod tests {
    use crate::store::Store;

    use super::*;

    #[tokio::test]
    async fn a_key_counts_for_a_day_and_is_forgotten_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(&folder.path().join("store")).expect("a store");
        let keys = Table::<Created>::of(&store);
        let note = async |key: &str, id: &str, now| {
            let batch = noted(&keys, key, id, now).expect("a batch");
            store.commit(batch).await.expect("noted");
        };
        let known = |key: &str, now| before(&keys, key, now).expect("a key");
        note("a", "first", 1000).await;
        note("b", "other", 2000).await;
        assert_eq!(known("a", 1000 + REPEATS - 1).as_deref(), Some("first"));
        assert_eq!(known("a", 1000 + REPEATS), None);
        // The clock was set back.
        assert_eq!(known("a", 0).as_deref(), Some("first"));
        // Asked with again after its time, it is another request.
        note("a", "second", 1500 + REPEATS).await;
        assert_eq!(known("a", 1500 + REPEATS).as_deref(), Some("second"));
        note("c", "third", 3000 + REPEATS).await;
        let left = keys.scan("").expect("keys").into_iter();
        assert_eq!(left.map(|(name, _)| name).collect::<Vec<_>>(), ["a", "c"]);
        for wrong in ["", "a b", "ä", &"x".repeat(65)] {
            before(&keys, wrong, 0).expect_err(wrong);
        }
    }
}
