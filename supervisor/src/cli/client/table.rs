//! Tables, times and sizes as people read them.

use serde_json::Value;

use crate::clock;

/// Columns as wide as their widest cell, two spaces between them.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(head.get(column).map_or(0, |name| name.chars().count()))
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| {
            let room = width - cell.chars().count();
            format!("{cell}{}", " ".repeat(room))
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(head.to_vec())];
    lines.extend(
        rows.iter()
            .map(|row| line(row.iter().map(String::as_str).collect())),
    );
    lines
}

/// How long ago, in the largest unit that fits.
#[must_use]
pub fn ago(at_ms: Option<u64>) -> String {
    let Some(at) = at_ms else {
        return "-".to_owned();
    };
    let seconds = clock::now_ms().saturating_sub(at) / 1000;
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A number of bytes.
#[must_use]
pub fn size(bytes: Option<u64>) -> String {
    match bytes {
        None => "-".to_owned(),
        Some(bytes) if bytes < 1 << 20 => format!("{} K", bytes >> 10),
        Some(bytes) if bytes < 10 << 30 => format!("{} M", bytes >> 20),
        Some(bytes) => format!("{} G", bytes >> 30),
    }
}

/// A time of day, with the date, in the terminal's time zone.
#[must_use]
pub fn time(at_ms: u64) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(String::new, |at| {
        at.to_zoned(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    })
}

/// A text member of a document, or a dash.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "running".to_owned()],
            vec!["long-name".to_owned(), "x".to_owned()],
        ];
        assert_eq!(
            table(&["NAME", "STATE"], &rows),
            ["NAME       STATE", "a          running", "long-name  x"]
        );
        assert_eq!(size(Some(5 << 20)), "5 M");
        assert_eq!(ago(None), "-");
    }
}
