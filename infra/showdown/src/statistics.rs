//! Estimates over rounds with their confidence intervals, and the shuffled order of a round.
//!
//! The noise of a rate and of a ratio multiplies: a disturbance takes a share. Estimates are
//! therefore made on logarithms: geometric means, with Student's interval of their mean. Quotients
//! of such estimates are the estimates of the quotients, so that the columns of a table agree with
//! one another and the steps of a waterfall multiply to the whole.
//!
//! Random numbers come from `ChaCha12` seeded by number, so that a recorded seed gives the same
//! order with any version of this program.

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;
use record::Estimate;

/// With fewer samples than this an interval rests on the noise being what it is taken for; from
/// here on it covers at least 92 % with every kind of noise that the tests make.
pub(crate) const SAMPLES_FOR_CI95: usize = 6;

/// The 97.5 % quantile of the normal distribution: two-sided 95 %.
const Z_975: f64 = 1.959_963_984_540_054;

/// The same quantile of Student's distribution with one to nine degrees of freedom, where the
/// expansion in [`student_975`] is not good enough.
const STUDENT_975: [f64; 9] = [
    12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004,
    2.262_157,
];

/// The geometric mean with its 95 % confidence interval. Of one sample the interval is the sample.
///
/// # Panics
/// Where there is no sample, or one is not positive: a server without a response has no
/// measurement.
pub(crate) fn estimate(samples: &[f64]) -> Estimate {
    Logs::of(samples).estimate()
}

/// The ratio of two geometric means whose samples are not paired, `of / to`, with its 95 %
/// confidence interval: Welch's, which does not take the two to be equally noisy.
///
/// # Panics
/// As [`estimate`].
pub(crate) fn unpaired_ratio(of: &[f64], to: &[f64]) -> Estimate {
    let (of, to) = (Logs::of(of), Logs::of(to));
    let variances = [of.variance_of_mean(), to.variance_of_mean()];
    let variance: f64 = variances.iter().sum();
    // Welch and Satterthwaite's degrees of freedom; a side without noise brings none.
    let parts = variances.iter().zip([of.count, to.count]);
    let inverse: f64 = parts
        .filter(|(variance, _)| **variance > 0.0)
        .map(|(part, count)| (part / variance).powi(2) / (count - 1.0))
        .sum();
    let degrees = if inverse > 0.0 { 1.0 / inverse } else { 1.0 };
    around(of.first / to.first, of.mean - to.mean, student_975(degrees) * variance.sqrt())
}

/// Mean and spread of the logarithms of some samples over the first of them: equal samples have a
/// mean of exactly 0, and so are estimated exactly.
struct Logs {
    first: f64,
    count: f64,
    mean: f64,
    /// Sample variance; 0 of a single sample.
    variance: f64,
}

impl Logs {
    fn of(samples: &[f64]) -> Self {
        assert!(!samples.is_empty(), "an estimate of no samples");
        let first = samples[0];
        let count = samples.iter().fold(0.0, |count, _| count + 1.0);
        let logs = samples.iter().map(|sample| {
            assert!(*sample > 0.0, "{sample} is not positive");
            (sample / first).ln()
        });
        let mean = logs.clone().sum::<f64>() / count;
        let squares: f64 = logs.map(|log| (log - mean).powi(2)).sum();
        Self {
            first,
            count,
            mean,
            variance: if count > 1.0 { squares / (count - 1.0) } else { 0.0 },
        }
    }

    fn variance_of_mean(&self) -> f64 {
        self.variance / self.count
    }

    fn estimate(&self) -> Estimate {
        let quantile = if self.count > 1.0 { student_975(self.count - 1.0) } else { 0.0 };
        around(self.first, self.mean, quantile * self.variance_of_mean().sqrt())
    }
}

/// From logarithms over `unit` back to the quantity.
fn around(unit: f64, log: f64, half_width: f64) -> Estimate {
    let at = |log: f64| unit * log.exp();
    Estimate { median: at(log), ci95: [at(log - half_width), at(log + half_width)] }
}

/// The 97.5 % quantile of Student's distribution, to three decimals: Abramowitz and Stegun 26.7.5
/// from ten degrees of freedom on. Fewer are rounded down, to the safe side.
fn student_975(degrees: f64) -> f64 {
    if degrees < 10.0 {
        let tabled = (1_u32..).zip(STUDENT_975).take_while(|(of, _)| f64::from(*of) <= degrees);
        return tabled.last().map_or(STUDENT_975[0], |(_, quantile)| quantile);
    }
    let z = Z_975;
    z + (z.powi(3) + z) / (4.0 * degrees)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * degrees.powi(2))
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z)
            / (384.0 * degrees.powi(3))
}

/// Half the width of an interval over the estimate: 0.03 is ±3 %.
pub(crate) fn half_width(estimate: &Estimate) -> f64 {
    let Estimate { median, ci95: [low, high] } = estimate;
    (high - low) / 2.0 / median
}

/// The order in which a round measures `count` cells. Each round has a stream of its own, so that
/// a repeated round does not move the ones after it.
pub(crate) fn order(seed: u64, round: u32, count: usize) -> Vec<usize> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(round));
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    order
}

#[cfg(test)]
#[path = "statistics_tests.rs"]
pub(crate) mod tests;
