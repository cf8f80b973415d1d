//! A comparison on the terminal, within 80 columns as far as its labels allow.

use super::{Comparison, Gate, Side};
use crate::summarise::count_of;
use crate::table::{aligned, thousands, wrapped};
use record::Estimate;
use std::fmt::Write;

/// Most differences that are shown; `--json` has all.
const DIFFERENCES_MAX: usize = 40;
/// Characters of a value that are shown.
const VALUE_CHARS: usize = 28;

impl Comparison {
    /// Lays the comparison out for people.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for (name, side) in [("A", &self.a), ("B", &self.b)] {
            let Side { folder, experiment, started_utc, rounds } = side;
            let rounds = count_of(*rounds, "round");
            let _ = writeln!(text, "{name}  {folder}\n   {experiment}, {rounds}, {started_utc}");
        }
        text.push('\n');
        text.push_str(&aligned(&[(3, 1, "requests/s,")], &self.throughput_rows()));
        text.push('\n');
        text.push_str(&aligned(&[(1, 2, "latency, B over A")], &self.latency_rows()));
        for (name, labels) in [("A", &self.only_in_a), ("B", &self.only_in_b)] {
            if !labels.is_empty() {
                let _ = write!(text, "\nOnly in {name}: {}.\n", labels.join(", "));
            }
        }
        text.push('\n');
        text.push_str(&self.render_differences());
        text.push('\n');
        for note in &self.notes {
            text.push_str(&wrapped(note));
        }
        if let Some(gate) = &self.gate {
            text.push_str(&wrapped(&gate.sentence()));
        }
        text
    }

    fn throughput_rows(&self) -> Vec<Vec<String>> {
        let heading = ["cell", "A", "B", "B over A [95 % CI]", "B is"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(self.cells.iter().map(|cell| {
            vec![
                cell.label.clone(),
                thousands(cell.throughput_rps_a),
                thousands(cell.throughput_rps_b),
                interval(&cell.throughput_ratio),
                verdict(&cell.throughput_ratio).to_owned(),
            ]
        }));
        rows
    }

    fn latency_rows(&self) -> Vec<Vec<String>> {
        let heading = ["cell", "p50 [95 % CI]", "p99 [95 % CI]"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        let shown =
            |ratio: &Option<Estimate>| ratio.as_ref().map_or_else(|| "-".to_owned(), interval);
        rows.extend(
            self.cells.iter().map(|cell| {
                vec![cell.label.clone(), shown(&cell.p50_ratio), shown(&cell.p99_ratio)]
            }),
        );
        rows
    }

    fn render_differences(&self) -> String {
        if self.differences.is_empty() {
            return "Environment and experiment are the same.\n".to_owned();
        }
        let mut text = String::from("What differs in environment and experiment, A and B:\n");
        for difference in self.differences.iter().take(DIFFERENCES_MAX) {
            let shown = |value: &Option<String>| match value {
                Some(value) if value.chars().count() > VALUE_CHARS => {
                    value.chars().take(VALUE_CHARS - 1).chain(['…']).collect()
                }
                Some(value) => value.clone(),
                None => "(not there)".to_owned(),
            };
            let (a, b) = (shown(&difference.a), shown(&difference.b));
            let _ = writeln!(text, "  {}:\n    {a}  |  {b}", difference.what);
        }
        let more = self.differences.len().saturating_sub(DIFFERENCES_MAX);
        if more > 0 {
            let _ = writeln!(text, "  and {more} more, which --json has");
        }
        text
    }
}

impl Gate {
    fn sentence(&self) -> String {
        let Self { slower_max, failed, undecided } = self;
        let percent = format!("{} %", round_percent(*slower_max));
        if !failed.is_empty() {
            return format!("SLOWER by more than {percent}: {}.", failed.join(", "));
        }
        match undecided.as_slice() {
            [] => format!("No cell is slower by {percent} or more."),
            _ => format!(
                "No cell is slower by more than {percent} beyond doubt; of {} the interval leaves \
                 it open, and more rounds would tell.",
                undecided.join(", ")
            ),
        }
    }
}

/// A share in percent, without what the binary fraction adds to it.
fn round_percent(share: f64) -> f64 {
    (share * 1e4).round() / 100.0
}

fn interval(Estimate { median, ci95: [low, high] }: &Estimate) -> String {
    format!("{median:.3} [{low:.3}, {high:.3}]")
}

fn verdict(Estimate { ci95: [low, high], .. }: &Estimate) -> &'static str {
    match (*low > 1.0, *high < 1.0) {
        (true, _) => "faster",
        (_, true) => "slower",
        _ => "the same?",
    }
}
