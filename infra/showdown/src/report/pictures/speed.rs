//! Throughput, ratios and the waterfall.

use super::{bars, closed, of_how_many, table};
use crate::report::View;
use crate::report::answer::{is_own_baseline, with_interval};
use crate::report::cells::{Look, Row};
use crate::report::chart::{BarRow, Bars};
use crate::report::page::Figure;
use crate::report::text::{digits, si};
use record::{Estimate, Step};

/// Requests per second of every cell and floor.
pub(super) fn throughput(view: &View<'_>) -> Option<Figure> {
    let floors: Vec<&Row<'_>> = view.floors.iter().collect();
    let all = closed(view).len() + floors.len();
    let shown: Vec<&Row<'_>> = bars(closed(view)).into_iter().chain(bars(floors)).collect();
    if shown.is_empty() {
        return None;
    }
    let row = |row: &&Row<'_>| {
        let Estimate { median, ci95 } = row.of.figures.throughput_rps;
        let limit = if row.client_limited { " · client's limit" } else { "" };
        BarRow {
            label: format!("{}{limit}", row.label),
            look: row.look.clone(),
            from: None,
            parts: vec![("solid", median)],
            interval: Some(ci95),
            text: with_interval(&row.of.figures.throughput_rps, si),
        }
    };
    let rows: Vec<BarRow> = shown.iter().map(row).collect();
    let described = shown
        .iter()
        .map(|row| format!("{} {}", row.label, si(row.of.figures.throughput_rps.median)));
    let description = described.collect::<Vec<_>>().join(", ");
    let svg = Bars {
        id: "throughput",
        title: "Requests per second of each server",
        description: &description,
        axis: "requests per second",
        format: si,
        reference: None,
        logarithmic: false,
        legend: Vec::new(),
        rows,
    };
    let data = shown.iter().map(|row| {
        let Estimate { median, ci95: [low, high] } = row.of.figures.throughput_rps;
        vec![row.label.clone(), si(median), si(low), si(high)]
    });
    let how_many = of_how_many(shown.len(), all);
    Some(Figure {
        id: "throughput".to_owned(),
        heading: "Throughput".to_owned(),
        caption: format!(
            "A longer bar is better. The bar is the mean of the rounds, the thin line its 95 % \
             interval, with an arrow where it reaches beyond the axis: where two lines overlap \
             much, look at the ratios before saying which is faster.{how_many}"
        ),
        svg: svg.draw(),
        table: table(&["server", "requests/s", "95 % from", "to"], data),
    })
}

/// Throughput over that of the baseline.
pub(super) fn ratios(view: &View<'_>) -> Option<Figure> {
    let others =
        || closed(view).into_iter().filter(|row| !is_own_baseline(row)).collect::<Vec<_>>();
    let (all, shown) = (others().len(), bars(others()));
    if shown.is_empty() {
        return None;
    }
    let row = |row: &&Row<'_>| {
        let ratio = row.of.figures.ratio_to_baseline;
        BarRow {
            label: row.label.clone(),
            look: row.look.clone(),
            from: None,
            parts: vec![("solid", ratio.median - 1.0)],
            interval: Some(ratio.ci95),
            text: format!("×{}", with_interval(&ratio, digits)),
        }
    };
    let baseline = &view.run.summary.baseline;
    let title = format!("Throughput as a multiple of that of {baseline}");
    let described = shown.iter().map(|row| {
        format!("{} {}", row.label, with_interval(&row.of.figures.ratio_to_baseline, digits))
    });
    let svg = Bars {
        id: "ratio",
        title: &title,
        description: &described.collect::<Vec<_>>().join(", "),
        axis: &format!("multiple of the throughput of {baseline} (logarithmic)"),
        format: digits,
        reference: Some(1.0),
        logarithmic: true,
        legend: Vec::new(),
        rows: shown.iter().map(row).collect(),
    };
    let data = shown.iter().map(|row| {
        let Estimate { median, ci95: [low, high] } = row.of.figures.ratio_to_baseline;
        vec![row.label.clone(), digits(median), digits(low), digits(high)]
    });
    let how_many = of_how_many(shown.len(), all);
    Some(Figure {
        id: "ratio".to_owned(),
        heading: format!("Compared with {baseline}"),
        caption: format!(
            "Bars to the right of 1 are faster than {baseline}, to the left slower; equal lengths \
             are equal factors. Ratios are taken within each round, so that what slowed the \
             machine down slowed both. An interval across 1 means that no difference was \
             found.{how_many}"
        ),
        svg: svg.draw(),
        table: table(&["server", "ratio", "95 % from", "to"], data),
    })
}

/// Where the gain comes from: each step from the height of the one before.
pub(super) fn waterfall(view: &View<'_>) -> Option<Figure> {
    let steps = &view.run.summary.steps;
    if steps.len() < 2 {
        return None;
    }
    let before = [1.0].into_iter().chain(steps.iter().map(|step| step.ratio_to_first.median));
    let rows = steps.iter().zip(before).map(|(step, before)| step_row(view, step, before));
    let described = steps.iter().map(|step| format!("{} ×{}", step.name, ratio(step)));
    let svg = Bars {
        id: "waterfall",
        title: "What each step brings, with all steps before it in place",
        description: &described.collect::<Vec<_>>().join(", "),
        axis: &format!("requests/s, multiple of those of {} (logarithmic)", steps[0].name),
        format: digits,
        reference: Some(1.0),
        logarithmic: true,
        legend: vec![
            ("m-up mark", "gain"),
            ("m-down mark", "loss"),
            ("m-up mark hatch-1", "other client or link"),
        ],
        rows: rows.collect(),
    };
    let data = steps.iter().map(|step| {
        let client = if step.changes_client { "changes" } else { "stays" };
        vec![
            step.name.clone(),
            step.change.clone(),
            with_interval(&step.ratio_to_previous, digits),
            with_interval(&step.ratio_to_first, digits),
            client.to_owned(),
        ]
    });
    let headings = ["step", "what changes", "× the step before", "× the first", "client or link"];
    let mut caption = "Each bar begins where the one before it ended. Lengths are logarithms, so \
                       that equal bars are equal factors and all bars together are the whole. The \
                       thin line is the 95 % interval of the product so far."
        .to_owned();
    let changed: Vec<&str> =
        steps.iter().filter(|step| step.changes_client).map(|step| step.name.as_str()).collect();
    if !changed.is_empty() {
        caption.push_str(&format!(
            " With {} the client or the link changes as well: that step is not the server's alone.",
            crate::report::text::list(&changed)
        ));
    }
    Some(Figure {
        id: "waterfall".to_owned(),
        heading: "Where the gain comes from".to_owned(),
        caption,
        svg: svg.draw(),
        table: table(&headings, data),
    })
}

fn ratio(step: &Step) -> String {
    digits(step.ratio_to_previous.median)
}

fn step_row(view: &View<'_>, step: &Step, before: f64) -> BarRow {
    let end = step.ratio_to_first.median;
    let direction = if end >= before { "m-up" } else { "m-down" };
    let marker = view.rows.get(step.cell).map_or(0, |row| row.look.marker);
    let client = if step.changes_client { " · other client or link" } else { "" };
    BarRow {
        label: format!("{}{client}", step.name),
        look: Look { class: direction.to_owned(), marker, dash: 0 },
        from: Some(before),
        parts: vec![(if step.changes_client { "solid hatch-1" } else { "solid" }, end - before)],
        interval: Some(step.ratio_to_first.ci95),
        text: format!("×{} → ×{}", ratio(step), digits(end)),
    }
}
