//! The matrix of an experiment: its axes multiplied into cells, and the baseline of each.

use crate::experiment::{Axes, Experiment, Mode, Tcp, Wait};
use crate::reach::{self, Link, Transport};
use anyhow::{Context, Result, ensure};
use record::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// Most cells of an experiment.
const CELLS_MAX: usize = 256;
/// Most frames in flight of a floor: more make no link faster, since that is more than fits in
/// what is sent and taken back at once, both ways.
const IN_FLIGHT_MAX: u64 = 256;

/// The name of a floor in records and tables, where a server has that of its mode.
pub(crate) const FLOOR: &str = "floor";

/// What runs at the server's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The server of a mode.
    Server(Mode),
    /// A queue that reflects frames, with no stack on it.
    Floor,
}

/// A cell and the places of those that it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// What is measured.
    pub(crate) subject: Subject,
    /// What it is reached over.
    pub(crate) link: Link,
    /// How; none for a floor.
    pub(crate) transport: Option<Transport>,
    /// As it is recorded.
    pub(crate) cell: Cell,
    /// Index of the baseline's cell in the matrix; its own for the baseline itself and for floors.
    pub(crate) baseline: usize,
    /// Index of its link's floor with as many frames in flight, where that is measured.
    pub(crate) floor: Option<usize>,
}

impl Point {
    /// The server's mode; none for a floor.
    pub(crate) fn mode(&self) -> Option<Mode> {
        match self.subject {
            Subject::Server(mode) => Some(mode),
            Subject::Floor => None,
        }
    }
}

/// What an experiment measures in each round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The cells: those of servers in the order of the axes, mode first, then the floors.
    pub(crate) points: Vec<Point>,
    /// Combinations of the axes that cannot be, a sentence each.
    pub(crate) left_out: Vec<String>,
}

/// Multiplies the axes. An axis that a mode does not have is left out of its cells, so that no
/// cell appears twice, and a combination that cannot be is left out and named: a transport that
/// has no link to a mode, and more connections than the two can have where a process may open
/// `open_files`.
///
/// The baseline of a cell has the same path, and the first value of each axis that belongs to the
/// server (tcp, wait): a spinning server is compared with the blocking baseline, never with a
/// spinning one. It has the same transport and number of connections where it can, else the first
/// transport and the nearest number.
///
/// # Errors
/// A sentence where the product has more than 256 cells, or where nothing is left of the baseline.
pub(crate) fn expand(experiment: &Experiment, open_files: u64) -> Result<Plan> {
    let mut left_out = LeftOut::default();
    let mut points = Vec::new();
    for &mode in &experiment.axes.mode {
        add_mode(&mut points, &mut left_out, mode, experiment, open_files);
    }
    ensure!(
        !points.is_empty(),
        "nothing is left of experiment {}: {}",
        experiment.name,
        left_out.sentences().join("; ")
    );
    for index in 0..points.len() {
        points[index].baseline = baseline_of(&points[index], &points, experiment)?;
    }
    if experiment.floor {
        add_floors(&mut points);
    }
    ensure!(
        points.len() <= CELLS_MAX,
        "experiment {} has {} cells, more than {CELLS_MAX}: leave out values of an axis",
        experiment.name,
        points.len()
    );
    Ok(Plan { points, left_out: left_out.sentences() })
}

/// Adds the cells of one mode.
fn add_mode(
    points: &mut Vec<Point>,
    left_out: &mut LeftOut,
    mode: Mode,
    experiment: &Experiment,
    open_files: u64,
) {
    let axes = &experiment.axes;
    let ways = ways(mode, experiment, left_out);
    for tcp in tcp_values(mode, axes) {
        for wait in wait_values(mode, axes) {
            for &(transport, link) in &ways {
                let most = Most::of(mode, transport, experiment, open_files);
                for &connections in &axes.connections {
                    if connections > most.connections {
                        left_out.too_many(connections, &most.why, mode);
                        continue;
                    }
                    points.extend(axes.path.iter().map(|path| Point {
                        subject: Subject::Server(mode),
                        link,
                        transport: Some(transport),
                        cell: Cell {
                            mode: mode.name().to_owned(),
                            tcp: tcp.map(|tcp| tcp.name().to_owned()),
                            wait: wait.map(|wait| wait.name().to_owned()),
                            link: Some(link.name().to_owned()),
                            transport: Some(transport.name().to_owned()),
                            connections,
                            path: path.clone(),
                            ..Cell::default()
                        },
                        baseline: 0,
                        floor: None,
                    }));
                }
            }
        }
    }
}

/// How a mode is reached: by which transports, over which links.
fn ways(mode: Mode, experiment: &Experiment, left_out: &mut LeftOut) -> Vec<(Transport, Link)> {
    let mut ways = Vec::new();
    for &transport in &experiment.axes.transport {
        let before = ways.len();
        let links = reach::links(mode, transport, experiment.topology);
        ways.extend(links.map(|link| (transport, link)));
        if ways.len() == before {
            left_out.unreachable.entry(transport).or_default().insert(mode);
        }
    }
    ways
}

/// The most connections of a mode and a transport.
struct Most {
    connections: u64,
    why: String,
}

impl Most {
    fn of(mode: Mode, transport: Transport, experiment: &Experiment, open_files: u64) -> Self {
        let (connections, bound) = reach::connections_max(mode, transport, open_files);
        match experiment.connections_max.get(&mode) {
            Some(&own) if own < connections => {
                Self { connections: own, why: format!("the experiment gives it {own} at most") }
            }
            _ => Self { connections, why: bound.to_string() },
        }
    }
}

/// Combinations of the axes that cannot be.
#[derive(Default)]
struct LeftOut {
    unreachable: BTreeMap<Transport, BTreeSet<Mode>>,
    too_many: BTreeMap<(u64, String), BTreeSet<Mode>>,
}

impl LeftOut {
    fn too_many(&mut self, connections: u64, why: &str, mode: Mode) {
        self.too_many.entry((connections, why.to_owned())).or_default().insert(mode);
    }

    /// A sentence for each reason.
    fn sentences(&self) -> Vec<String> {
        let names = |modes: &BTreeSet<Mode>| {
            modes.iter().map(|mode| mode.name()).collect::<Vec<_>>().join(", ")
        };
        let unreachable = self.unreachable.iter().map(|(transport, modes)| {
            format!("{} by the {transport} client: no link joins them", names(modes))
        });
        let too_many = self.too_many.iter().map(|((connections, why), modes)| {
            format!("{} with {connections} connections: {why}", names(modes))
        });
        unreachable.chain(too_many).collect()
    }
}

/// The place of the cell that one is compared with.
fn baseline_of(of: &Point, points: &[Point], experiment: &Experiment) -> Result<usize> {
    let mode = experiment.baseline;
    let tcp = tcp_values(mode, &experiment.axes)[0].map(Tcp::name);
    let wait = wait_values(mode, &experiment.axes)[0].map(Wait::name);
    let is_candidate = |point: &Point| {
        point.mode() == Some(mode)
            && point.cell.tcp.as_deref() == tcp
            && point.cell.wait.as_deref() == wait
            && point.cell.path == of.cell.path
    };
    let distance = |point: &Point| {
        let other_way = (point.transport != of.transport, point.link != of.link);
        (other_way, point.cell.connections.abs_diff(of.cell.connections))
    };
    let candidates = points.iter().enumerate().filter(|(_, point)| is_candidate(point));
    let nearest = candidates.min_by_key(|(_, point)| distance(point));
    nearest.map(|(index, _)| index).with_context(|| {
        format!(
            "of the baseline {mode} nothing is left: give the axis connections a number that it \
             can have, or choose another baseline"
        )
    })
}

/// Adds a floor for each link, number of frames in flight and path of the cells, and tells each
/// cell which is its own. A link without one of our queues at both ends has none.
fn add_floors(points: &mut Vec<Point>) {
    for index in 0..points.len() {
        let Point { link, cell, .. } = &points[index];
        if !link.has_floor() {
            continue;
        }
        let (link, in_flight) = (*link, cell.connections.min(IN_FLIGHT_MAX));
        let floor = Cell {
            mode: FLOOR.to_owned(),
            link: Some(link.name().to_owned()),
            connections: in_flight,
            path: cell.path.clone(),
            ..Cell::default()
        };
        let place = points.iter().position(|point| point.cell == floor).unwrap_or(points.len());
        if place == points.len() {
            points.push(Point {
                subject: Subject::Floor,
                link,
                transport: None,
                cell: floor,
                baseline: place,
                floor: None,
            });
        }
        points[index].floor = Some(place);
    }
}

fn tcp_values(mode: Mode, axes: &Axes) -> Vec<Option<Tcp>> {
    if mode.is_bypass() { axes.tcp.iter().copied().map(Some).collect() } else { vec![None] }
}

fn wait_values(mode: Mode, axes: &Axes) -> Vec<Option<Wait>> {
    if mode.has_wait() { axes.wait.iter().copied().map(Some).collect() } else { vec![None] }
}

/// The name of a cell in tables: its mode, and what tells it from other cells of that mode.
pub(crate) fn label(cell: &Cell, experiment: &Experiment) -> String {
    let axes = &experiment.axes;
    let link = cell.link.as_deref().unwrap_or_default();
    if cell.mode == FLOOR {
        let path = if axes.path.len() > 1 { cell.path.as_str() } else { "" };
        let words = format!("{FLOOR} {link}, {} in flight {path}", cell.connections);
        return words.trim_end().to_owned();
    }
    let mode = axes.mode.iter().find(|mode| mode.name() == cell.mode);
    let links: BTreeSet<Link> =
        mode.map_or_else(BTreeSet::new, |mode| links_of(*mode, experiment).collect());
    let transports = mode.map_or(0, |mode| transports_on(link, *mode, experiment).count());
    let parts = [
        (Some(cell.mode.clone()), true),
        (cell.link.clone(), links.len() > 1),
        (cell.tcp.clone(), axes.tcp.len() > 1),
        (cell.wait.clone(), axes.wait.len() > 1),
        (cell.transport.as_ref().map(|name| format!("{name}-client")), transports > 1),
        (Some(format!("{}c", cell.connections)), axes.connections.len() > 1),
        (Some(cell.path.clone()), axes.path.len() > 1),
    ];
    let told: Vec<String> =
        parts.into_iter().filter(|(_, tells)| *tells).filter_map(|(part, _)| part).collect();
    told.join(" ")
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
#[path = "matrix_tests.rs"]
mod tests;
