//! What cells are called in tables.

use super::FLOOR;
use crate::contender::CONTENDER;
use crate::experiment::{Experiment, Mode};
use crate::reach::{self, Link, Transport};
use record::Cell;
use std::collections::BTreeSet;

/// The name of a cell in tables: its mode, and what tells it from other cells of that mode. A step
/// has its own name.
pub(crate) fn label(cell: &Cell, experiment: &Experiment) -> String {
    let axes = &experiment.axes;
    if cell.mode == FLOOR {
        let link = cell.link.as_deref().unwrap_or_default();
        let path = if axes.path.len() > 1 { cell.path.as_str() } else { "" };
        let by = cell.name.as_deref().unwrap_or(FLOOR);
        let words = format!("{by} {link}, {} in flight {path}", cell.connections);
        return words.trim_end().to_owned();
    }
    let is_contender = cell.mode == CONTENDER;
    if let (Some(name), false) = (&cell.name, is_contender) {
        return name.clone();
    }
    let mut parts = vec![(Some(cell.name.as_ref().unwrap_or(&cell.mode).clone()), true)];
    parts.extend(parts_of_server(cell, experiment));
    parts.extend(parts_of_load(cell, experiment));
    let told: Vec<String> =
        parts.into_iter().filter(|(_, tells)| *tells).filter_map(|(part, _)| part).collect();
    told.join(" ")
}

/// The parts of a label, and whether each tells the cell from others.
type Parts<const N: usize> = [(Option<String>, bool); N];

fn parts_of_server(cell: &Cell, experiment: &Experiment) -> Parts<5> {
    let axes = &experiment.axes;
    let link = cell.link.as_deref().unwrap_or_default();
    // A contender is reached as the kernel's servers are.
    let known = axes.mode.iter().copied().find(|mode| mode.name() == cell.mode);
    let mode = known.unwrap_or(Mode::Epoll);
    let links: BTreeSet<Link> = links_of(mode, experiment).collect();
    let transports = transports_on(link, mode, experiment).count();
    [
        (cell.link.clone(), links.len() > 1),
        (cell.tcp.clone(), axes.tcp.len() > 1),
        (cell.wait.clone(), axes.wait.len() > 1),
        (cell.transport.as_ref().map(|name| format!("{name}-client")), transports > 1),
        (cell.offloads.as_ref().map(|which| format!("offloads-{which}")), axes.offloads.len() > 1),
    ]
}

fn parts_of_load(cell: &Cell, experiment: &Experiment) -> Parts<6> {
    let axes = &experiment.axes;
    [
        (cell.service.clone(), axes.service.len() > 1),
        (Some(format!("{}c", cell.connections)), axes.connections.len() > 1),
        (Some(cell.path.clone()), axes.path.len() > 1),
        (cell.payload_bytes.map(|bytes| format!("{bytes}B")), axes.payload.len() > 1),
        (cell.pipeline.map(|depth| format!("p{depth}")), axes.pipeline.len() > 1),
        (cell.rate_rps.map(|rate| format!("{rate}/s")), axes.rate.len() > 1),
    ]
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
