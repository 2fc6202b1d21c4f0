//! Pure: figures in the text format that Prometheus reads (its "text exposition format", version 0.0.4).

use std::fmt::Write;

/// What kind of figure a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A text that grows family by family.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Adds a family: its samples as labels and value; one without samples is left out.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str, samples: &[(Vec<(&str, &str)>, f64)]) {
        if samples.is_empty() {
            return;
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing into a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            let labels = if labels.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", labels.join(","))
            };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    /// The whole text.
    #[must_use]
    pub fn text(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out() {
        let mut all = Exposition::default();
        all.family(
            "up",
            Kind::Gauge,
            "Whether it is up.",
            &[(vec![("name", "a\"b\\c\nd")], 1.0)],
        );
        all.family("none", Kind::Counter, "Nothing.", &[]);
        all.family("seconds_total", Kind::Counter, "Time.", &[(vec![], 0.25)]);
        assert_eq!(
            all.text(),
            "# HELP up Whether it is up.\n# TYPE up gauge\nup{name=\"a\\\"b\\\\c\\nd\"} 1\n\
             # HELP seconds_total Time.\n# TYPE seconds_total counter\nseconds_total 0.25\n"
        );
    }
}
