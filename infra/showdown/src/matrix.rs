//! The matrix of an experiment: its axes multiplied into cells, and the baseline of each.

use crate::experiment::{Axes, Experiment, Mode, Tcp, Wait};
use anyhow::{Result, ensure};
use record::Cell;

/// Most cells of an experiment.
const CELLS_MAX: usize = 256;

/// A cell and the place of the one that its ratios are taken against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// The server's mode.
    pub(crate) mode: Mode,
    /// As it is recorded.
    pub(crate) cell: Cell,
    /// Index of the baseline's cell in the matrix; its own for the baseline itself.
    pub(crate) baseline: usize,
}

/// Multiplies the axes. An axis that a mode does not have is left out of its cells, so that no
/// cell appears twice. The order is that of the axes, mode first.
///
/// The baseline of a cell has the same load (connections, path), and the first value of each
/// axis that belongs to the server (tcp, wait): a spinning server is compared with the blocking
/// baseline, never with a spinning one.
///
/// # Errors
/// A sentence where the product has more than 256 cells.
pub(crate) fn expand(experiment: &Experiment) -> Result<Vec<Point>> {
    let axes = &experiment.axes;
    let mut cells = Vec::new();
    for &mode in &axes.mode {
        for tcp in tcp_values(mode, axes) {
            for wait in wait_values(mode, axes) {
                for &connections in &axes.connections {
                    for path in &axes.path {
                        let cell = cell(mode, tcp, wait, connections, path);
                        cells.push((mode, cell));
                    }
                }
            }
        }
    }
    ensure!(
        cells.len() <= CELLS_MAX,
        "experiment {} has {} cells, more than {CELLS_MAX}: leave out values of an axis",
        experiment.name,
        cells.len()
    );
    let mode = experiment.baseline;
    let baseline_of = |of: &Cell| {
        let tcp = tcp_values(mode, axes)[0];
        let wait = wait_values(mode, axes)[0];
        let wanted = cell(mode, tcp, wait, of.connections, &of.path);
        cells.iter().position(|(_, cell)| *cell == wanted)
    };
    let points = cells.iter().map(|(mode, cell)| {
        // An experiment's check has made sure that the baseline is among the modes.
        let baseline = baseline_of(cell).expect("the baseline is one of the modes");
        Point { mode: *mode, cell: cell.clone(), baseline }
    });
    Ok(points.collect())
}

fn cell(mode: Mode, tcp: Option<Tcp>, wait: Option<Wait>, connections: u64, path: &str) -> Cell {
    Cell {
        mode: mode.name().to_owned(),
        tcp: tcp.map(|tcp| tcp.name().to_owned()),
        wait: wait.map(|wait| wait.name().to_owned()),
        connections,
        path: path.to_owned(),
    }
}

fn tcp_values(mode: Mode, axes: &Axes) -> Vec<Option<Tcp>> {
    if mode.is_bypass() { axes.tcp.iter().copied().map(Some).collect() } else { vec![None] }
}

fn wait_values(mode: Mode, axes: &Axes) -> Vec<Option<Wait>> {
    if mode.has_wait() { axes.wait.iter().copied().map(Some).collect() } else { vec![None] }
}

/// The name of a cell in tables: its mode, and every other axis that has several values.
pub(crate) fn label(cell: &Cell, axes: &Axes) -> String {
    let mut label = cell.mode.clone();
    if let Some(tcp) = &cell.tcp
        && axes.tcp.len() > 1
    {
        label = format!("{label} {tcp}");
    }
    if let Some(wait) = &cell.wait
        && axes.wait.len() > 1
    {
        label = format!("{label} {wait}");
    }
    if axes.connections.len() > 1 {
        label = format!("{label} {}c", cell.connections);
    }
    if axes.path.len() > 1 {
        label = format!("{label} {}", cell.path);
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn experiment(axes: Axes) -> Experiment {
        let mut experiment = Experiment::load("quick").unwrap();
        experiment.axes = axes;
        experiment
    }

    fn labels(axes: &Axes) -> Vec<(String, usize)> {
        let points = expand(&experiment(axes.clone())).unwrap();
        points.iter().map(|point| (label(&point.cell, axes), point.baseline)).collect()
    }

    fn axes() -> Axes {
        Axes {
            mode: vec![Mode::Epoll, Mode::Hyper, Mode::Xdp],
            tcp: vec![Tcp::Smoltcp],
            wait: vec![Wait::Block],
            connections: vec![32],
            path: vec!["/plaintext".to_owned()],
        }
    }

    #[test]
    fn with_one_value_on_every_other_axis_there_is_a_cell_for_each_mode() {
        let expect = [("epoll", 0), ("hyper", 0), ("xdp", 0)];
        assert_eq!(labels(&axes()), expect.map(|(label, at)| (label.to_owned(), at)));
    }

    #[test]
    fn an_axis_multiplies_only_the_modes_that_have_it() {
        let several = Axes {
            tcp: vec![Tcp::Smoltcp, Tcp::Native],
            wait: vec![Wait::Block, Wait::Spin],
            ..axes()
        };
        let expect = [
            ("epoll block", 0),
            ("epoll spin", 0),
            ("hyper", 0),
            ("xdp smoltcp", 0),
            ("xdp native", 0),
        ];
        assert_eq!(labels(&several), expect.map(|(label, at)| (label.to_owned(), at)));
    }

    #[test]
    fn the_baseline_has_the_load_of_the_cell() {
        let mode = vec![Mode::Xdp, Mode::Epoll];
        let several = Axes { mode, connections: vec![1, 32], ..axes() };
        let expect = [("xdp 1c", 2), ("xdp 32c", 3), ("epoll 1c", 2), ("epoll 32c", 3)];
        assert_eq!(labels(&several), expect.map(|(label, at)| (label.to_owned(), at)));
    }

    #[test]
    fn a_matrix_beyond_the_bound_is_refused() {
        let many = Axes { connections: (1..=100).collect(), ..axes() };
        let message = expand(&experiment(many)).unwrap_err().to_string();
        assert!(message.contains("300 cells, more than 256"), "{message}");
    }

    proptest! {
        #[test]
        fn cells_are_distinct_and_their_baseline_is_its_own(
            tcp in prop::sample::subsequence(vec![Tcp::Smoltcp, Tcp::Native], 1..=2),
            wait in prop::sample::subsequence(vec![Wait::Block, Wait::Spin], 1..=2),
            connections in prop::collection::btree_set(1_u64..5000, 1..5),
        ) {
            let connections = connections.into_iter().collect();
            let points = expand(&experiment(Axes { tcp, wait, connections, ..axes() })).unwrap();
            let distinct: std::collections::BTreeSet<&Cell> =
                points.iter().map(|point| &point.cell).collect();
            prop_assert_eq!(distinct.len(), points.len());
            for point in &points {
                let baseline = &points[point.baseline];
                prop_assert_eq!(baseline.mode, Mode::Epoll);
                prop_assert_eq!(&points[baseline.baseline], baseline);
                prop_assert_eq!(baseline.cell.connections, point.cell.connections);
            }
        }
    }
}
