//! Figures computed from measurements that are made up, so that each can be checked by hand.

use super::*;
use crate::experiment::{Axes, Mode, Tcp, Wait};
use proptest::prelude::*;
use record::{
    ClientRecord, CpuAccount, CpuTime, DisturbedRound, Estimate, Latency, LoadReport, LoadSetup,
    Network, ProcessTime, ServerRecord, encode_histogram,
};

pub(crate) fn experiment() -> Experiment {
    let mut experiment = Experiment::load("quick").unwrap();
    experiment.axes = Axes {
        mode: vec![Mode::Epoll, Mode::Xdp],
        tcp: vec![Tcp::Smoltcp],
        wait: vec![Wait::Block],
        transport: vec![Transport::Epoll],
        connections: vec![32],
        path: vec!["/plaintext".to_owned()],
        ..experiment.axes
    };
    experiment.effort.rounds = 3;
    experiment
}

pub(crate) fn environment() -> Environment {
    Environment {
        command_line: vec!["showdown".to_owned()],
        showdown_version: "0".to_owned(),
        rustc_version: "rustc 1".to_owned(),
        build_profile: "release".to_owned(),
        git: None,
        binaries_sha256: BTreeMap::new(),
        distribution: None,
        kernel_release: "6".to_owned(),
        kernel_version: "#1".to_owned(),
        kernel_command_line: String::new(),
        cpu_model: None,
        cpus_online: "0-1".to_owned(),
        virtual_machine: true,
        server_cpu_siblings: Some("1".to_owned()),
        server_cpu: 1,
        client_cpu: 0,
        client_machine: None,
        cpu_roles: BTreeMap::new(),
        governor: None,
        clock_source: None,
        memory_bytes: None,
        mitigations: BTreeMap::new(),
        network: Network { topology: "veth".to_owned(), ends: Vec::new() },
    }
}

pub(crate) fn load(rps: u32, latencies_us: &[u32]) -> LoadReport {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for us in latencies_us {
        histogram.record(u64::from(*us) * 1000).unwrap();
    }
    let max_us = latencies_us.iter().copied().max().map_or(0.0, f64::from);
    LoadReport {
        schema: LoadReport::SCHEMA,
        setup: LoadSetup {
            url: "http://198.18.0.1:8080/plaintext".to_owned(),
            connections: 32,
            threads: 1,
            duration_s: 1.0,
            warmup_s: 0.0,
            transport: "epoll".to_owned(),
            schedule: "closed".to_owned(),
            rate_rps: None,
            arrival: None,
            seed: None,
            spin: None,
            timeout_s: None,
            ends_hung: false,
            pipeline: None,
            endpoints: Vec::new(),
            cpus: vec![0],
        },
        duration_s: 1.0,
        requests: u64::from(rps),
        read_bytes: 1,
        throughput_rps: f64::from(rps),
        latency: Latency {
            count: histogram.len(),
            min_us: 0.0,
            mean_us: 0.0,
            stdev_us: 0.0,
            max_us,
            percentiles_us: BTreeMap::new(),
            histogram_ns: encode_histogram(&histogram).unwrap(),
        },
        service: None,
        lateness: None,
        lateness_undisturbed: None,
        censored: 0,
        errors: LoadErrors::default(),
        errors_by_errno: Vec::new(),
        status: BTreeMap::new(),
        sent: u64::from(rps),
        in_flight: 0,
        unsent: 0,
        reopened: 0,
        interval_s: 0.1,
        interval_requests: Vec::new(),
        cpu_s: 0.0,
        client: None,
        conditions: Vec::new(),
    }
}

fn ready(mode: &str) -> serde_json::Value {
    match mode {
        "xdp" => serde_json::json!({"pid": 1, "wait": "spin", "attach": "native", "copy": "copy"}),
        _ => serde_json::json!({"pid": 1, "wait": "block"}),
    }
}

pub(crate) fn measurement(point: &Point, round: u32, load: LoadReport) -> Measurement {
    let time = |cpu, busy_s| CpuTime {
        cpu,
        user_s: busy_s / 2.0,
        system_s: busy_s / 4.0,
        irq_s: 0.0,
        softirq_s: busy_s / 4.0,
        steal_s: 0.0,
        idle_s: 2.0 - busy_s,
    };
    Measurement {
        schema: Measurement::SCHEMA,
        round,
        position: 1,
        attempt: 1,
        disturbed: Vec::new(),
        cell: point.cell.clone(),
        started_utc: String::new(),
        load,
        server: ServerRecord {
            command: Vec::new(),
            ready: ready(&point.cell.mode),
            start_ms: 1.0,
            exit: None,
            ended: "exit status: 0".to_owned(),
            ended_well: true,
            stderr: String::new(),
        },
        client: ClientRecord { command: Vec::new(), stderr: String::new() },
        window_s: 2.0,
        cpu: CpuAccount {
            cpus: vec![time(0, 1.0), time(1, 2.0)],
            server: ProcessTime { user_s: 1.0, system_s: 0.5 },
            client: ProcessTime { user_s: 0.5, system_s: 0.25 },
            steal_share: 0.0,
        },
        counts: None,
        memory: None,
        idle_poll_share: None,
    }
}

pub(crate) fn rounds(used: &[u32]) -> Rounds {
    Rounds {
        wanted: 3,
        used: used.to_vec(),
        disturbed: vec![],
        superseded: vec![],
        steal_share_max: 0.05,
        seed: 1,
        stop: None,
    }
}

pub(crate) fn summary_of(measurements: &[Measurement], rounds: Rounds) -> Result<Summary> {
    let experiment = experiment();
    let points = matrix::expand(&experiment, 1 << 20).unwrap().points;
    let span = Span { started_utc: String::new(), finished_utc: String::new() };
    summarise(&experiment, &points, measurements, rounds, environment(), span)
}

/// epoll, then xdp.
pub(crate) fn points() -> Vec<Point> {
    matrix::expand(&experiment(), 1 << 20).unwrap().points
}

/// epoll and xdp over three rounds; xdp is twice, three times and four times as fast.
pub(crate) fn three_rounds() -> Vec<Measurement> {
    let points = matrix::expand(&experiment(), 1 << 20).unwrap().points;
    let rates = [(1000, 2000), (1000, 3000), (500, 2000)];
    let mut all = Vec::new();
    for (round, (epoll, xdp)) in (1..).zip(rates) {
        // The order within a round is shuffled.
        all.push(measurement(&points[1], round, load(xdp, &[10])));
        all.push(measurement(&points[0], round, load(epoll, &[20])));
    }
    all
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-6 * right.abs().max(1.0)
}

#[test]
fn ratios_are_taken_within_a_round_and_summarised_by_their_geometric_mean() {
    let summary = summary_of(&three_rounds(), rounds(&[1, 2, 3])).unwrap();
    assert_eq!(summary.baseline, "epoll");
    let Estimate { median, ci95: [low, high] } = summary.modes["xdp"].ratio_to_baseline;
    // Of 2, 3 and 4; the interval is Student's with two degrees of freedom, on logarithms.
    assert!(close(median, 24.0_f64.cbrt()), "{summary:?}");
    let variance: f64 = [2.0_f64, 3.0, 4.0].map(|ratio| (ratio / median).ln().powi(2)).iter().sum();
    let half = 4.302_653 * (variance / 2.0 / 3.0).sqrt();
    assert!(close(low, median * (-half).exp()) && close(high, median * half.exp()), "{low} {high}");
    assert!(close(summary.modes["epoll"].ratio_to_baseline.median, 1.0));
    let rate = |mode: &str| summary.modes[mode].throughput_rps.median;
    assert!(close(rate("epoll"), 5e8_f64.cbrt()) && close(rate("xdp") / rate("epoll"), median));
    assert_eq!(summary.cells.len(), 2);
    assert_eq!(summary.cells[1].figures, summary.modes["xdp"]);
    // Half the latency in every round; the histogram has three digits.
    let LatencyRatios { p50, p99 } = summary.modes["xdp"].latency_ratio_to_baseline.unwrap();
    for Estimate { median, ci95: [low, high] } in [p50, p99] {
        assert!((median - 0.5).abs() < 1e-3 && low <= median && median <= high, "{median}");
    }
}

#[test]
fn rounds_not_used_do_not_count() {
    let summary = summary_of(&three_rounds(), rounds(&[1, 3])).unwrap();
    assert!(close(summary.modes["xdp"].ratio_to_baseline.median, 8.0_f64.sqrt()));
    assert_eq!(summary.modes["epoll"].requests, 1500);
    assert!(summary_of(&three_rounds(), rounds(&[])).is_err());
    assert!(summary_of(&three_rounds(), rounds(&[1, 4])).is_err());
}

#[test]
fn cpu_time_is_per_million_requests_and_the_rest_is_what_no_process_accounts_for() {
    // In 2 s of window: 3 s busy, of which 1.5 s server and 0.75 s client; 1000 requests/s.
    let summary = summary_of(&three_rounds(), rounds(&[1])).unwrap();
    let CpuCost { server, client, rest } = summary.modes["epoll"].cpu_s_per_million;
    assert!(close(server, 750.0) && close(client, 375.0) && close(rest, 375.0), "{summary:?}");
}

#[test]
fn percentiles_come_from_the_merged_histogram() {
    let points = matrix::expand(&experiment(), 1 << 20).unwrap().points;
    let fast: Vec<u32> = vec![10; 990];
    let slow: Vec<u32> = vec![1000; 10];
    let mut all = three_rounds();
    all.retain(|measurement| measurement.cell.mode == "xdp");
    all.push(measurement(&points[0], 1, load(1000, &fast)));
    all.push(measurement(&points[0], 2, load(1000, &slow)));
    let latency = summary_of(&all, rounds(&[1, 2])).unwrap().modes["epoll"].latency_us;
    // 990 of 1000 took 10 µs: the mean of the two rounds' p50 would be 505 µs.
    assert!((latency.p50 - 10.0).abs() < 0.1, "{latency:?}");
    assert!((latency.p99 - 10.0).abs() < 0.1, "{latency:?}");
    assert!((latency.p99_9 - 1000.0).abs() < 1.0, "{latency:?}");
    assert!(close(latency.max, 1000.0) && latency.p99_99 <= latency.max, "{latency:?}");
}

proptest! {
    /// Merging in rounds gives what one histogram of all samples would have given.
    #[test]
    fn merging_loses_nothing(rounds_of in prop::collection::vec(
        prop::collection::vec(1_u32..1_000_000, 1..50), 1..6,
    )) {
        let points = matrix::expand(&experiment(), 1 << 20).unwrap().points;
        let measurements: Vec<Measurement> = (1..)
            .zip(&rounds_of)
            .map(|(round, samples)| measurement(&points[0], round, load(1, samples)))
            .collect();
        let all: Vec<&Measurement> = measurements.iter().collect();
        let one = measurement(&points[0], 1, load(1, &rounds_of.concat()));
        prop_assert_eq!(latency(&all).unwrap(), latency(&[&one]).unwrap());
    }
}

#[test]
fn errors_of_both_sides_are_counted_and_noted() {
    let mut measurements = three_rounds();
    measurements[0].load.errors = LoadErrors { read: 3, timeout: 2, ..LoadErrors::default() };
    measurements[2].load.errors = LoadErrors { framing: 1, ..LoadErrors::default() };
    measurements[4].server.ended_well = false;
    let summary = summary_of(&measurements, rounds(&[1, 2, 3])).unwrap();
    assert_eq!(summary.modes["xdp"].errors, 7);
    assert_eq!(summary.modes["xdp"].server_errors, 1);
    assert_eq!(summary.modes["xdp"].errors_by_kind.read, 3);
    assert_eq!(summary.modes["epoll"].errors, 0);
    assert!(summary.notes.iter().any(|note| note.starts_with("ERRORS with xdp:")));
}

#[test]
fn the_reader_is_told_what_weakens_the_figures() {
    let noted = |summary: &Summary, part: &str| {
        assert!(summary.notes.iter().any(|note| note.contains(part)), "{:?}", summary.notes);
    };
    let mut measurements = three_rounds();
    for measurement in &mut measurements {
        measurement.cpu.cpus[0].user_s = 2.0;
        measurement.cpu.cpus[1].user_s = 0.0;
    }
    let mut weak = rounds(&[1, 2]);
    let reasons = |evidence: &str| {
        let (rule, cell) = ("steal".to_owned(), "xdp".to_owned());
        vec![record::Disturbance { rule, cell, evidence: evidence.to_owned() }]
    };
    weak.disturbed = vec![
        DisturbedRound { round: 1, steal_share: 0.2, used: true, reasons: reasons("20.0 %") },
        DisturbedRound { round: 3, steal_share: 0.3, used: false, reasons: reasons("30.0 %") },
    ];
    let summary = summary_of(&measurements, weak).unwrap();
    noted(&summary, "closed-loop");
    noted(&summary, "xdp obtained: attach native, copy copy.");
    noted(&summary, "Round 3 is dropped: steal (xdp: 30.0 %)");
    noted(&summary, "DISTURBED: round 1 is used for want of better ones: steal (xdp: 20.0 %)");
    noted(&summary, "Only 2 of 3 rounds");
    noted(&summary, "2 rounds are few");
    noted(&summary, "The client's CPU was at least 97 % busy with epoll, xdp");
    // 2 s of user code, 1.5 s of them the server's and the client's: 0.5 s of the window's 4 s.
    noted(&summary, "other programs used up to 12 % of the two CPUs");
    let quiet = summary_of(&three_rounds(), rounds(&[1, 2, 3])).unwrap();
    assert_eq!(quiet.notes.len(), 3, "{:?}", quiet.notes);
}

#[test]
fn the_summary_has_the_keys_that_readers_rely_on() {
    let summary = summary_of(&three_rounds(), rounds(&[1, 2, 3])).unwrap();
    let value = serde_json::to_value(&summary).unwrap();
    assert_eq!(value["baseline"], "epoll");
    assert!(value["environment"].is_object());
    for mode in ["epoll", "xdp"] {
        let figures = &value["modes"][mode];
        for estimate in ["throughput_rps", "ratio_to_baseline"] {
            assert!(figures[estimate]["median"].is_f64(), "{mode} {estimate}");
            assert_eq!(figures[estimate]["ci95"].as_array().map(Vec::len), Some(2));
        }
        for percentile in ["p50", "p90", "p99", "p99_9", "p99_99", "max"] {
            assert!(figures["latency_us"][percentile].is_f64(), "{mode} {percentile}");
        }
        for side in ["server", "client", "rest"] {
            assert!(figures["cpu_s_per_million"][side].is_f64(), "{mode} {side}");
        }
        assert!(figures["errors"].is_u64(), "{mode}");
    }
    assert_eq!(value["cells"][1]["tcp"], "smoltcp");
    assert_eq!(value["cells"][1]["obtained"]["attach"], "native");
    assert!(value["cells"][1]["obtained"].get("pid").is_none(), "it differs from run to run");
    let back: Summary = serde_json::from_value(value).unwrap();
    assert_eq!(back, summary);
}

#[test]
fn the_table_shows_every_cell_with_its_errors_and_notes() {
    let mut measurements = three_rounds();
    measurements[0].load.errors = LoadErrors { connect: 12, ..LoadErrors::default() };
    let summary = summary_of(&measurements, rounds(&[1, 2, 3])).unwrap();
    let table = crate::table::render(&summary, &experiment());
    let row = |mode: &str| table.lines().find(|line| line.starts_with(mode)).unwrap().to_owned();
    assert!(row("epoll").contains("794"), "{table}");
    assert!(row("epoll").contains("block") && row("xdp").contains("spin"), "{table}");
    assert!(row("xdp").contains("2.884 [1.214, 6.851]"), "{table}");
    assert!(row("xdp").contains("  12  "), "{table}");
    assert!(table.contains("ERRORS with xdp"), "{table}");
}

/// The measurements are those of a thousand responses in a second, with windows of two seconds.
#[test]
fn a_response_costs_what_was_spent_in_the_rounds_used_and_what_was_counted() {
    let experiment = experiment();
    let points = matrix::expand(&experiment, 1 << 20).unwrap().points;
    let mut measurements: Vec<Measurement> =
        (1..=3).map(|round| measurement(&points[0], round, load(1000, &[100]))).collect();
    let memory = |rss_loaded| Some(record::Memory { rss_idle: 1 << 20, rss_loaded });
    for (measurement, rss_loaded) in measurements.iter_mut().zip([5 << 20, 3 << 20, 4 << 20]) {
        measurement.cell.connections = 1024;
        measurement.memory = memory(rss_loaded);
    }
    measurements[0].idle_poll_share = Some(0.5);
    measurements[1].idle_poll_share = Some(0.25);
    measurements[2].counts = Some(record::Counts {
        window_s: 0.5,
        throughput_rps: 800.0,
        server: record::ProcessCounts { syscalls: Some(880), ..Default::default() },
        interrupts: Some(100),
        unavailable: vec!["cycles: none".to_owned()],
        ..Default::default()
    });
    let counts = cost::counts_of(&measurements[0].cell, &measurements);
    // The third round is not used, but its counts are.
    let cost = cost::of_cell(&[&measurements[0], &measurements[1]], counts);
    // Of 3 s of CPU in 2 s, half is user mode, and a quarter each the kernel's.
    assert!(close(cost.user_us, 750.0) && close(cost.system_us, 375.0), "{cost:?}");
    assert!(close(cost.softirq_us, 375.0) && close(cost.cores_busy, 1.5), "{cost:?}");
    assert_eq!(cost.server.syscalls, Some(2.2));
    assert_eq!(cost.server.cycles, None);
    assert_eq!(cost.interrupts, Some(0.25));
    assert_eq!(cost.unavailable, ["cycles: none"]);
    assert_eq!(cost.idle_poll_share, Some(0.375));
    assert_eq!(cost.rss_bytes, Some(4 << 20));
    assert_eq!(cost.bytes_per_connection, Some(3072.0));

    measurements[0].cell.connections = 255;
    measurements[0].memory = None;
    let cost = cost::of_cell(&[&measurements[0]], None);
    assert_eq!((cost.bytes_per_connection, cost.rss_bytes), (None, None));
    assert_eq!(cost.unavailable.len(), 2, "{cost:?}");
}
