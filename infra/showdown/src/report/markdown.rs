//! The report that a forge shows: the answer, the table, the notes.

use super::View;
use super::answer;
use super::page::{self, Table};
use record::Summary;

/// Renders it.
pub(super) fn render(view: &View<'_>) -> String {
    let summary = &view.run.summary;
    let Summary { experiment, question, hypothesis, .. } = summary;
    let answer = answer::answer(view);
    let mut text = format!("# {}\n\n**{}**\n", plain(experiment), plain(&answer.sentence));
    for limit in &answer.limits {
        text.push_str(&format!("{}\n", plain(limit)));
    }
    text.push_str(&format!("\nQuestion: {}\n", plain(question)));
    if !hypothesis.is_empty() {
        let (hypothesis, verdict) = (plain(hypothesis), plain(&answer.verdict));
        text.push_str(&format!("\nHypothesis: {hypothesis}\n{verdict}\n"));
    }
    text.push_str(&format!("\n{}\n", table(&page::headline(view))));
    for (name, value) in page::facts(view) {
        text.push_str(&format!("* {name}: {}\n", plain(&value)));
    }
    if !summary.notes.is_empty() {
        text.push_str("\n## What to know\n\n");
    }
    for note in &summary.notes {
        text.push_str(&format!("* {}\n", plain(note)));
    }
    let failed: Vec<&str> = summary
        .conformance
        .iter()
        .filter(|verdict| verdict.failed > 0)
        .map(|verdict| verdict.mode.as_str())
        .collect();
    if !failed.is_empty() {
        let failed = super::text::list(&failed);
        text.push_str(&format!("* FAILED conformance, and has no figures: {failed}.\n"));
    }
    text.push_str(
        "\n`report.html` in this folder has the pictures, the environment and the commands to do \
         it again.\n",
    );
    text
}

/// A table as forges read it, the first column to the left, all others to the right.
pub(super) fn table(table: &Table) -> String {
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| plain(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = row(&table.headings);
    text.push_str("|:--|");
    text.push_str(&"--:|".repeat(table.headings.len().saturating_sub(1)));
    text.push('\n');
    table.rows.iter().for_each(|cells| text.push_str(&row(cells)));
    text
}

/// Text that is no markup and stays on one line.
pub(super) fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => escaped.push(' '),
            '|' | '<' | '*' | '_' | '`' | '[' | ']' | '\\' => escaped.extend(['\\', character]),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let data =
            Table { headings: words(&["mode", "p50"]), rows: vec![words(&["a|b", "1 µs"])] };
        assert_eq!(table(&data), "| mode | p50 |\n|:--|--:|\n| a\\|b | 1 µs |\n");
    }
}
