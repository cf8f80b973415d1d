//! The matrix of an experiment: its axes multiplied into cells, and the baseline of each.

mod cells;
mod label;

use crate::contender::Contender;
use crate::experiment::{Experiment, Mode, Step, Tcp};
use crate::reach::{Link, Transport};
use anyhow::{Context, Result, ensure};
use cells::Cells;
pub(crate) use cells::GRO;
pub(crate) use label::{label, labels};
use record::Cell;
use std::sync::Arc;

/// Most cells of an experiment.
const CELLS_MAX: usize = 256;
/// Most frames in flight of a floor: more make no link faster, since that is more than fits in
/// what is sent and taken back at once, both ways.
const IN_FLIGHT_MAX: u64 = 256;

/// The name of a floor in records and tables, where a server has that of its mode.
pub(crate) const FLOOR: &str = "floor";

/// What runs at the server's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The server of a mode.
    Server(Mode),
    /// A server that is not ours.
    Contender(Arc<Contender>),
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
    /// Flags of the server beside those that follow from the cell.
    pub(crate) server_args: Vec<String>,
    /// Whether events are counted while it is measured.
    pub(crate) counted: bool,
    /// Index of its step in [`Experiment::steps`], where it is one.
    pub(crate) step: Option<usize>,
    /// Index of the baseline's cell in the matrix; its own for the baseline itself and for floors.
    pub(crate) baseline: usize,
    /// Index of its link's floor with as many frames in flight, where that is measured.
    pub(crate) floor: Option<usize>,
}

impl Point {
    /// The server's mode; none for a floor and for a contender.
    pub(crate) fn mode(&self) -> Option<Mode> {
        match self.subject {
            Subject::Server(mode) => Some(mode),
            Subject::Contender(_) | Subject::Floor => None,
        }
    }

    /// Whether the server listens on the address that only a userspace stack answers for.
    pub(crate) fn is_bypass(&self) -> bool {
        match self.subject {
            Subject::Server(mode) => mode.is_bypass(),
            Subject::Contender(_) => false,
            Subject::Floor => true,
        }
    }

    /// Whether the server returns every byte instead of answering HTTP.
    pub(crate) fn is_echo(&self) -> bool {
        self.cell.service.is_some()
    }
}

/// What an experiment measures in each round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The cells: those of servers in the order of the axes, mode first, then the steps, then the
    /// contenders, then the floors.
    pub(crate) points: Vec<Point>,
    /// Combinations of the axes that cannot be, a sentence each.
    pub(crate) left_out: Vec<String>,
}

/// The steps of an experiment in their order, each with the index of its point; those without one
/// are left out.
pub(crate) fn steps<'a>(experiment: &'a Experiment, points: &[Point]) -> Vec<(&'a Step, usize)> {
    let place = |step: usize| points.iter().position(|point| point.step == Some(step));
    let steps = experiment.steps.iter().enumerate();
    steps.filter_map(|(index, step)| Some((step, place(index)?))).collect()
}

/// The points that are to be kept, with the places of those that they are compared with. A point
/// whose baseline is not kept must not be kept either.
pub(crate) fn keep(points: Vec<Point>, keeps: &[bool]) -> Vec<Point> {
    let place_of = |old: usize| keeps[..old].iter().filter(|keeps| **keeps).count();
    let kept = points.into_iter().zip(keeps).filter(|(_, keeps)| **keeps);
    let moved = kept.map(|(point, _)| Point {
        baseline: place_of(point.baseline),
        floor: point.floor.map(place_of),
        ..point
    });
    moved.collect()
}

/// Multiplies the axes. An axis that a mode does not have is left out of its cells, so that no
/// cell appears twice, and a combination that cannot be is left out and named: a transport that
/// has no link to a mode, more connections than the two can have where a process may open
/// `open_files`, a way of waiting that the link has no device for, and others of the kind.
///
/// The baseline of a cell has the same request (path, payload, pipeline, rate, service), and the
/// first value of each axis that belongs to the server (tcp, wait): a spinning server is compared
/// with the blocking baseline, never with a spinning one. It has the same transport and number of
/// connections where it can, else the first transport and the nearest number. The baseline of a
/// step is the first step.
///
/// # Errors
/// A sentence where the product has more than 256 cells, or where nothing is left of the baseline.
pub(crate) fn expand(experiment: &Experiment, open_files: u64) -> Result<Plan> {
    let mut cells = Cells::new(experiment, open_files);
    for &mode in &experiment.axes.mode {
        cells.add_mode(mode);
    }
    for (index, step) in experiment.steps.iter().enumerate() {
        cells.add_step(index, step);
    }
    for contender in &experiment.contenders {
        cells.add_contender(contender);
    }
    let (mut points, left_out) = cells.finish();
    ensure!(
        !points.is_empty(),
        "nothing is left of experiment {}: {}",
        experiment.name,
        left_out.join("; ")
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
    Ok(Plan { points, left_out })
}

/// The place of the cell that one is compared with.
fn baseline_of(of: &Point, points: &[Point], experiment: &Experiment) -> Result<usize> {
    if of.step.is_some() || experiment.axes.mode.is_empty() {
        let first = points.iter().position(|point| point.step == Some(0));
        return first.with_context(|| {
            "of the first step nothing is left, and all others are compared with it: give the \
             experiment another load, or another first step"
                .to_owned()
        });
    }
    let mode = experiment.baseline;
    let tcp = cells::tcp_values(mode, &experiment.axes)[0].map(Tcp::name);
    let wait = cells::wait_values(mode, &experiment.axes)[0].map(|wait| wait.to_string());
    let is_candidate = |point: &Point| {
        point.mode() == Some(mode)
            && point.step.is_none()
            && point.cell.tcp.as_deref() == tcp
            && point.cell.wait == wait
            && is_same_request(of, point)
    };
    let distance = |point: &Point| {
        let other_way = (point.transport != of.transport, point.link != of.link);
        let other_offloads = point.cell.offloads != of.cell.offloads;
        (other_way, other_offloads, point.cell.connections.abs_diff(of.cell.connections))
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

/// Whether two cells ask for the same, at the same pace. What a contender is asked for stands for
/// the path that ours are asked for.
fn is_same_request(of: &Point, point: &Point) -> bool {
    let is_contender = matches!(of.subject, Subject::Contender(_));
    let request =
        |cell: &Cell| (cell.payload_bytes, cell.pipeline, cell.rate_rps, cell.service.clone());
    (is_contender || of.cell.path == point.cell.path) && request(&of.cell) == request(&point.cell)
}

/// Adds a floor for each link, number of frames in flight and path of the cells, and tells each
/// cell which is its own. A link without one of our queues at both ends has none, and an echo has
/// no request whose length its frames could have.
fn add_floors(points: &mut Vec<Point>) {
    for index in 0..points.len() {
        let Point { link, cell, .. } = &points[index];
        if !link.has_floor() || points[index].is_echo() {
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
                server_args: Vec::new(),
                counted: false,
                step: None,
                baseline: place,
                floor: None,
            });
        }
        points[index].floor = Some(place);
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
