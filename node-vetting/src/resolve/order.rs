//! The order in which npm sorts names: like a dictionary of English, not like bytes.
//!
//! npm places dependencies in this order, and which version of a package gets the top place depends on it.

/// Punctuation in dictionary order, which comes before digits, which come before letters.
const PUNCTUATION: &str = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

/// A key that sorts as a dictionary does: letters first without their case, small ones first where all else is equal.
#[must_use]
pub(super) fn key(text: &str) -> (Vec<u8>, String) {
    let rank = |c: char| match PUNCTUATION.find(c) {
        Some(at) => at as u8 + 1,
        None if c.is_ascii_alphanumeric() => c.to_ascii_lowercase() as u8,
        None => u8::MAX,
    };
    let swap_case = |c: char| {
        if c.is_ascii_lowercase() {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        }
    };
    (
        text.chars().map(rank).collect(),
        text.chars().map(swap_case).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `[...].sort((a, b) => a.localeCompare(b, 'en'))` gives in Node.js.
    #[test]
    fn names_sort_as_in_a_dictionary() {
        let sorted = [
            "_x", "-x", ".x", "@a/b", "@a/b-c", "@ab/c", "1x", "a", "a_b", "a-b", "a.b", "a/b", "ab", "b",
            "B", "ba",
        ];
        let mut names = sorted;
        names.reverse();
        names.sort_by_key(|name| key(name));
        assert_eq!(names, sorted);
    }
}
