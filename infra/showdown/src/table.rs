//! The table on the terminal.

use crate::cost;
use crate::experiment::Experiment;
use crate::matrix;
use crate::summarise::count_of;
use record::{CellFigures, Environment, Estimate, FailedCell, Figures, Step, Summary, Verdict};
use std::fmt::Write;

/// Columns of a terminal that a table has to do with, as far as its labels allow.
const COLUMNS: usize = 100;

/// Headings over several columns: the first column and how many, and the words.
const GROUPS: [(usize, usize, &str); 3] =
    [(3, 1, "ratio to"), (4, 1, "share of"), (6, 3, "latency")];
/// The same where no floor was measured.
const GROUPS_WITHOUT_FLOOR: [(usize, usize, &str); 2] = [(3, 1, "ratio to"), (5, 3, "latency")];

/// Characters of a conformance failure that the table shows; summary.json has all of it.
const FAILURE_CHARS: usize = 160;

/// Columns of a note, and those that are kept for a percent sign that must not begin a line.
const NOTE_COLUMNS: usize = 80;
const PERCENT_COLUMNS: usize = 3;

/// Spaces between columns.
const BETWEEN: usize = 2;

const HEADINGS: [&str; 9] =
    ["mode", "waits", "requests/s", "", "floor", "errors", "p50", "p99", "p99.9"];
/// The column with the name of the baseline above it.
const RATIO: usize = 3;
/// The column that only an experiment with floors has.
const SHARE: usize = 4;

const FLOOR_HEADINGS: [&str; 5] = ["", "frames back/s", "p50", "p99", "p99.9"];

/// Lays out a summary for people: what was asked, the figures, and what to know about them.
pub(crate) fn render(summary: &Summary, experiment: &Experiment) -> String {
    let mut text = String::new();
    let Environment { server_cpu, client_cpu, .. } = &summary.environment;
    let client_cpu = record::cpu_in_words(*client_cpu);
    let effort = &experiment.effort;
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}: {}", summary.experiment, summary.question);
    let _ = writeln!(
        text,
        "{} of {} s, {}; server on CPU {server_cpu}, client on CPU {client_cpu}; {}",
        count_of(summary.rounds.used.len(), "round"),
        effort.duration_s,
        experiment.axes.load_in_words(),
        summary.environment.network.topology
    );
    text.push('\n');
    text.push_str(&figures(summary, experiment));
    // What is said of a server that is not ours is for information, and keeps no figure back.
    let ours = summary.conformance.iter().filter(|verdict| verdict.name.is_none());
    for verdict in ours.filter(|verdict| verdict.failed > 0) {
        let _ = writeln!(text, "{}", failed_line(verdict));
    }
    for FailedCell { cell, failed, rounds, cause, .. } in &summary.failed {
        let _ = writeln!(
            text,
            "{cell}  FAILED in {failed} of {rounds} rounds, no figure is shown: {cause}"
        );
    }
    text.push_str(&waterfall(&summary.steps));
    text.push('\n');
    let costs = cost::section(summary, experiment);
    if !costs.is_empty() {
        text.push_str(&costs);
        text.push('\n');
    }
    for note in &summary.notes {
        text.push_str(&wrapped(note));
    }
    text
}

/// The figures of the servers, and below them those of the floors.
fn figures(summary: &Summary, experiment: &Experiment) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
    rows[0][RATIO] = format!("{} [95 % CI]", summary.baseline);
    rows.extend(summary.cells.iter().map(|cell| row(cell, experiment)));
    if summary.floors.is_empty() {
        for row in &mut rows {
            row.remove(SHARE);
        }
        return folded(&GROUPS_WITHOUT_FLOOR, &rows);
    }
    let mut floors = vec![FLOOR_HEADINGS.map(str::to_owned).to_vec()];
    floors.extend(summary.floors.iter().map(|floor| floor_row(floor, experiment)));
    format!("{}\n{}", folded(&GROUPS, &rows), folded(&[(2, 3, "latency")], &floors))
}

/// What each step of a waterfall brought; nothing for an experiment without steps.
fn waterfall(steps: &[Step]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let shown = |Estimate { median, ci95: [low, high] }: &Estimate| {
        format!("{median:.3} [{low:.3}, {high:.3}]")
    };
    let heading = ["waterfall", "step before [95 % CI]", "first [95 % CI]"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for (place, step) in steps.iter().enumerate() {
        let mark = if step.changes_client { " *" } else { "" };
        let name = format!("{}{mark}", step.name);
        // The first is compared with nothing.
        let ratios = [&step.ratio_to_previous, &step.ratio_to_first];
        let ratios = ratios.map(|ratio| if place == 0 { "-".to_owned() } else { shown(ratio) });
        rows.push([vec![name], ratios.to_vec()].concat());
    }
    let mut text = format!("\n{}", aligned(&[(1, 2, "requests/s over those of the")], &rows));
    if steps.iter().any(|step| step.changes_client) {
        text.push_str(
            "* The client or the link is another: the step is not of the server alone.\n",
        );
    }
    text
}

/// A note as an item of a list, in lines that a terminal does not break.
pub(crate) fn wrapped(note: &str) -> String {
    let mut text = String::from("*");
    let mut columns = 1;
    for word in note.split_whitespace() {
        let length = word.chars().count();
        // A percent sign stays with its number.
        let breaks = columns > 1 && !word.starts_with('%');
        if breaks && columns + 1 + length + PERCENT_COLUMNS > NOTE_COLUMNS {
            text.push_str("\n ");
            columns = 1;
        }
        text.push(' ');
        text.push_str(word);
        columns += 1 + length;
    }
    text + "\n"
}

fn row(of: &CellFigures, experiment: &Experiment) -> Vec<String> {
    let Figures { throughput_rps, latency_us, ratio_to_baseline, .. } = &of.figures;
    let share = of.figures.share_of_floor.map(|share| format!("{:.1} %", share.median * 100.0));
    let Estimate { median, ci95: [low, high] } = ratio_to_baseline;
    vec![
        matrix::label(&of.cell, experiment),
        waits(of).to_owned(),
        thousands(throughput_rps.median),
        format!("{median:.3} [{low:.3}, {high:.3}]"),
        share.unwrap_or_else(|| "-".to_owned()),
        of.figures.errors.to_string(),
        duration(latency_us.p50),
        duration(latency_us.p99),
        duration(latency_us.p99_9),
    ]
}

/// How the server waits: much of what is credited to bypass is not sleeping. For how long it polls
/// is in the summary.
fn waits(of: &CellFigures) -> &str {
    let wait = of.obtained["wait"].as_str().unwrap_or("?");
    wait.split_once(':').map_or(wait, |(how, _)| how)
}

/// A floor is no contender, so that it is compared with nothing.
fn floor_row(of: &CellFigures, experiment: &Experiment) -> Vec<String> {
    let Figures { throughput_rps, latency_us, .. } = &of.figures;
    let latency = [latency_us.p50, latency_us.p99, latency_us.p99_9].map(duration);
    let first = [matrix::label(&of.cell, experiment), thousands(throughput_rps.median)];
    first.into_iter().chain(latency).collect()
}

/// In the place of figures: a server that answers otherwise is no contender.
fn failed_line(verdict: &Verdict) -> String {
    let Verdict { passed, failed, .. } = verdict;
    let first = verdict.failures.first().map_or("", String::as_str);
    let first: String = first.chars().take(FAILURE_CHARS).collect();
    format!(
        "{}  FAILED conformance in {failed} of {} inputs, no figure is shown; the first: {first}",
        crate::gate::server_label(verdict),
        passed + failed,
    )
}

/// `1234567.8` as `1,234,568`.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds with three digits and the unit that suits them.
fn duration(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 999.5 => (us, "µs"),
        us if us < 999_500.0 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {unit}")
}

/// As [`aligned`], within the columns of a terminal: what does not fit beside the first column
/// follows below it, under the same labels. The columns of a group stay together.
pub(crate) fn folded(groups: &[(usize, usize, &str)], rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut blocks: Vec<String> = Vec::new();
    let (mut first, mut end) = (1, 1);
    while end < columns {
        let group = groups.iter().find(|(start, ..)| *start == end);
        let next = end + group.map_or(1, |(_, count, _)| *count);
        let block = block(groups, rows, first, next);
        let is_wide = block.lines().any(|line| line.chars().count() > COLUMNS);
        match blocks.last_mut() {
            // At least one group, however wide it is.
            Some(last) if first < end && !is_wide => *last = block,
            None => blocks.push(block),
            Some(_) => {
                first = end;
                blocks.push(self::block(groups, rows, first, next));
            }
        }
        end = next;
    }
    blocks.join("\n")
}

/// The first column and those from `first` to before `end`, under their groups.
fn block(
    groups: &[(usize, usize, &str)],
    rows: &[Vec<String>],
    first: usize,
    end: usize,
) -> String {
    let within = groups.iter().filter(|(start, ..)| (first..end).contains(start));
    let groups: Vec<_> =
        within.map(|(start, count, words)| (start - first + 1, *count, *words)).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| [&row[..1], &row[first..end]].concat()).collect();
    aligned(&groups, &rows)
}

/// Columns as wide as their widest cell, the first to the left and all others to the right, under
/// the headings of their groups.
pub(crate) fn aligned(groups: &[(usize, usize, &str)], rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let mut widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut heading = String::new();
    for &(first, count, words) in groups {
        let of_group = |widths: &[usize]| {
            widths[first..first + count].iter().sum::<usize>() + BETWEEN * (count - 1)
        };
        // Words wider than their columns widen the first of them.
        widths[first] += words.chars().count().saturating_sub(of_group(&widths));
        let before = widths[..first].iter().map(|width| width + BETWEEN).sum::<usize>();
        let indent = before - heading.chars().count();
        let _ = write!(heading, "{:indent$}{words:>width$}", "", width = of_group(&widths));
    }
    let mut text = heading + "\n";
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "{:BETWEEN$}{cell:>width$}", ""),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_durations_have_three_digits() {
        assert_eq!(thousands(999.6), "1,000");
        assert_eq!(thousands(1_234_567.8), "1,234,568");
        assert_eq!(thousands(12.0), "12");
        let check = |us, expect: &str| assert_eq!(duration(us), expect);
        check(1.234, "1.23 µs");
        check(9.996, "10.0 µs");
        check(512.4, "512 µs");
        check(999.6, "1.00 ms");
        check(45_678.0, "45.7 ms");
        check(2_000_000.0, "2.00 s");
    }

    #[test]
    fn notes_are_broken_between_words_and_words_are_not() {
        assert_eq!(wrapped("One  note."), "* One note.\n");
        let lines = wrapped(&"twelve chars ".repeat(20));
        assert!(lines.lines().all(|line| line.chars().count() <= NOTE_COLUMNS), "{lines}");
        assert!(lines.lines().skip(1).all(|line| line.starts_with("  ")), "{lines}");
        let percents = wrapped(&"5 %, ".repeat(40));
        assert!(percents.lines().all(|line| line.chars().count() <= NOTE_COLUMNS), "{percents}");
        assert!(!percents.contains("\n  %"), "{percents}");
        let long = "x".repeat(100);
        assert_eq!(wrapped(&format!("a {long} b")), format!("* a\n  {long}\n  b\n"));
    }

    #[test]
    fn a_waterfall_shows_every_step_and_marks_another_client() {
        let estimate = |median: f64| Estimate { median, ci95: [median * 0.9, median * 1.1] };
        let step = |name: &str, previous, first, changes_client| Step {
            name: name.to_owned(),
            change: String::new(),
            cell: 0,
            ratio_to_previous: estimate(previous),
            ratio_to_first: estimate(first),
            changes_client,
        };
        let steps = [
            step("blocking", 1.0, 1.0, false),
            step("spinning", 1.5, 1.5, false),
            step("memory", 2.0, 3.0, true),
        ];
        let expect = "
                          requests/s over those of the
waterfall  step before [95 % CI]       first [95 % CI]
blocking                       -                     -
spinning    1.500 [1.350, 1.650]  1.500 [1.350, 1.650]
memory *    2.000 [1.800, 2.200]  3.000 [2.700, 3.300]
* The client or the link is another: the step is not of the server alone.
";
        assert_eq!(waterfall(&steps), expect);
        assert_eq!(waterfall(&[]), "");
    }

    #[test]
    fn columns_line_up_under_their_groups() {
        let rows = [["mode", "µs", "µs"], ["epoll", "1", "2"], ["x", "1000", "20"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let expect = "        latency\nmode     µs  µs\nepoll     1   2\nx      1000  20\n";
        assert_eq!(aligned(&[(1, 2, "latency")], &rows), expect);
        let expect = "       wide words\nmode           µs  µs\n";
        assert!(aligned(&[(1, 1, "wide words")], &rows).starts_with(expect));
    }

    #[test]
    fn what_does_not_fit_a_terminal_follows_below_with_its_group() {
        let row = |label: &str, cell: &str| [vec![label.to_owned()], vec![cell.to_owned(); 4]];
        let rows = |cell: &str| vec![row("mode", "µs").concat(), row("epoll", cell).concat()];
        let groups = [(1, 1, "one"), (3, 2, "both")];
        let narrow = rows("1");
        assert_eq!(folded(&groups, &narrow), aligned(&groups, &narrow));
        let wide = rows(&"x".repeat(30));
        let text = folded(&groups, &wide);
        let blocks: Vec<&str> = text.split("\n\n").collect();
        assert_eq!(blocks.len(), 2, "{text}");
        assert!(blocks[0].contains("one") && !blocks[0].contains("both"), "{text}");
        assert!(blocks[1].contains("both"), "{text}");
        for block in blocks {
            assert!(block.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
            assert_eq!(block.lines().filter(|line| line.starts_with("epoll ")).count(), 1);
            assert_eq!(block.matches('x').count(), 60, "two columns each: {text}");
        }
        let huge = folded(&groups, &rows(&"x".repeat(120)));
        assert_eq!(huge.matches("epoll ").count(), 3, "alone, or with its group: {huge}");
    }
}
