//! Which pictures a run has, in the order of the page. One without data is not drawn at all.

mod cost;
mod latency;
mod rounds;
mod scaling;
mod speed;

use super::View;
use super::cells::{Row, headline};
use super::page::{Figure, Table};

/// Bars that a picture has at most; with more cells, it shows those at the first value of every
/// axis of numbers, and the table has all.
const BARS_MAX: usize = 24;
/// Lines that can be told apart in a picture.
const LINES_MAX: usize = 12;

/// Every picture that this run has data for.
pub(super) fn all(view: &View<'_>) -> Vec<Figure> {
    let pictures = [
        speed::throughput(view),
        speed::ratios(view),
        speed::waterfall(view),
        latency::by_percentile(view),
        latency::by_rate(view),
        cost::by_kind(view),
        cost::by_process(view),
        scaling::ping_pong(view),
        scaling::connections(view),
        scaling::payload(view),
        scaling::pipeline(view),
        rounds::throughput(view),
    ];
    pictures.into_iter().flatten().collect()
}

fn bars<'a, 'b>(rows: Vec<&'b Row<'a>>) -> Vec<&'b Row<'a>> {
    headline(rows, BARS_MAX)
}

/// The rows of a closed loop: how many requests a server answers at a rate that was given says
/// nothing about it.
fn closed<'a, 'b>(view: &'b View<'a>) -> Vec<&'b Row<'a>> {
    view.rows.iter().filter(|row| row.of.cell.rate_rps.is_none()).collect()
}

/// Said where a picture cannot show every cell.
fn of_how_many(shown: usize, all: usize) -> String {
    if shown == all {
        return String::new();
    }
    format!(
        " {shown} of {all} cells are drawn, those with the first value of every axis of numbers; \
         the table of figures has all."
    )
}

/// Said where a picture cannot show every line.
fn of_lines(lines: usize) -> String {
    if lines <= LINES_MAX {
        return String::new();
    }
    format!(" The first {LINES_MAX} of {lines} lines are drawn; the table below has all.")
}

fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let headings = headings.iter().map(|heading| (*heading).to_owned()).collect();
    Table { headings, rows: rows.collect() }
}
