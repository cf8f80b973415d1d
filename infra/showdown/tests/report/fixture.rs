//! Results folders made by code: every picture has data, every number follows from a formula.

use hdrhistogram::Histogram;
use record::{
    Cell, CellFigures, ClientRecord, Cost, CountsPerResponse, CpuAccount, CpuCost, CpuTime,
    Disturbance, DisturbedRound, Environment, Estimate, Figures, Git, Latency, LoadErrors,
    LoadReport, LoadSetup, Measurement, Network, NetworkEnd, Percentiles, ProcessTime, Rounds,
    ServerRecord, Step, Stop, Summary, Verdict, encode_histogram,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rounds of every run; the third is disturbed and dropped.
const ROUNDS: u32 = 6;
const DROPPED: u32 = 3;
/// Samples of every measurement.
const SAMPLES: u64 = 4000;

/// A folder for results, removed at the end of a test that passes.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}"));
        // What an earlier, interrupted test left.
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a run into a folder of this name.
    pub(crate) fn folder(&self, name: &str, cells: &[(Cell, f64)]) -> PathBuf {
        let path = self.0.join(name);
        write(&path, &summary(cells), &measurements(cells));
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.0));
        }
    }
}

/// A plain cell and what it answers in a second.
pub(crate) fn cell(mode: &str, connections: u64) -> Cell {
    let bypass = mode == "xdp";
    Cell {
        mode: mode.to_owned(),
        tcp: bypass.then(|| "native".to_owned()),
        wait: (!bypass).then(|| "block".to_owned()),
        link: Some("veth".to_owned()),
        transport: Some("epoll".to_owned()),
        connections,
        path: "/plaintext".to_owned(),
        ..Cell::default()
    }
}

/// The default experiment: three modes, one load.
pub(crate) fn plain() -> Vec<(Cell, f64)> {
    vec![(cell("epoll", 32), 1e5), (cell("hyper", 32), 8e4), (cell("xdp", 32), 1.42e5)]
}

/// Something for every axis: connections, payloads, pipelining, rates and echoes.
pub(crate) fn everything() -> Vec<(Cell, f64)> {
    let mut cells = plain();
    for (mode, speed) in [("epoll", 1.0), ("xdp", 1.5)] {
        for (connections, rps) in [(256, 9e4), (10_000, 7e4)] {
            cells.push((cell(mode, connections), rps * speed));
        }
        for (bytes, rps) in [(64, 9e4), (4096, 6e4), (65_536, 1e4)] {
            let path = format!("/bytes/{bytes}");
            let payload = Cell { payload_bytes: Some(bytes), path, ..cell(mode, 32) };
            cells.push((payload, rps * speed));
            let service = Some("echo".to_owned());
            let echo = Cell { payload_bytes: Some(bytes), service, ..cell(mode, 1) };
            cells.push((echo, 1e4 * speed));
        }
        for (depth, rps) in [(4, 2e5), (16, 4e5)] {
            cells.push((Cell { pipeline: Some(depth), ..cell(mode, 32) }, rps * speed));
        }
        for rate in [20_000, 50_000, 80_000] {
            let open = Cell { rate_rps: Some(rate), ..cell(mode, 32) };
            cells.push((open, f64::from(u32::try_from(rate).unwrap())));
        }
    }
    cells
}

fn estimate(median: f64) -> Estimate {
    Estimate { median, ci95: [median * 0.96, median * 1.03] }
}

/// What a response takes where this many are answered in a second.
fn p50_us(rps: f64) -> f64 {
    3.2e6 / rps
}

fn figures(rps: f64, baseline_rps: f64) -> Figures {
    let p50 = p50_us(rps);
    let ratio = rps / baseline_rps;
    let is_baseline = (ratio - 1.0).abs() < 1e-12;
    let exactly = Estimate { median: 1.0, ci95: [1.0, 1.0] };
    Figures {
        throughput_rps: estimate(rps),
        latency_us: Percentiles {
            p50,
            p90: p50 * 1.5,
            p99: p50 * 3.0,
            p99_9: p50 * 8.0,
            p99_99: p50 * 20.0,
            max: p50 * 40.0,
        },
        cpu_s_per_million: CpuCost { server: 6e5 / rps, client: 5e5 / rps, rest: 3e5 / rps },
        cost: Some(cost(rps)),
        ratio_to_baseline: if is_baseline { exactly } else { estimate(ratio) },
        latency_ratio_to_baseline: None,
        share_of_floor: None,
        errors: 0,
        errors_by_kind: LoadErrors::default(),
        server_errors: 0,
        requests: SAMPLES * u64::from(ROUNDS),
    }
}

fn cost(rps: f64) -> Cost {
    let counts = CountsPerResponse {
        syscalls: Some(2.1),
        context_switches: Some(0.4),
        page_faults: Some(0.001),
        ..CountsPerResponse::default()
    };
    Cost {
        user_us: 4e5 / rps,
        system_us: 7e5 / rps,
        softirq_us: 3e5 / rps,
        cores_busy: 1.9,
        server: counts,
        client: counts,
        interrupts: Some(0.2),
        idle_poll_share: None,
        rss_bytes: Some(7 << 20),
        bytes_per_connection: Some(2560.0),
        unavailable: vec!["cycles: the machine has no hardware counters".to_owned()],
    }
}

/// A run of these cells, the first of them the baseline.
pub(crate) fn summary(cells: &[(Cell, f64)]) -> Summary {
    let baseline_rps = cells[0].1;
    let figures_of = |(cell, rps): &(Cell, f64)| CellFigures {
        cell: cell.clone(),
        figures: figures(*rps, baseline_rps),
        obtained: serde_json::json!({"mode": cell.mode, "wait": "block"}),
    };
    Summary {
        schema: Summary::SCHEMA,
        experiment: "synthetic".to_owned(),
        question: "What does <bypass> buy & what not?".to_owned(),
        hypothesis: "xdp answers at least 1.1 times the requests of epoll.".to_owned(),
        started_utc: "2026-11-23T10:00:00Z".to_owned(),
        finished_utc: "2026-11-23T10:05:00Z".to_owned(),
        baseline: cells[0].0.mode.clone(),
        modes: BTreeMap::new(),
        cells: cells.iter().map(figures_of).collect(),
        floors: Vec::new(),
        steps: Vec::new(),
        interrupted: None,
        failed: Vec::new(),
        conformance: vec![verdict("epoll", 0), verdict("uring", 2)],
        rounds: rounds(),
        notes: vec![
            "The load is closed-loop.".to_owned(),
            "ERRORS with epoll: see rounds.jsonl.".to_owned(),
        ],
        environment: environment(),
    }
}

fn verdict(mode: &str, failed: u64) -> Verdict {
    Verdict {
        mode: mode.to_owned(),
        name: None,
        tcp: None,
        wait: None,
        link: None,
        passed: 40,
        failed,
        excepted: 1,
        failures: vec!["FAILED H06.1: <b>wrong</b>".to_owned(); usize::from(failed > 0)],
    }
}

fn rounds() -> Rounds {
    let reason = Disturbance {
        rule: "foreign-load".to_owned(),
        cell: "xdp".to_owned(),
        evidence: "7.2 % of the server's CPU went to other processes, more than 5 %".to_owned(),
    };
    let disturbed =
        DisturbedRound { round: DROPPED, steal_share: 0.08, used: false, reasons: vec![reason] };
    Rounds {
        wanted: ROUNDS - 1,
        used: (1..=ROUNDS).filter(|round| *round != DROPPED).collect(),
        disturbed: vec![disturbed],
        superseded: Vec::new(),
        steal_share_max: 0.05,
        seed: 7,
        stop: Some(Stop {
            half_width_max: Some(0.03),
            half_width: 0.02,
            widest: "xdp".to_owned(),
            reason: "Every interval is narrow enough.".to_owned(),
        }),
    }
}

/// The steps of a waterfall over the first cells.
pub(crate) fn with_steps(mut summary: Summary) -> Summary {
    let rps: Vec<f64> =
        summary.cells.iter().map(|cell| cell.figures.throughput_rps.median).collect();
    let steps = (0..rps.len()).map(|index| Step {
        name: format!("step {index}"),
        change: format!("what is different in step {index}"),
        cell: index,
        ratio_to_previous: estimate(if index == 0 { 1.0 } else { rps[index] / rps[index - 1] }),
        ratio_to_first: estimate(rps[index] / rps[0]),
        changes_client: index + 1 == rps.len(),
    });
    summary.steps = steps.collect();
    summary
}

fn environment() -> Environment {
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let end = NetworkEnd {
        knobs: BTreeMap::new(),
        namespace: "sd-server".to_owned(),
        interface: "sd-srv0".to_owned(),
        addresses: "2: sd-srv0: <UP>\n    inet 198.18.0.1/16".to_owned(),
        offloads: map(&[("tx-checksumming", "off")]),
        sysctls: map(&[("net/ipv4/tcp_rmem", "4096 131072 6291456")]),
    };
    Environment {
        client_machine: None,
        cpu_roles: BTreeMap::new(),
        command_line: ["showdown", "run", "it's mine.toml"].map(str::to_owned).to_vec(),
        showdown_version: "0.1.0".to_owned(),
        rustc_version: "rustc 1.95.0".to_owned(),
        build_profile: "release".to_owned(),
        git: Some(Git { commit: "0".repeat(40), dirty: false }),
        binaries_sha256: map(&[("server-epoll", &"ab".repeat(32))]),
        distribution: Some("Debian".to_owned()),
        kernel_release: "6.18".to_owned(),
        kernel_version: "#1 SMP".to_owned(),
        kernel_command_line: format!("console=ttyS0 {}", "long=value ".repeat(20)),
        cpu_model: Some("Some CPU @ 3 GHz".to_owned()),
        cpus_online: "0-1".to_owned(),
        virtual_machine: true,
        server_cpu_siblings: Some("1".to_owned()),
        server_cpu: 1,
        client_cpu: 0,
        governor: None,
        clock_source: Some("tsc".to_owned()),
        memory_bytes: Some(24 << 30),
        mitigations: map(&[("spectre_v2", "Mitigation: Retpolines")]),
        network: Network { topology: "veth".to_owned(), ends: vec![end] },
    }
}

/// Every cell in every round.
pub(crate) fn measurements(cells: &[(Cell, f64)]) -> Vec<Measurement> {
    let rounds = 1..=ROUNDS;
    let of_round = |round: u32| {
        (1..).zip(cells).map(move |(position, (cell, rps))| {
            let drift =
                1.0 + f64::from(round % 3) * 0.02 - if round == DROPPED { 0.3 } else { 0.0 };
            measurement(round, position, cell, rps * drift)
        })
    };
    rounds.flat_map(of_round).collect()
}

fn measurement(round: u32, position: u32, cell: &Cell, rps: f64) -> Measurement {
    let time = ProcessTime { user_s: 0.2, system_s: 0.6 };
    let cpu = |cpu| CpuTime {
        cpu,
        user_s: 0.2,
        system_s: 0.5,
        irq_s: 0.0,
        softirq_s: 0.2,
        steal_s: 0.0,
        idle_s: 0.1,
    };
    Measurement {
        schema: Measurement::SCHEMA,
        round,
        position,
        attempt: 1,
        disturbed: Vec::new(),
        cell: cell.clone(),
        started_utc: "2026-11-23T10:00:00Z".to_owned(),
        load: load(cell, rps),
        server: ServerRecord {
            command: vec![format!("server-{}", cell.mode), "--cpus".to_owned(), "1".to_owned()],
            ready: serde_json::json!({"event": "ready"}),
            start_ms: 5.0,
            exit: None,
            ended: "exit status: 0".to_owned(),
            ended_well: true,
            stderr: String::new(),
        },
        client: ClientRecord { command: vec!["loadgen".to_owned()], stderr: String::new() },
        window_s: 1.0,
        cpu: CpuAccount {
            cpus: vec![cpu(0), cpu(1)],
            server: time,
            client: time,
            steal_share: if round == DROPPED { 0.08 } else { 0.0 },
        },
        counts: None,
        memory: None,
        idle_poll_share: None,
    }
}

fn load(cell: &Cell, rps: f64) -> LoadReport {
    let setup = LoadSetup {
        url: "http://198.18.0.1:8080/plaintext".to_owned(),
        connections: cell.connections,
        threads: 1,
        duration_s: 1.0,
        warmup_s: 0.5,
        transport: "epoll".to_owned(),
        schedule: "closed".to_owned(),
        rate_rps: cell.rate_rps,
        arrival: None,
        seed: None,
        spin: None,
        timeout_s: None,
        ends_hung: false,
        pipeline: cell.pipeline,
        endpoints: Vec::new(),
        cpus: vec![0],
    };
    LoadReport {
        schema: LoadReport::SCHEMA,
        setup,
        duration_s: 1.0,
        requests: SAMPLES,
        read_bytes: SAMPLES * 133,
        throughput_rps: rps,
        latency: latency(p50_us(rps)),
        service: None,
        lateness: None,
        lateness_undisturbed: None,
        censored: 0,
        errors: LoadErrors::default(),
        errors_by_errno: Vec::new(),
        status: BTreeMap::from([(200, SAMPLES)]),
        sent: SAMPLES,
        in_flight: 0,
        unsent: 0,
        reopened: 0,
        interval_s: 0.1,
        interval_requests: Vec::new(),
        cpu_s: 0.8,
        client: None,
        conditions: Vec::new(),
    }
}

/// Samples whose tail grows by the same factor with every nine, around this median.
fn latency(p50_us: f64) -> Latency {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for sample in 1..=SAMPLES {
        let rank = f64::from(u32::try_from(sample).unwrap()) / 4000.0;
        let us = p50_us * 0.8 * (1.0 - rank + 0.000_2).powf(-0.32);
        let ns = std::time::Duration::from_secs_f64(us / 1e6).as_nanos();
        histogram.record(u64::try_from(ns).unwrap()).unwrap();
    }
    Latency {
        count: SAMPLES,
        min_us: p50_us * 0.8,
        mean_us: p50_us * 1.1,
        stdev_us: p50_us * 0.4,
        max_us: p50_us * 12.0,
        percentiles_us: BTreeMap::from([("p50".to_owned(), p50_us)]),
        histogram_ns: encode_histogram(&histogram).unwrap(),
    }
}

/// Writes a run as `showdown run` leaves it, without its report.
pub(crate) fn write(path: &Path, summary: &Summary, measurements: &[Measurement]) {
    fs::create_dir_all(path).unwrap();
    let lines: Vec<String> =
        measurements.iter().map(|of| serde_json::to_string(of).unwrap() + "\n").collect();
    let json = |text: Result<String, serde_json::Error>| text.unwrap() + "\n";
    let files = [
        ("environment.json", json(serde_json::to_string_pretty(&summary.environment))),
        ("experiment.toml", "question = \"q\"\n".to_owned()),
        ("rounds.jsonl", lines.concat()),
        ("summary.json", json(serde_json::to_string_pretty(summary))),
        ("table.txt", "table\n".to_owned()),
        ("topology.log", "ip netns add sd-server\n".to_owned()),
    ];
    let mut manifest = String::new();
    for (name, text) in files {
        let hash = Sha256::digest(text.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        manifest.push_str(&format!("{hash}  {name}\n"));
        fs::write(path.join(name), text).unwrap();
    }
    fs::write(path.join("MANIFEST.sha256"), manifest).unwrap();
}
