//! The steps of a waterfall: what each change brought, with all those before it in place.
//!
//! Ratios are taken within a round and estimated by geometric means, so that the ratios of the
//! steps multiply to that of the last to the first: the picture adds up.

use crate::statistics::estimate;
use record::{Measurement, Step};

/// A step as the experiment plans it: name, change, whether client or link change with it, and the
/// index of its cell.
pub(crate) type Planned<'a> = (&'a str, &'a str, bool, usize);

/// Computes the ratios of steps from the measurements of each cell, which are paired by their
/// place: one for each round used.
pub(crate) fn figures<'a>(
    planned: impl Iterator<Item = Planned<'a>>,
    by_cell: &[Vec<&Measurement>],
) -> Vec<Step> {
    let planned: Vec<Planned<'_>> = planned.collect();
    let ratio = |own: usize, other: usize| {
        let pairs = by_cell[planned[own].3].iter().zip(&by_cell[planned[other].3]);
        let ratios = pairs.map(|(own, other)| own.load.throughput_rps / other.load.throughput_rps);
        estimate(&ratios.collect::<Vec<_>>())
    };
    let steps = planned.iter().enumerate();
    let step = |(place, &(name, change, changes_client, cell)): (usize, &Planned<'_>)| Step {
        name: name.to_owned(),
        change: change.to_owned(),
        cell,
        ratio_to_previous: ratio(place, place.saturating_sub(1)),
        ratio_to_first: ratio(place, 0),
        changes_client,
    };
    steps.map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix;
    use crate::summarise::tests::{experiment, load, measurement};

    #[test]
    fn steps_multiply_to_the_whole_and_the_first_is_one() {
        let points = matrix::expand(&experiment(), 1 << 20).unwrap().points;
        let rates = [[1000, 1300, 2600], [900, 1500, 2100], [1100, 1200, 4100]];
        let of_cell = |cell: usize| -> Vec<Measurement> {
            let of_round = |(round, rates): (u32, &[u32; 3])| {
                measurement(&points[0], round, load(rates[cell], &[10]))
            };
            (1..).zip(&rates).map(of_round).collect()
        };
        let measured = [of_cell(0), of_cell(1), of_cell(2)];
        let by_cell: Vec<Vec<&Measurement>> =
            measured.iter().map(|of_cell| of_cell.iter().collect()).collect();
        // The order of the steps is not that of the cells.
        let planned = [("b", "from b", false, 1), ("a", "to a", false, 0), ("c", "to c", true, 2)];
        let steps = figures(planned.into_iter(), &by_cell);
        let first = &steps[0].ratio_to_previous;
        assert!(first.ci95 == [1.0, 1.0] && first.median.to_bits() == 1.0_f64.to_bits());
        let product: f64 = steps.iter().map(|step| step.ratio_to_previous.median).product();
        let whole = steps[2].ratio_to_first.median;
        assert!((product / whole - 1.0).abs() < 1e-12, "{product} {whole}");
        // Paired: 2600/1300, 2100/1500 and 4100/1200.
        let by_hand = (2.0 * 1.4 * 4100.0 / 1200.0_f64).cbrt();
        assert!((whole / by_hand - 1.0).abs() < 1e-12, "{whole} {by_hand}");
        assert!(steps[2].changes_client && steps[2].cell == 2 && steps[2].name == "c");
        assert!(figures(std::iter::empty(), &by_cell).is_empty());
    }
}
