//! The table that a bench prints: each figure beside plain Node-RED's, and what is aimed at.

/// One figure.
#[derive(Debug)]
pub struct Row {
    figure: String,
    unit: &'static str,
    plain: Option<f64>,
    ours: f64,
    aim: Option<Aim>,
}

/// What is aimed at.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    /// At most this share of plain's.
    Share(f64),
    /// At most this much.
    Most(f64),
}

/// All figures of a bench, in the order in which they were taken.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// Adds a figure that plain Node-RED has too.
    pub fn compare(&mut self, figure: &str, unit: &'static str, plain: f64, ours: f64, aim: Option<Aim>) {
        self.0.push(Row {
            figure: figure.to_owned(),
            unit,
            plain: Some(plain),
            ours,
            aim,
        });
    }

    /// Adds a figure of ours alone.
    pub fn alone(&mut self, figure: &str, unit: &'static str, ours: f64, aim: Option<Aim>) {
        self.0.push(Row {
            figure: figure.to_owned(),
            unit,
            plain: None,
            ours,
            aim,
        });
    }

    /// Prints it.
    #[expect(clippy::print_stdout, reason = "a bench's result is what it prints")]
    pub fn print(&self) {
        let head = ["figure", "plain", "redhold", "ratio", "aim", ""].map(str::to_owned);
        let rows: Vec<[String; 6]> = std::iter::once(head)
            .chain(self.0.iter().map(Row::cells))
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(width).collect();
        println!();
        for row in &rows {
            let mut line = format!("{:<1$}", row[0], widths[0]);
            for (cell, width) in row[1..].iter().zip(&widths[1..]) {
                line.push_str(&format!("  {cell:>width$}"));
            }
            println!("{}", line.trim_end());
        }
    }
}

impl Row {
    fn cells(&self) -> [String; 6] {
        let ratio = self.plain.map(|plain| self.ours / plain);
        let number = |value: f64| format!("{value:.2} {}", self.unit);
        let (aim, met) = match self.aim {
            None => (String::new(), None),
            Some(Aim::Share(most)) => (format!("<= {most:.2}"), ratio.map(|ratio| ratio <= most)),
            Some(Aim::Most(most)) => (format!("<= {most} {}", self.unit), Some(self.ours <= most)),
        };
        [
            self.figure.clone(),
            self.plain.map(number).unwrap_or_default(),
            number(self.ours),
            ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            aim,
            met.map_or("", |met| if met { "met" } else { "missed" })
                .to_owned(),
        ]
    }
}
