//! The same figures for a spreadsheet: CSV as RFC 4180 has it, units in the headings.

use super::cells::Row;
use super::text::float;
use super::{File, View};
use anyhow::{Context, Result};
use record::{Cell, Cost, Estimate, Figures, Measurement};

/// Percentiles in `latency.csv`.
const PERCENTILES: [f64; 20] = [
    0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95,
    99.99, 99.995, 99.999, 100.0,
];

/// Columns that say which cell it is.
const CELL: [&str; 13] = [
    "mode",
    "tcp",
    "wait",
    "link",
    "transport",
    "connections",
    "path",
    "name",
    "payload_bytes",
    "pipeline",
    "rate_rps",
    "service",
    "offloads",
];

/// `cells.csv`, `latency.csv` and `rounds.csv`.
///
/// # Errors
/// Where a table is not rectangular, which is a mistake in this file.
pub(super) fn files(view: &View<'_>) -> Result<Vec<File>> {
    Ok(vec![
        File { name: "cells.csv", text: cells(view)? },
        File { name: "latency.csv", text: latency(view)? },
        File { name: "rounds.csv", text: rounds(view)? },
    ])
}

fn csv(headings: &[&[&str]], rows: impl Iterator<Item = Vec<String>>) -> Result<String> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(headings.concat())?;
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner().context("a table in memory")?;
    Ok(String::from_utf8(bytes)?)
}

fn cell_columns(label: &str, cell: &Cell) -> Vec<String> {
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    vec![
        label.to_owned(),
        cell.mode.clone(),
        word(&cell.tcp),
        word(&cell.wait),
        word(&cell.link),
        word(&cell.transport),
        cell.connections.to_string(),
        cell.path.clone(),
        word(&cell.name),
        number(cell.payload_bytes),
        number(cell.pipeline),
        number(cell.rate_rps),
        word(&cell.service),
        word(&cell.offloads),
    ]
}

fn all<'a, 'b>(view: &'b View<'a>) -> impl Iterator<Item = &'b Row<'a>> {
    view.rows.iter().chain(&view.floors)
}

fn estimate(of: Option<&Estimate>) -> [String; 3] {
    let text = |value: fn(&Estimate) -> f64| {
        of.map_or_else(String::new, |estimate| value(estimate).to_string())
    };
    [text(|of| of.median), text(|of| of.ci95[0]), text(|of| of.ci95[1])]
}

/// A column of a cost, empty where there is none.
fn cost(of: Option<&Cost>, value: fn(&Cost) -> Option<f64>) -> String {
    of.and_then(value).map_or_else(String::new, |value| value.to_string())
}

const FIGURES: [&str; 36] = [
    "throughput_rps",
    "throughput_rps_ci95_low",
    "throughput_rps_ci95_high",
    "ratio_to_baseline",
    "ratio_to_baseline_ci95_low",
    "ratio_to_baseline_ci95_high",
    "share_of_floor",
    "share_of_floor_ci95_low",
    "share_of_floor_ci95_high",
    "p50_us",
    "p90_us",
    "p99_us",
    "p99_9_us",
    "p99_99_us",
    "max_us",
    "cpu_server_us_per_request",
    "cpu_client_us_per_request",
    "cpu_rest_us_per_request",
    "user_us_per_request",
    "system_us_per_request",
    "softirq_us_per_request",
    "cores_busy",
    "server_syscalls_per_request",
    "server_context_switches_per_request",
    "server_page_faults_per_request",
    "server_cycles_per_request",
    "server_instructions_per_request",
    "server_llc_misses_per_request",
    "client_syscalls_per_request",
    "interrupts_per_request",
    "idle_poll_share",
    "rss_bytes",
    "bytes_per_connection",
    "requests",
    "errors",
    "client_limited",
];

fn cells(view: &View<'_>) -> Result<String> {
    let row = |row: &Row<'_>| {
        let of: &Figures = &row.of.figures;
        let mut columns = cell_columns(&row.label, &row.of.cell);
        columns.extend(estimate(Some(&of.throughput_rps)));
        columns.extend(estimate(Some(&of.ratio_to_baseline)));
        columns.extend(estimate(of.share_of_floor.as_ref()));
        let latency = &of.latency_us;
        let percentiles =
            [latency.p50, latency.p90, latency.p99, latency.p99_9, latency.p99_99, latency.max];
        // CPU seconds per million responses are microseconds per response.
        let cpu = &of.cpu_s_per_million;
        let cpu = [cpu.server, cpu.client, cpu.rest];
        columns.extend(percentiles.into_iter().chain(cpu).map(|us| us.to_string()));
        columns.extend(costs(of.cost.as_ref()));
        columns.extend([of.requests, of.errors].map(|count| count.to_string()));
        columns.push(row.client_limited.to_string());
        columns
    };
    csv(&[&["cell"], &CELL, &FIGURES], all(view).map(row))
}

fn costs(of: Option<&Cost>) -> Vec<String> {
    const VALUES: [fn(&Cost) -> Option<f64>; 15] = [
        |of| Some(of.user_us),
        |of| Some(of.system_us),
        |of| Some(of.softirq_us),
        |of| Some(of.cores_busy),
        |of| of.server.syscalls,
        |of| of.server.context_switches,
        |of| of.server.page_faults,
        |of| of.server.cycles,
        |of| of.server.instructions,
        |of| of.server.llc_misses,
        |of| of.client.syscalls,
        |of| of.interrupts,
        |of| of.idle_poll_share,
        |of| of.rss_bytes.map(float),
        |of| of.bytes_per_connection,
    ];
    VALUES.iter().map(|value| cost(of, *value)).collect()
}

/// Off the merged histograms.
fn latency(view: &View<'_>) -> Result<String> {
    let rows = all(view).flat_map(|row| {
        let histogram = &row.latency_ns;
        PERCENTILES.iter().map(move |percentile| {
            let ns = histogram.value_at_percentile(*percentile);
            let up_to = histogram.count_between(0, ns);
            let us = float(ns) / 1e3;
            vec![row.label.clone(), percentile.to_string(), us.to_string(), up_to.to_string()]
        })
    });
    csv(&[&["cell", "percentile", "latency_us", "requests_up_to_it"]], rows)
}

const ROUND: [&str; 4] = ["round", "position", "used", "started_utc"];
const MEASURED: [&str; 14] = [
    "throughput_rps",
    "requests",
    "errors",
    "p50_us",
    "p99_us",
    "max_us",
    "steal_share",
    "window_s",
    "busy_all_cpus_s",
    "server_user_s",
    "server_system_s",
    "client_user_s",
    "client_system_s",
    "client_limit",
];

/// Every measurement, in the order in which it was taken.
fn rounds(view: &View<'_>) -> Result<String> {
    let used = &view.run.summary.rounds.used;
    let row = |of: &Measurement| {
        // A cell that the summary left out has no label of its own.
        let labelled = all(view).find(|row| row.of.cell == of.cell);
        let label = labelled.map_or(of.cell.mode.as_str(), |row| row.label.as_str());
        let used = used.contains(&of.round).to_string();
        let mut columns =
            vec![of.round.to_string(), of.position.to_string(), used, of.started_utc.clone()];
        columns.extend(cell_columns(label, &of.cell));
        columns.extend(measured(of));
        columns
    };
    csv(&[&ROUND, &["cell"], &CELL, &MEASURED], view.run.measurements.iter().map(row))
}

fn measured(of: &Measurement) -> Vec<String> {
    let Measurement { load, cpu, .. } = of;
    let percentile =
        |key: &str| load.latency.percentiles_us.get(key).map_or_else(String::new, f64::to_string);
    let busy_s: f64 = cpu.cpus.iter().map(record::CpuTime::busy_s).sum();
    let limit = load.client.as_ref().and_then(|client| client.limit.clone());
    vec![
        load.throughput_rps.to_string(),
        load.requests.to_string(),
        load.errors.total().to_string(),
        percentile("p50"),
        percentile("p99"),
        load.latency.max_us.to_string(),
        cpu.steal_share.to_string(),
        of.window_s.to_string(),
        busy_s.to_string(),
        cpu.server.user_s.to_string(),
        cpu.server.system_s.to_string(),
        cpu.client.user_s.to_string(),
        cpu.client.system_s.to_string(),
        limit.unwrap_or_default(),
    ]
}
