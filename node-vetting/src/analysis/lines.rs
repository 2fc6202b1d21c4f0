//! Offsets in a file as lines.

/// Where the lines of a file begin.
#[derive(Debug)]
pub(crate) struct Lines {
    starts: Vec<u32>,
    /// Lines before the text, where it is a part of a larger file.
    before: u32,
}

impl Lines {
    /// The lines of a text that begins after so many lines of its file.
    pub(crate) fn of(text: &str, before: u32) -> Self {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes());
        let starts = std::iter::once(0).chain(ends.map(|at| at as u32 + 1)).collect();
        Self { starts, before }
    }

    /// The line of an offset, from 1.
    pub(crate) fn line(&self, offset: u32) -> u32 {
        self.before + self.starts.partition_point(|start| *start <= offset) as u32
    }
}

/// The line, from 1, on which a text first stands; 1 when it does not.
pub(crate) fn line_of(haystack: &str, needle: &str) -> u32 {
    let at = haystack.find(needle).unwrap_or(0);
    haystack[..at].bytes().filter(|byte| *byte == b'\n').count() as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::of("a\nb\n\nc", 0);
        for (offset, line) in [(0, 1), (1, 1), (2, 2), (4, 3), (5, 4), (99, 4)] {
            assert_eq!(lines.line(offset), line, "{offset}");
        }
        assert_eq!(Lines::of("a\nb", 10).line(2), 12);
        assert_eq!(line_of("a\nbc\nd", "c"), 2);
        assert_eq!(line_of("a", "z"), 1);
    }
}
