//! What a matrix holds, what it leaves out, and what its cells are compared with.

use super::*;
use crate::experiment::{Axes, Network, Offloads, Service, Wait};
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

fn plan(axes: Axes) -> (Vec<String>, Vec<String>) {
    let experiment = experiment(axes);
    let Plan { points, left_out } = expand(&experiment, FILES).unwrap();
    (points.iter().map(|point| label(&point.cell, &experiment)).collect(), left_out)
}

#[test]
fn what_is_asked_for_is_part_of_the_cell_and_of_the_baseline() {
    let mode = vec![Mode::Epoll, Mode::Hyper];
    let several =
        Axes { mode, payload: vec![0, 64], pipeline: vec![1, 16], rate: vec![5000], ..axes() };
    let experiment = experiment(several);
    let expect = [
        ("epoll 0B", 0),
        ("epoll 0B p16", 1),
        ("epoll 64B", 2),
        ("epoll 64B p16", 3),
        ("hyper 0B", 0),
        ("hyper 0B p16", 1),
        ("hyper 64B", 2),
        ("hyper 64B p16", 3),
    ];
    check(&experiment, &expect);
    let points = expand(&experiment, FILES).unwrap().points;
    let Cell { path, payload_bytes, pipeline, rate_rps, .. } = &points[3].cell;
    assert_eq!((path.as_str(), *payload_bytes), ("/bytes/64", Some(64)));
    assert_eq!((*pipeline, *rate_rps), (Some(16), Some(5000)));
    assert_eq!(points[2].cell.pipeline, None, "one request at once is no pipeline");
}

#[test]
fn an_echo_has_one_connection_of_the_kernels_and_no_pace() {
    let (labels, left_out) = plan(Axes {
        mode: vec![Mode::Epoll],
        service: vec![Service::Http, Service::Echo],
        transport: vec![Transport::Epoll, Transport::Uring],
        connections: vec![1, 2],
        pipeline: vec![1, 4],
        payload: vec![64],
        ..axes()
    });
    let echoes: Vec<&String> = labels.iter().filter(|label| label.contains("echo")).collect();
    assert_eq!(echoes, ["epoll epoll-client echo 1c"]);
    assert_eq!(labels.len(), 9, "eight of HTTP: {labels:?}");
    let expect = [
        "epoll with service echo, a pipeline or a rate: a ping-pong sends one message when it has \
         the one before",
        "epoll with service echo and 2 connections: a ping-pong has one",
        "epoll with service echo by the uring client: a ping-pong goes over the kernel's sockets, \
         as the epoll client does",
    ];
    assert_eq!(left_out, expect);
}

#[test]
fn kernel_busy_polling_has_gro_on_a_veth_and_is_none_on_loopback() {
    let wait = vec![Wait::Block, Wait::BusyPoll(Some(50)), Wait::Suspend(None)];
    let mode = vec![Mode::Epoll, Mode::Hyper, Mode::Uring];
    let mut experiment = experiment(Axes { mode, wait, ..axes() });
    let Plan { points, left_out } = expand(&experiment, FILES).unwrap();
    let cells: Vec<(String, Option<&str>)> = points
        .iter()
        .map(|point| (label(&point.cell, &experiment), point.cell.offloads.as_deref()))
        .collect();
    let expect = [
        ("epoll block", None),
        ("epoll busy-poll:50", Some("gro")),
        ("hyper", None),
        ("uring block", None),
        ("uring busy-poll:50", Some("gro")),
    ];
    assert_eq!(cells, expect.map(|(label, gro)| (label.to_owned(), gro)));
    assert!(points.iter().all(|point| point.baseline == 0), "a blocking one");
    assert_eq!(left_out.len(), 2, "suspend of each: {left_out:?}");
    experiment.topology = Network::Loopback;
    let Plan { points, left_out } = expand(&experiment, FILES).unwrap();
    assert_eq!(points.len(), 3, "blocking ones");
    let expect = "epoll, uring with wait busy-poll:50: loopback has no device that the kernel \
                  could poll";
    assert_eq!(left_out[0], expect);
}

#[test]
fn offloads_are_for_kernels_at_both_ends() {
    let offloads = vec![Offloads::Off, Offloads::On];
    let (labels, left_out) = plan(Axes { offloads, ..both_ends() });
    let expect = [
        "epoll epoll-client",
        "epoll epoll-client offloads-on",
        "epoll xdp-client",
        "xdp epoll-client",
        "xdp xdp-client",
        "memif",
    ];
    assert_eq!(labels, expect);
    let why = "epoll, xdp, memif with offloads on: only kernels at both ends of a veth finish what \
               is left to an offload";
    assert!(left_out.contains(&why.to_owned()), "{left_out:?}");
}

#[test]
fn steps_are_cells_of_their_own_and_compared_with_the_first() {
    let experiment = Experiment::load("waterfall").unwrap();
    let points = expand(&experiment, FILES).unwrap().points;
    let steps = steps(&experiment, &points);
    assert_eq!(steps.len(), experiment.steps.len());
    for (place, (step, index)) in steps.iter().enumerate() {
        let point = &points[*index];
        assert_eq!((place, point.baseline), (*index, 0));
        assert_eq!(point.cell.name.as_ref(), Some(&step.name));
        assert_eq!(label(&point.cell, &experiment), step.name);
        assert_eq!(point.server_args, step.server_args);
    }
    let keeps: Vec<bool> = (0..points.len()).map(|index| index != 2).collect();
    let kept = keep(points, &keeps);
    let left: Vec<usize> = super::steps(&experiment, &kept).iter().map(|(_, at)| *at).collect();
    assert_eq!(left, [0, 1, 2, 3, 4, 5], "the steps that are left, in their order");
}

#[test]
fn a_server_twice_is_two_cells() {
    let experiment = Experiment::load("aa").unwrap();
    check(&experiment, &[("epoll A", 0), ("epoll B", 0)]);
    let points = expand(&experiment, FILES).unwrap().points;
    assert_ne!(points[0].cell, points[1].cell);
}

#[test]
fn a_contender_has_the_kernels_load_and_one_path() {
    let mut experiment = experiment(Axes { connections: vec![1, 32], ..axes() });
    experiment.axes.mode = vec![Mode::Epoll];
    experiment.contenders = Contender::named("nginx=nginx -g x").unwrap();
    experiment.contenders[0].address = "http://{address}/index.html".to_owned();
    check(&experiment, &[("epoll 1c", 0), ("epoll 32c", 1), ("nginx 1c", 0), ("nginx 32c", 1)]);
    let points = expand(&experiment, FILES).unwrap().points;
    let Cell { mode, name, path, .. } = &points[3].cell;
    assert_eq!((mode.as_str(), name.as_deref()), ("contender", Some("nginx")));
    assert_eq!(path, "/index.html");
    experiment.axes.payload = vec![64];
    let left_out = expand(&experiment, FILES).unwrap().left_out;
    let expect = "nginx with a payload of 64 bytes: a contender is asked for one path, that of its \
                  address";
    assert_eq!(left_out, [expect]);
}
