//! Known data, and the coverage that the documentation states, by simulation.

use super::*;
use proptest::prelude::*;
use rand::RngExt;

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9 * right.abs().max(1.0)
}

#[test]
fn equal_samples_leave_no_doubt() {
    let Estimate { median, ci95: [low, high] } = estimate(&[2.0; 7]);
    assert!(close(median, 2.0) && close(low, 2.0) && close(high, 2.0));
    let Estimate { median, ci95: [low, high] } = unpaired_ratio(&[3.0; 7], &[2.0; 3]);
    assert!(close(median, 1.5) && close(low, 1.5) && close(high, 1.5));
}

/// The logarithms of 1, e² and e⁴ are 0, 2 and 4: mean 2, standard deviation 2, standard error
/// 2/√3; Student's quantile with two degrees of freedom is 4.3027.
#[test]
fn the_interval_of_known_data_is_the_one_computed_by_hand() {
    let samples = [0.0_f64, 2.0, 4.0].map(f64::exp);
    let Estimate { median, ci95: [low, high] } = estimate(&samples);
    let half = 4.302_653 * 2.0 / 3.0_f64.sqrt();
    assert!(close(median.ln(), 2.0) && close(low.ln(), 2.0 - half), "{median} {low}");
    assert!(close(high.ln(), 2.0 + half), "{high}");
    // Both sides the same: variances add, and two times two degrees of freedom are four.
    let Estimate { median, ci95: [low, high] } = unpaired_ratio(&samples, &samples);
    let half = 2.776_445 * (2.0 * 4.0 / 3.0_f64).sqrt();
    assert!(close(median, 1.0) && close(low.ln(), -half) && close(high.ln(), half), "{low} {high}");
}

#[test]
fn students_quantiles_are_those_of_the_tables() {
    let table =
        [(1.0, 12.706), (5.0, 2.571), (9.0, 2.262), (10.0, 2.228), (30.0, 2.042), (1e6, 1.960)];
    for (degrees, expect) in table {
        let quantile = student_975(degrees);
        assert!((quantile - expect).abs() < 6e-4, "{degrees}: {quantile}");
    }
    assert!(close(student_975(4.9), student_975(4.0)), "rounded to the safe side");
    assert!(close(student_975(0.5), student_975(1.0)));
}

proptest! {
    #[test]
    fn the_interval_holds_the_estimate_which_lies_in_the_range(
        samples in prop::collection::vec(0.1_f64..1e7, 1..20),
    ) {
        let Estimate { median, ci95: [low, high] } = estimate(&samples);
        let least = samples.iter().copied().fold(f64::INFINITY, f64::min) * (1.0 - 1e-9);
        let most = samples.iter().copied().fold(0.0, f64::max) * (1.0 + 1e-9);
        prop_assert!(least <= median && median <= most);
        prop_assert!(low <= median && median <= high);
    }

    /// What makes the columns of a table agree, and steps multiply to the whole.
    #[test]
    fn the_estimate_of_a_quotient_is_the_quotient_of_the_estimates(
        pairs in prop::collection::vec((0.1_f64..1e7, 0.1_f64..1e7), 1..20),
    ) {
        let (of, to): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let ratios: Vec<f64> = pairs.iter().map(|(of, to)| of / to).collect();
        let quotient = estimate(&of).median / estimate(&to).median;
        prop_assert!((estimate(&ratios).median / quotient - 1.0).abs() < 1e-9);
        prop_assert!((unpaired_ratio(&of, &to).median / quotient - 1.0).abs() < 1e-9);
    }

    #[test]
    fn an_order_holds_every_cell_once_and_follows_from_its_seed(
        seed: u64, round in 1_u32..1000, count in 1_usize..50,
    ) {
        let first = order(seed, round, count);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..count).collect::<Vec<_>>());
        prop_assert_eq!(order(seed, round, count), first);
    }
}

/// A frozen order: a recorded seed must mean the same after an update of `rand`.
#[test]
fn orders_differ_between_rounds_and_do_not_change_between_versions() {
    let orders: Vec<Vec<usize>> = (1..=4).map(|round| order(7, round, 4)).collect();
    assert_eq!(orders, [[2, 0, 3, 1], [2, 1, 0, 3], [1, 3, 0, 2], [0, 3, 1, 2]]);
}

/// Kinds of noise on the logarithm of a ratio whose truth is 1, each with a spread near 5 %.
#[derive(Clone, Copy)]
enum Noise {
    /// Log-normal.
    LogNormal,
    /// Student's with three degrees of freedom: often far out.
    HeavyTails,
    /// Log-normal, and one round of ten has one of the two cells slowed by a quarter.
    Bursts,
}

const NOISES: [(&str, Noise); 3] = [
    ("log-normal", Noise::LogNormal),
    ("heavy tails", Noise::HeavyTails),
    ("bursts", Noise::Bursts),
];

impl Noise {
    fn ratio(self, rng: &mut ChaCha12Rng) -> f64 {
        let log = match self {
            Self::LogNormal => 0.05 * normal(rng),
            Self::HeavyTails => {
                let square: f64 = (0..3).map(|_| normal(rng).powi(2)).sum();
                0.05 * normal(rng) / (square / 3.0).sqrt()
            }
            Self::Bursts => {
                let burst = match rng.random_range(0..20) {
                    0 => 0.3,
                    1 => -0.3,
                    _ => 0.0,
                };
                0.05 * normal(rng) + burst
            }
        };
        log.exp()
    }
}

/// Box and Muller's method.
pub(crate) fn normal(rng: &mut ChaCha12Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// An interval that some method makes of samples.
type Method = fn(&[f64], &mut ChaCha12Rng) -> [f64; 2];

/// The methods of the table in infra/README.md.
const METHODS: [(&str, Method); 6] = [
    ("median, percentile", |samples, rng| percentile(samples, median, rng)),
    ("median, BCa", |samples, rng| bias_corrected(samples, median, rng)),
    ("Hodges-Lehmann, percentile", |samples, rng| percentile(samples, hodges_lehmann, rng)),
    ("geometric mean, percentile", |samples, rng| percentile(samples, geometric_mean, rng)),
    ("geometric mean, BCa", |samples, rng| bias_corrected(samples, geometric_mean, rng)),
    ("geometric mean, Student", |samples, _| estimate(samples).ci95),
];

/// The middle sample, or the mean of the two in the middle.
fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

fn geometric_mean(samples: &[f64]) -> f64 {
    estimate(samples).median
}

/// The median of the means of all pairs.
fn hodges_lehmann(samples: &[f64]) -> f64 {
    let pairs = samples.iter().enumerate();
    let means =
        pairs.flat_map(|(place, left)| samples[place..].iter().map(move |right| left * right));
    median(&means.map(f64::sqrt).collect::<Vec<_>>())
}

fn resampled(samples: &[f64], of: fn(&[f64]) -> f64, rng: &mut ChaCha12Rng) -> Vec<f64> {
    let mut resample = samples.to_vec();
    let mut values: Vec<f64> = (0..1000)
        .map(|_| {
            resample.fill_with(|| samples[rng.random_range(0..samples.len())]);
            of(&resample)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    values
}

fn percentile(samples: &[f64], of: fn(&[f64]) -> f64, rng: &mut ChaCha12Rng) -> [f64; 2] {
    let values = resampled(samples, of, rng);
    [values[25], values[974]]
}

/// Efron's: the percentiles are moved by the bias of the resamples and by the acceleration.
fn bias_corrected(samples: &[f64], of: fn(&[f64]) -> f64, rng: &mut ChaCha12Rng) -> [f64; 2] {
    let values = resampled(samples, of, rng);
    let whole = of(samples);
    let share = |holds: &dyn Fn(f64) -> bool| {
        values.iter().filter(|value| holds(**value)).fold(0.0, |count, _| count + 1.0) / 1000.0
    };
    let below: f64 = share(&|value| value < whole) + share(&|value| close(value, whole)) / 2.0;
    let bias = normal_quantile(f64::clamp(below, 0.001, 0.999));
    let without: Vec<f64> = (0..samples.len())
        .map(|left_out| {
            let mut rest = samples.to_vec();
            rest.remove(left_out);
            of(&rest).ln()
        })
        .collect();
    let mean = without.iter().sum::<f64>() / without.iter().fold(0.0, |count, _| count + 1.0);
    let power = |power| without.iter().map(|log| (mean - log).powi(power)).sum::<f64>();
    let acceleration = if power(2) > 0.0 { power(3) / (6.0 * power(2).powf(1.5)) } else { 0.0 };
    let end = |z: f64| {
        let moved = bias + (bias + z) / (1.0 - acceleration * (bias + z));
        let below = normal_share(moved) * 1000.0;
        let place = (0..999).take_while(|place| f64::from(*place) + 1.0 <= below).count();
        values[place]
    };
    [end(-Z_975), end(Z_975)]
}

/// Share of a normal distribution below `z`: Abramowitz and Stegun 26.2.17.
fn normal_share(z: f64) -> f64 {
    const FACTORS: [f64; 5] =
        [0.319_381_53, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let sum = FACTORS.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    let above = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * sum;
    if z >= 0.0 { 1.0 - above } else { above }
}

/// The inverse of [`normal_share`], by halving.
fn normal_quantile(share: f64) -> f64 {
    let halve = |(low, high): (f64, f64), _| {
        let middle = f64::midpoint(low, high);
        if normal_share(middle) < share { (middle, high) } else { (low, middle) }
    };
    (0..40).fold((-8.0, 8.0), halve).0
}

/// Percentage of `trials` in which the interval of a method holds the truth.
fn coverage(noise: Noise, rounds: usize, method: Method, trials: u32) -> f64 {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let held = (0..trials).filter(|_| {
        let samples: Vec<f64> = (0..rounds).map(|_| noise.ratio(&mut rng)).collect();
        let [low, high] = method(&samples, &mut rng);
        low <= 1.0 && 1.0 <= high
    });
    100.0 * held.fold(0.0, |count, _| count + 1.0) / f64::from(trials)
}

/// The promise of the documentation: a nominal 95 % is at least 92 %.
#[test]
fn the_interval_covers_at_least_92_percent_from_six_rounds_on() {
    for (name, noise) in NOISES {
        for rounds in [6, 7, 11, 15, 21] {
            let covered = coverage(noise, rounds, |samples, _| estimate(samples).ci95, 4000);
            assert!((92.0..99.0).contains(&covered), "{name}, {rounds} rounds: {covered} %");
        }
    }
}

/// Two runs whose rounds are not paired, of different lengths and noise.
#[test]
fn the_interval_of_an_unpaired_ratio_covers_at_least_92_percent() {
    for (name, noise) in NOISES {
        for (of, to) in [(6, 6), (6, 15), (15, 15)] {
            let mut rng = ChaCha12Rng::seed_from_u64(1);
            let mut draw = |count, power| -> Vec<f64> {
                (0..count).map(|_| noise.ratio(&mut rng).powi(power)).collect()
            };
            let held = (0..4000).filter(|_| {
                let [low, high] = unpaired_ratio(&draw(of, 3), &draw(to, 1)).ci95;
                low <= 1.0 && 1.0 <= high
            });
            let covered = held.fold(0.0, |count, _| count + 1.0) / 40.0;
            assert!((92.0..99.0).contains(&covered), "{name}, {of} to {to}: {covered} %");
        }
    }
}

/// The column of seven rounds of the table in infra/README.md, counted again with fewer trials: of
/// 300, six points are more than three standard deviations of the counts that are to be told apart.
#[test]
fn the_coverages_in_the_documentation_come_out_again() {
    let readme = include_str!("../../README.md");
    for (noise_name, noise) in NOISES {
        for (method_name, method) in METHODS {
            let start = format!("| {noise_name} | {method_name} |");
            let row = readme.lines().find_map(|line| line.strip_prefix(&start));
            // 5, 6 and 7 rounds.
            let documented = row.and_then(|row| row.split('|').nth(2)?.trim().parse::<f64>().ok());
            let documented = documented.unwrap_or_else(|| panic!("no row '{start}'"));
            let covered = coverage(noise, 7, method, 300);
            assert!((covered - documented).abs() < 6.0, "{start}: {documented} {covered}");
        }
    }
}
