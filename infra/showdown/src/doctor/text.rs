//! The report as a table for a terminal of 80 columns.

use super::{Report, Row, Verdict};

/// Width of the text in columns.
const COLUMNS: usize = 80;
/// Columns of a verdict and of a name, with the space behind them.
const VERDICT_COLUMNS: usize = 8;
const NAME_COLUMNS: usize = 20;

/// What the verdicts mean.
const LEGEND: &str = "yes: can be used, or is as measuring wants it; partly: with limits, or not \
                      by this user; unknown: cannot be told from here. 'showdown tune list' names \
                      what can be set, and undone.";

/// Lays it out: what can be run on top, then every row with its reasons.
pub(super) fn render(report: &Report) -> String {
    let mut text = summary(report);
    for group in &report.groups {
        text.push_str(&format!("\n{}\n", group.name.to_uppercase()));
        for row in &group.rows {
            text.push_str(&render_row(row));
        }
    }
    text.push('\n');
    text.push_str(&hanging("", LEGEND));
    text
}

/// What can be run here and what cannot, from the two groups of technologies.
fn summary(report: &Report) -> String {
    let names = |verdict: Verdict| {
        let rows = report.groups.iter().take(2).flat_map(|group| &group.rows);
        let names = rows.filter(|row| row.verdict == verdict).map(|row| row.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let lines = [
        ("can be used here:", names(Verdict::Yes)),
        ("with limits:", names(Verdict::Partly)),
        ("cannot:", names(Verdict::No)),
        ("unknown:", names(Verdict::Unknown)),
    ];
    let shown = lines.into_iter().filter(|(_, names)| !names.is_empty());
    shown.map(|(label, names)| hanging(&format!("{label:<18}"), &names)).collect()
}

fn render_row(row: &Row) -> String {
    let verdict = match row.verdict {
        Verdict::No => "no",
        Verdict::Partly => "partly",
        Verdict::Unknown => "unknown",
        Verdict::Yes => "yes",
    };
    let start = format!(
        "{verdict:<width$}{:<NAME_COLUMNS$}",
        format!("{} ", row.name),
        width = VERDICT_COLUMNS
    );
    let mut text = hanging_at(&start, &row.found, VERDICT_COLUMNS + NAME_COLUMNS);
    let indent = " ".repeat(VERDICT_COLUMNS);
    for (label, what) in [("why: ", &row.why), ("cure: ", &row.cure)] {
        if let Some(what) = what {
            text.push_str(&hanging(&format!("{indent}{label}"), what));
        }
    }
    text
}

/// Words behind `start`, wrapped; later lines begin where the words of the first do.
pub(crate) fn hanging(start: &str, words: &str) -> String {
    hanging_at(start, words, start.chars().count())
}

/// Words behind `start`, wrapped; later lines begin in column `indent`. A word that is longer than
/// a line stays in one piece: it may be a command or a path.
fn hanging_at(start: &str, words: &str, indent: usize) -> String {
    let mut text = String::new();
    let mut line = start.to_owned();
    let mut is_empty = true;
    for word in words.split_whitespace() {
        let column = line.chars().count() + usize::from(!is_empty);
        if !is_empty && column + word.chars().count() > COLUMNS {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::Group;
    use super::*;

    #[test]
    fn what_can_be_run_comes_first_and_reasons_follow_their_row() {
        let rows = vec![
            Row::of(Verdict::No, "netmap", "nothing").because("no module").cured_by("build it"),
            Row::yes("memif", "shared memory"),
        ];
        let report = Report { groups: vec![Group { name: "kernel bypass", rows }] };
        let text = render(&report);
        let expect = "can be used here: memif\n\
                      cannot:           netmap\n\
                      \n\
                      KERNEL BYPASS\n\
                      no      netmap              nothing\n        \
                              why: no module\n        \
                              cure: build it\n\
                      yes     memif               shared memory\n";
        assert!(text.starts_with(expect), "{text}");
    }

    #[test]
    fn lines_end_within_80_columns_where_words_do() {
        let row = Row::yes("a name that is too long", "word ".repeat(60)).because("x".repeat(90));
        let text = render_row(&row);
        let long: Vec<&str> = text.lines().filter(|line| line.len() > COLUMNS).collect();
        assert_eq!(long, [format!("        why: {}", "x".repeat(90))]);
        assert!(text.lines().count() > 4, "{text}");
        assert!(
            text.lines().nth(1).is_some_and(|line| line.starts_with(&" ".repeat(28))),
            "{text}"
        );
    }
}
