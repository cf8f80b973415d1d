//! The percentile spectrum of HdrHistogram as text (`--hgrm`), which its plotting page and the
//! scripts around it read: <https://hdrhistogram.github.io/HdrHistogram/plotFiles.html>.
//!
//! The layout is that of HdrHistogram's C version, and so of wrk2: four columns, five rows for each
//! halving of the distance to 100 %, `inf` at the end, three lines of figures that begin with `#`.
//! Values are milliseconds, as in wrk2, which is the unit that the page supposes; they have six
//! decimals instead of three, so that a spectrum of microseconds is not a staircase.

use crate::samples::Samples;
use std::io::{self, Write};

/// Rows for each halving of the distance to 100 %, as in wrk2.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

const NS_PER_MS: f64 = 1e6;

/// Writes the spectrum of latencies in nanoseconds.
///
/// # Errors
/// Those of `out`.
#[expect(clippy::cast_precision_loss, reason = "printed with six decimals")]
pub fn write(samples: &Samples, out: &mut impl Write) -> io::Result<()> {
    let histogram = samples.histogram();
    writeln!(
        out,
        "{:>12} {:>12} {:>12} {:>12}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        count += step.count_since_last_iteration();
        // The largest value that the histogram cannot tell from it, but not above the maximum.
        let value_ms = step.value_iterated_to().min(samples.max()) as f64 / NS_PER_MS;
        let quantile = step.quantile_iterated_to();
        write!(out, "{value_ms:>12.6} {quantile:>12.6} {count:>12} ")?;
        if quantile < 1.0 {
            writeln!(out, "{:>12.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out, "{:>12}", "inf")?;
        }
    }
    let mean_ms = samples.mean() / NS_PER_MS;
    let stdev_ms = samples.stdev() / NS_PER_MS;
    let max_ms = samples.max() as f64 / NS_PER_MS;
    let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    writeln!(out, "#[Mean    = {mean_ms:>12.6}, StdDeviation   = {stdev_ms:>12.6}]")?;
    writeln!(out, "#[Max     = {max_ms:>12.6}, Total count    = {:>12}]", samples.count())?;
    writeln!(out, "#[Buckets = {:>12}, SubBuckets     = {sub_buckets:>12}]", histogram.buckets())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(samples: &Samples) -> String {
        let mut out = Vec::new();
        write(samples, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn samples(values_ns: impl IntoIterator<Item = u64>) -> Samples {
        let mut samples = Samples::new(3, 3_600_000_000_000);
        values_ns.into_iter().for_each(|value| samples.record(value));
        samples
    }

    /// Points as the plotting page takes them: lines without `#`, four fields, numbers in the first
    /// and the last; its unit is a millisecond.
    fn plotted(text: &str) -> Vec<(f64, f64)> {
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(fields)
            .filter(|fields| fields.len() == 4 && fields[3] != "inf")
            .filter_map(|fields| Some((fields[0].parse().ok()?, fields[3].parse().ok()?)))
            .collect()
    }

    #[test]
    fn two_samples_make_this_file() {
        let expect = r"       Value   Percentile   TotalCount 1/(1-Percentile)

    0.001000     0.000000            1         1.00
    0.001000     0.100000            1         1.11
    0.001000     0.200000            1         1.25
    0.001000     0.300000            1         1.43
    0.001000     0.400000            1         1.67
    0.001000     0.500000            1         2.00
    2.000000     0.550000            2         2.22
    2.000000     1.000000            2          inf
#[Mean    =     1.000500, StdDeviation   =     1.413506]
#[Max     =     2.000000, Total count    =            2]
#[Buckets =           32, SubBuckets     =         2048]
";
        assert_eq!(text(&samples([1000, 2_000_000])), expect);
    }

    #[test]
    fn no_samples_make_no_rows() {
        let text = text(&samples([]));
        assert_eq!(plotted(&text), []);
        assert!(text.contains("Total count    =            0]"), "{text}");
    }

    #[test]
    fn the_curve_rises_to_the_maximum_and_counts_every_sample() {
        let text = text(&samples((1..=100_000).map(|us| us * 1000)));
        let curve = plotted(&text);
        assert!(curve.len() > 50, "{}", curve.len());
        assert!(curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 < b.1));
        // At 1/(1-p) = x, the value of 1 to 100 ms, all alike, is 100 (1 - 1/x), within a bucket.
        for (value_ms, inverse) in &curve[1..] {
            let exact = 100.0 * (1.0 - 1.0 / inverse);
            assert!((value_ms - exact).abs() < 0.15, "{value_ms} at {inverse}: {exact}");
        }
        let last = text.lines().rev().find(|line| line.ends_with("inf")).unwrap();
        assert_eq!(
            last.split_whitespace().collect::<Vec<_>>(),
            ["100.000000", "1.000000", "100000", "inf"]
        );
    }
}
