//! What becomes of a server along an axis of numbers.

use super::{LINES_MAX, of_lines, table};
use crate::matrix;
use crate::report::View;
use crate::report::cells::{Axis, Row};
use crate::report::chart::{AxisOf, Line, Lines, Point};
use crate::report::page::Figure;
use crate::report::text::{bytes, duration, float, short, si, thousands};
use record::Cell;
use std::collections::BTreeSet;

/// The cells of each line: those that differ on this axis only, in its order; with its name.
/// Empty where no line has two points.
pub(super) fn groups<'a, 'b>(
    view: &'b View<'a>,
    axis: Axis,
    wanted: impl Fn(&Row<'a>) -> bool,
) -> Vec<(String, Vec<&'b Row<'a>>)> {
    let mut lines: Vec<(Cell, Vec<&Row<'_>>)> = Vec::new();
    for row in view.rows.iter().filter(|row| wanted(row)) {
        if axis.value(&row.of.cell).is_none() {
            continue;
        }
        let common = axis.without(&row.of.cell);
        match lines.iter_mut().find(|(other, _)| *other == common) {
            Some((_, rows)) => rows.push(row),
            None => lines.push((common, vec![row])),
        }
    }
    let values: BTreeSet<Option<u64>> =
        lines.iter().flat_map(|(_, rows)| rows).map(|row| axis.value(&row.of.cell)).collect();
    if values.len() < 2 {
        return Vec::new();
    }
    let cells: Vec<&Cell> = lines.iter().map(|(cell, _)| cell).collect();
    let names = matrix::labels(&cells);
    let by_value = |(_, mut rows): (Cell, Vec<&'b Row<'a>>)| {
        rows.sort_by_key(|row| axis.value(&row.of.cell));
        rows
    };
    names.into_iter().zip(lines.into_iter().map(by_value)).collect()
}

/// As many lines as can be told apart.
fn drawn<'a, 'b>(
    groups: &'a [(String, Vec<&'b Row<'b>>)],
) -> impl Iterator<Item = &'a (String, Vec<&'b Row<'b>>)> {
    groups.iter().take(LINES_MAX)
}

/// What differs between pictures of throughput along an axis.
struct Along {
    id: &'static str,
    heading: &'static str,
    axis: Axis,
    name: &'static str,
    format: fn(f64) -> String,
    caption: &'static str,
}

fn is_echo(row: &Row<'_>) -> bool {
    row.of.cell.service.as_deref() == Some("echo")
}

/// Throughput over connections.
pub(super) fn connections(view: &View<'_>) -> Option<Figure> {
    let along = Along {
        id: "connections",
        heading: "With more connections",
        axis: Axis::Connections,
        name: "connections (logarithmic)",
        format: si,
        caption: "A line that falls to the right is a server that pays for connections that are \
                  open, not only for requests.",
    };
    throughput_along(view, &along)
}

/// Throughput over the size of the answer.
pub(super) fn payload(view: &View<'_>) -> Option<Figure> {
    let along = Along {
        id: "payload",
        heading: "With larger answers",
        axis: Axis::Payload,
        name: "bytes of the body (logarithmic)",
        format: bytes,
        caption: "With small answers the requests count, with large ones the copying: where lines \
                  meet, bypass has nothing left to give.",
    };
    throughput_along(view, &along)
}

/// Throughput over the depth of pipelining.
pub(super) fn pipeline(view: &View<'_>) -> Option<Figure> {
    let along = Along {
        id: "pipelining",
        heading: "With pipelining",
        axis: Axis::Pipeline,
        name: "requests sent at once on each connection (logarithmic)",
        format: si,
        caption: "Requests that arrive together share the cost of a system call or a packet: what \
                  is left of a lead at the right is not the cost of the way into the kernel.",
    };
    throughput_along(view, &along)
}

fn throughput_along(view: &View<'_>, along: &Along) -> Option<Figure> {
    let groups = groups(view, along.axis, |row| !is_echo(row) && row.of.cell.rate_rps.is_none());
    if groups.is_empty() {
        return None;
    }
    let value = |row: &Row<'_>| along.axis.value(&row.of.cell).map_or(0.0, float);
    let point = |row: &&Row<'_>| {
        let rps = row.of.figures.throughput_rps;
        Point { x: value(row), y: rps.median, interval: Some(rps.ci95), counts: true }
    };
    let described = groups.iter().filter_map(|(label, rows)| {
        let ends =
            [rows.first()?, rows.last()?].map(|row| si(row.of.figures.throughput_rps.median));
        Some(format!("{label} from {} to {}", ends[0], ends[1]))
    });
    let svg = Lines {
        id: along.id,
        title: &format!("Requests per second over {}", along.name),
        description: &described.collect::<Vec<_>>().join(", "),
        x: AxisOf {
            name: along.name.to_owned(),
            logarithmic: true,
            ticks: ticks(&groups, along.axis, along.format),
            format: along.format,
        },
        y: AxisOf {
            name: "requests per second, with 95 % intervals (logarithmic)".to_owned(),
            logarithmic: true,
            ticks: Vec::new(),
            format: si,
        },
        bands: Vec::new(),
        lines: drawn(&groups).map(|(label, rows)| line(label, rows, &point)).collect(),
    };
    let rows = groups.iter().flat_map(|(label, rows)| rows.iter().map(move |row| (label, row)));
    let data = rows.map(|(label, row)| {
        let figures = &row.of.figures;
        let [low, high] = figures.throughput_rps.ci95;
        let shown = short(&(along.format)(value(row)));
        let rates = [figures.throughput_rps.median, low, high].map(si);
        [label.clone(), shown].into_iter().chain(rates).collect()
    });
    Some(Figure {
        id: along.id.to_owned(),
        heading: along.heading.to_owned(),
        caption: format!("{}{}", along.caption, of_lines(groups.len())),
        svg: svg.draw(),
        table: table(&["server", along.name, "requests/s", "95 % from", "to"], data),
    })
}

/// A tick for every value that was measured.
fn ticks(
    groups: &[(String, Vec<&Row<'_>>)],
    axis: Axis,
    format: fn(f64) -> String,
) -> Vec<(f64, String)> {
    let values: BTreeSet<u64> = groups
        .iter()
        .flat_map(|(_, rows)| rows.iter().filter_map(|row| axis.value(&row.of.cell)))
        .collect();
    let tick = |value: u64| (float(value), short(&format(float(value))));
    values.into_iter().map(tick).collect()
}

fn line(label: &str, rows: &[&Row<'_>], point: &dyn Fn(&&Row<'_>) -> Point) -> Line {
    Line {
        label: Some(label.to_owned()),
        look: rows[0].look.clone(),
        class: "solid",
        markers: true,
        points: rows.iter().map(point).collect(),
    }
}

/// Round trips of one message at a time, over its size.
pub(super) fn ping_pong(view: &View<'_>) -> Option<Figure> {
    let groups = groups(view, Axis::Payload, is_echo);
    if groups.is_empty() {
        return None;
    }
    let size = |row: &Row<'_>| row.of.cell.payload_bytes.map_or(0.0, float);
    let point = |row: &&Row<'_>| {
        let latency = &row.of.figures.latency_us;
        let interval = Some([latency.p50, latency.p99]);
        Point { x: size(row), y: latency.p50, interval, counts: true }
    };
    let described = groups.iter().filter_map(|(label, rows)| {
        let latency = rows.first()?.of.figures.latency_us;
        Some(format!("{label} {} with the smallest message", duration(latency.p50)))
    });
    let svg = Lines {
        id: "ping-pong",
        title: "Round trip of a message over its size",
        description: &described.collect::<Vec<_>>().join(", "),
        x: AxisOf {
            name: "bytes of the message (logarithmic)".to_owned(),
            logarithmic: true,
            ticks: ticks(&groups, Axis::Payload, bytes),
            format: bytes,
        },
        y: AxisOf {
            name: "round trip, p50 with a line up to p99 (logarithmic)".to_owned(),
            logarithmic: true,
            ticks: Vec::new(),
            format: duration,
        },
        bands: Vec::new(),
        lines: drawn(&groups).map(|(label, rows)| line(label, rows, &point)).collect(),
    };
    let rows = groups.iter().flat_map(|(label, rows)| rows.iter().map(move |row| (label, row)));
    let data = rows.map(|(label, row)| half_round_trips(label, row, size(row)));
    let headings = [
        "server",
        "size",
        "mean",
        "min",
        "median",
        "p99",
        "p99.9",
        "p99.99",
        "max",
        "stddev",
        "round trips",
    ];
    Some(Figure {
        id: "ping-pong".to_owned(),
        heading: "Ping-pong by size".to_owned(),
        caption: format!(
            "One message is under way at a time. The marker is the median round trip, the line \
             above it reaches to the 99th percentile: a long line is jitter. The table has half \
             round trips, as sfnt-pingpong prints them.{}",
            of_lines(groups.len())
        ),
        svg: svg.draw(),
        table: table(&headings, data),
    })
}

/// The columns of sfnt-pingpong, and more percentiles.
fn half_round_trips(label: &str, row: &Row<'_>, size: f64) -> Vec<String> {
    let histogram = &row.latency_ns;
    let half = |ns: f64| duration(ns / 2e3);
    let at = |percent: f64| half(float(histogram.value_at_percentile(percent)));
    vec![
        label.to_owned(),
        bytes(size),
        half(histogram.mean()),
        half(float(histogram.min())),
        at(50.0),
        at(99.0),
        at(99.9),
        at(99.99),
        duration(row.of.figures.latency_us.max / 2.0),
        half(histogram.stdev()),
        thousands(float(histogram.len())),
    ]
}
