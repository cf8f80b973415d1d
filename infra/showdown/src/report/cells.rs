//! The cells of a run with what every table and picture needs of them: a name, a look, samples.

use super::text;
use crate::stored::Run;
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use record::{Cell, CellFigures, Measurement, decode_histogram};
use std::collections::BTreeSet;

/// Share of its CPU that a client of the kernel uses where it is called the limit; one that polls
/// is busy whatever it does.
const CLIENT_BUSY_MAX: f64 = 0.97;

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
    /// Whether the figures are the client's limit, in most of the rounds used.
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
    let named = figures.iter().zip(labels(&cells)).zip(looks);
    let row = |((of, label), look): ((&'a CellFigures, String), Look)| {
        let all: Vec<&Measurement> =
            run.measurements.iter().filter(|measurement| measurement.cell == of.cell).collect();
        let is_used = |round| run.summary.rounds.used.contains(&round);
        let used: Vec<&Measurement> =
            all.iter().copied().filter(|measurement| is_used(measurement.round)).collect();
        let limits = used.iter().filter(|of| is_client_limit(of, run)).count();
        Ok(Row {
            of,
            look,
            latency_ns: merged(&used).with_context(|| format!("the latency of {label}"))?,
            client_limited: limits * 2 > used.len(),
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

fn is_client_limit(of: &Measurement, run: &Run) -> bool {
    if of.load.client.as_ref().is_some_and(|client| client.limit.is_some()) {
        return true;
    }
    let polls = matches!(of.cell.transport.as_deref(), None | Some("xdp" | "memif" | "dpdk"));
    let client_cpu = run.summary.environment.client_cpu;
    let on_its_cpu = of.cpu.cpus.iter().filter(|time| time.cpu == client_cpu);
    let busy_s: f64 = on_its_cpu.map(record::CpuTime::busy_s).sum();
    !polls && busy_s >= CLIENT_BUSY_MAX * of.window_s
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

/// The names of cells: mode or name, and what tells each from the others.
pub(super) fn labels(cells: &[&Cell]) -> Vec<String> {
    let names: BTreeSet<&str> = cells.iter().filter_map(|cell| cell.name.as_deref()).collect();
    let names_suffice = names.len() == cells.len();
    let label = |cell: &&Cell| {
        let head = head(cell);
        if names_suffice {
            return head.to_owned();
        }
        let peers: Vec<&Cell> =
            cells.iter().copied().filter(|other| self::head(other) == head).collect();
        let mut parts = vec![head.to_owned()];
        parts.extend(words(cell, &peers));
        parts.extend(numbers(cell, cells));
        parts.join(" ")
    };
    cells.iter().map(label).collect()
}

fn head(cell: &Cell) -> &str {
    cell.name.as_deref().unwrap_or(&cell.mode)
}

/// The words that tell a cell from others of its mode.
fn words(cell: &Cell, peers: &[&Cell]) -> Vec<String> {
    let tells = |part: fn(&Cell) -> Option<&str>| {
        let values: BTreeSet<Option<&str>> = peers.iter().map(|other| part(other)).collect();
        part(cell).filter(|_| values.len() > 1).map(str::to_owned)
    };
    let of_link = || peers.iter().filter(|other| other.link == cell.link);
    let transports: BTreeSet<Option<&str>> =
        of_link().map(|other| other.transport.as_deref()).collect();
    let transport = cell.transport.as_ref().filter(|_| transports.len() > 1);
    // A payload says its path, so that only those of cells without one can differ.
    let plain = |cell: &&&Cell| cell.payload_bytes.is_none();
    let paths: BTreeSet<&str> = peers.iter().filter(plain).map(|cell| cell.path.as_str()).collect();
    let path = Some(cell.path.clone()).filter(|_| plain(&&cell) && paths.len() > 1);
    [
        tells(|cell| cell.link.as_deref()),
        tells(|cell| cell.tcp.as_deref()),
        tells(|cell| cell.wait.as_deref()),
        transport.map(|name| format!("{name}-client")),
        tells(|cell| cell.service.as_deref()),
        tells(|cell| cell.offloads.as_deref()).map(|offloads| format!("offloads-{offloads}")),
        path,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The numbers that tell a cell from all others.
fn numbers(cell: &Cell, cells: &[&Cell]) -> Vec<String> {
    let told = |axis: &Axis| {
        let values: BTreeSet<Option<u64>> = cells.iter().map(|other| axis.value(other)).collect();
        let value = axis.value(cell).filter(|_| values.len() > 1)?;
        Some(match axis {
            Axis::Connections => format!("{value}c"),
            Axis::Payload => text::bytes(text::float(value)).replace(' ', ""),
            Axis::Pipeline => format!("×{value}"),
            Axis::Rate => format!("@{}/s", text::si(text::float(value))),
        })
    };
    Axis::ALL.iter().filter_map(told).collect()
}

/// Where there are more cells than a picture can show, those with the first value of every axis of
/// numbers; otherwise all.
pub(super) fn headline<'a, 'b>(rows: &'b [Row<'a>], most: usize) -> Vec<&'b Row<'a>> {
    if rows.len() <= most {
        return rows.iter().collect();
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

    fn check(cells: &[Cell], expect: &[&str]) {
        assert_eq!(labels(&cells.iter().collect::<Vec<_>>()), expect);
    }

    #[test]
    fn labels_say_what_differs_and_nothing_else() {
        let with_tcp = |tcp: &str| Cell { tcp: Some(tcp.to_owned()), ..cell("xdp") };
        let native = with_tcp("native");
        check(&[cell("epoll"), native.clone()], &["epoll", "xdp"]);
        let three = [cell("epoll"), native, with_tcp("smoltcp")];
        check(&three, &["epoll", "xdp native", "xdp smoltcp"]);
        let many = Cell { connections: 1000, ..cell("epoll") };
        check(&[cell("epoll"), many], &["epoll 32c", "epoll 1000c"]);
        let large = |bytes: u64| {
            let path = format!("/bytes/{bytes}");
            Cell { payload_bytes: Some(bytes), path, ..cell("epoll") }
        };
        check(&[large(64), large(65_536)], &["epoll 64B", "epoll 64KiB"]);
        let named = |name: &str| Cell { name: Some(name.to_owned()), ..cell("epoll") };
        check(&[named("blocking"), named("spinning")], &["blocking", "spinning"]);
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
