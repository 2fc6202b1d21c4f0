//! Refusals in the words of a person.

use crate::problem::{Code, Problem};
use crate::store::StoreError;

pub(super) fn unfit(what: &str) -> Problem {
    Problem::new(Code::Usage, format!("these settings do not fit: {what}"))
}

pub(super) fn changed_meanwhile(name: &str) -> Problem {
    Problem::new(
        Code::Conflict,
        format!("`{name}` was changed by somebody else meanwhile"),
    )
    .hint("look at it again and repeat your change")
}

pub(super) fn broken(error: Box<dyn std::error::Error + Send + Sync>) -> Problem {
    Problem::new(Code::Failed, "a task of the host broke off").because(error)
}

/// A name that another instance has.
pub(super) fn taken(name: &str) -> Problem {
    Problem::new(
        Code::Conflict,
        format!("the name `{name}` is taken by another instance"),
    )
    .hint("choose another one")
}

/// What the store refused, for a person.
pub(crate) fn stored(error: StoreError) -> Problem {
    match error {
        StoreError::File { source, what, path } => {
            Problem::io(format!("the store cannot {what} {}", path.display()), source)
        }
        error @ StoreError::Failed(_) => Problem::new(Code::Host, "this change was not stored")
            .because(error)
            .hint(
                "instances go on as they are; look at the disk (`df`, `dmesg`) and repeat the change: the store takes \
                 changes again as soon as the disk does",
            ),
        error => Problem::new(Code::Failed, "the store failed").because(error),
    }
}
