//! The cells of a run with what every table and picture needs of them: a name, a look, samples.

use crate::client_limit::ClientLimit;
use crate::matrix;
use crate::stored::Run;
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use record::{Cell, CellFigures, Measurement, decode_histogram};

/// Modes that have a colour and a marker of their own, everywhere the same. The others, floors and
/// contenders, are grey and told apart by their dashes and labels.
const MODES: [&str; 6] = ["epoll", "hyper", "uring", "xdp", "memif", "dpdk"];

/// How a cell is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Class of the style sheet that has the colour of the mode.
    pub(super) class: String,
    /// Number of the mode's marker.
    pub(super) marker: usize,
    /// Number of the dashes: which variant of the mode it is.
    pub(super) dash: usize,
}

/// An axis of numbers, over which something is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Connections,
    Payload,
    Pipeline,
    Rate,
}

impl Axis {
    /// All of them.
    pub(super) const ALL: [Self; 4] =
        [Self::Connections, Self::Payload, Self::Pipeline, Self::Rate];

    /// Where a cell is on the axis; none where the axis is not its.
    pub(super) fn value(self, cell: &Cell) -> Option<u64> {
        match self {
            Self::Connections => Some(cell.connections),
            Self::Payload => cell.payload_bytes,
            Self::Pipeline => Some(cell.pipeline.unwrap_or(1)),
            Self::Rate => cell.rate_rps,
        }
    }

    /// The cell with nothing on this axis: what the points of one line have in common.
    pub(super) fn without(self, cell: &Cell) -> Cell {
        let mut cell = cell.clone();
        match self {
            Self::Connections => cell.connections = 0,
            // The path asks for the payload, where there is one.
            Self::Payload => {
                if cell.payload_bytes.take().is_some() {
                    cell.path = String::new();
                }
            }
            Self::Pipeline => cell.pipeline = None,
            Self::Rate => cell.rate_rps = None,
        }
        cell
    }
}

/// A cell with its figures, its measurements and its name.
pub(super) struct Row<'a> {
    /// The cell and its figures.
    pub(super) of: &'a CellFigures,
    /// What it is called in this run.
    pub(super) label: String,
    /// How it is drawn.
    pub(super) look: Look,
    /// Its measurements in all rounds.
    pub(super) all: Vec<&'a Measurement>,
    /// Latency in nanoseconds: the histograms of the rounds used, merged.
    pub(super) latency_ns: Histogram<u64>,
    /// Whether the figures are the client's limit.
    pub(super) client_limited: bool,
}

/// Prepares the cells of a run, and its floors.
///
/// # Errors
/// Where a histogram cannot be read.
pub(super) fn rows(run: &Run) -> Result<(Vec<Row<'_>>, Vec<Row<'_>>)> {
    Ok((of_figures(run, &run.summary.cells)?, of_figures(run, &run.summary.floors)?))
}

fn of_figures<'a>(run: &'a Run, figures: &'a [CellFigures]) -> Result<Vec<Row<'a>>> {
    let cells: Vec<&Cell> = figures.iter().map(|of| &of.cell).collect();
    let looks = looks(&cells);
    let named = figures.iter().zip(matrix::labels(&cells)).zip(looks);
    let row = |((of, label), look): ((&'a CellFigures, String), Look)| {
        let all: Vec<&Measurement> =
            run.measurements.iter().filter(|measurement| measurement.cell == of.cell).collect();
        let is_used = |round| run.summary.rounds.used.contains(&round);
        let used: Vec<&Measurement> =
            all.iter().copied().filter(|measurement| is_used(measurement.round)).collect();
        let limit = ClientLimit::of(&used, run.summary.environment.client_cpu);
        Ok(Row {
            of,
            look,
            latency_ns: merged(&used).with_context(|| format!("the latency of {label}"))?,
            client_limited: limit.is_limit(),
            label,
            all,
        })
    };
    named.map(row).collect()
}

/// Percentiles are never averaged: they are read off the sum of all histograms.
fn merged(used: &[&Measurement]) -> Result<Histogram<u64>> {
    let mut merged = Histogram::new(3).context("a histogram of 3 digits")?;
    for measurement in used {
        let histogram = decode_histogram(&measurement.load.latency.histogram_ns)?;
        merged.add(histogram).context("a histogram does not fit")?;
    }
    Ok(merged)
}

/// The cell without its place on any axis of numbers: the variant of its mode.
pub(super) fn variant(cell: &Cell) -> Cell {
    Axis::ALL.iter().fold(cell.clone(), |cell, axis| axis.without(&cell))
}

fn looks(cells: &[&Cell]) -> Vec<Look> {
    let mut variants: Vec<Cell> = Vec::new();
    for cell in cells {
        let variant = variant(cell);
        if !variants.contains(&variant) {
            variants.push(variant);
        }
    }
    let look = |cell: &&Cell| {
        let own = variant(cell);
        let of_mode = variants.iter().filter(|other| other.mode == own.mode);
        let marker = MODES.iter().position(|mode| *mode == cell.mode);
        let class = marker.map_or_else(|| "m-other".to_owned(), |_| format!("m-{}", cell.mode));
        let dash = of_mode.take_while(|other| **other != own).count();
        Look { class, marker: marker.unwrap_or(MODES.len()), dash }
    };
    cells.iter().map(look).collect()
}

/// Looks for one picture of these rows: the colours stay, and rows of one mode that differ only in
/// their load get dashes of their own.
pub(super) fn apart(rows: &[&Row<'_>]) -> Vec<Look> {
    let mut looks: Vec<Look> = Vec::with_capacity(rows.len());
    for row in rows {
        let dash = looks.iter().filter(|look| look.class == row.look.class).count();
        looks.push(Look { dash, ..row.look.clone() });
    }
    looks
}

/// Where there are more cells than a picture can show, those with the first value of every axis of
/// numbers; otherwise all.
pub(super) fn headline<'a, 'b>(rows: Vec<&'b Row<'a>>, most: usize) -> Vec<&'b Row<'a>> {
    if rows.len() <= most {
        return rows;
    }
    let mut seen: Vec<Cell> = Vec::new();
    let mut chosen = Vec::new();
    for row in rows {
        let variant = variant(&row.of.cell);
        if !seen.contains(&variant) {
            seen.push(variant);
            chosen.push(row);
        }
    }
    chosen.truncate(most);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(mode: &str) -> Cell {
        let [link, transport] = [Some("veth".to_owned()), Some("epoll".to_owned())];
        let path = "/plaintext".to_owned();
        Cell { mode: mode.to_owned(), link, transport, connections: 32, path, ..Cell::default() }
    }

    #[test]
    fn variants_of_a_mode_share_its_colour_and_differ_in_dashes() {
        let spin = Cell { wait: Some("spin".to_owned()), ..cell("epoll") };
        let many = Cell { connections: 1000, ..cell("epoll") };
        let cells = [cell("epoll"), spin, many, cell("contender")];
        let looks = looks(&cells.iter().collect::<Vec<_>>());
        let classes: Vec<&str> = looks.iter().map(|look| look.class.as_str()).collect();
        assert_eq!(classes, ["m-epoll", "m-epoll", "m-epoll", "m-other"]);
        let dashes: Vec<usize> = looks.iter().map(|look| look.dash).collect();
        assert_eq!(dashes, [0, 1, 0, 0]);
    }
}
