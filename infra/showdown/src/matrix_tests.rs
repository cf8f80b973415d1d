//! What a matrix holds, what it leaves out, and what its cells are compared with.

use super::*;
use crate::experiment::{Axes, Network, Wait};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Open files that are in nobody's way.
const FILES: u64 = 1 << 20;

fn experiment(axes: Axes) -> Experiment {
    let mut experiment = Experiment::load("quick").unwrap();
    experiment.axes = axes;
    experiment
}

/// Labels with the place of each one's baseline.
fn labels(experiment: &Experiment) -> Vec<(String, usize)> {
    let points = expand(experiment, FILES).unwrap().points;
    points.iter().map(|point| (label(&point.cell, experiment), point.baseline)).collect()
}

fn check(experiment: &Experiment, expect: &[(&str, usize)]) {
    let expect: Vec<(String, usize)> =
        expect.iter().map(|(label, baseline)| ((*label).to_owned(), *baseline)).collect();
    assert_eq!(labels(experiment), expect);
}

fn axes() -> Axes {
    Axes {
        mode: vec![Mode::Epoll, Mode::Hyper, Mode::Xdp],
        tcp: vec![Tcp::Smoltcp],
        wait: vec![Wait::Block],
        transport: vec![Transport::Epoll],
        connections: vec![32],
        ..Experiment::load("quick").unwrap().axes
    }
}

/// Both ends bypass the kernel where they can.
fn both_ends() -> Axes {
    Axes {
        mode: vec![Mode::Epoll, Mode::Xdp, Mode::Memif],
        transport: vec![Transport::Epoll, Transport::Xdp, Transport::Memif],
        ..axes()
    }
}

#[test]
fn with_one_value_on_every_other_axis_there_is_a_cell_for_each_mode() {
    check(&experiment(axes()), &[("epoll", 0), ("hyper", 0), ("xdp", 0)]);
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
    check(&experiment(several), &expect);
}

#[test]
fn the_baseline_has_the_load_of_the_cell() {
    let mode = vec![Mode::Xdp, Mode::Epoll];
    let several = Axes { mode, connections: vec![1, 32], ..axes() };
    let expect = [("xdp 1c", 2), ("xdp 32c", 3), ("epoll 1c", 2), ("epoll 32c", 3)];
    check(&experiment(several), &expect);
}

#[test]
fn the_baseline_is_reached_as_the_cell_is_or_else_by_the_first_transport() {
    let expect = [
        ("epoll epoll-client", 0),
        ("epoll xdp-client", 1),
        ("xdp epoll-client", 0),
        ("xdp xdp-client", 1),
        ("memif", 0),
    ];
    check(&experiment(both_ends()), &expect);
}

#[test]
fn what_cannot_be_is_left_out_by_name() {
    let several = Axes { connections: vec![1000, 100_000], ..both_ends() };
    let mut experiment = experiment(several);
    experiment.connections_max.insert(Mode::Xdp, 10_000);
    let plan = expand(&experiment, 20_000).unwrap();
    let labels: Vec<String> =
        plan.points.iter().map(|point| label(&point.cell, &experiment)).collect();
    let expect = [
        "epoll epoll-client 1000c",
        "epoll xdp-client 1000c",
        "xdp epoll-client 1000c",
        "xdp xdp-client 1000c",
        "memif 1000c",
        "memif 100000c",
    ];
    assert_eq!(labels, expect);
    assert_eq!(plan.points[5].baseline, 0, "the nearest number that the baseline has");
    let expect = [
        "epoll with 100000 connections: each is an open file of the server or of the client (to \
         allow more: ulimit -Hn)",
        "epoll, xdp by the memif client: no link joins them",
        "xdp with 100000 connections: the experiment gives it 10000 at most",
        "memif by the epoll client: no link joins them",
        "memif by the xdp client: no link joins them",
    ];
    assert_eq!(plan.left_out, expect);
}

#[test]
fn a_baseline_of_which_nothing_is_left_is_refused() {
    let refusal = |axes| expand(&experiment(axes), 20_000).unwrap_err().to_string();
    let message = refusal(Axes { connections: vec![100_000], ..both_ends() });
    assert!(message.contains("of the baseline epoll nothing is left"), "{message}");
    let message = refusal(Axes { connections: vec![100_000], ..axes() });
    assert!(message.contains("nothing is left of experiment quick: epoll, hyper, xdp with 100000"));
}

#[test]
fn a_mode_on_two_links_has_cells_on_both() {
    let mode = vec![Mode::Epoll, Mode::Dpdk];
    let transport = vec![Transport::Epoll, Transport::Memif];
    let experiment = experiment(Axes { mode, transport, ..axes() });
    check(&experiment, &[("epoll", 0), ("dpdk veth", 0), ("dpdk memif", 0)]);
}

#[test]
fn every_link_has_a_floor_for_each_number_of_frames_that_its_cells_reach() {
    let several = Axes { connections: vec![1, 1000, 10_000], ..both_ends() };
    let mut experiment = experiment(several);
    experiment.floor = true;
    let points = expand(&experiment, FILES).unwrap().points;
    let label = |point: &Point| label(&point.cell, &experiment);
    let floors: Vec<String> =
        points.iter().filter(|point| point.mode().is_none()).map(label).collect();
    let expect = [
        "floor veth, 1 in flight",
        "floor veth, 256 in flight",
        "floor memif, 1 in flight",
        "floor memif, 256 in flight",
    ];
    assert_eq!(floors, expect);
    for (index, point) in points.iter().enumerate() {
        match point.floor {
            Some(floor) => {
                assert_eq!(points[floor].link, point.link);
                assert_eq!(points[floor].cell.connections, point.cell.connections.min(256));
            }
            None => {
                assert_eq!((&point.subject, point.baseline), (&Subject::Floor, index));
            }
        }
    }
}

#[test]
fn loopback_has_no_floor() {
    let mode = vec![Mode::Epoll, Mode::Memif];
    let transport = vec![Transport::Epoll, Transport::Memif];
    let mut experiment = experiment(Axes { mode, transport, ..axes() });
    experiment.topology = Network::Loopback;
    experiment.floor = true;
    let points = expand(&experiment, FILES).unwrap().points;
    let floors: Vec<Option<usize>> = points.iter().map(|point| point.floor).collect();
    assert_eq!(floors, [None, Some(2), None]);
    check(&experiment, &[("epoll", 0), ("memif", 0), ("floor memif, 32 in flight", 2)]);
}

#[test]
fn a_matrix_beyond_the_bound_is_refused() {
    let many = Axes { connections: (1..=100).collect(), ..axes() };
    let message = expand(&experiment(many), FILES).unwrap_err().to_string();
    assert!(message.contains("300 cells, more than 256"), "{message}");
}

proptest! {
    #[test]
    fn cells_are_distinct_and_their_baseline_is_its_own(
        tcp in prop::sample::subsequence(vec![Tcp::Smoltcp, Tcp::Native], 1..=2),
        wait in prop::sample::subsequence(vec![Wait::Block, Wait::Spin], 1..=2),
        transport in prop::sample::subsequence(vec![Transport::Epoll, Transport::Xdp], 1..=2),
        connections in prop::collection::btree_set(1_u64..5000, 1..5),
        floor: bool,
    ) {
        let connections = connections.into_iter().collect();
        let mut experiment = experiment(Axes { tcp, wait, transport, connections, ..axes() });
        experiment.floor = floor;
        let points = expand(&experiment, FILES).unwrap().points;
        let distinct: BTreeSet<&Cell> = points.iter().map(|point| &point.cell).collect();
        prop_assert_eq!(distinct.len(), points.len());
        let labels: BTreeSet<String> =
            points.iter().map(|point| label(&point.cell, &experiment)).collect();
        prop_assert_eq!(labels.len(), points.len(), "labels are distinct, too");
        for point in points.iter().filter(|point| point.mode().is_some()) {
            let baseline = &points[point.baseline];
            prop_assert_eq!(baseline.mode(), Some(Mode::Epoll));
            prop_assert_eq!(&points[baseline.baseline], baseline);
            prop_assert_eq!(baseline.cell.connections, point.cell.connections);
            prop_assert_eq!(baseline.transport, point.transport);
            prop_assert_eq!(point.floor.is_some(), floor);
        }
    }
}
