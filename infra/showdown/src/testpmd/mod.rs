//! A second floor of a memif, reflected by DPDK's own program: what our queue is measured against.

use crate::matrix::{Point, Subject};
use crate::programs::is_installed;
use crate::reach::Link;
use record::Cell;

/// The name of its row, and of who reflects, as `floor reflect --by` has it.
pub(crate) const TESTPMD: &str = "testpmd";

/// The program, and the Debian package that brings it.
const PROGRAM: (&str, &str) = ("dpdk-testpmd", "dpdk-dev");

/// Adds to each floor of a memif one that `dpdk-testpmd` reflects. Where that is not installed,
/// nothing is added, and a sentence says so.
pub(crate) fn add(points: &mut Vec<Point>) -> Option<String> {
    let (program, package) = PROGRAM;
    let lacking = || format!("{TESTPMD}: no {program}; cure: apt-get install {package}");
    add_where(points, is_installed(program)).then(lacking)
}

/// Whether there would be something to add, but nothing to do it with.
fn add_where(points: &mut Vec<Point>, is_there: bool) -> bool {
    let is_ours = |point: &&Point| point.subject == Subject::Floor && point.link == Link::Memif;
    let floors: Vec<Point> = points.iter().filter(is_ours).cloned().collect();
    if !is_there {
        return !floors.is_empty();
    }
    for floor in floors {
        let cell = Cell { name: Some(TESTPMD.to_owned()), ..floor.cell };
        points.push(Point { cell, baseline: points.len(), ..floor });
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::matrix::{expand, label};

    #[test]
    fn a_floor_on_a_memif_has_a_second_one_and_others_have_none() {
        let mut experiment = Experiment::load("bypass-both-ends").unwrap();
        experiment.axes.connections = vec![32];
        experiment.floor = true;
        let before = expand(&experiment, 1 << 20).unwrap().points;
        let mut points = before.clone();
        assert!(!add_where(&mut points, true));
        assert_eq!(points[..before.len()], before[..], "what was there stays as it was");
        let added: Vec<String> =
            points[before.len()..].iter().map(|point| label(&point.cell, &experiment)).collect();
        assert_eq!(added, ["testpmd memif, 32 in flight"]);
        assert_eq!(points[before.len()].baseline, before.len());
    }

    #[test]
    fn without_the_program_nothing_is_added_and_only_what_is_missed_is_told() {
        let mut experiment = Experiment::load("bypass-both-ends").unwrap();
        let mut points = expand(&experiment, 1 << 20).unwrap().points;
        let before = points.clone();
        assert!(add_where(&mut points, false));
        assert_eq!(points, before);
        experiment.floor = false;
        let mut without = expand(&experiment, 1 << 20).unwrap().points;
        assert!(!add_where(&mut without, false), "no floor is measured, and none is missed");
    }
}
