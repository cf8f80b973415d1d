//! From measurements to a summary: which rounds count, and the figures of each cell.

use crate::client_limit::ClientLimit;
use crate::contender::CONTENDER;
use crate::cost;
use crate::experiment::Experiment;
use crate::matrix::{self, Point, Subject};
use crate::reach::Transport;
use crate::rounds;
use crate::statistics::estimate;
use crate::steps;
use crate::testpmd::TESTPMD;
use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use record::{
    Cell, CellFigures, CpuCost, Environment, Estimate, Figures, LatencyRatios, LoadErrors,
    Measurement, Percentiles, Rounds, Summary, decode_histogram,
};
use std::collections::BTreeMap;

/// When a run began and ended.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// RFC 3339.
    pub(crate) started_utc: String,
    /// RFC 3339.
    pub(crate) finished_utc: String,
}

/// Computes the summary.
///
/// # Errors
/// Where no round was measured, a cell is missing from a round, or a histogram cannot be read.
pub(crate) fn summarise(
    experiment: &Experiment,
    points: &[Point],
    measurements: &[Measurement],
    rounds: Rounds,
    environment: Environment,
    span: Span,
) -> Result<Summary> {
    ensure!(!rounds.used.is_empty(), "not one round was measured");
    let by_cell: Vec<Vec<&Measurement>> = points
        .iter()
        .map(|point| of_cell(point, measurements, &rounds.used))
        .collect::<Result<_>>()?;
    let mut cells = Vec::with_capacity(points.len());
    for (point, of_cell) in points.iter().zip(&by_cell) {
        let floor = point.floor.map(|floor| by_cell[floor].as_slice());
        let mut figures = figures(of_cell, &by_cell[point.baseline], floor)
            .with_context(|| format!("the figures of {}", point.cell.mode))?;
        figures.cost = Some(cost::of_cell(of_cell, cost::counts_of(&point.cell, measurements)));
        let obtained = obtained(of_cell);
        cells.push(CellFigures { cell: point.cell.clone(), figures, obtained });
    }
    let notes = notes(experiment, &rounds, points, &cells, &by_cell, &environment);
    let planned = matrix::steps(experiment, points).into_iter();
    let planned = planned
        .map(|(step, cell)| (step.name.as_str(), step.change.as_str(), step.changes_client, cell));
    let steps = steps::figures(planned, &by_cell);
    // The floors are the last of the matrix.
    let servers = points.iter().take_while(|point| point.subject != Subject::Floor).count();
    let floors = cells.split_off(servers);
    let mut modes = BTreeMap::new();
    // Contenders have names; the mode that is written for all of them is none.
    let ours = cells.iter().filter(|of| of.cell.mode != CONTENDER);
    for CellFigures { cell, figures, .. } in ours {
        modes.entry(cell.mode.clone()).or_insert_with(|| figures.clone());
    }
    Ok(Summary {
        schema: Summary::SCHEMA,
        experiment: experiment.name.clone(),
        question: experiment.question.clone(),
        hypothesis: experiment.hypothesis.clone(),
        started_utc: span.started_utc,
        finished_utc: span.finished_utc,
        baseline: experiment.baseline.name().to_owned(),
        modes,
        cells,
        floors,
        steps,
        interrupted: None,
        failed: Vec::new(),
        conformance: Vec::new(),
        rounds,
        notes,
        environment,
    })
}

/// The ready line of a cell's first server, without its pid, which differs from start to start.
fn obtained(of_cell: &[&Measurement]) -> serde_json::Value {
    let mut ready = of_cell.first().map_or(serde_json::Value::Null, |of| of.server.ready.clone());
    if let Some(ready) = ready.as_object_mut() {
        ready.remove("pid");
    }
    ready
}

/// A cell's measurements in the rounds used, the last of each round and in their order, so that
/// those of two cells are paired by their place.
fn of_cell<'a>(
    point: &Point,
    measurements: &'a [Measurement],
    used: &[u32],
) -> Result<Vec<&'a Measurement>> {
    let of_round = |round: &u32| {
        measurements
            .iter()
            .rfind(|measurement| measurement.round == *round && measurement.cell == point.cell)
            .with_context(|| format!("round {round} has no measurement of {}", point.cell.mode))
    };
    used.iter().map(of_round).collect()
}

fn figures(
    of_cell: &[&Measurement],
    baseline: &[&Measurement],
    floor: Option<&[&Measurement]>,
) -> Result<Figures> {
    let rps = |of: &[&Measurement]| -> Vec<f64> {
        of.iter().map(|measurement| measurement.load.throughput_rps).collect()
    };
    let own_rps = rps(of_cell);
    let ratios_to = |other: &[&Measurement]| -> Vec<f64> {
        own_rps.iter().zip(rps(other)).map(|(own, other)| own / other).collect()
    };
    let mut errors_by_kind = LoadErrors::default();
    for measurement in of_cell {
        add_errors(&mut errors_by_kind, &measurement.load.errors);
    }
    let server_errors = count(of_cell.iter().filter(|of| !of.server.ended_well));
    Ok(Figures {
        throughput_rps: estimate(&own_rps),
        latency_us: latency(of_cell)?,
        cpu_s_per_million: cpu_cost(of_cell),
        cost: None,
        ratio_to_baseline: estimate(&ratios_to(baseline)),
        latency_ratio_to_baseline: latency_ratios(of_cell, baseline)?,
        share_of_floor: floor.map(|floor| estimate(&ratios_to(floor))),
        errors: errors_by_kind.total() + server_errors,
        errors_by_kind,
        server_errors,
        requests: of_cell.iter().map(|of| of.load.requests).sum(),
    })
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    items.fold(0, |count, _| count + 1)
}

fn add_errors(sum: &mut LoadErrors, more: &LoadErrors) {
    let LoadErrors { connect, read, write, timeout, status, framing, hung } = more;
    sum.connect += connect;
    sum.read += read;
    sum.write += write;
    sum.timeout += timeout;
    sum.status += status;
    sum.framing += framing;
    sum.hung += hung;
}

/// Merges the histograms and reads the percentiles off the sum: percentiles are never averaged.
fn latency(of_cell: &[&Measurement]) -> Result<Percentiles> {
    let mut merged = Histogram::<u64>::new(3).context("a histogram of 3 digits")?;
    for measurement in of_cell {
        let histogram = decode_histogram(&measurement.load.latency.histogram_ns)?;
        merged.add(histogram).context("a histogram does not fit")?;
    }
    // The histogram rounds up to three digits; the reports have each run's largest sample exactly.
    let max = of_cell.iter().map(|of| of.load.latency.max_us).fold(0.0, f64::max);
    let at = |percentile| ns_to_us(merged.value_at_percentile(percentile)).min(max);
    Ok(Percentiles {
        p50: at(50.0),
        p90: at(90.0),
        p99: at(99.0),
        p99_9: at(99.9),
        p99_99: at(99.99),
        max,
    })
}

/// Ratios of the rounds' own percentiles; none where a round has no sample to divide by.
fn latency_ratios(
    of_cell: &[&Measurement],
    baseline: &[&Measurement],
) -> Result<Option<LatencyRatios>> {
    let ratio = |percentile| -> Result<Option<Estimate>> {
        let mut ratios = Vec::with_capacity(of_cell.len());
        for (own, other) in of_cell.iter().zip(baseline) {
            ratios.push(percentile_us(own, percentile)? / percentile_us(other, percentile)?);
        }
        let known = ratios.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0);
        Ok(known.then(|| estimate(&ratios)))
    };
    let (p50, p99) = (ratio(50.0)?, ratio(99.0)?);
    Ok(p50.zip(p99).map(|(p50, p99)| LatencyRatios { p50, p99 }))
}

/// A percentile of one measurement's latency, in microseconds; 0 where it has no sample.
pub(crate) fn percentile_us(measurement: &Measurement, percentile: f64) -> Result<f64> {
    let histogram = decode_histogram(&measurement.load.latency.histogram_ns)?;
    Ok(ns_to_us(histogram.value_at_percentile(percentile)))
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ns are a hundred days")]
fn ns_to_us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// CPU time over responses. The window in which CPU time was read is a little longer than the one
/// in which responses were counted, so that rates are divided, not sums.
fn cpu_cost(of_cell: &[&Measurement]) -> CpuCost {
    let (mut server, mut client, mut busy, mut millions) = (0.0, 0.0, 0.0, 0.0);
    for Measurement { load, window_s, cpu, .. } in of_cell {
        let scale = load.duration_s / window_s;
        server += cpu.server.total_s() * scale;
        client += cpu.client.total_s() * scale;
        busy += cpu.cpus.iter().map(record::CpuTime::busy_s).sum::<f64>() * scale;
        millions += load.throughput_rps * load.duration_s / 1e6;
    }
    // Processes are accounted by the nanosecond and CPUs by the tick, so that the remainder of a
    // quiet machine may come out a little below zero; there is no negative work.
    let rest = (busy - server - client).max(0.0);
    CpuCost { server: server / millions, client: client / millions, rest: rest / millions }
}

fn notes(
    experiment: &Experiment,
    rounds: &Rounds,
    points: &[Point],
    cells: &[CellFigures],
    by_cell: &[Vec<&Measurement>],
    environment: &Environment,
) -> Vec<String> {
    let labels = |wanted: &dyn Fn(usize) -> bool| -> Vec<String> {
        let chosen = cells.iter().enumerate().filter(|(index, _)| wanted(*index));
        chosen.map(|(_, of)| matrix::label(&of.cell, experiment)).collect()
    };
    let mut notes = vec![note_on_loop(experiment).to_owned()];
    if environment.build_profile != "release" {
        notes.push(format!(
            "{} BUILD: these figures say nothing about speed; build with cargo build --release.",
            environment.build_profile.to_uppercase()
        ));
    }
    notes.extend(note_on_floors(points));
    notes.extend(notes_on_baselines(experiment, points));
    notes.extend(notes_on_drivers(experiment, points, cells));
    notes.extend(rounds::notes(rounds));
    let failed = labels(&|index| cells[index].figures.errors > 0);
    if !failed.is_empty() {
        notes.push(format!(
            "ERRORS with {}: rounds.jsonl has them by kind, with what the server wrote.",
            failed.join(", ")
        ));
    }
    let limits: Vec<ClientLimit> =
        by_cell.iter().map(|of_cell| ClientLimit::of(of_cell, environment.client_cpu)).collect();
    let busy = labels(&|index| limits[index].is_busy());
    if !busy.is_empty() {
        notes.push(format!(
            "The client's CPU was at least {} busy with {}: the server may be capable of more \
             than is shown.",
            ClientLimit::busy_percent_max(),
            busy.join(", ")
        ));
    }
    let says_so = labels(&|index| limits[index].says_so() && !limits[index].is_busy());
    if !says_so.is_empty() {
        notes.push(format!(
            "The client says that it was itself the limit with {}: rounds.jsonl has its reasons.",
            says_so.join(", ")
        ));
    }
    let foreign = by_cell.iter().map(|of_cell| foreign_share(of_cell, environment));
    let foreign = foreign.fold(0.0, f64::max);
    if foreign > experiment.disturbed.foreign_share_max {
        notes.push(format!(
            "FOREIGN LOAD: other programs used up to {:.0} % of the two CPUs: end them and run \
             again.",
            foreign * 100.0
        ));
    }
    let siblings = environment.server_cpu_siblings.as_deref().unwrap_or_default();
    let siblings = crate::environment::parse_cpu_list(siblings).unwrap_or_default();
    if siblings.contains(&environment.client_cpu) {
        notes.push(
            "Server and client ran on two threads of one core: each slowed the other.".to_owned(),
        );
    }
    notes
}

/// What latency means under the load of the experiment.
fn note_on_loop(experiment: &Experiment) -> &'static str {
    if experiment.axes.rate.is_empty() {
        "The load is closed-loop: a connection sends its next request when it has its answer, so \
         that latency is the service time at full load."
    } else {
        "The load is open-loop: each request is due at its time, and its latency counts from then, \
         whether or not a connection was free."
    }
}

/// What the column of shares means, where there is one.
fn note_on_floors(points: &[Point]) -> Option<String> {
    points.iter().any(|point| point.floor.is_some()).then(|| {
        "A floor is what the link carries with no stack on it: frames as long as a request's, \
         reflected by a queue as they are, as many in flight as there are connections, 256 at \
         most. Shares are of that, in the same round."
            .to_owned()
    })
}

/// Cells that are compared with a baseline under another load, because it cannot have theirs.
fn notes_on_baselines(experiment: &Experiment, points: &[Point]) -> Vec<String> {
    let differs = |point: &&Point| {
        let other = &points[point.baseline];
        point.transport != other.transport || point.cell.connections != other.cell.connections
    };
    let mut compared: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for point in points.iter().filter(differs) {
        let label = matrix::label(&point.cell, experiment);
        compared.entry(point.baseline).or_default().push(label);
    }
    let note = |(baseline, labels): (usize, Vec<String>)| {
        let Point { cell, transport, .. } = &points[baseline];
        format!(
            "Compared with {} under {} connections of the {} client, for want of a baseline \
             that is loaded alike: {}.",
            cell.mode,
            cell.connections,
            transport.map_or("", Transport::name),
            labels.join(", ")
        )
    };
    compared.into_iter().map(note).collect()
}

/// What servers with a queue of their own obtained, which decides about their speed; those that
/// obtained the same are named together.
fn notes_on_drivers(
    experiment: &Experiment,
    points: &[Point],
    cells: &[CellFigures],
) -> Vec<String> {
    const KEYS: [&str; 4] = ["attach", "copy", "busy_poll", "pages"];
    let mut obtained: Vec<(String, Vec<String>)> = Vec::new();
    for (point, of) in points.iter().zip(cells) {
        let value = |key: &str| match of.obtained.get(key)? {
            serde_json::Value::String(text) => Some(format!("{key} {text}")),
            other => Some(format!("{key} {other}")),
        };
        let values: Vec<String> = KEYS.into_iter().filter_map(value).collect();
        // That shared memory is copied from and to is no news.
        if values.len() < 2 || point.subject == Subject::Floor {
            continue;
        }
        let (values, label) = (values.join(", "), matrix::label(&of.cell, experiment));
        match obtained.iter_mut().find(|(other, _)| *other == values) {
            Some((_, labels)) => labels.push(label),
            None => obtained.push((values, vec![label])),
        }
    }
    let note = |(values, labels): (String, Vec<String>)| {
        format!("{} obtained: {values}.", labels.join(", "))
    };
    obtained.into_iter().map(note).collect()
}

/// `1 round`, `2 rounds`.
pub(crate) fn count_of(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Share of the server's and the client's CPU that went to user code of other processes. Kernel
/// code is left out: soft interrupts on behalf of the two cannot be told from others there. CPUs
/// are accounted by the tick, so that a window of few ticks could give more than there is. A
/// contender and testpmd are left out: they have processes of their own beside the one that is
/// accounted, which would look like foreign ones.
pub(crate) fn foreign_share(of_cell: &[&Measurement], environment: &Environment) -> f64 {
    let measured = [environment.server_cpu, environment.client_cpu];
    let (mut foreign_s, mut window_s) = (0.0, 0.0);
    let is_one_process =
        |cell: &Cell| cell.mode != CONTENDER && cell.name.as_deref() != Some(TESTPMD);
    let accounted = of_cell.iter().filter(|of| is_one_process(&of.cell));
    for Measurement { cpu, window_s: window, .. } in accounted {
        let on_both = cpu.cpus.iter().filter(|time| measured.contains(&time.cpu));
        let user_s: f64 = on_both.map(|time| time.user_s).sum();
        foreign_s += user_s - cpu.server.user_s - cpu.client.user_s;
        window_s += window * 2.0;
    }
    if window_s > 0.0 { (foreign_s / window_s).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
#[path = "summarise_tests.rs"]
pub(crate) mod tests;
