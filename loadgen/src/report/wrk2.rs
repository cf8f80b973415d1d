//! wrk2's latency distribution: percentiles, then the whole spectrum as HdrHistogram prints it.

use super::percentile;
use crate::samples::Samples;

/// Title of the latencies from when each request was due.
pub(super) const RECORDED: &str = "Recorded Latency";

/// Title of the latencies from when each request was sent, as wrk2 words it.
pub(super) const UNCORRECTED: &str =
    "Uncorrected Latency (measured without taking delayed starts into account)";

const PERCENTILES: [f64; 8] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0];

/// Rows of the spectrum in each halving of what is left above a percentile.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Slots of the histogram for each doubling of the value: the power of two that tells values apart
/// to three digits.
const SUB_BUCKETS: u32 = 2048;

/// The lines of a distribution, its title first and a rule last.
#[expect(clippy::cast_precision_loss, reason = "printed with three decimals")]
pub(super) fn spectrum(title: &str, samples: &Samples) -> Vec<String> {
    let mut lines = vec![format!("  Latency Distribution (HdrHistogram - {title})")];
    lines.extend(PERCENTILES.iter().map(|percent| {
        let value_us = samples.percentile(*percent) as f64 / 1e3;
        percentile(*percent, 3, value_us)
    }));
    lines.push(String::new());
    lines.push("  Detailed Percentile spectrum:".to_owned());
    lines.push(format!(
        "{:>12} {:>12} {:>12} {:>12}",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    ));
    lines.push(String::new());
    let histogram = samples.histogram();
    let mut total = 0;
    for tick in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += tick.count_since_last_iteration();
        let value_ms = samples.highest_equivalent(tick.value_iterated_to()) as f64 / 1e6;
        let quantile = tick.quantile_iterated_to();
        let rarity = match 1.0 - quantile {
            // NB: what C prints for the last row.
            0.0 => "inf".to_owned(),
            rest => format!("{:.2}", 1.0 / rest),
        };
        lines.push(format!("{value_ms:>12.3} {quantile:>12.6} {total:>12} {rarity:>12}"));
    }
    lines.push(format!(
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]",
        samples.mean() / 1e6,
        samples.stdev() / 1e6
    ));
    lines.push(format!(
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        samples.max() as f64 / 1e6,
        samples.count()
    ));
    lines.push(format!(
        "#[Buckets = {:>12}, SubBuckets     = {SUB_BUCKETS:>12}]",
        histogram.buckets()
    ));
    lines.push("-".repeat(58));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spectrum_is_laid_out_as_wrk2_prints_it() {
        let mut samples = Samples::new(3, 1 << 40);
        for _ in 0..99 {
            samples.record(6_602_000);
        }
        samples.record(12_503_000);
        let lines = spectrum(RECORDED, &samples);
        let head = [
            "  Latency Distribution (HdrHistogram - Recorded Latency)",
            " 50.000%    6.60ms",
            " 75.000%    6.60ms",
            " 90.000%    6.60ms",
            " 99.000%   12.50ms",
            " 99.900%   12.50ms",
            " 99.990%   12.50ms",
            " 99.999%   12.50ms",
            "100.000%   12.50ms",
            "",
            "  Detailed Percentile spectrum:",
            "       Value   Percentile   TotalCount 1/(1-Percentile)",
            "",
            "       6.603     0.000000           99         1.00",
        ];
        assert_eq!(lines[..head.len()], head);
        let tail = [
            "      12.503     1.000000          100          inf",
            "#[Mean    =        6.661, StdDeviation   =        0.590]",
            "#[Max     =       12.503, Total count    =          100]",
        ];
        assert_eq!(lines[lines.len() - 5..lines.len() - 2], tail);
        assert!(lines[lines.len() - 2].ends_with("SubBuckets     =         2048]"));
        assert_eq!(lines[lines.len() - 1].len(), 58);
    }
}
