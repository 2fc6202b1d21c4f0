//! What is missing from a closure, or is not pinned.

use crate::closure::{Closure, Why};
use crate::report::Reason;

pub(super) fn reasons(closure: &Closure) -> Vec<Reason> {
    let told = closure.gaps.iter().filter_map(|gap| {
        let (rule, what) = match gap.why {
            Why::Url => ("closure.url", "which is an address outside the registry"),
            Why::Git => ("closure.git", "which is a git repository"),
            Why::File => ("closure.file", "which is a file of the installing host"),
            Why::Missing => ("closure.missing", "of which the registry has no such version"),
            Why::Unknown => ("closure.missing", "which the registry does not have"),
            Why::Unusable => ("closure.missing", "whose archive is damaged or refused"),
            Why::TooMuch => (
                "closure.too-much",
                "which was left out because the closure is too large",
            ),
            Why::Platform => return None,
        };
        let reason = Reason::about(rule, &gap.wanted_by)
            .says(format!(
                "{} wants {} ({}), {what}.",
                gap.wanted_by, gap.name, gap.wanted
            ))
            .fact("what", gap.wanted.as_str());
        Some(reason)
    });
    told.collect()
}
