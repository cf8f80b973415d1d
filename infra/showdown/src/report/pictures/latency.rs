//! Latency by percentile and by load.

use super::{LINES_MAX, of_how_many, of_lines, table};
use crate::report::View;
use crate::report::cells::{Axis, Row, apart, headline};
use crate::report::chart::{AxisOf, Line, Lines, Point};
use crate::report::page::Figure;
use crate::report::text::{digits, duration, float, si};
use hdrhistogram::Histogram;

/// Points of a curve for each power of ten of 1/(1-p).
const POINTS_PER_DECADE: i32 = 24;
/// The axis ends here, at 99.9999 %, or where the samples do.
const DECADES_MAX: i32 = 6;

/// The percentiles of tables, in percent.
const PERCENTILES: [f64; 7] = [50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0];

/// The axis that HdrHistogram's plots have: it gives every further nine as much room.
pub(super) fn by_percentile(view: &View<'_>) -> Option<Figure> {
    let with_samples: Vec<&Row<'_>> = headline(view.rows.iter().collect(), LINES_MAX);
    let shown: Vec<&Row<'_>> =
        with_samples.into_iter().filter(|row| !row.latency_ns.is_empty()).collect();
    if shown.is_empty() {
        return None;
    }
    let lines = shown.iter().zip(apart(&shown)).map(|(row, look)| Line {
        label: Some(row.label.clone()),
        look,
        class: "solid",
        markers: false,
        points: curve(&row.latency_ns),
    });
    let described = shown.iter().map(|row| {
        let latency = &row.of.figures.latency_us;
        format!("{} {} at 99 %", row.label, duration(latency.p99))
    });
    let words = ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999"];
    let longest = shown.iter().map(|row| decades(&row.latency_ns)).max().unwrap_or(1);
    let ticks = (0..=longest).zip(words).map(|(decade, word)| (f64::from(decade), word.to_owned()));
    let svg = Lines {
        id: "latency",
        title: "Latency by percentile",
        description: &described.collect::<Vec<_>>().join(", "),
        x: AxisOf {
            name: "percent of the requests that took no longer".to_owned(),
            logarithmic: false,
            ticks: ticks.collect(),
            format: digits,
        },
        y: upright("latency (logarithmic)"),
        bands: Vec::new(),
        lines: lines.collect(),
    };
    let data = shown.iter().map(|row| {
        let at = |percent: &f64| duration(us(row.latency_ns.value_at_percentile(*percent)));
        let values = PERCENTILES.iter().map(at);
        [row.label.clone()].into_iter().chain(values).collect()
    });
    let headings = ["server", "p50", "p90", "p99", "p99.9", "p99.99", "p99.999", "max"];
    let how_many = of_how_many(shown.len(), view.rows.len());
    Some(Figure {
        id: "latency".to_owned(),
        heading: "Latency by percentile".to_owned(),
        caption: format!(
            "Lower is better; a curve that stays flat to the right has little jitter. Every \
             request of every round used is in it, merged, none averaged.{how_many}"
        ),
        svg: svg.draw(),
        table: table(&headings, data),
    })
}

fn upright(name: &str) -> AxisOf {
    AxisOf { name: name.to_owned(), logarithmic: true, ticks: Vec::new(), format: duration }
}

/// Powers of ten of 1/(1-p) that this many samples reach.
fn decades(histogram: &Histogram<u64>) -> i32 {
    let samples = float(histogram.len());
    (1..DECADES_MAX).find(|decade| 10_f64.powi(*decade) >= samples).unwrap_or(DECADES_MAX)
}

fn curve(histogram: &Histogram<u64>) -> Vec<Point> {
    let samples = float(histogram.len());
    let mut points = Vec::new();
    for index in 0..=DECADES_MAX * POINTS_PER_DECADE {
        let x = f64::from(index) / f64::from(POINTS_PER_DECADE);
        // Beyond the last sample there is nothing to draw.
        if 10_f64.powf(x) > samples {
            break;
        }
        let quantile = 1.0 - 10_f64.powf(-x);
        let y = us(histogram.value_at_quantile(quantile));
        points.push(Point { x, y, interval: None, counts: true });
    }
    points
}

/// Nanoseconds in microseconds.
fn us(ns: u64) -> f64 {
    float(ns) / 1e3
}

/// Latency over the rate that was answered, in an open loop.
pub(super) fn by_rate(view: &View<'_>) -> Option<Figure> {
    let lines = super::scaling::groups(view, Axis::Rate, |row| row.of.cell.rate_rps.is_some());
    if lines.is_empty() {
        return None;
    }
    let point = |row: &Row<'_>, us: f64| Point {
        x: row.of.figures.throughput_rps.median,
        y: us,
        interval: None,
        counts: true,
    };
    let mut drawn = Vec::new();
    for (label, rows) in lines.iter().take(LINES_MAX) {
        let look = &rows[0].look;
        let line = |label, class, markers, p: fn(&Row<'_>) -> f64| Line {
            label,
            look: look.clone(),
            class,
            markers,
            points: rows.iter().map(|row| point(row, p(row))).collect(),
        };
        drawn.push(line(Some(label.clone()), "solid", true, |row| row.of.figures.latency_us.p99));
        drawn.push(line(None, "thin", false, |row| row.of.figures.latency_us.p50));
    }
    let names: Vec<&str> = lines.iter().map(|(label, _)| label.as_str()).collect();
    let svg = Lines {
        id: "rates",
        title: "Latency over the rate answered",
        description: &format!("99th percentile and median of {}", names.join(", ")),
        x: AxisOf {
            name: "requests per second answered".to_owned(),
            logarithmic: false,
            ticks: Vec::new(),
            format: si,
        },
        y: upright("latency, p99 and (thin) p50, logarithmic"),
        bands: Vec::new(),
        lines: drawn,
    };
    let rows = lines.iter().flat_map(|(label, rows)| rows.iter().map(move |row| (label, row)));
    let data = rows.map(|(label, row)| {
        let figures = &row.of.figures;
        let rate = row.of.cell.rate_rps.map_or(0.0, float);
        let [p50, p99] = [figures.latency_us.p50, figures.latency_us.p99].map(duration);
        vec![label.clone(), si(rate), si(figures.throughput_rps.median), p50, p99]
    });
    let headings = ["server", "asked, requests/s", "answered, requests/s", "p50", "p99"];
    Some(Figure {
        id: "rates".to_owned(),
        heading: "Latency under a given load".to_owned(),
        caption: format!(
            "Requests are sent on schedule, whether or not earlier ones were answered, and timed \
             from when they were due. A server is saturated where its curve turns upwards; one \
             further to the right carries more before that.{}",
            of_lines(lines.len())
        ),
        svg: svg.draw(),
        table: table(&headings, data),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_with_its_samples() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for value in 1..=1000 {
            histogram.record(value * 1000).unwrap();
        }
        let points = curve(&histogram);
        let [first, .., last] = points.as_slice() else { panic!("{points:?}") };
        assert!(first.x.abs() < 1e-9 && (first.y - 1.0).abs() < 0.01, "{first:?}");
        assert!((last.x - 3.0).abs() < 1e-9 && (last.y - 999.0).abs() < 2.0, "{last:?}");
        assert!(points.is_sorted_by(|left, right| left.y <= right.y));
        assert_eq!(decades(&histogram), 3);
    }
}
