//! What cells are called, wherever they are named: in tables, notes, pages and diagnoses.

use super::FLOOR;
use crate::contender::CONTENDER;
use crate::experiment::{Experiment, Mode};
use crate::reach::{self, Link, Transport};
use record::Cell;
use std::collections::BTreeSet;

/// The parts of a label behind the name, in their order; a cell need not have all of them.
const PARTS: usize = 11;

/// For each part of a label whether it tells the cell from others.
type Told = [bool; PARTS];

/// The name of a cell in tables: its mode, and what tells it from other cells of that mode. A step
/// has its own name.
pub(crate) fn label(cell: &Cell, experiment: &Experiment) -> String {
    spelled(cell, told_by_axes(cell, experiment))
}

/// The same for all cells of a run, where only they are known and not the axes that they are of.
pub(crate) fn labels(cells: &[&Cell]) -> Vec<String> {
    cells.iter().map(|cell| spelled(cell, told_by_cells(cell, cells))).collect()
}

fn spelled(cell: &Cell, told: Told) -> String {
    if cell.mode == FLOOR {
        let link = cell.link.as_deref().unwrap_or_default();
        let [.., path, _, _, _] = told;
        let path = if path { cell.path.as_str() } else { "" };
        let by = cell.name.as_deref().unwrap_or(FLOOR);
        let words = format!("{by} {link}, {} in flight {path}", cell.connections);
        return words.trim_end().to_owned();
    }
    let name = cell.name.as_ref().unwrap_or(&cell.mode).clone();
    if cell.name.is_some() && cell.mode != CONTENDER {
        return name;
    }
    let parts = parts(cell).into_iter().zip(told).filter(|(_, tells)| *tells);
    std::iter::once(name).chain(parts.filter_map(|(part, _)| part)).collect::<Vec<_>>().join(" ")
}

fn parts(cell: &Cell) -> [Option<String>; PARTS] {
    [
        cell.link.clone(),
        cell.tcp.clone(),
        cell.wait.clone(),
        cell.transport.as_ref().map(|name| format!("{name}-client")),
        cell.offloads.as_ref().map(|which| format!("offloads-{which}")),
        cell.service.clone(),
        Some(format!("{}c", cell.connections)),
        Some(cell.path.clone()),
        cell.payload_bytes.map(size),
        cell.pipeline.map(|depth| format!("p{depth}")),
        cell.rate_rps.map(rate),
    ]
}

/// With a binary prefix where that is exact: `64B`, `1KiB`, `16MiB`.
fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        bytes => format!("{bytes}B"),
    }
}

/// With an SI prefix where that is exact: `500/s`, `40k/s`.
fn rate(rps: u64) -> String {
    match rps {
        rps if rps > 0 && rps.is_multiple_of(1_000_000) => format!("{}M/s", rps / 1_000_000),
        rps if rps > 0 && rps.is_multiple_of(1000) => format!("{}k/s", rps / 1000),
        rps => format!("{rps}/s"),
    }
}

/// What differs is what the experiment has several values of.
fn told_by_axes(cell: &Cell, experiment: &Experiment) -> Told {
    let axes = &experiment.axes;
    let link = cell.link.as_deref().unwrap_or_default();
    // A contender is reached as the kernel's servers are.
    let known = axes.mode.iter().copied().find(|mode| mode.name() == cell.mode);
    let mode = known.unwrap_or(Mode::Epoll);
    let links: BTreeSet<Link> = links_of(mode, experiment).collect();
    [
        links.len() > 1,
        axes.tcp.len() > 1,
        axes.wait.len() > 1,
        transports_on(link, mode, experiment).count() > 1,
        axes.offloads.len() > 1,
        axes.service.len() > 1,
        axes.connections.len() > 1,
        axes.path.len() > 1,
        axes.payload.len() > 1,
        axes.pipeline.len() > 1,
        axes.rate.len() > 1,
    ]
}

/// What differs is what any two of the cells have different values of.
fn told_by_cells(cell: &Cell, cells: &[&Cell]) -> Told {
    let known = |of: fn(&Cell) -> Option<&str>| {
        cells.iter().filter_map(|cell| of(cell)).collect::<BTreeSet<_>>().len() > 1
    };
    let all = |of: fn(&Cell) -> Option<&str>| {
        cells.iter().map(|cell| of(cell)).collect::<BTreeSet<_>>().len() > 1
    };
    let numbers = |of: fn(&Cell) -> Option<u64>| {
        cells.iter().map(|cell| of(cell)).collect::<BTreeSet<_>>().len() > 1
    };
    let peers = || cells.iter().filter(|other| is_reached_alike(cell, other));
    let links: BTreeSet<_> = peers().map(|other| &other.link).collect();
    let on_link = peers().filter(|other| other.link == cell.link);
    let transports: BTreeSet<_> = on_link.map(|other| &other.transport).collect();
    [
        links.len() > 1,
        known(|cell| cell.tcp.as_deref()),
        known(|cell| cell.wait.as_deref()),
        transports.len() > 1,
        // What a way of waiting needs is no choice of its own.
        all(|cell| cell.offloads.as_deref().filter(|which| *which != super::GRO)),
        all(|cell| cell.service.as_deref()),
        numbers(|cell| Some(cell.connections)),
        // A payload says its path, an echo has none, and a contender has its own.
        known(|cell| Some(cell.path.as_str()).filter(|_| has_chosen_path(cell)))
            && has_chosen_path(cell),
        numbers(|cell| cell.payload_bytes),
        numbers(|cell| cell.pipeline),
        numbers(|cell| cell.rate_rps),
    ]
}

fn has_chosen_path(cell: &Cell) -> bool {
    cell.payload_bytes.is_none() && !cell.path.is_empty() && cell.mode != CONTENDER
}

/// Whether another cell shows what ways there are to a server: one of the same mode, and for a
/// contender one of epoll.
fn is_reached_alike(cell: &Cell, other: &Cell) -> bool {
    let mode = if cell.mode == CONTENDER { Mode::Epoll.name() } else { &cell.mode };
    other.mode == mode
}

fn links_of(mode: Mode, experiment: &Experiment) -> impl Iterator<Item = Link> {
    let transports = experiment.axes.transport.iter();
    transports.flat_map(move |transport| reach::links(mode, *transport, experiment.topology))
}

/// The transports that reach a mode over a link of this name.
fn transports_on<'a>(
    link: &'a str,
    mode: Mode,
    experiment: &'a Experiment,
) -> impl Iterator<Item = &'a Transport> {
    let reaches = move |transport: &&Transport| {
        reach::links(mode, **transport, experiment.topology).any(|other| other.name() == link)
    };
    experiment.axes.transport.iter().filter(reaches)
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
        let at = |rate: u64| Cell { rate_rps: Some(rate), ..cell("epoll") };
        check(&[at(2500), at(40_000)], &["epoll 2500/s", "epoll 40k/s"]);
        let named = |name: &str| Cell { name: Some(name.to_owned()), ..cell("epoll") };
        check(&[named("blocking"), named("spinning")], &["blocking", "spinning"]);
    }

    /// What is printed when a run ends and what its page says later are the same names.
    #[test]
    fn cells_of_every_shipped_experiment_are_called_as_its_axes_say() {
        for name in Experiment::shipped() {
            let experiment = Experiment::load(name).unwrap();
            let points = super::super::expand(&experiment, 1 << 20).unwrap().points;
            let is_floor = |cell: &&Cell| cell.mode == FLOOR;
            let (floors, cells): (Vec<&Cell>, Vec<&Cell>) =
                points.iter().map(|point| &point.cell).partition(is_floor);
            for cells in [cells, floors] {
                let by_axes: Vec<String> =
                    cells.iter().map(|cell| label(cell, &experiment)).collect();
                assert_eq!(labels(&cells), by_axes, "{name}");
            }
        }
    }
}
