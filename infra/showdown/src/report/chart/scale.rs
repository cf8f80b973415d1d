//! From values to places on a picture, and where an axis has its ticks.

/// Ticks that a linear axis has about.
const TICKS: f64 = 5.0;

/// Where a value is drawn: from `low` at `from` to `high` at `to`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) struct Scale {
    logarithmic: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// From zero, or below where a value is, to a round number that no value exceeds.
    pub(in crate::report) fn linear(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = bounds(values).unwrap_or((0.0, 1.0));
        let (low, high) = (low.min(0.0), high.max(low.min(0.0) + f64::MIN_POSITIVE.sqrt()));
        let step = round_step((high - low) / TICKS);
        let round = Self { logarithmic: false, low: (low / step).floor() * step, high, from, to };
        Self { high: (high / step).ceil() * step, ..round }
    }

    /// The same between the smallest and the largest value, a margin on either side.
    pub(in crate::report) fn narrow(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = bounds(values).unwrap_or((0.0, 1.0));
        let margin = ((high - low) * 0.06).max(high.abs() * 0.01).max(1e-9);
        Self { logarithmic: false, low: low - margin, high: high + margin, from, to }
    }

    /// Logarithmic, a margin on either side; values that are not positive have no place on it.
    pub(in crate::report) fn logarithmic(
        values: impl Iterator<Item = f64>,
        from: f64,
        to: f64,
    ) -> Self {
        let (low, high) = bounds(values.filter(|value| *value > 0.0)).unwrap_or((1.0, 10.0));
        let margin = (high / low).powf(0.05).max(1.02);
        Self { logarithmic: true, low: low / margin, high: high * margin, from, to }
    }

    /// The same axis between these two values exactly.
    #[cfg(test)]
    pub(in crate::report) const fn between(mut self, low: f64, high: f64) -> Self {
        (self.low, self.high) = (low, high);
        self
    }

    /// The place of a value.
    pub(in crate::report) fn at(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        (self.to - self.from).mul_add(share, self.from)
    }

    /// Whether a value can be drawn.
    pub(in crate::report) fn holds(&self, value: f64) -> bool {
        value.is_finite() && (!self.logarithmic || value > 0.0)
    }

    /// Round values from end to end.
    pub(in crate::report) fn ticks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        if !self.logarithmic || decades < 0.35 {
            return self.even_ticks();
        }
        let within: &[f64] = match decades {
            decades if decades < 1.0 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
            decades if decades < 3.5 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let (first, last) = (self.low.log10().floor(), self.high.log10().ceil());
        let mut ticks = Vec::new();
        let mut decade = first;
        while decade <= last {
            ticks.extend(within.iter().map(|digit| digit * 10_f64.powf(decade)));
            decade += 1.0;
        }
        ticks.retain(|tick| (self.low..=self.high).contains(tick));
        ticks
    }

    fn even_ticks(&self) -> Vec<f64> {
        let step = round_step((self.high - self.low) / TICKS);
        let mut index = (self.low / step - 1e-9).ceil();
        let mut ticks = Vec::new();
        while index * step <= self.high + step * 1e-9 {
            // Multiplied anew, so that no error adds up; adding zero turns -0 into 0.
            ticks.push(index * step + 0.0);
            index += 1.0;
        }
        ticks
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.filter(|value| value.is_finite());
    finite.fold(None, |bounds, value| {
        let (low, high) = bounds.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

/// 1, 2 or 5 times a power of ten, not less than `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let round = [1.0, 2.0, 5.0].iter().find(|digit| **digit * power >= step * (1.0 - 1e-9));
    round.map_or(10.0 * power, |digit| digit * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-6
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_round() {
        let scale = Scale::linear([3.0, 93.0].into_iter(), 0.0, 100.0);
        assert_eq!(scale.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert!(close(scale.at(50.0), 50.0));
        let below = Scale::linear([-0.4, 0.9].into_iter(), 0.0, 1.0);
        assert!(close(below.ticks()[0], -0.5), "{:?}", below.ticks());
        assert_eq!(Scale::linear(std::iter::empty(), 0.0, 1.0).ticks().len(), 6);
    }

    #[test]
    fn a_logarithmic_axis_has_a_tick_at_every_power() {
        let scale = Scale::logarithmic([1.0, 0.0, 1000.0].into_iter(), 0.0, 300.0);
        let ticks = scale.between(1.0, 1000.0).ticks();
        assert_eq!(ticks, [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert!(close(scale.between(1.0, 1000.0).at(100.0), 200.0));
        assert!(!scale.holds(0.0) && scale.holds(0.1));
        let narrow = Scale::logarithmic([1.0, 1.4].into_iter(), 0.0, 1.0).ticks();
        assert!(narrow.len() >= 4, "{narrow:?}");
    }

    #[test]
    fn one_value_alone_has_a_place() {
        for scale in [
            Scale::linear([5.0].into_iter(), 0.0, 10.0),
            Scale::narrow([5.0].into_iter(), 0.0, 10.0),
            Scale::logarithmic([5.0].into_iter(), 0.0, 10.0),
            Scale::linear([0.0].into_iter(), 0.0, 10.0),
        ] {
            assert!(scale.at(5.0).is_finite() && scale.ticks().len() < 20, "{scale:?}");
        }
    }
}
