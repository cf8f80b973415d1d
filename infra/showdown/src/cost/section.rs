//! The part of the terminal's table that says what a request cost.

use crate::experiment::Experiment;
use crate::matrix;
use crate::table::{folded, thousands};
use record::{CellFigures, Cost, Summary};

/// A column: the heading over it and its neighbours, its own, and what it shows of a cell.
struct Column {
    group: &'static str,
    heading: &'static str,
    shown: fn(&CellFigures, &Cost) -> Option<String>,
}

const fn column(
    group: &'static str,
    heading: &'static str,
    shown: fn(&CellFigures, &Cost) -> Option<String>,
) -> Column {
    Column { group, heading, shown }
}

const CPU: &str = "CPU µs, all cores";
const PROCESS: &str = "the same by process";
const SERVER: &str = "server's";
const CLIENT: &str = "client's";
const MEMORY: &str = "server's memory";

/// Those that no cell has are left out, as the counts of a run that did not count.
const COLUMNS: [Column; 19] = [
    column(CPU, "user", |_, of| Some(number(of.user_us))),
    column(CPU, "system", |_, of| Some(number(of.system_us))),
    column(CPU, "softirq", |_, of| Some(number(of.softirq_us))),
    // CPU seconds per million responses are microseconds per response.
    column(PROCESS, "server", |of, _| Some(number(of.figures.cpu_s_per_million.server))),
    column(PROCESS, "client", |of, _| Some(number(of.figures.cpu_s_per_million.client))),
    column(PROCESS, "rest", |of, _| Some(number(of.figures.cpu_s_per_million.rest))),
    column("", "cores busy", |_, of| Some(format!("{:.2}", of.cores_busy))),
    column("", "idle polls", |_, of| of.idle_poll_share.map(percent)),
    column(SERVER, "syscalls", |_, of| of.server.syscalls.map(number)),
    column(SERVER, "switches", |_, of| of.server.context_switches.map(number)),
    column(SERVER, "faults", |_, of| of.server.page_faults.map(number)),
    column(SERVER, "cycles", |_, of| of.server.cycles.map(number)),
    column(SERVER, "instr.", |_, of| of.server.instructions.map(number)),
    column(SERVER, "LLC misses", |_, of| of.server.llc_misses.map(number)),
    column(CLIENT, "syscalls", |_, of| of.client.syscalls.map(number)),
    column(CLIENT, "switches", |_, of| of.client.context_switches.map(number)),
    column("", "interrupts", |_, of| of.interrupts.map(number)),
    column(MEMORY, "loaded", |_, of| of.rss_bytes.map(mebibytes)),
    column(MEMORY, "each conn.", |_, of| of.bytes_per_connection.map(kibibytes)),
];

/// Lays out the costs of all cells, under their labels; nothing where no cell has any.
pub(crate) fn section(summary: &Summary, experiment: &Experiment) -> String {
    let costs: Vec<(&CellFigures, &Cost)> = (summary.cells.iter().chain(&summary.floors))
        .filter_map(|cell| Some((cell, cell.figures.cost.as_ref()?)))
        .collect();
    if costs.is_empty() {
        return String::new();
    }
    let is_known =
        |column: &&Column| costs.iter().any(|(cell, of)| (column.shown)(cell, of).is_some());
    let columns: Vec<&Column> = COLUMNS.iter().filter(is_known).collect();
    let mut rows = vec![row("per request", columns.iter().map(|of| Some(of.heading.to_owned())))];
    for (cell, cost) in &costs {
        let label = matrix::label(&cell.cell, experiment);
        rows.push(row(&label, columns.iter().map(|column| (column.shown)(cell, cost))));
    }
    let mut text = folded(&groups(&columns), &rows);
    if let Some(line) = not_counted(costs.iter().flat_map(|(_, cost)| &cost.unavailable)) {
        text.push_str(&line);
    }
    text
}

/// Headings over several columns: the first column and how many, and the words.
fn groups(columns: &[&Column]) -> Vec<(usize, usize, &'static str)> {
    let mut groups: Vec<(usize, usize, &str)> = Vec::new();
    for (place, column) in (1..).zip(columns) {
        match groups.last_mut() {
            Some((_, count, words)) if *words == column.group => *count += 1,
            _ => groups.push((place, 1, column.group)),
        }
    }
    groups.retain(|(_, _, words)| !words.is_empty());
    groups
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
    fn neighbours_share_the_heading_over_them() {
        let columns: Vec<&Column> = COLUMNS.iter().take(9).collect();
        let expect = [(1, 3, CPU), (4, 3, PROCESS), (9, 1, SERVER)];
        assert_eq!(groups(&columns), expect);
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
