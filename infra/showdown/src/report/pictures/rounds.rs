//! Every round as it was measured, disturbed ones marked.

use super::{LINES_MAX, of_how_many, table};
use crate::report::View;
use crate::report::cells::{Look, Row, apart, headline};
use crate::report::chart::{AxisOf, Line, Lines, Point};
use crate::report::page::Figure;
use crate::report::text::si;
use std::collections::BTreeSet;

/// Throughput of every round.
pub(super) fn throughput(view: &View<'_>) -> Option<Figure> {
    let rows = headline(view.rows.iter().collect(), LINES_MAX);
    let shown: Vec<&Row<'_>> = rows.into_iter().filter(|row| !row.all.is_empty()).collect();
    if shown.is_empty() {
        return None;
    }
    let rounds = &view.run.summary.rounds;
    let is_used = |round: u32| rounds.used.contains(&round);
    let line = |(row, look): (&&Row<'_>, Look)| Line {
        label: Some(row.label.clone()),
        look,
        class: "solid",
        markers: true,
        points: row
            .all
            .iter()
            .map(|of| Point {
                x: f64::from(of.round),
                y: of.load.throughput_rps,
                interval: None,
                counts: is_used(of.round),
            })
            .collect(),
    };
    let numbers: BTreeSet<u32> = shown.iter().flat_map(|row| &row.all).map(|of| of.round).collect();
    let disturbed = rounds.disturbed.iter().map(|round| f64::from(round.round));
    let svg = Lines {
        id: "rounds",
        title: "Throughput in every round",
        description: &format!(
            "{} rounds, of which {} were disturbed",
            numbers.len(),
            rounds.disturbed.len()
        ),
        x: AxisOf {
            name: "round".to_owned(),
            logarithmic: false,
            ticks: numbers.iter().map(|round| (f64::from(*round), round.to_string())).collect(),
            format: si,
        },
        y: AxisOf {
            name: "requests per second".to_owned(),
            logarithmic: false,
            ticks: Vec::new(),
            format: si,
        },
        bands: disturbed.map(|round| (round - 0.4, round + 0.4)).collect(),
        lines: shown.iter().zip(apart(&shown)).map(line).collect(),
    };
    let mut headings = vec!["round", "counts"];
    headings.extend(shown.iter().map(|row| row.label.as_str()));
    let data = numbers.iter().map(|round| {
        let counts = if is_used(*round) { "yes" } else { "no" };
        let rates = shown.iter().map(|row| {
            let of_round = row.all.iter().find(|of| of.round == *round);
            of_round.map_or_else(|| "–".to_owned(), |of| si(of.load.throughput_rps))
        });
        [round.to_string(), counts.to_owned()].into_iter().chain(rates).collect()
    });
    let how_many = of_how_many(shown.len(), view.rows.len());
    Some(Figure {
        id: "rounds".to_owned(),
        heading: "Round by round".to_owned(),
        caption: format!(
            "Lines that rise and fall together are the machine's doing, and ratios within a round \
             do not see it. A round on a grey ground was disturbed; hollow markers are not in any \
             figure.{how_many}"
        ),
        svg: svg.draw(),
        table: table(&headings, data),
    })
}
