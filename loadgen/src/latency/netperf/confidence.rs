//! netperf's stop rule: repeat until the mean is known well enough.

/// Fewest repetitions from which netperf computes an interval.
const LEAST: usize = 3;
/// Most that it makes.
pub(super) const MOST: usize = 30;

/// How well the mean must be known, and how often a run may be repeated for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) level: Level,
    /// Width of the whole interval, in percent of the mean: 5 is 2.5 % to either side.
    pub(super) width_percent: f64,
    pub(super) least: usize,
    pub(super) most: usize,
}

/// Probability with which the interval holds the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    P95,
    P99,
}

impl Level {
    /// In percent.
    pub(super) fn percent(self) -> u32 {
        match self {
            Self::P95 => 95,
            Self::P99 => 99,
        }
    }

    /// Student's t for a two-sided interval, by degrees of freedom from 2 on.
    fn quantile(self, degrees: usize) -> f64 {
        let table = match self {
            Self::P95 => &T_975,
            Self::P99 => &T_995,
        };
        table[degrees.clamp(LEAST - 1, MOST - 1) - (LEAST - 1)]
    }
}

/// Student's t distribution, 97.5th percentile, 2 to 29 degrees of freedom.
const T_975: [f64; MOST - LEAST + 1] = [
    4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
    2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052,
    2.048, 2.045,
];

/// Student's t distribution, 99.5th percentile, 2 to 29 degrees of freedom.
const T_995: [f64; MOST - LEAST + 1] = [
    9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977,
    2.947, 2.921, 2.898, 2.878, 2.861, 2.845, 2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771,
    2.763, 2.756,
];

impl Rule {
    /// A rule from what `-i` and `-I` say, brought within netperf's bounds.
    pub(super) fn new(level: Level, width_percent: f64, most: usize, least: usize) -> Self {
        let least = least.clamp(LEAST, MOST);
        Self { level, width_percent, least, most: most.clamp(least, MOST) }
    }

    /// Whether `values` are enough.
    pub(super) fn is_met(&self, values: &[f64]) -> bool {
        values.len() >= self.least
            && width_percent(values, self.level).is_some_and(|width| width <= self.width_percent)
    }

    /// Whether another run is due.
    pub(super) fn goes_on(&self, values: &[f64]) -> bool {
        values.len() < self.most && !self.is_met(values)
    }
}

/// The mean.
#[expect(clippy::cast_precision_loss, reason = "at most 30 values")]
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Width of the whole confidence interval of the mean, in percent of the mean; `None` for fewer
/// than three values or a mean of zero.
#[expect(clippy::cast_precision_loss, reason = "at most 30 values")]
pub(super) fn width_percent(values: &[f64], level: Level) -> Option<f64> {
    let count = values.len() as f64;
    let mean = mean(values);
    if values.len() < LEAST || mean == 0.0 {
        return None;
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    let half = level.quantile(values.len() - 1) * deviation / count.sqrt();
    Some(2.0 * half / mean * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_by_hand() {
        // Mean 100, deviation 1: 4.303 / sqrt(3) = 2.4844 to either side.
        let width = width_percent(&[99.0, 100.0, 101.0], Level::P95).expect("three values");
        assert!((width - 2.0 * 2.4844).abs() < 0.001, "{width}");
        // 9.925 / sqrt(3) = 5.7302.
        let width = width_percent(&[99.0, 100.0, 101.0], Level::P99).expect("three values");
        assert!((width - 2.0 * 5.7302).abs() < 0.001, "{width}");
        assert_eq!(width_percent(&[5.0; 4], Level::P99), Some(0.0));
        assert_eq!(width_percent(&[99.0, 101.0], Level::P95), None);
        assert_eq!(width_percent(&[0.0; 3], Level::P95), None);
    }

    #[test]
    fn thirty_values_use_the_last_of_the_table() {
        let values: Vec<f64> = (0..30).map(|index| 100.0 + f64::from(index % 2)).collect();
        // Deviation sqrt(30 * 0.25 / 29) = 0.50855; 2.045 * 0.50855 / sqrt(30) = 0.18987.
        let width = width_percent(&values, Level::P95).expect("thirty values");
        assert!((width - 2.0 * 0.18987 / 100.5 * 100.0).abs() < 0.0001, "{width}");
    }

    #[test]
    fn repetitions_end_when_the_mean_is_known_or_there_were_enough() {
        let rule = Rule::new(Level::P95, 5.0, 4, 3);
        assert!(rule.goes_on(&[]) && rule.goes_on(&[100.0, 100.0]));
        assert!(!rule.goes_on(&[100.0; 3]) && rule.is_met(&[100.0; 3]));
        let wide = [90.0, 100.0, 110.0];
        assert!(rule.goes_on(&wide) && !rule.is_met(&wide));
        let wide = [90.0, 100.0, 110.0, 100.0];
        assert!(!rule.goes_on(&wide) && !rule.is_met(&wide), "over without being met");
    }

    #[test]
    fn bounds_are_those_of_netperf() {
        let check = |most, least, expect: (usize, usize)| {
            let rule = Rule::new(Level::P99, 5.0, most, least);
            assert_eq!((rule.most, rule.least), expect);
        };
        check(10, 3, (10, 3));
        check(100, 1, (30, 3));
        check(2, 2, (3, 3));
        check(5, 50, (30, 30));
    }
}
