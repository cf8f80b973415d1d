//! The part of the terminal's table that says what a request cost.

use crate::experiment::Experiment;
use crate::matrix;
use crate::table::{aligned, thousands};
use record::{CellFigures, Cost, Summary};

/// A column: its heading, and what it shows of a cell.
struct Column {
    heading: &'static str,
    shown: fn(&Cost) -> Option<String>,
}

/// Headings over several columns: the first column and how many, and the words.
const GROUPS: [(usize, usize, &str); 4] = [
    (1, 3, "CPU µs, all cores"),
    (5, 3, "server's"),
    (8, 2, "client's"),
    (12, 2, "server's memory"),
];

const COLUMNS: [Column; 13] = [
    Column { heading: "user", shown: |of| Some(number(of.user_us)) },
    Column { heading: "system", shown: |of| Some(number(of.system_us)) },
    Column { heading: "softirq", shown: |of| Some(number(of.softirq_us)) },
    Column { heading: "cores busy", shown: |of| Some(format!("{:.2}", of.cores_busy)) },
    Column { heading: "syscalls", shown: |of| of.server.syscalls.map(number) },
    Column { heading: "switches", shown: |of| of.server.context_switches.map(number) },
    Column { heading: "faults", shown: |of| of.server.page_faults.map(number) },
    Column { heading: "syscalls", shown: |of| of.client.syscalls.map(number) },
    Column { heading: "switches", shown: |of| of.client.context_switches.map(number) },
    Column { heading: "interrupts", shown: |of| of.interrupts.map(number) },
    Column { heading: "idle polls", shown: |of| of.idle_poll_share.map(percent) },
    Column { heading: "loaded", shown: |of| of.rss_bytes.map(mebibytes) },
    Column { heading: "each conn.", shown: |of| of.bytes_per_connection.map(kibibytes) },
];

/// Columns of machines with hardware counters, all of them the server's.
const HARDWARE: [Column; 3] = [
    Column { heading: "cycles", shown: |of| of.server.cycles.map(number) },
    Column { heading: "instr.", shown: |of| of.server.instructions.map(number) },
    Column { heading: "LLC misses", shown: |of| of.server.llc_misses.map(number) },
];

/// Lays out the costs of all cells, under their labels; nothing where no cell has any.
pub(crate) fn section(summary: &Summary, experiment: &Experiment) -> String {
    let costs: Vec<(&CellFigures, &Cost)> = (summary.cells.iter().chain(&summary.floors))
        .filter_map(|cell| Some((cell, cell.figures.cost.as_ref()?)))
        .collect();
    if costs.is_empty() {
        return String::new();
    }
    let has_hardware = |column: &&Column| costs.iter().any(|(_, of)| (column.shown)(of).is_some());
    let columns: Vec<&Column> =
        COLUMNS.iter().chain(HARDWARE.iter().filter(has_hardware)).collect();
    let mut rows = vec![row("per request", columns.iter().map(|of| Some(of.heading.to_owned())))];
    for (cell, cost) in &costs {
        let label = matrix::label(&cell.cell, experiment);
        rows.push(row(&label, columns.iter().map(|column| (column.shown)(cost))));
    }
    let mut text = aligned(&GROUPS, &rows);
    if let Some(line) = not_counted(costs.iter().flat_map(|(_, cost)| &cost.unavailable)) {
        text.push_str(&line);
    }
    text
}

fn row(label: &str, shown: impl Iterator<Item = Option<String>>) -> Vec<String> {
    let label = std::iter::once(label.to_owned());
    label.chain(shown.map(|shown| shown.unwrap_or_else(|| "-".to_owned()))).collect()
}

/// One line of what could not be counted: what has the same reason is named together.
fn not_counted<'a>(sentences: impl Iterator<Item = &'a String>) -> Option<String> {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for sentence in sentences {
        let (what, why) = sentence.split_once(": ").unwrap_or((sentence, ""));
        match by_reason.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, names)) if names.contains(&what) => {}
            Some((_, names)) => names.push(what),
            None => by_reason.push((why, vec![what])),
        }
    }
    let part = |(why, names): (&str, Vec<&str>)| format!("{} ({why})", names.join(", "));
    let parts: Vec<String> = by_reason.into_iter().map(part).collect();
    (!parts.is_empty()).then(|| format!("not counted: {}\n", parts.join("; ")))
}

/// Three digits, or how small it is.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 0.01 => "<0.01".to_owned(),
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => thousands(value),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn mebibytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with a decimal")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    format!("{mebibytes:.1} MiB")
}

fn kibibytes(bytes: f64) -> String {
    format!("{:.1} KiB", bytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let check = |value, expect: &str| assert_eq!(number(value), expect);
        check(0.0, "0");
        check(0.004, "<0.01");
        check(0.156, "0.16");
        check(2.201, "2.20");
        check(9.996, "10.0");
        check(1234.5, "1,234");
        assert_eq!(mebibytes(3 << 19), "1.5 MiB");
        assert_eq!(kibibytes(2560.0), "2.5 KiB");
        assert_eq!(percent(0.985), "98.5 %");
    }

    #[test]
    fn what_has_one_reason_is_named_together_and_once() {
        let sentences = ["cycles: no counter", "instructions: no counter", "memory: no file"];
        let sentences = sentences.map(str::to_owned);
        let line = not_counted(sentences.iter().chain(&sentences));
        let expect = "not counted: cycles, instructions (no counter); memory (no file)\n";
        assert_eq!(line.as_deref(), Some(expect));
        assert_eq!(not_counted([].iter()), None);
    }
}
